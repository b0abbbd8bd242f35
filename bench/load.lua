-- Sends the requests of a file in turn, and prints one line of figures that bench/load.py reads.
-- A line of the file is: method, tab, path, tab, body.

local requests, next_one = {}, 0

function init(args)
  for line in io.lines(args[1]) do
    local method, path, body = line:match("^(.-)\t(.-)\t(.*)$")
    local type = body ~= "" and "application/json" or nil
    requests[#requests + 1] =
      wrk.format(method, path, { ["Content-Type"] = type, ["Host"] = wrk.headers["Host"],
        ["Authorization"] = wrk.headers["Authorization"] }, body ~= "" and body or nil)
  end
end

function request()
  next_one = next_one % #requests + 1
  return requests[next_one]
end

function done(summary, latency, _)
  local errors = summary.errors
  print(string.format("FIGURES %d %d %d %d %d", summary.requests, summary.duration,
    latency:percentile(50), latency:percentile(99),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
