-- Stands before the scripts that run commands as commands.py packs them: runs them, returns their answers.
local function run(packed)
  local lengths, words = unpack(cmsgpack.unpack(packed))
  local answers, first = {}, 1
  for number, length in ipairs(lengths) do
    answers[number] = redis.call(unpack(words, first, first + length - 1))
    first = first + length
  end
  return answers
end
