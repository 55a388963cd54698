-- Jobs under way: from the span that is written to the results that are there.

local need = ...
local dialog = need("dialog")
local host = need("host")
local inbox = need("inbox")
local paths = need("paths")
local plan = need("plan")
local server = need("server")
local wav = need("wav")

local jobs = {}

local ABSENT = 3.0 -- seconds without a sign after which there is no server
local STARTING = 120.0 -- seconds that one may take that was just started
local GOODBYE = 5.0 -- seconds to hear that a job is cancelled
local LOOK = 40000 -- microseconds between two looks; Ardour's windows live on in between

local function now()
  return ARDOUR.LuaAPI.monotonic_time() / 1e6
end

local function request_for(span, request)
  local own = {}
  for key, value in pairs(request) do own[key] = value end
  if request.task == "generate" then
    own.seconds, own.rate, own.channels = span.frames / span.rate, span.rate, span.channels
  end
  return own
end

-- Write and hand over a job a span. → the jobs; nil when the user stopped it
function jobs.submit(spans, request, folder, window)
  local made = {}
  for index, span in ipairs(spans) do
    local id = paths.job_id(os.time(), ARDOUR.LuaAPI.monotonic_time())
    made[index] = { id = id, span = span, place = folder .. "/" .. id, share = 0 }
    local part = inbox.prepare(folder, id)
    if request.task ~= "generate" then
      local peak = host.record(span, part .. "/in.wav", function(share)
        return window:progress((index - 1 + share) / #spans * 0.1, "reading " .. span.name)
      end)
      if not peak then return nil, made end
      made[index].is_silent = peak == 0
    end
  end
  for _, job in ipairs(made) do
    if not job.is_silent then inbox.publish(folder, job.id, request_for(job.span, request)) end
  end
  return made, made
end

local function words(status)
  if status.state == "running" then
    local left = tonumber(status.seconds_left) or -1
    return left >= 0 and ("%s, %d s left"):format(status.stage, math.ceil(left)) or tostring(status.stage)
  end
  return tostring(status.text) ~= "" and tostring(status.text) or tostring(status.state)
end

-- One look at a job; → a line about it
local function look(job)
  if job.is_silent then
    job.done = { state = "failed", text = "there is silence in the selection" }
  end
  job.done = job.done or inbox.read(job.place .. "/done.json")
  if job.done then
    job.share, job.is_seen = 1, true
    return nil
  end
  local status = inbox.read(job.place .. "/status.json")
  if not status then return nil end
  job.is_seen, job.share = true, tonumber(status.progress) or job.share
  return words(status)
end

local function look_all(made)
  local share, line, is_seen, is_over = 0, nil, false, true
  for _, job in ipairs(made) do
    local about = look(job)
    line = line or about
    share = share + job.share / #made
    is_seen, is_over = is_seen or job.is_seen, is_over and job.done ~= nil
  end
  return share, line, is_seen, is_over
end

-- The server is not there: → the time until which a started one may be waited for, or nil
local function wake(config, folder)
  if not dialog.agrees(server.way_out(folder) .. "\n\nStart it now?") then return nil end
  if not server.start(config, folder) then
    dialog.say("The program stemwright is not there. Install it (pip install stemwright), then:\n\nstemwright serve --inbox "
      .. paths.quoted(folder), LuaDialog.MessageType.Error)
    return nil
  end
  return now() + STARTING
end

-- The server was started and is not there: → whether it is given up
local function is_hopeless(until_when, folder)
  local told = server.last_words(folder)
  if not told and now() < until_when then return false end
  local silent = "It said nothing within two minutes; see " .. folder .. "/" .. server.LOG
  dialog.say("The server did not start.\n\n" .. (told or silent), LuaDialog.MessageType.Error)
  return true
end

local function goodbye(made, window)
  for _, job in ipairs(made) do
    if not job.done then inbox.cancel(job.place) end
  end
  local until_when = now() + GOODBYE
  while now() < until_when do
    local _, _, is_seen, is_over = look_all(made)
    if is_over or not is_seen then return end
    window:progress(0.99, "stopping")
    ARDOUR.LuaAPI.usleep(LOOK)
  end
end

-- Until all jobs have ended; → whether they did, false when the user gave up
function jobs.follow(made, config, folder, window)
  local begin, until_when = now(), nil
  while true do
    local share, line, is_seen, is_over = look_all(made)
    if is_over then return true, window end
    if not is_seen and until_when == nil and now() - begin > ABSENT and not inbox.is_watched(folder) then
      window:done()
      until_when = wake(config, folder)
      if not until_when then return false, window end
      window = dialog.progress()
    end
    if not is_seen and until_when and is_hopeless(until_when, folder) then return false, window end
    local waiting = until_when and "the server starts" or "looking for the server"
    if window:progress(0.1 + 0.85 * share, line or waiting) or window:canceled() then
      goodbye(made, window)
      return false, window
    end
    ARDOUR.LuaAPI.usleep(LOOK)
  end
end

-- The results of an ended job → a list of { kind, path, seed }, or nil and why not
function jobs.results(job)
  if job.done.state ~= "finished" then return nil, tostring(job.done.text or job.done.state) end
  local results = {}
  for index, told in ipairs(type(job.done.results) == "table" and job.done.results or {}) do
    local name = paths.result_name(told.path)
    if not name then return nil, "the server names a file outside of the job's folder" end
    local path = job.place .. "/out/" .. name
    local found, why = wav.describe(path)
    if found and job.span.route then why = plan.flaw(found, job.span) end
    if why then return nil, ("%s: %s"):format(name, why) end
    results[index] = { kind = tostring(told.kind), path = path, seed = tonumber(told.seed) }
  end
  return results
end

function jobs.remove(made, folder)
  for _, job in ipairs(made or {}) do inbox.remove(folder, job.id) end
end

return jobs
