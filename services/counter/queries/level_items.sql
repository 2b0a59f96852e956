-- What some items lack on some days, or have too much (as a number that wraps around): RULE over their events, less the
-- roll-up.
INSERT INTO items (site, item, date, title, views, votes)
WITH batch AS
(
    SELECT item
    FROM events
    WHERE shard = {shard:UInt16}
      AND time BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}
      AND (entry_ms, entry_seq) BETWEEN ({first_ms:UInt64}, {first_seq:UInt32})
                                    AND ({last_ms:UInt64}, {last_seq:UInt32})
)
SELECT site, item, date, anyLastIf(title, sign = 1), toUInt64(sum(sign * views)),
       sumMap(votes.1, arrayMap(number -> sign * number, votes.2)) AS change
FROM
(
    SELECT site, item, date, title, toInt64(views) AS views, votes, 1 AS sign
    FROM (RULE)
    WHERE item IN batch
    UNION ALL
    SELECT site, item, date, '', toInt64(views), votes, -1
    FROM items
    WHERE site IN {sites:Array(String)} AND item IN batch AND date IN {days:Array(Date)}
      AND (site, toStartOfMonth(date)) NOT IN (SELECT site, month FROM expired)
)
GROUP BY site, item, date
HAVING sum(sign * views) != 0 OR arrayExists(number -> number != 0, change.2)
SETTINGS deduplicate_insert = 'disable', deduplicate_insert_select = 'disable'
