-- @noindex
-- JSON, as much of it as the job folder needs. No host calls.

local json = {}

local LIST = {}
local ESCAPES = { ['"'] = '\\"', ["\\"] = "\\\\", ["\b"] = "\\b", ["\f"] = "\\f", ["\n"] = "\\n", ["\r"] = "\\r", ["\t"] = "\\t" }
local UNESCAPES = { b = "\b", f = "\f", n = "\n", r = "\r", t = "\t", ['"'] = '"', ["\\"] = "\\", ["/"] = "/" }
local DEEPEST = 50

json.null = setmetatable({}, { __tostring = function() return "null" end })

-- A table that is written as a list even when it is empty.
function json.list(items)
  return setmetatable(items or {}, LIST)
end

-- A text with what is no UTF-8 replaced, so that every reader takes it.
function json.clean(text)
  local length, wrong = utf8.len(text)
  while not length do
    text = text:sub(1, wrong - 1) .. "?" .. text:sub(wrong + 1)
    length, wrong = utf8.len(text)
  end
  return text
end

local function write_text(text)
  local escaped = json.clean(text):gsub('[%c"\\\127]', function(letter)
    return ESCAPES[letter] or ("\\u%04x"):format(letter:byte())
  end)
  return '"' .. escaped .. '"'
end

local function write_number(number)
  if number ~= number or number == math.huge or number == -math.huge then
    error("a number that JSON does not have: " .. tostring(number))
  end
  return math.tointeger(number) and ("%d"):format(number) or ("%.17g"):format(number)
end

local write

local function write_table(value)
  local parts = {}
  if getmetatable(value) == LIST or #value > 0 then
    for _, item in ipairs(value) do parts[#parts + 1] = write(item) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  local names = {}
  for name in pairs(value) do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do parts[#parts + 1] = write_text(name) .. ":" .. write(value[name]) end
  return "{" .. table.concat(parts, ",") .. "}"
end

-- On one line, names in order; without line ends, so that REAPER's settings can hold it.
function write(value)
  local kind = type(value)
  if value == json.null then return "null" end
  if kind == "string" then return write_text(value) end
  if kind == "number" then return write_number(value) end
  if kind == "boolean" then return tostring(value) end
  if kind == "table" then return write_table(value) end
  error("JSON has no " .. kind)
end

json.encode = write

local function complain(at, what)
  error({ json = ("%s at byte %d"):format(what, at) }, 0)
end

local read

local function skip(text, at)
  return text:find("[^ \t\r\n]", at) or #text + 1
end

local function read_unicode(text, at)
  local high = tonumber(text:match("^%x%x%x%x", at) or complain(at, "a broken \\u"), 16)
  at = at + 4
  if high >= 0xD800 and high < 0xDC00 then
    local low = tonumber(text:match("^\\u(%x%x%x%x)", at) or "0", 16)
    if low >= 0xDC00 and low < 0xE000 then
      return utf8.char(0x10000 + (high - 0xD800) * 0x400 + low - 0xDC00), at + 6
    end
  end
  return (high >= 0xD800 and high < 0xE000) and "?" or utf8.char(high), at
end

local function read_text(text, at)
  local parts = {}
  at = at + 1
  while true do
    local stop = text:find('[\0-\31"\\]', at) or complain(at, "a text without end")
    parts[#parts + 1] = text:sub(at, stop - 1)
    local letter = text:sub(stop, stop)
    if letter == '"' then return table.concat(parts), stop + 1 end
    if letter ~= "\\" then complain(stop, "a control character in a text") end
    local escape = text:sub(stop + 1, stop + 1)
    if escape == "u" then
      parts[#parts + 1], at = read_unicode(text, stop + 2)
    else
      parts[#parts + 1] = UNESCAPES[escape] or complain(stop, "an unknown escape")
      at = stop + 2
    end
  end
end

local function read_list(text, at, depth)
  local items = json.list()
  at = skip(text, at + 1)
  if text:sub(at, at) == "]" then return items, at + 1 end
  while true do
    items[#items + 1], at = read(text, at, depth)
    at = skip(text, at)
    local letter = text:sub(at, at)
    if letter == "]" then return items, at + 1 end
    if letter ~= "," then complain(at, "no comma in a list") end
    at = at + 1
  end
end

local function read_object(text, at, depth)
  local object = {}
  at = skip(text, at + 1)
  if text:sub(at, at) == "}" then return object, at + 1 end
  while true do
    at = skip(text, at)
    if text:sub(at, at) ~= '"' then complain(at, "no name in an object") end
    local name
    name, at = read_text(text, at)
    at = skip(text, at)
    if text:sub(at, at) ~= ":" then complain(at, "no colon after a name") end
    object[name], at = read(text, at + 1, depth)
    at = skip(text, at)
    local letter = text:sub(at, at)
    if letter == "}" then return object, at + 1 end
    if letter ~= "," then complain(at, "no comma in an object") end
    at = at + 1
  end
end

function read(text, at, depth)
  if depth > DEEPEST then complain(at, "nested too deeply") end
  at = skip(text, at)
  local letter = text:sub(at, at)
  if letter == '"' then return read_text(text, at) end
  if letter == "[" then return read_list(text, at, depth + 1) end
  if letter == "{" then return read_object(text, at, depth + 1) end
  for word, value in pairs({ ["true"] = true, ["false"] = false, ["null"] = json.null }) do
    if text:sub(at, at + #word - 1) == word then return value, at + #word end
  end
  local number = text:match("^-?%d+%.?%d*[eE]?[+-]?%d*", at)
  local value = number and tonumber(number)
  if not value then complain(at, "no value") end
  return value, at + #number
end

-- → the value, or nil and what is wrong. null becomes json.null.
function json.decode(text)
  local ok, value, stop = pcall(read, text, 1, 0)
  if not ok then
    if type(value) == "table" and value.json then return nil, value.json end
    error(value, 0)
  end
  if skip(text, stop) <= #text then return nil, ("more than one value at byte %d"):format(stop) end
  return value
end

return json
