-- @noindex
-- A region's audio into in.wav: by accessor, slice by slice, so that REAPER stays awake.

local inbox = require("inbox")
local trouble = require("trouble")
local wav = require("wav")

local audio = {}

audio.SLICE = 8192 -- frames read at once
audio.BUDGET = 0.02 -- seconds of one tick spent on reading
audio.TRIES = 3 -- how often reading begins again because the track changed under it

local function is_there(region)
  if not reaper.ValidatePtr2(0, region.project, "ReaProject*") then return false end
  local kind = region.take and "MediaItem_Take*" or "MediaTrack*"
  return reaper.ValidatePtr2(region.project, region.take or region.track, kind)
end

local function open(region)
  if not is_there(region) then trouble.raise("“%s” was deleted before its audio was read.", region.name) end
  local accessor
  if region.take then
    accessor = reaper.CreateTakeAudioAccessor(region.take)
  else
    accessor = reaper.CreateTrackAudioAccessor(region.track)
  end
  if not accessor then trouble.raise("REAPER gives no audio of “%s”. Is its media offline?", region.name) end
  return accessor
end

-- The first `kept` of every `asked` numbers.
local function narrowed(samples, asked, kept, frames)
  if asked == kept then return samples end
  local narrow, at = {}, 0
  for frame = 0, frames - 1 do
    for channel = 1, kept do
      at = at + 1
      narrow[at] = samples[frame * asked + channel]
    end
  end
  return narrow
end

local function slice(accessor, region, buffer, first, frames)
  buffer.clear()
  local time = region.offset + first / region.rate
  local got = reaper.GetAudioAccessorSamples(accessor, region.rate, region.asked, time, frames, buffer)
  if got < 0 then trouble.raise("REAPER could not read the audio of “%s” at %.2f s.", region.name, time) end
  return narrowed(buffer.table(1, frames * region.asked), region.asked, region.kept, frames)
end

-- One pass → true, or false when the audio changed meanwhile
local function pass(region, accessor, writer, run)
  local buffer = reaper.new_array(audio.SLICE * region.asked)
  local first, since = 0, reaper.time_precise()
  while first < region.frames do
    local frames = math.min(audio.SLICE, region.frames - first)
    local samples = slice(accessor, region, buffer, first, frames)
    local ok, why = writer:write(samples, frames * region.kept)
    if not ok then trouble.raise("%s", inbox.complaint("in.wav", why)) end
    first = first + frames
    if reaper.time_precise() - since > audio.BUDGET then
      run.pause(first / region.frames)
      if not is_there(region) then
        trouble.raise("“%s” was deleted while its audio was read.", region.name)
      end
      if reaper.AudioAccessorStateChanged(accessor) then return false end
      since = reaper.time_precise()
    end
  end
  return true
end

local function attempt(region, path, run)
  local writer, why = wav.create(path, region.kept, region.rate, region.frames)
  if not writer then trouble.raise("%s", inbox.complaint(path, why)) end
  local accessor
  local ok, whole = pcall(function()
    accessor = open(region)
    run.accessor = accessor
    return pass(region, accessor, writer, run)
  end)
  if accessor then reaper.DestroyAudioAccessor(accessor) end
  run.accessor = nil
  if not ok then
    writer:abandon()
    error(whole, 0)
  end
  if not whole then
    writer:abandon()
    return false
  end
  ok, why = writer:close()
  if not ok then trouble.raise("%s", inbox.complaint(path, why)) end
  if not writer.has_sound then trouble.raise("“%s” is silent there. Choose a part with sound.", region.name) end
  return true
end

-- Refuse at the door what the server would not read.
function audio.check(region)
  if region.frames < 1 then trouble.raise("The selection is shorter than one sample. Drag a longer one.") end
  local bytes = wav.bytes(region.kept, region.frames)
  if bytes > wav.LARGEST then
    trouble.raise("The region is %.0f minutes of %d channels, %.1f GB; the server reads %.1f GB at once. "
      .. "Choose a shorter time selection.", region.length / 60, region.kept, bytes / 1e9, wav.LARGEST / 1e9)
  end
end

-- Write the region's audio to path. run.pause(part) gives REAPER its turn.
function audio.read(region, path, run)
  for _ = 1, audio.TRIES do
    if attempt(region, path, run) then return end
  end
  trouble.raise("“%s” keeps changing while its audio is read. Stop editing or recording it for a moment.", region.name)
end

return audio
