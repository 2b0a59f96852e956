-- How many rows a shard has up to a position of the stream, and at how many distinct positions; one of several parts of
-- them, for the distinct ones are held in memory.
SELECT count(), uniqExact(entry_ms, entry_seq, entry_index)
FROM kept
WHERE shard = {shard:UInt16}
  AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
  AND intHash64(entry_ms) % {parts:UInt32} = {part:UInt32}
