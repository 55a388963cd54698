-- @noindex
-- One job in the inbox as a machine: what its files say → where it is, and what is wrong. No host calls.
--
--   handed → queued → running → finished | failed | cancelled
--
-- trouble  "absent"  nobody took the job: no server runs, or it watches another folder
--          "silent"  it was taken, and nothing has been heard of it for long: the server may have died

local flow = {}

flow.PATIENCE = 4.0 -- seconds until a job that nobody takes is said to have no server
flow.START_PATIENCE = 60.0 -- the same, after a server was started: it loads its model first
flow.SILENCE = 30.0 -- seconds without any news until a running job is said to be silent
flow.QUEUE_SILENCE = 120.0 -- the same for one that waits behind others
flow.GOODBYE = 5.0 -- seconds that a cancelled job has to say so
flow.BROKEN = 3.0 -- seconds until an unreadable done.json counts as a failure

local OVER = { finished = true, failed = true, cancelled = true }

-- id: of the job. now: seconds of any clock that only grows
function flow.new(id, now)
  return {
    id = id, state = "handed", progress = 0.0, stage = "", text = "", seconds_left = -1.0, trouble = nil,
    results = {}, code = "", starts = 0, heard = now, patience = flow.PATIENCE, said = nil,
  }
end

function flow.is_over(machine)
  return OVER[machine.state] == true
end

-- A server has been started; it gets time to come up.
function flow.started(machine, now)
  machine.heard, machine.patience, machine.trouble = now, flow.START_PATIENCE, nil
  machine.starts = machine.starts + 1
end

-- The user does not want it any more.
function flow.cancel(machine, now)
  machine.cancelled_at = machine.cancelled_at or now
end

local function is_number(value)
  return type(value) == "number" and value == value
end

local function hear(machine, now, status)
  local said = ("%s %s %s %s"):format(status.state, status.progress, status.stage, status.text)
  if said ~= machine.said then
    machine.said, machine.heard, machine.trouble = said, now, nil
    machine.patience = status.state == "running" and flow.SILENCE or flow.QUEUE_SILENCE
  end
  if status.state == "waiting" or status.state == "queued" then
    machine.state = "queued"
  elseif status.state == "running" then
    machine.state = "running"
  end
  if is_number(status.progress) then machine.progress = math.max(0, math.min(1, status.progress)) end
  if is_number(status.seconds_left) then machine.seconds_left = status.seconds_left end
  machine.stage = type(status.stage) == "string" and status.stage or ""
  machine.text = type(status.text) == "string" and status.text or ""
end

local function fail(machine, code, text)
  machine.state, machine.code, machine.text, machine.trouble = "failed", code, text, nil
end

local function close(machine, done)
  if done.state == "cancelled" then
    machine.state, machine.trouble = "cancelled", nil
  elseif done.state == "finished" and type(done.results) == "table" and #done.results > 0 then
    machine.state, machine.results, machine.progress, machine.trouble = "finished", done.results, 1.0, nil
  elseif done.state == "finished" then
    fail(machine, "internal", "the server says it is done, but names no result")
  else
    fail(machine, tostring(done.code or ""), tostring(done.text or ""))
  end
end

-- One look. status, done: what status.json and done.json hold, nil when absent; false: there, but unreadable
function flow.step(machine, now, status, done)
  if OVER[machine.state] then return end
  if done then
    close(machine, done)
  elseif machine.cancelled_at and now - machine.cancelled_at > flow.GOODBYE then
    machine.state, machine.trouble = "cancelled", nil
  elseif done == false then
    machine.broken_since = machine.broken_since or now
    if now - machine.broken_since > flow.BROKEN then
      fail(machine, "internal", "done.json cannot be read; is the disk full or the server of another version?")
    end
  else
    if status then hear(machine, now, status) end
    if now - machine.heard > machine.patience then
      machine.trouble = machine.state == "handed" and "absent" or "silent"
    end
  end
end

local STAGES = { encode = "listening", sample = "making the sound", render = "writing the stems" }

-- What to show of it, in one line.
function flow.told(machine)
  if machine.cancelled_at and not OVER[machine.state] then return "stopping" end
  if machine.trouble == "absent" then return "no Stemwright server takes the job" end
  if machine.trouble == "silent" then return "no news from the server; it may have ended" end
  if machine.state == "handed" then
    return machine.patience == flow.START_PATIENCE and "the server is starting" or "handed over"
  end
  if machine.state == "queued" then return machine.text ~= "" and machine.text or "queued" end
  if machine.state == "running" then
    local left = machine.seconds_left >= 1 and (", %.0f s left"):format(machine.seconds_left) or ""
    return (STAGES[machine.stage] or "working") .. left
  end
  return machine.state
end

return flow
