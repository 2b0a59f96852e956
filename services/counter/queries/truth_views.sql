-- Page views by item, up to a position of the stream; from the roll-up in months that have left.
SELECT site, item, sum(views)
FROM
(
    SELECT site, item, 1::UInt64 AS views
    FROM kept
    WHERE shard = {shard:UInt16} AND type = 'pageview' AND kind != 'bot'
      AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
    UNION ALL
    SELECT site, item, views
    FROM items
    WHERE (site, toStartOfMonth(date)) IN (SELECT site, month FROM expired WHERE shard = {shard:UInt16})
)
GROUP BY site, item
