#!lua flags=allow-oom
-- Reads at one moment what a batch must know.
--
-- KEYS  the shard's epoch
-- ARGV  epoch, and what is asked, packed with msgpack: pairs of sorted sets and members whose scores in each of the sets
--       are wanted, and reading Redis commands; all on keys of this shard
-- Returns, packed with msgpack: by pair and by sorted set, the places (from 1) of the members that are in it, each
-- followed by its score; and the commands' answers. -1 where the shard has passed to another counter.
--
-- Most members are in one of their sets or in none: told one by one, the answer would be several times as long.
-- allow-oom: a full Redis is emptied by counting.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return -1 end

local pairs_asked, commands = unpack(cmsgpack.unpack(ARGV[2]))
local found, answers = {}, {}
for _, asked in ipairs(pairs_asked) do
  local sets, members = unpack(asked)
  for _, set in ipairs(sets) do
    local scores, those = redis.call('ZMSCORE', set, unpack(members)), {}
    for place = 1, #members do
      if scores[place] then
        those[#those + 1] = place
        those[#those + 1] = tonumber(scores[place])
      end
    end
    found[#found + 1] = those
  end
end
for number, command in ipairs(commands) do
  answers[number] = redis.call(unpack(command))
end
return cmsgpack.pack({found, answers})
