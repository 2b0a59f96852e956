#!lua flags=allow-oom
-- Reads at one moment what a batch must know.
--
-- KEYS  the shard's epoch
-- ARGV  epoch, and reading Redis commands on keys of this shard, packed for run.lua
-- Returns the commands' answers, packed with msgpack: one string, where thousands would be read one by one. -1 where the
-- shard has passed to another counter.
--
-- allow-oom: a full Redis is emptied by counting.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end

return cmsgpack.pack(run(ARGV[2]))
