-- One call after the other, each with the credential of the next tenant.
-- Arguments: the field that carries it, a file with one value a line, `close` or `keep-alive`, and for how many ms a
-- connection rests before each call, on average; 0 for none.
local requests, turn = {}, 0

function init(args)
  for line in io.lines(args[2]) do
    local fields = { [args[1]] = line }
    if args[3] == 'close' then fields['Connection'] = 'close' end
    requests[#requests + 1] = wrk.format('GET', nil, fields)
  end
  local rest = tonumber(args[4])
  -- wrk looks for the function after this one. The rest is exponential, so that calls come as from many who know nothing of each other.
  if rest > 0 then
    function delay() return math.floor(0.5 - rest * math.log(1 - math.random())) end
  end
end

function request()
  turn = turn % #requests + 1
  return requests[turn]
end

-- No `response` function: it would cost wrk as much again as the whole call and starve the proxies of load.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    'result {"requests":%d,"bytes":%d,"durationUs":%d,"p50Us":%d,"p99Us":%d,' ..
      '"errors":{"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d}}\n',
    summary.requests, summary.bytes, summary.duration, latency:percentile(50), latency:percentile(99),
    errors.connect, errors.read, errors.write, errors.timeout, errors.status))
end
