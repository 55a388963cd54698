-- @noindex
-- The whole of it in order: ask, read, hand over, follow, place. One coroutine, resumed at each of REAPER's ticks.

local audio = require("audio")
local flow = require("flow")
local form = require("form")
local inbox = require("inbox")
local paths = require("paths")
local regions = require("regions")
local render = require("render")
local results = require("results")
local server = require("server")
local settings = require("settings")
local sockets = require("sockets")
local trouble = require("trouble")

local app = {}

app.POLL = 0.2 -- seconds between two looks at the inbox
local READING = 0.1 -- part of the bar that reading the audio takes
local TITLE = "Stemwright"

local Run = {}
Run.__index = Run

-- front: native or ReaImGui. is_repeat: with the last values, without asking
local function new_run(front, is_repeat)
  local run = setmetatable({
    front = front, is_repeat = is_repeat, jobs = {}, is_cancelled = false, wants_start = false,
    screen = { title = TITLE, line = "", fraction = 0, buttons = { "cancel" } },
  }, Run)
  run.pause = function(part) run:turn(part) end
  return run
end

-- Give REAPER its turn; comes back at the next tick, or stops where the user cancelled.
function Run:turn(part)
  if part then self.screen.fraction = READING * part end
  coroutine.yield()
  if self.is_cancelled then trouble.cancel() end
end

function Run:show(line)
  self.screen.line = line
end

local function title_of(request)
  local words = #request.prompts > 0 and table.concat(request.prompts, ", ") or request.preset or ""
  return ("%s: %s"):format(request.task, words)
end

-- Ask until what is asked for can be done → the order, or nil when the user changed their mind
local function ask(run)
  local values, presets = settings.values(), sockets.presets() or server.presets()
  while true do
    if not run.is_repeat then values = run.front.ask(values, presets, coroutine.yield) end
    if not values then return nil end
    settings.keep(values)
    local preset = form.with_preset(values, presets)
    local order, wrong = form.checked(values)
    if order then
      order.preset = preset
      return order
    end
    if run.is_repeat then trouble.raise("%s", wrong) end
    reaper.MB(wrong, TITLE, 0)
    coroutine.yield()
  end
end

-- What request.json says for one region.
local function request_of(order, region)
  local request = {}
  for key, value in pairs(order.request) do request[key] = value end
  if region.is_empty then
    request.seconds, request.rate, request.channels = region.length, region.rate, region.kept
  end
  return request
end

local function read(run, order, job)
  local region = job.region
  run:show(("reading “%s”"):format(region.name))
  local part = inbox.prepare(run.folder, job.id)
  if region.is_empty then return end
  if order.with_effects then
    render.read(region, part)
  else
    audio.check(region)
    audio.read(region, paths.join(part, "in.wav"), run)
  end
  run.pause()
end

local function hand_over(run, order, found)
  for _, region in ipairs(found) do
    local job = { id = paths.job_id(os.time(), math.random), region = region, preset = order.preset, files = {} }
    run.jobs[#run.jobs + 1] = job
    read(run, order, job)
    job.request = request_of(order, region)
    job.place = inbox.publish(run.folder, job.id, job.request)
    job.machine = flow.new(job.id, reaper.time_precise())
  end
end

local function cancel_jobs(run, now)
  for _, job in ipairs(run.jobs) do
    local machine = job.machine
    if machine and not machine.cancelled_at and not flow.is_over(machine) then
      inbox.cancel(job.place)
      flow.cancel(machine, now)
      if machine.state == "handed" then machine.state = "cancelled" end -- nobody has it: just take it back
    end
  end
end

local function start_server(run, now)
  run.wants_start = false
  server.start()
  for _, job in ipairs(run.jobs) do
    if not flow.is_over(job.machine) then flow.started(job.machine, now) end
  end
end

-- A server was started for the job, and yet nobody has taken it.
local function give_up(run)
  trouble.raise("No server took the job within %.0f seconds of its start. If one runs already, it watches another "
    .. "folder: stop it. Then type in a terminal, to see what it says:\n\n\"%s\" serve --inbox \"%s\"",
    flow.START_PATIENCE, settings.command(), run.folder)
end

-- One look at all jobs → whether all are over
local function look(run, now)
  local is_over, sum, line, buttons = true, 0, nil, { "cancel" }
  for _, job in ipairs(run.jobs) do
    local machine = job.machine
    if not flow.is_over(machine) then
      flow.step(machine, now, inbox.read(job.place, "status.json"), inbox.read(job.place, "done.json"))
    end
    if not flow.is_over(machine) then
      is_over = false
      line = line or flow.told(machine)
      if machine.trouble == "absent" and machine.starts > 0 then give_up(run) end
      if machine.trouble then line, buttons = flow.told(machine), { "start", "cancel" } end
    end
    sum = sum + (flow.is_over(machine) and 1 or machine.progress)
  end
  local count = #run.jobs > 1 and ("%d regions, "):format(#run.jobs) or ""
  run.screen.fraction = READING + (1 - READING) * sum / #run.jobs
  run.screen.buttons = buttons
  run:show(count .. (line or "done"))
  return is_over
end

local function check_project(run)
  if not reaper.ValidatePtr2(0, run.project, "ReaProject*") then
    run.is_project_gone = true
    trouble.raise("The project was closed while Stemwright worked for it; the job was stopped.")
  end
end

local function follow(run)
  local looked = -math.huge
  while true do
    local now = reaper.time_precise()
    check_project(run)
    if run.is_cancelled then cancel_jobs(run, now) end
    if run.wants_start then start_server(run, now) end
    if now - looked >= app.POLL then
      looked = now
      if look(run, now) then break end
    end
    coroutine.yield()
  end
  if run.is_cancelled then trouble.cancel() end
end

local function failures(run)
  local lines = {}
  for _, job in ipairs(run.jobs) do
    local machine = job.machine
    if machine.state == "failed" then
      local text = machine.text ~= "" and machine.text or "The server said no more."
      lines[#lines + 1] = ("%s%s (%s)"):format(job.region.name ~= "" and job.region.name .. ": " or "", text, machine.code)
    elseif machine.state == "cancelled" then
      lines[#lines + 1] = ("%s: the job was stopped."):format(job.region.name)
    end
  end
  return lines
end

local function finished(run)
  local jobs = {}
  for _, job in ipairs(run.jobs) do
    if job.machine.state == "finished" then jobs[#jobs + 1] = job end
  end
  return jobs
end

local function place(run, order, jobs)
  run:show("adding the tracks")
  run.screen.buttons = { "cancel" }
  run.keeps_files = true
  for _, job in ipairs(jobs) do
    check_project(run)
    job.results = results.collect(job, run)
  end
  check_project(run)
  local takes = results.place(jobs, order.with_effects, ("Stemwright: %s"):format(title_of(order.request)))
  run.is_placed = true
  return takes
end

local function work(run)
  run.folder = settings.inbox()
  run.project = reaper.EnumProjects(-1)
  reaper.RecursiveCreateDirectory(run.folder, 0)
  inbox.sweep(run.folder, os.time())
  local order = ask(run)
  if not order then return end
  local found = regions.find(run.project, order.from, order.with_effects, order.request.task)
  run.window = run.front.window()
  run.screen.title = title_of(order.request)
  hand_over(run, order, found)
  follow(run)
  local jobs, lost = finished(run), failures(run)
  if #jobs > 0 then
    local takes = place(run, order, jobs)
    results.draw(run.project, takes, run)
  end
  if #lost > 0 then trouble.raise("%s", table.concat(lost, "\n\n")) end
end

-- Nothing of the run is left in the inbox; a job that still runs is stopped.
local function clean(run)
  if run.accessor then reaper.DestroyAudioAccessor(run.accessor) end
  run.accessor = nil
  for _, job in ipairs(run.jobs) do
    if job.place and not flow.is_over(job.machine) then inbox.cancel(job.place) end
    if not job.is_kept then inbox.remove(run.folder, job.id) end
  end
  run.jobs = {}
  if run.window then run.window:close() end
  run.window = nil
end

-- Where stems lie that were made but could not be placed; they are not thrown away.
local function keep_stems(run)
  local places = {}
  for _, job in ipairs(run.jobs) do
    if run.keeps_files and not run.is_placed and job.machine and job.machine.state == "finished" then
      job.is_kept = #job.files < #job.machine.results
      places[#places + 1] = job.files[1] or job.place
    end
  end
  return #places > 0 and "\n\nThe stems are here: " .. table.concat(places, ", ") or ""
end

local function finish(run, problem)
  if not problem then return clean(run) end
  if trouble.is(problem) and problem.is_cancel then
    for _, job in ipairs(run.jobs) do
      if not run.is_placed then for _, file in ipairs(job.files) do os.remove(file) end end
    end
    return clean(run)
  end
  local kept = keep_stems(run)
  clean(run)
  local text = trouble.is(problem) and problem.text or "An error of ours: " .. tostring(problem)
  reaper.MB(text .. kept, TITLE, 0)
end

local function press(run, button)
  if button == "cancel" then run.is_cancelled = true end
  if button == "start" then run.wants_start = true end
end

-- Start a run; it goes on by itself. options.is_repeat: with the last values
function app.main(options)
  math.randomseed(math.floor(reaper.time_precise() * 1e6) ~ os.time())
  local front = require("imgui_front").load() or require("native")
  local run = new_run(front, options and options.is_repeat)
  local thread = coroutine.create(function() work(run) end)
  local function tick()
    if run.window then press(run, run.window:draw(run.screen)) end
    local ok, problem = coroutine.resume(thread)
    if not ok then
      local told = trouble.is(problem) and problem or debug.traceback(thread, tostring(problem))
      finish(run, told)
    elseif coroutine.status(thread) == "dead" then
      finish(run)
    else
      reaper.defer(tick)
    end
  end
  reaper.atexit(function() clean(run) end)
  tick()
end

return app
