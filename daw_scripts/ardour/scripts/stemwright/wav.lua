-- WAV files of 32-bit floats: the header to write, and what a header says.

local wav = {}

wav.LARGEST = 2 ^ 31 - 1024 -- bytes that a server takes

-- rate  Hz; channels, frames  counts
function wav.header(rate, channels, frames)
  local bytes = frames * channels * 4
  local format = ("<I2I2I4I4I2I2"):pack(3, channels, rate, rate * channels * 4, channels * 4, 32)
  return "RIFF" .. ("<I4"):pack(bytes + 48) .. "WAVEfmt " .. ("<I4"):pack(16) .. format
    .. "fact" .. ("<I4I4"):pack(4, frames) .. "data" .. ("<I4"):pack(bytes)
end

-- Interleaved samples of one list a channel → bytes
function wav.bytes(lists, frames)
  local mixed, count = lists[1], #lists
  if count > 1 then
    mixed = {}
    for channel, list in ipairs(lists) do
      for frame = 1, frames do mixed[(frame - 1) * count + channel] = list[frame] end
    end
  end
  local parts = {}
  for first = 1, frames * count, 128 do
    local last = math.min(first + 127, frames * count)
    parts[#parts + 1] = ("<" .. ("f"):rep(last - first + 1)):pack(table.unpack(mixed, first, last))
  end
  return table.concat(parts)
end

-- What a WAV file is: { rate, channels, frames }, or nil and why not
function wav.describe(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local found, size = {}, file:seek("end")
  local at = 12
  while at + 8 <= size do
    file:seek("set", at)
    local name, bytes = ("<c4I4"):unpack(file:read(8))
    if name == "fmt " then
      local _, channels, rate, _, block = ("<I2I2I4I4I2"):unpack(file:read(14))
      found.channels, found.rate, found.block = channels, rate, block
    elseif name == "data" and found.block then
      found.frames = math.min(bytes, size - at - 8) // found.block
      break
    end
    at = at + 8 + bytes + bytes % 2
  end
  file:close()
  if not found.frames then return nil, "it is no WAV file" end
  return found
end

return wav
