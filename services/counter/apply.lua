#!lua flags=allow-oom
-- Applies a batch to the read model and acknowledges it, or does nothing at all.
--
-- KEYS  the stream, the shard's epoch
-- ARGV  group, epoch, number of entries, their ids, then the changes: for each the number of words and the words of an
--       ordinary Redis command on keys of this shard
-- Returns the number of acknowledged entries; 0 where somebody else has applied the batch; -1 where the shard has
-- passed to another counter.
--
-- allow-oom: applying deletes the entries, which is what frees memory.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end

local step, first, last = 1000, 4, 3 + tonumber(ARGV[3])
local acknowledged = 0
for i = first, last, step do
  acknowledged = acknowledged + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, i, math.min(i + step - 1, last)))
end
if acknowledged == 0 then return 0 end
for i = first, last, step do
  redis.call('XDEL', KEYS[1], unpack(ARGV, i, math.min(i + step - 1, last)))
end

local i = last + 1
while i <= #ARGV do
  local words = tonumber(ARGV[i])
  redis.call(unpack(ARGV, i + 1, i + words))
  i = i + words + 1
end
return acknowledged
