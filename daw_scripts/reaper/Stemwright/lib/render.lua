-- @noindex
-- A track's audio with its effects into in.wav: REAPER's own render, its settings put back afterwards.

local paths = require("paths")
local trouble = require("trouble")
local wav = require("wav")

local render = {}

local ACTION = 42230 -- File: Render project, using the most recent render settings, auto-close render dialog
local FLOAT_WAV = "ZXZhdyAAAQ==" -- REAPER's word for WAV, 32 bit float
local SELECTED_TRACKS, MULTICHANNEL = 2, 4 -- the selected tracks, a file each; more than stereo where it is
local CUSTOM_TIME = 0 -- from RENDER_STARTPOS to RENDER_ENDPOS: the time selection is left alone

local function settings(region, folder)
  local numbers = {
    RENDER_SETTINGS = SELECTED_TRACKS | (region.kept > 2 and MULTICHANNEL or 0),
    RENDER_BOUNDSFLAG = CUSTOM_TIME, RENDER_STARTPOS = region.position, RENDER_ENDPOS = region.position + region.length,
    RENDER_CHANNELS = region.kept, RENDER_SRATE = region.rate,
    RENDER_TAILFLAG = 0, RENDER_ADDTOPROJ = 0, RENDER_NORMALIZE = 0, RENDER_DITHER = 0,
  }
  local texts = { RENDER_FILE = folder, RENDER_PATTERN = "in", RENDER_FORMAT = FLOAT_WAV, RENDER_FORMAT2 = "" }
  return numbers, texts
end

-- Set → what was there before
local function exchange(project, numbers, texts)
  local old_numbers, old_texts = {}, {}
  for name, value in pairs(numbers) do
    old_numbers[name] = reaper.GetSetProjectInfo(project, name, 0, false)
    reaper.GetSetProjectInfo(project, name, value, true)
  end
  for name, value in pairs(texts) do
    local _, old = reaper.GetSetProjectInfo_String(project, name, "", false)
    old_texts[name] = old
    reaper.GetSetProjectInfo_String(project, name, value, true)
  end
  return old_numbers, old_texts
end

local function select_only(project, chosen)
  local before = {}
  for index = 0, reaper.CountTracks(project) - 1 do
    local track = reaper.GetTrack(project, index)
    before[track] = reaper.IsTrackSelected(track)
    reaper.SetTrackSelected(track, track == chosen)
  end
  return before
end

local function run(project, region, folder)
  local selection = select_only(project, region.track)
  local numbers, texts = exchange(project, settings(region, folder))
  local ok, problem = pcall(function()
    local _, targets = reaper.GetSetProjectInfo_String(project, "RENDER_TARGETS", "", false)
    for target in targets:gmatch("[^;]+") do
      if reaper.file_exists(target) then -- REAPER would ask whether to overwrite, and wait
        trouble.raise("%s is there already; the render was not begun.", target)
      end
    end
    reaper.Main_OnCommandEx(ACTION, 0, project)
  end)
  exchange(project, numbers, texts)
  for track, is_selected in pairs(selection) do reaper.SetTrackSelected(track, is_selected) end
  if not ok then error(problem, 0) end
end

-- Render the region's track into folder/in.wav. REAPER shows its own window and waits while it renders.
function render.read(region, folder)
  if not reaper.ValidatePtr2(region.project, region.track, "MediaTrack*") then
    trouble.raise("“%s” was deleted before it was rendered.", region.name)
  end
  region.kept = math.max(2, region.kept)
  reaper.PreventUIRefresh(1)
  local ok, problem = pcall(run, region.project, region, folder)
  reaper.PreventUIRefresh(-1)
  if not ok then error(problem, 0) end
  local facts, why = wav.info(paths.join(folder, "in.wav"))
  if not facts then
    trouble.raise("REAPER did not render “%s” (%s). Was it stopped, or is the disk full?", region.name, tostring(why))
  end
  if facts.rate ~= region.rate or math.abs(facts.frames - region.frames) > 1 then
    trouble.raise("REAPER rendered %d frames at %d Hz in place of %d at %d.", facts.frames, facts.rate,
      region.frames, region.rate)
  end
end

return render
