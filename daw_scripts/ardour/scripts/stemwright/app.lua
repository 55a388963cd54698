-- One press of the button, from the selection to the new tracks.

local need = ...
local dialog = need("dialog")
local form = need("form")
local host = need("host")
local inbox = need("inbox")
local jobs = need("jobs")
local json = need("json")
local paths = need("paths")
local plan = need("plan")
local wav = need("wav")

local app = {}

local NOTHING = "Nothing is selected.\n\nDrag a range over audio tracks (key R), or select audio regions (key G), "
  .. "and press the button again."
local ONLY_WORDS = "No audio track is in the selected range, so only music from words alone can be made (generate). "
  .. "For all else select a track too."

local function config_path()
  return ARDOUR.user_config_directory(-1) .. "/stemwright.json"
end

-- What is kept: { values, command, inbox }
local function restored()
  local config = inbox.read(config_path()) or {}
  config.values = form.restored(config.values)
  return config
end

local function keep(config)
  pcall(inbox.write, config_path(), json.encode(config)) -- a full disk is told where it matters
end

local function folder_of(config)
  if type(config.inbox) == "string" and config.inbox ~= "" then return config.inbox end
  return paths.inbox(os.getenv, ARDOUR.LuaAPI.file_test("/System/Library", ARDOUR.LuaAPI.FileTest.IsDir))
end

local function described(spans)
  if #spans == 0 then return "The selected range, without a track" end
  local one = spans[1]
  local seconds = ("%.2f s of %s"):format(one.frames / one.rate, one.name)
  return #spans == 1 and seconds or ("%s, and %d more"):format(seconds, #spans - 1)
end

-- Ask until it can be done. → the request, nil when cancelled
local function asked(config, spans, presets)
  local problem
  while true do
    local values = dialog.ask(config.values, presets, described(spans), problem)
    if not values then return nil end
    config.values = form.restored(values)
    keep(config)
    local request
    request, problem = form.request(values, presets)
    if request and #spans == 0 and request.task ~= "generate" then request, problem = nil, ONLY_WORDS end
    if request then return request, form.preset(values, presets) end
  end
end

-- What is worked on: for music from words alone one span, beside the first track
local function worked_on(spans, task)
  if task ~= "generate" then return spans end
  local one = spans[1] or host.time()
  return { { name = "", beside = one.route, start = one.start, frames = one.frames, rate = one.rate, channels = one.channels } }
end

local function too_long(spans)
  for _, one in ipairs(spans) do
    if one.frames * one.channels * 4 > wav.LARGEST then
      return ("%s: the selection is %.0f s; %.0f s can be sent at once. Select less."):format(
        one.name, one.frames / one.rate, wav.LARGEST / (one.channels * 4 * one.rate))
    end
  end
  return nil
end

-- The tracks of all jobs, those of regions on one track together. → groups, and what went wrong
local function planned(made, request, preset)
  local parts, problems = {}, {}
  for _, job in ipairs(made) do
    local results, why = jobs.results(job)
    local route = job.span.route or job.span.beside
    if results then
      local tracks = plan.tracks(results, request, job.span.name, preset)
      local key = route and route:to_stateful():id():to_s() or ""
      parts[#parts + 1] = { key = key, route = route, start = job.span.start, tracks = tracks }
    else
      problems[#problems + 1] = (job.span.name ~= "" and job.span.name .. ": " or "") .. why
    end
  end
  return plan.groups(parts), problems
end

local function finish(made, request, preset, window)
  local groups, problems = planned(made, request, preset)
  if #groups > 0 then
    window:progress(0.97, "putting the stems on new tracks")
    local is_ok, why = pcall(host.deliver, groups, ("Stemwright: %s"):format(request.task))
    if not is_ok then problems[#problems + 1] = tostring(why) end
  end
  window:done()
  if #problems > 0 then dialog.say(table.concat(problems, "\n"), LuaDialog.MessageType.Warning) end
end

local function work(spans, request, preset, config)
  local folder, window = folder_of(config), dialog.progress()
  local all, is_over
  local is_ok, why = pcall(function()
    local made
    made, all = jobs.submit(spans, request, folder, window)
    if made then is_over, window = jobs.follow(made, config, folder, window) end
    if is_over then finish(made, request, preset, window) end
  end)
  window:done()
  jobs.remove(all, folder)
  keep(config)
  if not is_ok then error(why, 0) end
end

function app.run()
  local spans, is_range = host.selected()
  if #spans == 0 and not is_range then return dialog.say(NOTHING) end
  local config = restored()
  local request, preset = asked(config, spans, inbox.presets(folder_of(config)))
  if not request then return nil end
  local chosen = worked_on(spans, request.task)
  local why = too_long(chosen)
  if why then return dialog.say(why, LuaDialog.MessageType.Warning) end
  return work(chosen, request, preset, config)
end

return app
