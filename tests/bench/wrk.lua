-- What wrk sends: the requests of the file that WRK_REQUESTS names, one after another, with ids of their own.
--
-- A request is a list of texts with holes between them; the holes are, in turn, a client's address, and for each event an
-- id and a visitor. WRK_RUN makes the ids of one run different from those of all others.
local requests = dofile(os.getenv("WRK_REQUESTS"))
local run = tonumber(os.getenv("WRK_RUN"))
local n, at = 0, 0
local VISITORS, VIEWS, ADDRESSES = 1000, 6, 40000

local function event_id()
  return string.format("%08x-0000-4000-8000-%012x", run, n)
end

local function visitor()
  -- each comes VIEWS times, with VISITORS - 1 others in between
  return string.format("%08x%08x", run, n % VISITORS + VISITORS * math.floor(n / (VISITORS * VIEWS)))
end

local function address()
  local k = n % ADDRESSES
  return string.format("10.%d.%d.%d", 1 + math.floor(k / 65536), math.floor(k / 256) % 256, k % 256)
end

function request()
  at = at % #requests + 1
  local parts = requests[at]
  if #parts == 1 then return parts[1] end
  local words = { parts[1], address() }
  for i = 2, #parts - 1, 2 do
    n = n + 1
    words[#words + 1] = parts[i]
    words[#words + 1] = event_id()
    words[#words + 1] = parts[i + 1]
    words[#words + 1] = visitor()
  end
  words[#words + 1] = parts[#parts]
  return table.concat(words)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "refused": %d, "failed": %d, "p50": %f, "p99": %f, "p999": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
