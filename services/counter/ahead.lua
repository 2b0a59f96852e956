#!lua flags=no-writes,allow-oom
-- How many of the entries that nobody has read yet fit into one batch.
--
-- KEYS  the stream
-- ARGV  the group; of a batch the most events, the least entries and the most; the most events of an entry
-- Returns how many entries; 1 where more wait behind them, else 0.
--
-- allow-oom: a full Redis is emptied by counting.
local group, most_events, least, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local most_of_one = tonumber(ARGV[5])

local function field(words, name)
  for i = 1, #words, 2 do
    if words[i] == name then return words[i + 1] end
  end
  return ''
end

-- As shared/streams.py reads it.
local function size(entry)
  return math.min(tonumber(string.match(field(entry[2], 'n'), '^%d+$')) or 1, most_of_one)
end

local last
for _, facts in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if field(facts, 'name') == group then last = field(facts, 'last-delivered-id') end
end
if not last then return redis.error_reply('NOGROUP ' .. KEYS[1] .. ' has no group ' .. group) end

local entries, events, step = 0, 0, 20
while true do
  local some = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', step)
  for _, entry in ipairs(some) do
    events = events + size(entry)
    if entries >= least and (events > most_events or entries == most) then return {entries, 1} end
    entries = entries + 1
    last = entry[1]
  end
  if #some < step then return {entries, 0} end
  step = math.min(2 * step, 500)
end
