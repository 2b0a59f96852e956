-- What the hours of some days lack, or have too much (as a number that wraps around): RULE over their events, less the
-- roll-up.
INSERT INTO traffic_hourly (site, date, hour, visits, pageviews, bots)
SELECT site, date, hour, toUInt64(sum(sign * visits)), toUInt64(sum(sign * pageviews)), toUInt64(sum(sign * bots))
FROM
(
    SELECT site, date, hour, toInt64(visits) AS visits, toInt64(pageviews) AS pageviews, toInt64(bots) AS bots, 1 AS sign
    FROM (RULE)
    UNION ALL
    SELECT site, date, hour, toInt64(visits), toInt64(pageviews), toInt64(bots), -1
    FROM traffic_hourly
    WHERE site IN {sites:Array(String)} AND date IN {days:Array(Date)}
      AND (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
)
GROUP BY site, date, hour
HAVING (sum(sign * visits), sum(sign * pageviews), sum(sign * bots)) != (0, 0, 0)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
