-- How many rows a shard has up to a position of the stream, and how many distinct positions.
SELECT count(), uniqExact(entry_ms, entry_seq, entry_index)
FROM events
WHERE shard = {shard:UInt16} AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
