-- Page views by item, up to a position of the stream.
SELECT site, item, count()
FROM events
WHERE shard = {shard:UInt16} AND type = 'pageview' AND kind != 'bot'
  AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
GROUP BY site, item
