-- Every voter's last vote on every item, up to a position of the stream.
SELECT site, item, visitor, argMax(score, (entry_ms, entry_seq, entry_index))
FROM events
WHERE shard = {shard:UInt16} AND type = 'rating'
  AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
GROUP BY site, item, visitor
