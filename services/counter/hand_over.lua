#!lua flags=allow-oom
-- Hands a batch over to another consumer, whole, or does nothing at all.
--
-- KEYS  the stream, the shard's epoch
-- ARGV  group, epoch, the other consumer, the entries' ids
-- Returns how many of the entries that consumer now has; -1 where the shard has passed to another counter.
--
-- allow-oom: a full Redis is emptied by counting.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end
local ids = {unpack(ARGV, 4)}
ids[#ids + 1] = 'JUSTID'
return #redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[3], 0, unpack(ids))
