-- Lets the stream of a shard, its delivery hash and its dead letters be those of a backup, at one moment. What was
-- accepted since then and is not counted goes behind what the backup has waiting.
--
-- KEYS  the stream, the delivery hash, the dead letters, a key for the time of this script
-- ARGV  what DUMP said of the first three; empty where there was none
-- Returns the number of events that were accepted since.
local stream, delivery, present = KEYS[1], KEYS[2], KEYS[4]
if redis.call('EXISTS', stream) == 1 then redis.call('RENAME', stream, present) end
for i = 1, 3 do
  redis.call('DEL', KEYS[i])
  if ARGV[i] ~= '' then redis.call('RESTORE', KEYS[i], 0, ARGV[i]) end
end

-- An entry up to the last one that the backup knows is among those that it has waiting, or was counted before.
local last = '0-0'
if redis.call('EXISTS', stream) == 1 then
  local facts = redis.call('XINFO', 'STREAM', stream)
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then last = facts[i + 1] end
  end
end
local since = 0
repeat
  local entries = redis.call('XRANGE', present, '(' .. last, '+', 'COUNT', 1000)
  for _, entry in ipairs(entries) do
    redis.call('XADD', stream, '*', unpack(entry[2]))
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'n' then since = since + (tonumber(entry[2][i + 1]) or 1) end
    end
    last = entry[1]
  end
until #entries == 0
redis.call('DEL', present)
if since > 0 then redis.call('HINCRBY', delivery, 'accepted', since) end
return since
