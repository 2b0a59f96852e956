-- The sites of a shard.
SELECT DISTINCT toString(site)
FROM events
WHERE shard = {shard:UInt16}
