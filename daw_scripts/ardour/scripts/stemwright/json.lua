-- JSON, as much of it as the job folder needs: UTF-8 text, numbers, flags, lists and objects.

local json = {}

local ESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local DEEPEST = 50 -- lists in lists
local LIST = {}

-- Marks a table as a list, so that an empty one is written as [].
function json.list(items)
  return setmetatable(items or {}, LIST)
end

local function quoted(text)
  return '"' .. text:gsub('[%c\127"\\]', function(one) return ("\\u%04x"):format(one:byte()) end) .. '"'
end

function json.encode(value)
  local kind = math.type(value) or type(value)
  if kind == "string" then return quoted(value) end
  if kind == "integer" or kind == "boolean" then return tostring(value) end
  if kind == "float" then return (("%.17g"):format(value):gsub(",", ".")) end -- some languages write 0,5
  assert(kind == "table", "no JSON: " .. kind)
  local parts = {}
  if getmetatable(value) == LIST or #value > 0 then
    for index, item in ipairs(value) do parts[index] = json.encode(item) end
    return "[" .. table.concat(parts, ", ") .. "]"
  end
  for key, item in pairs(value) do parts[#parts + 1] = quoted(key) .. ": " .. json.encode(item) end
  table.sort(parts)
  return "{" .. table.concat(parts, ", ") .. "}"
end

local parse

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function code_point(text, at)
  local high = tonumber(text:match("^\\u(%x%x%x%x)", at), 16)
  local low = high >= 0xD800 and high < 0xDC00 and text:match("^\\u([dD][c-fC-F]%x%x)", at + 6)
  if low then return utf8.char(0x10000 + (high - 0xD800) * 0x400 + tonumber(low, 16) - 0xDC00), at + 12 end
  return utf8.char(high), at + 6
end

local function parse_text(text, at)
  local parts = {}
  while true do
    local stop = assert(text:find('["\\]', at), "a text without its end")
    parts[#parts + 1] = text:sub(at, stop - 1)
    if text:sub(stop, stop) == '"' then return table.concat(parts), stop + 1 end
    if text:find("^\\u%x%x%x%x", stop) then
      parts[#parts + 1], at = code_point(text, stop)
    else
      parts[#parts + 1], at = assert(ESCAPES[text:sub(stop + 1, stop + 1)], "a wrong escape"), stop + 2
    end
  end
end

local function parse_members(text, at, close, add, depth)
  at = skip(text, at)
  if text:sub(at, at) == close then return at + 1 end
  while true do
    at = skip(text, add(skip(text, at), depth))
    local mark = text:sub(at, at)
    if mark == close then return at + 1 end
    assert(mark == ",", "a comma is missing")
    at = at + 1
  end
end

local function parse_list(text, at, depth)
  local list = json.list()
  at = parse_members(text, at, "]", function(here)
    local value, after = parse(text, here, depth)
    list[#list + 1] = value
    return after
  end)
  return list, at
end

local function parse_object(text, at, depth)
  local object = {}
  at = parse_members(text, at, "}", function(here)
    assert(text:sub(here, here) == '"', "a name is missing")
    local name, after = parse_text(text, here + 1)
    after = skip(text, after)
    assert(text:sub(after, after) == ":", "a colon is missing")
    object[name], after = parse(text, after + 1, depth)
    return after
  end)
  return object, at
end

function parse(text, at, depth)
  assert(depth < DEEPEST, "too deep")
  at = skip(text, at)
  local mark = text:sub(at, at)
  if mark == "{" then return parse_object(text, at + 1, depth + 1) end
  if mark == "[" then return parse_list(text, at + 1, depth + 1) end
  if mark == '"' then return parse_text(text, at + 1) end
  for word, value in pairs({ ["true"] = true, ["false"] = false }) do
    if text:sub(at, at + #word - 1) == word then return value, at + #word end
  end
  if text:sub(at, at + 3) == "null" then return nil, at + 4 end
  local number = assert(text:match("^-?%d[%d.eE+-]*", at), "no value")
  return assert(tonumber(number), "no number"), at + #number
end

-- → the value, or nil and what is wrong. null is nil.
function json.decode(text)
  local is_ok, value, at = pcall(parse, text, 1, 0)
  if not is_ok then return nil, value end
  if skip(text, at) <= #text then return nil, "more than one value" end
  return value
end

return json
