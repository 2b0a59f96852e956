-- What some items lack on some days, or have too much (as a number that wraps around): RULE over their events, less the
-- roll-up.
INSERT INTO items (site, item, date, title, views, votes)
SELECT site, item, date, anyLastIf(title, sign = 1), toUInt64(sum(sign * views)),
       sumMap(votes.1, arrayMap(number -> sign * number, votes.2)) AS change
FROM
(
    SELECT site, item, date, title, toInt64(views) AS views, votes, 1 AS sign
    FROM (RULE)
    WHERE item IN {items:Array(String)}
    UNION ALL
    SELECT site, item, date, '', toInt64(views), votes, -1
    FROM items
    WHERE site IN {sites:Array(String)} AND item IN {items:Array(String)} AND date BETWEEN {first:Date} AND {last:Date}
)
GROUP BY site, item, date
HAVING sum(sign * views) != 0 OR arrayExists(number -> number != 0, change.2)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
