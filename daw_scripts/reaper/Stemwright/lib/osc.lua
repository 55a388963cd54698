-- @noindex
-- OSC 1.0 messages of i, f and s. No host calls.

local osc = {}

local function padded(text)
  return text .. ("\0"):rep(4 - #text % 4)
end

-- address, then numbers (whole: i, others: f) and texts
function osc.encode(address, ...)
  local types, data = ",", ""
  for _, value in ipairs({ ... }) do
    if type(value) == "string" then
      types, data = types .. "s", data .. padded(value)
    elseif math.type(value) == "integer" then
      types, data = types .. "i", data .. string.pack(">i4", value)
    else
      types, data = types .. "f", data .. string.pack(">f", value)
    end
  end
  return padded(address) .. padded(types) .. data
end

local function read_text(packet, at)
  local stop = packet:find("\0", at, true)
  if not stop then return nil end
  return packet:sub(at, stop - 1), at + ((stop - at) // 4 + 1) * 4
end

-- → address and a list of values, or nil for what is no such message
function osc.decode(packet)
  local address, at = read_text(packet, 1)
  local types
  if address then types, at = read_text(packet, at) end
  if not types or types:sub(1, 1) ~= "," then return nil end
  local values = {}
  for kind in types:sub(2):gmatch(".") do
    local value
    if kind == "s" then
      value, at = read_text(packet, at)
    elseif (kind == "i" or kind == "f") and at + 3 <= #packet then
      value = string.unpack(kind == "i" and ">i4" or ">f", packet, at)
      at = at + 4
    end
    if value == nil then return nil end
    values[#values + 1] = value
  end
  return address, values
end

return osc
