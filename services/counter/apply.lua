#!lua flags=allow-oom
-- Applies a batch to the read model and acknowledges it, or does nothing at all.
--
-- KEYS  the stream, the shard's epoch
-- ARGV  group, epoch, the changes, the entries' ids. The changes are ordinary Redis commands on keys of this shard,
--       packed for run.lua.
-- Returns the number of acknowledged entries; 0 where somebody else has applied the batch; -1 where the shard has
-- passed to another counter.
--
-- allow-oom: applying deletes the entries, which is what frees memory.
if redis.call('GET', KEYS[2]) ~= ARGV[2] then return -1 end

local step, first, last = 1000, 4, #ARGV
local acknowledged = 0
for i = first, last, step do
  acknowledged = acknowledged + redis.call('XACK', KEYS[1], ARGV[1], unpack(ARGV, i, math.min(i + step - 1, last)))
end
if acknowledged == 0 then return 0 end
for i = first, last, step do
  redis.call('XDEL', KEYS[1], unpack(ARGV, i, math.min(i + step - 1, last)))
end

run(ARGV[3])
return acknowledged
