-- Where events of these ids stand, if they are there.
SELECT site, id, entry_ms, entry_seq, entry_index
FROM events
WHERE shard = {shard:UInt16}
  AND site IN {sites:Array(String)}
  AND time BETWEEN {from:DateTime64(3, 'UTC')} AND {to:DateTime64(3, 'UTC')}
  AND id IN {ids:Array(UUID)}
