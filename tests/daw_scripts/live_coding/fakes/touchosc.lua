-- A stand-in for TouchOSC: the functions of its manual that our script calls, and no other.
--   lua touchosc.lua SCRIPT: commands come by standard input, a line each; what the script does is printed
local label = { values = { text = "" } }
local millis = 0
local allowed = {
  ipairs = ipairs, pairs = pairs, tostring = tostring, tonumber = tonumber, type = type, print = print,
  string = string, table = table, math = math,
  getMillis = function() return millis end,
  getTime = function() return { 9, 5, 7, 33 } end,
  root = { findByName = function(_, name, recursive) assert(recursive == true); return name == "state" and label or nil end },
  sendOSC = function(message)
    local words = { "send", message[1] }
    for _, argument in ipairs(message[2]) do
      table.insert(words, argument.tag)
      table.insert(words, tostring(argument.value))
    end
    print(table.concat(words, "\t"))
  end,
}
setmetatable(allowed, { __index = function(_, name)
  if name == "update" or name == "onReceiveNotify" or name == "onReceiveOSC" then return nil end
  error("TouchOSC has no " .. name)
end })
local file = assert(io.open(arg[1])):read("*a")
local chunk
if setfenv then
  chunk = setfenv(assert(loadstring(file)), allowed)
else
  chunk = assert(load(file, "script", "t", allowed))
end
chunk()
for line in io.lines() do
  local words = {}
  for word in string.gmatch(line, "[^\t]+") do table.insert(words, word) end
  if words[1] == "wait" then
    millis = millis + tonumber(words[2])
    allowed.update()
  elseif words[1] == "notify" then
    allowed.onReceiveNotify(words[2], words[3])
  elseif words[1] == "hear" then
    local arguments = {}
    for i = 3, #words, 2 do
      local value = words[i] == "s" and words[i + 1] or tonumber(words[i + 1])
      table.insert(arguments, { tag = words[i], value = value })
    end
    allowed.onReceiveOSC({ words[2], arguments }, {})
  end
  print("state\t" .. label.values.text)
end
