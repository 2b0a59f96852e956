-- The sites of a shard, also those of which all events have left by age.
SELECT toString(site) FROM events WHERE shard = {shard:UInt16}
UNION DISTINCT
SELECT toString(site) FROM expired WHERE shard = {shard:UInt16}
