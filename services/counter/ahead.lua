#!lua flags=no-writes,allow-oom
-- How many of the entries that nobody has read yet fit into one batch.
--
-- KEYS  the stream
-- ARGV  the group, the most events of a batch, the most entries
-- Returns how many entries; 1 where more wait behind them, else 0.
local group, most_events, most_entries = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
local step = 100

local function field(words, name)
  for i = 1, #words, 2 do
    if words[i] == name then return words[i + 1] end
  end
end

local last
for _, facts in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  if field(facts, 'name') == group then last = field(facts, 'last-delivered-id') end
end

local entries, events = 0, 0
while true do
  local some = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', step)
  for _, entry in ipairs(some) do
    events = events + (tonumber(field(entry[2], 'n') or 1) or 1)
    if events > most_events or entries == most_entries then return {entries, 1} end
    entries = entries + 1
    last = entry[1]
  end
  if #some < step then return {entries, 0} end
end
