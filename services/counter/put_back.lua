-- Lets the stream of a shard, its delivery hash and its dead letters be those of a backup, at one moment. What was
-- accepted since then and is not counted goes behind what the backup has waiting.
--
-- KEYS  the stream, the delivery hash, the dead letters, a key for the time of this script
-- ARGV  what DUMP said of the first three; empty where there was none
-- Returns the number of events that were accepted since.
--
-- The stream that is there goes last: what Redis cannot read fails before.
local stream, delivery, restored = KEYS[1], KEYS[2], KEYS[4]
for key, value in pairs({[restored] = ARGV[1], [delivery] = ARGV[2], [KEYS[3]] = ARGV[3]}) do
  redis.call('DEL', key)
  if value ~= '' then redis.call('RESTORE', key, 0, value) end
end

-- An entry up to the last one that the backup knows is among those that it has waiting, or was counted before.
local last = '0-0'
if redis.call('EXISTS', restored) == 1 then
  local facts = redis.call('XINFO', 'STREAM', restored)
  for i = 1, #facts, 2 do
    if facts[i] == 'last-generated-id' then last = facts[i + 1] end
  end
end
local since = 0
repeat
  local entries = redis.call('XRANGE', stream, '(' .. last, '+', 'COUNT', 1000)
  for _, entry in ipairs(entries) do
    redis.call('XADD', restored, '*', unpack(entry[2]))
    for i = 1, #entry[2], 2 do
      if entry[2][i] == 'n' then since = since + (tonumber(entry[2][i + 1]) or 1) end
    end
    last = entry[1]
  end
until #entries == 0
if since > 0 then redis.call('HINCRBY', delivery, 'accepted', since) end
redis.call('DEL', stream)
if redis.call('EXISTS', restored) == 1 then redis.call('RENAME', restored, stream) end
return since
