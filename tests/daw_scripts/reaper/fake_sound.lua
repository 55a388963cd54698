-- The fake's own audio: WAV files read and written, takes and tracks played as accessors and renders hear them.

local sound = {}

local function sample_reader(bits, is_float)
  if is_float then return bits == 64 and "<d" or "<f", bits // 8, 1 end
  return "<i" .. bits // 8, bits // 8, 2 ^ (bits - 1)
end

-- → { channels, rate, frames, [1..frames*channels] }, nil for what is no WAV
function sound.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local data = file:read("a")
  file:close()
  if data:sub(1, 4) ~= "RIFF" then return nil end
  local at, found, samples = 13, {}, nil
  while at + 8 <= #data do
    local name, size = string.unpack("<c4I4", data, at)
    if name == "fmt " then
      found.tag, found.channels, found.rate = string.unpack("<I2I2I4", data, at + 8)
      found.bits = string.unpack("<I2", data, at + 22)
      if found.tag == 0xFFFE then found.tag = string.unpack("<I2", data, at + 8 + 24) end
    elseif name == "data" then
      samples = data:sub(at + 8, at + 7 + size)
    end
    at = at + 8 + size + size % 2
  end
  local shape, width, full = sample_reader(found.bits, found.tag == 3)
  for index = 1, #samples // width do found[index] = string.unpack(shape, samples, (index - 1) * width + 1) / full end
  found.frames = #samples // width // found.channels
  return found
end

-- Interleaved samples as a 32-bit float file.
function sound.write(path, channels, rate, samples)
  local parts = {}
  for index, sample in ipairs(samples) do parts[index] = string.pack("<f", sample) end
  local data = table.concat(parts)
  local format = string.pack("<I2I2I4I4I2I2", 3, channels, rate, rate * channels * 4, channels * 4, 32)
  local file = assert(io.open(path, "wb"))
  file:write("RIFF", string.pack("<I4", 36 + #data), "WAVEfmt ", string.pack("<s4", format))
  file:write("data", string.pack("<I4", #data), data)
  file:close()
end

-- A reaper.array.
function sound.array(size)
  local cells = {}
  for index = 1, size do cells[index] = 0.0 end
  local array = { is_array = true, size = size, cells = cells }
  function array.clear(value)
    for index = 1, size do cells[index] = value or 0.0 end
  end
  function array.table(first, count)
    local copy = {}
    for index = 1, count do copy[index] = assert(cells[first + index - 1]) end
    return copy
  end
  return array
end

-- What a take plays on a channel (from 1) at so many seconds of its item; positions between samples are interpolated.
local function heard(take, channel, time)
  local file, item = take.source.sound, take.item
  if time < -1e-9 or time >= item.values.D_LENGTH - 1e-9 then return 0.0 end
  local place = (take.values.D_STARTOFFS + time * take.values.D_PLAYRATE) * file.rate
  local index = math.floor(place + 1e-6)
  local part = math.max(0, place - index)
  if part < 1e-5 then part = 0 end
  if index < 0 or index >= file.frames then return 0.0 end
  local here = file[index * file.channels + channel]
  local next_one = index + 1 < file.frames and file[(index + 1) * file.channels + channel] or here
  return here + (next_one - here) * part
end

-- The channels of the source that a take's channel mode lets through, at their places.
local function routed(take, channel, time)
  local mode, channels = take.values.I_CHANMODE, take.source.sound.channels
  if mode >= 3 and mode <= 66 then return channel == 1 and heard(take, mode - 2, time) or 0.0 end
  if mode == 2 then
    return channel == 1 and (heard(take, 1, time) + heard(take, math.min(2, channels), time)) / 2 or 0.0
  end
  return channel <= channels and heard(take, channel, time) or 0.0
end

-- A take's accessor: times from the item's start, without volume and pan.
function sound.take(take, rate, channels, time, frames, buffer)
  for frame = 0, frames - 1 do
    for channel = 1, channels do
      buffer.cells[frame * channels + channel] = routed(take, channel, time + frame / rate)
    end
  end
  return time < take.item.values.D_LENGTH and 1 or 0
end

local function in_track(item, channel, time)
  local take = item.active
  local is_mono = take.source.sound.channels == 1 or (take.values.I_CHANMODE >= 2 and take.values.I_CHANMODE <= 66)
  local pan = take.values.D_PAN
  local side = (channel == 1 and pan > 0 and 1 - pan) or (channel == 2 and pan < 0 and 1 + pan) or 1
  local from = is_mono and channel <= 2 and 1 or channel
  return routed(take, from, time - item.values.D_POSITION) * item.values.D_VOL * take.values.D_VOL * side
end

-- A track's accessor: project time, all its items with their volume and pan, before effects.
function sound.track(track, rate, channels, time, frames, buffer)
  local is_heard = 0
  for _, item in ipairs(track.items) do
    local start, stop = item.values.D_POSITION, item.values.D_POSITION + item.values.D_LENGTH
    if item.active and not item.active.is_midi and start < time + frames / rate and stop > time then
      is_heard = 1
      for frame = 0, frames - 1 do
        for channel = 1, channels do
          local at = frame * channels + channel
          buffer.cells[at] = buffer.cells[at] + in_track(item, channel, time + frame / rate)
        end
      end
    end
  end
  return is_heard
end

-- A render of one track: its effect here is a gain.
function sound.render(track, numbers, path)
  local rate, channels = numbers.RENDER_SRATE, math.tointeger(numbers.RENDER_CHANNELS)
  local frames = math.floor((numbers.RENDER_ENDPOS - numbers.RENDER_STARTPOS) * rate + 0.5)
  local buffer = sound.array(frames * channels)
  sound.track(track, rate, channels, numbers.RENDER_STARTPOS, frames, buffer)
  local samples = {}
  for index, sample in ipairs(buffer.cells) do samples[index] = sample * track.gain end
  sound.write(path, channels, rate, samples)
end

return sound
