-- @noindex
-- WAV files: 32-bit float written as it comes, and the facts of any WAV read. No host calls.

local wav = {}

wav.LARGEST = 2 << 30 -- bytes the server reads of one input; below the 4 GiB that a WAV's header can say
local FLOAT, EXTENSIBLE = 3, 0xFFFE
local FLOAT_FORMAT = "\3\0\0\0\0\0\16\0\128\0\0\170\0\56\155\113" -- the GUID of IEEE float
local AT_ONCE = 200 -- numbers packed by one call; Lua's stack holds more, but not any number

-- Bytes of a file of so many frames.
function wav.bytes(channels, frames)
  return (channels > 2 and 80 or 58) + channels * frames * 4
end

-- What stands before the samples.
function wav.header(channels, rate, frames)
  local data = channels * frames * 4
  local format
  if channels > 2 then
    format = string.pack("<I2I2I4I4I2I2", EXTENSIBLE, channels, rate, rate * channels * 4, channels * 4, 32)
    format = format .. string.pack("<I2I2I4", 22, 32, 0) .. FLOAT_FORMAT
  else
    format = string.pack("<I2I2I4I4I2I2I2", FLOAT, channels, rate, rate * channels * 4, channels * 4, 32, 0)
  end
  local chunks = "WAVEfmt " .. string.pack("<s4", format) .. "fact" .. string.pack("<I4I4", 4, frames)
  return "RIFF" .. string.pack("<I4", #chunks + 8 + data) .. chunks .. "data" .. string.pack("<I4", data)
end

-- Numbers as little-endian float32.
function wav.pack(samples, count)
  local parts = {}
  local whole = "<" .. ("f"):rep(AT_ONCE)
  for first = 1, count, AT_ONCE do
    local last = math.min(first + AT_ONCE - 1, count)
    local shape = last - first + 1 == AT_ONCE and whole or "<" .. ("f"):rep(last - first + 1)
    parts[#parts + 1] = string.pack(shape, table.unpack(samples, first, last))
  end
  return table.concat(parts)
end

local Writer = {}
Writer.__index = Writer

-- A file that will hold exactly `frames` → its writer, or nil and why not.
function wav.create(path, channels, rate, frames)
  local file, why = io.open(path, "wb")
  if not file then return nil, why end
  local writer = setmetatable({ file = file, left = channels * frames, has_sound = false }, Writer)
  local ok
  ok, why = file:write(wav.header(channels, rate, frames))
  if not ok then
    file:close()
    return nil, why
  end
  return writer
end

-- Interleaved samples, `count` numbers → true, or nil and why not (a full disk, say).
function Writer:write(samples, count)
  assert(count <= self.left, "more samples than were promised")
  local bytes = wav.pack(samples, count)
  self.left = self.left - count
  self.has_sound = self.has_sound or bytes ~= ("\0"):rep(#bytes)
  local ok, why = self.file:write(bytes)
  return ok and true, why
end

-- → true, or nil and why the file is not whole
function Writer:close()
  local file = self.file
  if not file then return true end
  self.file = nil
  local ok, why = file:flush()
  local closed, later = file:close()
  if not ok or not closed then return nil, why or later end
  if self.left > 0 then return nil, ("%d samples are missing"):format(self.left) end
  return true
end

-- Give up a file that is not whole.
function Writer:abandon()
  if self.file then self.file:close() end
  self.file = nil
end

local function read_format(file, size)
  local bytes = file:read(size)
  if not bytes or #bytes < 16 then return nil end
  local tag, channels, rate, _, align, bits = string.unpack("<I2I2I4I4I2I2", bytes)
  if tag == EXTENSIBLE and #bytes >= 26 then tag = string.unpack("<I2", bytes, 25) end
  return { channels = channels, rate = rate, align = align, bits = bits, is_float = tag == FLOAT }
end

local function read_chunks(file)
  local start = file:read(12)
  if not start or not (start:match("^RIFF....WAVE$") or start:match("^RF64....WAVE$")) then return nil, "it is no WAV file" end
  local facts, long
  while true do
    local head = file:read(8)
    if not head or #head < 8 then return nil, "it has no samples" end
    local name, size = string.unpack("<c4I4", head)
    if name == "fmt " then
      facts = read_format(file, size)
      if size % 2 == 1 then file:seek("cur", 1) end
    elseif name == "data" then
      if not facts or facts.align == 0 then return nil, "its format is not said" end
      if size == 0xFFFFFFFF and long then size = long end
      facts.frames = size // facts.align
      return facts
    elseif name == "ds64" and size >= 16 then
      local bytes = file:read(size)
      if not bytes or #bytes < 16 then return nil, "it is cut short" end
      long = string.unpack("<I8", bytes, 9)
    else
      file:seek("cur", size + size % 2)
    end
  end
end

-- → { channels, rate, frames, bits, is_float } of a WAV file, or nil and what is wrong
function wav.info(path)
  local file, why = io.open(path, "rb")
  if not file then return nil, why end
  local facts, wrong = read_chunks(file)
  file:close()
  return facts, wrong
end

return wav
