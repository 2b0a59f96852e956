-- What the parts of some days lack, or have too much (as a number that wraps around): RULE over their events, less the
-- roll-up.
INSERT INTO breakdown_daily (site, date, dimension, value, visits, pageviews)
SELECT site, date, dimension, value, toUInt64(sum(sign * visits)), toUInt64(sum(sign * pageviews))
FROM
(
    SELECT site, date, toString(dimension) AS dimension, value,
           toInt64(visits) AS visits, toInt64(pageviews) AS pageviews, 1 AS sign
    FROM (RULE)
    UNION ALL
    SELECT site, date, toString(dimension), value, toInt64(visits), toInt64(pageviews), -1
    FROM breakdown_daily
    WHERE site IN {sites:Array(String)} AND date IN {days:Array(Date)}
      AND (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
)
GROUP BY site, date, dimension, value
HAVING (sum(sign * visits), sum(sign * pageviews)) != (0, 0)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
