-- The fake's system, dialogs and gfx window: the calls of the API about them.

local api = require("reaper_api")

-- Give a host these calls. fake: the module, with what it knows of the shell. of_lua: calls the C header does not list
return function(Host, fake, of_lua)
-- The system

function Host:GetOS() return self.system end
function Host:GetResourcePath() return self.folder .. "/REAPER" end
function Host:RecursiveCreateDirectory(path) return os.execute("mkdir -p " .. fake.shell(path)) and 1 or 0 end
function Host:APIExists(name) return (of_lua[name] and self.imgui ~= nil) or (api[name] ~= nil and not self.missing[name]) end

function Host:GetAudioDeviceInfo(name)
  assert(name == "SRATE")
  return self.device_rate ~= nil, self.device_rate and tostring(self.device_rate) or ""
end

function Host:file_exists(path)
  local file = io.open(path, "rb")
  if file then file:close() end
  return file ~= nil
end

function fake.shell(word) return "'" .. word:gsub("'", "'\\''") .. "'" end

function fake.list(path, kind)
  local names = {}
  local pipe = io.popen("exec ls -1Ap " .. fake.shell(path) .. " 2>/dev/null")
  for line in pipe:lines() do
    if (line:sub(-1) == "/") == (kind == "d") then names[#names + 1] = line:match("^[^/]+") end
  end
  pipe:close()
  return names
end

function Host:listing(path, index, kind)
  local key = kind .. path
  if index == -1 then
    self.listings[key] = nil
    return nil
  end
  self.listings[key] = self.listings[key] or fake.list(path, kind) -- remembered, as REAPER does
  return self.listings[key][index + 1]
end

function Host:EnumerateFiles(path, index) return self:listing(path, index, "f") end
function Host:EnumerateSubdirectories(path, index) return self:listing(path, index, "d") end

function Host:ExecProcess(command, timeout)
  assert(timeout == -1 or timeout == -2, "anything else waits, and REAPER with it")
  table.insert(self.commands, command)
  return self.execute and self.execute(command) or nil
end

function Host:GetExtState(section, key) return self.kept[section .. "." .. key] or "" end

function Host:SetExtState(section, key, text, is_kept)
  assert(is_kept and not text:find("[\r\n]"), "kept settings are one line")
  self.kept[section .. "." .. key] = text
end

-- Windows

function Host:time_precise()
  if self.is_real then return self.clock() end
  self.now = self.now + self.cost
  return self.now
end

function Host:PreventUIRefresh(count)
  self.frozen = self.frozen + count
  assert(self.frozen >= 0)
end

function Host:UpdateArrange() end
function Host:TrackList_AdjustWindows() end

function Host:MB(text, title, kind)
  assert(title ~= "" and kind == 0)
  table.insert(self.messages, text)
  return 1
end

function Host:GetUserInputs(title, count, captions, lines)
  assert(count >= 1 and count <= 16)
  local names, separator = {}, ","
  for caption in (captions .. ","):gmatch("([^,]*),") do
    separator = caption:match("^separator=(.)$") or separator
    if not caption:match("^separator=") and not caption:match("^extrawidth=") then names[#names + 1] = caption end
  end
  assert(#names == count, ("%d captions for %d fields; they are split at commas"):format(#names, count))
  local values = {}
  for value in (lines .. separator):gmatch("([^" .. separator .. "]*)" .. separator) do values[#values + 1] = value end
  assert(#values == count, "as many values as fields")
  local answer = table.remove(self.answers, 1)
  assert(answer ~= nil, "a dialog nobody expected: " .. title)
  table.insert(self.asked, values)
  if answer == false then return false, lines end
  for index, value in pairs(answer) do values[index] = value end
  return true, table.concat(values, separator):sub(1, 1023) -- what a C buffer of 1024 bytes holds
end

function Host:GetUserFileNameForRead()
  if self.chosen_file then return true, self.chosen_file end
  return false, ""
end

function Host:defer(action) table.insert(self.deferred, action) end
function Host:atexit(action) table.insert(self.at_exit, action) end

-- gfx

local GFX = { init = true, getchar = true, set = true, rect = true, drawstr = true, measurestr = true, update = true,
  quit = true, setfont = true, showmenu = true, x = true, y = true, mouse_x = true, mouse_y = true, mouse_cap = true }

function Host:window()
  local drawn, gfx = {}, { x = 0, y = 0, mouse_x = 0, mouse_y = 0, mouse_cap = 0 }
  self.drawn = drawn
  local host = self
  function gfx.init(title) assert(type(title) == "string") host.is_open = true return 1 end
  function gfx.quit() host.is_open = false end
  function gfx.getchar() return host.is_open and (table.remove(host.keys, 1) or 0) or -1 end
  function gfx.set(red, green, blue) assert(red and green and blue) end
  function gfx.rect(x, y, width, height) assert(x and y and width >= 0 and height >= 0) end
  function gfx.setfont(index, name, size) assert(index and name and size) end
  function gfx.measurestr(text) return #text * 7, 14 end
  function gfx.showmenu(text) host.menu = text return host.menu_choice or 0 end
  function gfx.drawstr(text)
    assert(host.is_open and type(text) == "string")
    drawn[text] = { gfx.x, gfx.y }
    host.shown[text] = true
  end
  function gfx.update()
    gfx.mouse_cap = 0
    local place = host.click and drawn[host.click]
    if place then
      gfx.mouse_x, gfx.mouse_y, gfx.mouse_cap, host.click = place[1] + 1, place[2] + 1, 1, nil
    end
    for text in pairs(drawn) do drawn[text] = nil end
  end
  return setmetatable({}, {
    __index = function(_, name)
      assert(GFX[name], "gfx has no " .. name .. " in this fake")
      return gfx[name]
    end,
    __newindex = function(_, name, value)
      assert(name == "x" or name == "y", "scripts write only gfx.x and gfx.y")
      gfx[name] = value
    end,
  })
end
end
