ardour { ["type"] = "EditorAction", name = "Test step", author = "Stemwright", license = "MIT", description = "" }

function factory() return function()
  local home = os.getenv("HOME")
  if not os.rename(home .. "/step.lua", home .. "/step.taken") then return end
  local function encoded(value)
    if type(value) == "table" then
      local parts = {}
      if #value > 0 or next(value) == nil then
        for index, item in ipairs(value) do parts[index] = encoded(item) end
        return "[" .. table.concat(parts, ",") .. "]"
      end
      for key, item in pairs(value) do parts[#parts + 1] = encoded(tostring(key)) .. ":" .. encoded(item) end
      return "{" .. table.concat(parts, ",") .. "}"
    elseif type(value) == "number" or type(value) == "boolean" then
      return tostring(value)
    elseif value == nil then
      return "null"
    end
    return '"' .. tostring(value):gsub('[%c"\\]', function(c) return ("\\u%04x"):format(c:byte()) end) .. '"'
  end
  local is_ok, value = xpcall(function()
    return assert(loadfile(home .. "/step.taken"))()
  end, debug and debug.traceback or tostring)
  local file = assert(io.open(home .. "/step.part", "w"))
  file:write(is_ok and '{"ok":true,"value":' .. encoded(value) .. "}"
    or '{"ok":false,"error":' .. encoded(tostring(value)) .. "}")
  file:close()
  os.rename(home .. "/step.part", home .. "/step.json")
end end
