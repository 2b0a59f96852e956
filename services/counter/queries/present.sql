-- Who viewed a page since a time: when last, and as what.
SELECT site, visitor, max(toUnixTimestamp64Milli(time)), argMax(toString(kind), time)
FROM events
WHERE shard = {shard:UInt16} AND source = 'live' AND type = 'pageview' AND time >= {since:DateTime64(3, 'UTC')}
  AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
GROUP BY site, visitor
