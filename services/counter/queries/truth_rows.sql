-- How many rows a shard has up to a position of the stream, and at how many distinct positions; with those that have
-- left by age, at a position each.
WITH (SELECT sum(rows) FROM expired FINAL WHERE shard = {shard:UInt16}) AS gone
SELECT count() + gone, uniqExact(entry_ms, entry_seq, entry_index) + gone
FROM kept
WHERE shard = {shard:UInt16} AND (entry_ms, entry_seq) <= ({ms:UInt64}, {seq:UInt64})
