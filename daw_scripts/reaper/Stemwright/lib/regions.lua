-- @noindex
-- What is selected in REAPER, as regions: where audio comes from, and where results go.

local trouble = require("trouble")

local regions = {}

local CLOSE = 1e-9 -- seconds; less is rounding

-- The project's own rate, or else the device's, or else the first medium's, or else 44100. Hz
function regions.rate(project, take)
  if reaper.GetSetProjectInfo(project, "PROJECT_SRATE_USE", 0, false) ~= 0 then
    return math.floor(reaper.GetSetProjectInfo(project, "PROJECT_SRATE", 0, false) + 0.5)
  end
  local is_known, rate = reaper.GetAudioDeviceInfo("SRATE")
  rate = is_known and tonumber(rate) or nil
  if rate and rate >= 8000 then return math.floor(rate + 0.5) end
  local source = take and reaper.GetMediaItemTake_Source(take)
  rate = source and reaper.GetMediaSourceSampleRate(source) or 0
  return rate > 0 and math.floor(rate) or 44100
end

local function round(number)
  return math.floor(number + 0.5)
end

-- A span of the time line on the project's samples. Both ends are rounded, never the length: neighbours meet.
function regions.span(start, stop, rate)
  local first, last = round(start * rate), round(stop * rate)
  return first / rate, last - first
end

local function track_name(track)
  local _, name = reaper.GetTrackName(track)
  return name
end

-- Channels of a take: asked (of the accessor, which has no fewer), kept (those that hold its sound).
local function take_channels(take)
  local source = reaper.GetMediaItemTake_Source(take)
  local asked = source and reaper.GetMediaSourceNumChannels(source) or 0
  if asked < 1 then return 0, 0 end
  local mode = math.floor(reaper.GetMediaItemTakeInfo_Value(take, "I_CHANMODE"))
  local kept = asked
  if mode >= 2 and mode <= 66 then
    kept = 1
  elseif mode >= 67 then
    kept = math.min(2, asked)
  end
  return asked, kept
end

-- Whether a mono take may sound different left and right.
local function is_widened(take)
  return reaper.GetMediaItemTakeInfo_Value(take, "D_PAN") ~= 0 or reaper.TakeFX_GetCount(take) > 0
end

local function audio_take(item)
  local take = reaper.GetActiveTake(item)
  return take and not reaper.TakeIsMIDI(take) and take or nil
end

-- How many channels of a track hold sound between two times, and whether there is audio at all.
local function track_channels(track, start, stop)
  local most, found = 0, nil
  for index = 0, reaper.CountTrackMediaItems(track) - 1 do
    local item = reaper.GetTrackMediaItem(track, index)
    local position = reaper.GetMediaItemInfo_Value(item, "D_POSITION")
    local length = reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
    local take = audio_take(item)
    if take and position < stop - CLOSE and position + length > start + CLOSE then
      local _, kept = take_channels(take)
      if kept == 1 and is_widened(take) then kept = 2 end
      most, found = math.max(most, kept), found or take
    end
  end
  local all = math.max(1, math.floor(reaper.GetMediaTrackInfo_Value(track, "I_NCHAN")))
  return all, math.min(most, all), found
end

local function selected_tracks(project)
  local found = {}
  for index = 0, reaper.CountTracks(project) - 1 do
    local track = reaper.GetTrack(project, index)
    if reaper.IsTrackSelected(track) then found[#found + 1] = track end
  end
  return found
end

local function selected_items(project)
  local found = {}
  for index = 0, reaper.CountMediaItems(project) - 1 do
    local item = reaper.GetMediaItem(project, index)
    if reaper.IsMediaItemSelected(item) then found[#found + 1] = item end
  end
  return found
end

local function tracks_of(items)
  local found, seen = {}, {}
  for _, item in ipairs(items) do
    local track = reaper.GetMediaItem_Track(item)
    if not seen[track] then found[#found + 1], seen[track] = track, true end
  end
  return found
end

local function of_track(project, track, start, stop, with_effects)
  local asked, kept, take = track_channels(track, start, stop)
  local name = track_name(track)
  if not take and not with_effects then
    trouble.raise("The track “%s” has no audio item in the time selection. Choose another track or time, "
      .. "or “With effects” for instruments, folders and buses.", name)
  end
  local rate = regions.rate(project, take)
  local position, frames = regions.span(start, stop, rate)
  return {
    project = project, track = track, name = name, rate = rate, position = position, frames = frames,
    length = frames / rate, offset = position, asked = asked, kept = kept,
  }
end

local function of_item(project, item)
  local track, take = reaper.GetMediaItem_Track(item), audio_take(item)
  local name = track_name(track)
  if not take then
    trouble.raise("A selected item on “%s” holds no audio (it is MIDI or empty). Select audio items, or a time "
      .. "and “With effects”.", name)
  end
  local asked, kept = take_channels(take)
  if kept < 1 then
    trouble.raise("The media of a selected item on “%s” is offline or cannot be read. Bring it back first.", name)
  end
  local rate = regions.rate(project, take)
  local length = reaper.GetMediaItemInfo_Value(item, "D_LENGTH")
  return {
    project = project, track = track, item = item, take = take, name = name, rate = rate,
    position = reaper.GetMediaItemInfo_Value(item, "D_POSITION"), length = length, frames = round(length * rate),
    offset = 0, asked = asked, kept = kept,
  }
end

local function time_selection(project)
  local start, stop = reaper.GetSet_LoopTimeRange2(project, false, false, 0, 0, false)
  return start, stop, stop - start > CLOSE
end

local function by_time(project, start, stop, with_effects)
  local tracks = selected_tracks(project)
  if #tracks == 0 then tracks = tracks_of(selected_items(project)) end
  if #tracks == 0 then
    trouble.raise("No track is selected. Select the tracks to work on, or items without a time selection.")
  end
  local found = {}
  for _, track in ipairs(tracks) do found[#found + 1] = of_track(project, track, start, stop, with_effects) end
  return found
end

-- A region for music from words alone: where to put it, not what to read.
local function for_nothing(project)
  local start, stop, is_set = time_selection(project)
  if not is_set then
    trouble.raise("Set a time selection: it says where the music goes and how long it is.")
  end
  local rate = regions.rate(project, nil)
  local position, frames = regions.span(start, stop, rate)
  local track = selected_tracks(project)[1]
  return { {
    project = project, track = track, name = "", rate = rate, position = position, frames = frames,
    length = frames / rate, is_empty = true, kept = 2,
  } }
end

-- What to work on. from: auto, time or items. A region:
--   track, take  where the audio is read; take only for items
--   position, length  where results go, in seconds; frames at `rate` Hz of the same span
--   asked, kept  channels read, and the first of them that count
--   offset  where the accessor begins to read, in its own seconds
function regions.find(project, from, with_effects, task)
  if task == "generate" then return for_nothing(project) end
  local start, stop, is_set = time_selection(project)
  if from == "time" or (from == "auto" and is_set) or with_effects then
    if not is_set then
      trouble.raise("There is no time selection%s. Drag one over the part to work on.",
        with_effects and ", which rendering with effects needs" or "")
    end
    return by_time(project, start, stop, with_effects)
  end
  local found = {}
  for _, item in ipairs(selected_items(project)) do found[#found + 1] = of_item(project, item) end
  if #found == 0 then
    trouble.raise("Nothing is selected. Drag a time selection and select its tracks, or select audio items.")
  end
  return found
end

return regions
