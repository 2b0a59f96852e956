-- What wrk sends: the requests of the file WRK_REQUESTS in turn, with ids, visitors and an address written into each, at
-- WRK_RATE requests a second where that is given (0: as fast as answers come).
--
-- A request has its text and the places in it that are written over: of the address (the digits "100.100.100"), and for
-- each event of its id's first 8 and last 12 digits and of its visitor's 16. WRK_RUN tells one run's ids from another's.
local ffi = require("ffi")
ffi.cdef("typedef struct { long s; long ns; } moment; int clock_gettime(int clock, moment *now);")

local requests = dofile(os.getenv("WRK_REQUESTS"))
local run = tonumber(os.getenv("WRK_RUN"))
local rate = tonumber(os.getenv("WRK_RATE"))
local VISITORS, VIEWS, ADDRESSES = 1000, 6, 100000
local HEX = "0123456789abcdef"
local event, sent, turn = 0, 0, 0
local first_address = run % 5 * ADDRESSES / 5  -- runs of one minute have addresses of their own

local function digits(buffer, at, width, number, base)
  for place = at + width - 1, at, -1 do
    buffer[place] = HEX:byte(number % base + 1)
    number = math.floor(number / base)
  end
end

local function now()
  local moment = ffi.new("moment")
  ffi.C.clock_gettime(1, moment)
  return tonumber(moment.s) + tonumber(moment.ns) / 1e9
end

function init()
  for _, request in ipairs(requests) do
    request.buffer = ffi.new("char[?]", #request.text + 1, request.text)
    for _, id in ipairs(request.ids or {}) do
      digits(request.buffer, id, 8, run, 16)
    end
  end
  if rate > 0 then
    local begin = now()
    function delay()  -- in ms, until this request is due
      sent = sent + 1
      return math.max(0, (begin + sent / rate - now()) * 1000)
    end
  end
end

function request()
  turn = turn + 1
  local request = requests[turn % #requests + 1]
  if not request.address then return request.text end
  local buffer = request.buffer
  local visitor
  for number, id in ipairs(request.ids) do
    event = event + 1
    digits(buffer, id + 24, 12, event, 16)
    -- each visitor comes VIEWS times, with VISITORS - 1 others in between
    visitor = event % VISITORS + VISITORS * math.floor(event / (VISITORS * VIEWS))
    digits(buffer, request.visitors[number], 8, run, 16)
    digits(buffer, request.visitors[number] + 8, 8, visitor, 16)
  end
  -- a visitor has one address; what is sent for many of them comes from many servers
  local address = (first_address + (#request.ids == 1 and visitor or turn)) % ADDRESSES
  digits(buffer, request.address + 1, 2, address, 10)
  digits(buffer, request.address + 5, 2, math.floor(address / 100), 10)
  digits(buffer, request.address + 9, 2, math.floor(address / 10000), 10)
  return ffi.string(buffer, #request.text)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests": %d, "seconds": %f, "refused": %d, "failed": %d, "p50": %f, "p99": %f, "p999": %f}\n',
    summary.requests, summary.duration / 1e6, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3, latency:percentile(99.9) / 1e3))
end
