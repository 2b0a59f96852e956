#!lua
-- Puts events on a stream and counts them as accepted, or does nothing at all.
--
-- KEYS  the stream, the shard's delivery hash
-- ARGV  how many events there are; how many words a field list has; the entries' fields and values, one list after the
--       other
-- Returns the id of the last entry.
local words, last = tonumber(ARGV[2])
for first = 3, #ARGV, words do
  last = redis.call('XADD', KEYS[1], '*', unpack(ARGV, first, first + words - 1))
end
redis.call('HINCRBY', KEYS[2], 'accepted', ARGV[1])
return last
