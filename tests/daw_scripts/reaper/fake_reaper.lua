-- A fake REAPER: tracks, items, takes, accessors, undo, dialogs and gfx, as the published API documents them.
-- It refuses what the API does not have, wrong numbers and types of arguments, and dead pointers. It is no
-- REAPER: what it proves is that the scripts keep to the documents.

local api = require("reaper_api")
local sound = require("fake_sound")

local fake = {}
local Host = {}
Host.__index = Host

-- Calls of REAPER's Lua itself, which the C header does not list.
local OF_LUA = { defer = true, atexit = true, new_array = true, ImGui_GetBuiltinPath = true }
-- Arguments that C takes by pointer and Lua by value, though their names end in Out.
local IN_AND_OUT = { GetSet_LoopTimeRange2 = true }

local opaque = {
  __index = function() error("a script looked into a pointer of REAPER's", 2) end,
  __newindex = function() error("a script wrote into a pointer of REAPER's", 2) end,
}

-- Signatures

local function parameters(name)
  local found = {}
  for part in (api[name].args .. ","):gmatch("%s*([^,]+),") do
    local kind, word = part:match("^(.-)%s*([%w_]+)$")
    kind = kind:gsub("^const ", "")
    local is_out = word:match("Out$") or word:match("OutOptional$")
    if not word:match("_sz$") and (not is_out or IN_AND_OUT[name]) then found[#found + 1] = { kind = kind, name = word } end
  end
  return found
end

function Host:is_kind(value, kind)
  if kind == "ReaProject*" and (value == nil or value == 0) then return true end
  if kind == "int" or kind == "size_t" then return math.type(value) and math.tointeger(value) ~= nil end
  if kind == "double" then return type(value) == "number" end
  if kind == "double*" then return type(value) == "number" or (type(value) == "table" and value.is_array) end
  if kind == "bool" then return type(value) == "boolean" end
  if kind == "char*" then return type(value) == "string" end
  if kind == "void*" then return true end
  local object = self.objects[value]
  return object ~= nil and object.kind == kind and self:is_alive(object)
end

function Host:check(name, arguments)
  local wanted = self.parameters[name]
  if arguments.n ~= #wanted then
    error(("%s takes %d arguments (%s), not %d"):format(name, #wanted, api[name].args, arguments.n), 3)
  end
  for index, parameter in ipairs(wanted) do
    if not self:is_kind(arguments[index], parameter.kind) then
      error(("bad argument #%d to %s: %s expected, got %s (%s)"):format(index, name, parameter.kind,
        tostring(arguments[index]), self.objects[arguments[index]] and "dead or other pointer" or type(arguments[index])), 3)
    end
  end
end

local function check_return(name, value)
  local kind = api[name].returns:gsub("^const ", "")
  local is_good = (kind == "void" and value == nil) or (kind == "bool" and type(value) == "boolean")
    or (kind == "int" and math.type(value) == "integer") or (kind == "double" and type(value) == "number")
    or (kind == "char*" and (type(value) == "string" or value == nil))
    or (kind:match("%*$") and kind ~= "char*" and (type(value) == "table" or value == nil))
  -- What C hands out through a buffer comes first in Lua where the function itself returns nothing.
  if kind == "void" and api[name].args:match("Out") then is_good = true end
  assert(is_good, ("the fake's %s returns %s, the API %s"):format(name, tostring(value), kind))
end

function Host:surface()
  local surface = {}
  return setmetatable(surface, { __index = function(_, name)
    if OF_LUA[name] then
      if name == "ImGui_GetBuiltinPath" and not self.imgui then return nil end
      return function(...) return self[name](self, ...) end
    end
    if not api[name] or self.missing[name] then error(("REAPER's published API has no %s here"):format(name), 2) end
    if not self[name] then error(("the fake has no %s yet"):format(name), 2) end
    return function(...)
      local arguments = table.pack(...)
      self:check(name, arguments)
      self.calls[name] = (self.calls[name] or 0) + 1
      local results = table.pack(self[name](self, ...))
      check_return(name, results[1])
      return table.unpack(results, 1, results.n)
    end
  end, __newindex = function() error("a script wrote into reaper", 2) end })
end

-- Objects

function Host:pointer(object, kind)
  local handle = setmetatable({}, opaque)
  object.kind, object.handle = kind, handle
  self.objects[handle] = object
  return object
end

local function contains(list, value)
  for index, item in ipairs(list) do
    if item == value then return index end
  end
  return nil
end

function Host:is_alive(object)
  if object.kind == "ReaProject*" then return contains(self.projects, object) ~= nil end
  if object.kind == "MediaTrack*" then return self:is_alive(object.project) and contains(object.project.tracks, object) ~= nil end
  if object.kind == "MediaItem*" then return self:is_alive(object.track) and contains(object.track.items, object) ~= nil end
  if object.kind == "MediaItem_Take*" then return self:is_alive(object.item) and contains(object.item.takes, object) ~= nil end
  return not object.is_gone
end

function Host:project(options)
  local project = self:pointer({ tracks = {}, path = options.path, numbers = {}, texts = {}, undo = {}, open = 0,
    loose = 0, time = options.time or { 0, 0 } }, "ReaProject*")
  project.numbers.PROJECT_SRATE, project.numbers.PROJECT_SRATE_USE = options.rate or 44100, options.rate and 1 or 0
  table.insert(self.projects, 1, project)
  self.front = project
  return project
end

function Host:track(project, options)
  local track = self:pointer({ project = project, items = {}, name = options.name or "", channels = options.channels or 2,
    depth = options.depth or 0, colour = options.colour or 0, is_selected = options.is_selected or false,
    gain = options.gain or 1 }, "MediaTrack*")
  table.insert(project.tracks, track)
  return track
end

function Host:source(path)
  local file = sound.read(path)
  if not file then return nil end
  return self:pointer({ path = path, sound = file }, "PCM_source*")
end

function Host:item(track, options)
  local item = self:pointer({ track = track, takes = {}, is_selected = options.is_selected or false, values = {
    D_POSITION = options.position or 0, D_LENGTH = options.length or 1, D_VOL = options.volume or 1, B_LOOPSRC = 1,
    D_FADEINLEN = 0.01, D_FADEOUTLEN = 0.01, D_FADEINLEN_AUTO = 0, D_FADEOUTLEN_AUTO = 0 } }, "MediaItem*")
  local take = self:pointer({ item = item, name = options.name or "", is_midi = options.is_midi or false, effects = 0,
    source = options.path and assert(self:source(options.path), "no source " .. options.path) or nil, values = {
    D_STARTOFFS = options.offset or 0, D_PLAYRATE = options.play_rate or 1, D_VOL = options.take_volume or 1,
    D_PAN = options.pan or 0, I_CHANMODE = options.channel_mode or 0 } }, "MediaItem_Take*")
  item.takes[1], item.active = take, take
  table.insert(track.items, item)
  return item
end

function Host:of(value, kind)
  if kind == "ReaProject*" and (value == nil or value == 0) then return self.front end
  return self.objects[value]
end

-- Undo: the tracks of a project as they were

local function copied(value, seen)
  if type(value) ~= "table" or getmetatable(value) == opaque or value.kind == "ReaProject*" or value.kind == "PCM_source*" then
    return value
  end
  if seen[value] then return seen[value] end
  local copy = {}
  seen[value] = copy
  for key, item in pairs(value) do copy[key] = copied(item, seen) end
  return copy
end

function Host:changed(project)
  if project.open == 0 then project.loose = project.loose + 1 end
end

function Host:undo(project)
  local point = table.remove(project.undo)
  project.tracks = point.tracks
  for _, track in ipairs(project.tracks) do
    self.objects[track.handle] = track
    for _, item in ipairs(track.items) do
      self.objects[item.handle] = item
      for _, take in ipairs(item.takes) do self.objects[take.handle] = take end
    end
  end
end

function Host:Undo_BeginBlock2(project)
  project = self:of(project, "ReaProject*")
  project.open = project.open + 1
  if project.open == 1 then project.before = copied(project.tracks, {}) end
end

function Host:Undo_EndBlock2(project, description)
  project = self:of(project, "ReaProject*")
  assert(project.open > 0, "an undo block ends that never began")
  project.open = project.open - 1
  if project.open == 0 then table.insert(project.undo, { description = description, tracks = project.before }) end
end

-- Projects

function Host:EnumProjects(index)
  local project = index == -1 and self.front or self.projects[index + 1]
  if not project then return nil, "" end
  return project.handle, project.path .. "/song.rpp"
end

function Host:SelectProjectInstance(project) self.front = self:of(project) end

function Host:close_project(project)
  table.remove(self.projects, contains(self.projects, project))
  self.front = self.projects[1] or self:project({ path = project.path })
end

function Host:GetProjectPathEx(project) return self:of(project, "ReaProject*").path end

function Host:ValidatePtr2(_, pointer, kind)
  local object = self.objects[pointer]
  return object ~= nil and object.kind == kind and self:is_alive(object)
end

function Host:GetSetProjectInfo(project, name, value, is_set)
  project = self:of(project, "ReaProject*")
  assert(name:match("^RENDER_") or name:match("^PROJECT_SRATE"), name)
  if is_set then project.numbers[name] = value end
  return (project.numbers[name] or 0) + 0.0
end

function Host:GetSetProjectInfo_String(project, name, value, is_set)
  project = self:of(project, "ReaProject*")
  if name == "RENDER_TARGETS" then return true, project.texts.RENDER_FILE .. "/" .. project.texts.RENDER_PATTERN .. ".wav" end
  assert(name:match("^RENDER_"), name)
  if is_set then project.texts[name] = value end
  return true, project.texts[name] or ""
end

function Host:GetSet_LoopTimeRange2(project, is_set, is_loop)
  assert(not is_set and not is_loop, "scripts only look at the time selection")
  local time = self:of(project, "ReaProject*").time
  return time[1] + 0.0, time[2] + 0.0
end

-- Tracks

function Host:CountTracks(project) return #self:of(project, "ReaProject*").tracks end

function Host:GetTrack(project, index)
  local track = self:of(project, "ReaProject*").tracks[index + 1]
  return track and track.handle
end

function Host:GetTrackName(track)
  track = self:of(track)
  local number = contains(track.project.tracks, track)
  return true, track.name ~= "" and track.name or "Track " .. number
end

function Host:IsTrackSelected(track) return self:of(track).is_selected end
function Host:SetTrackSelected(track, is_selected) self:of(track).is_selected = is_selected end

function Host:GetMediaTrackInfo_Value(track, name)
  track = self:of(track)
  if name == "I_NCHAN" then return track.channels + 0.0 end
  if name == "I_FOLDERDEPTH" then return track.depth + 0.0 end
  if name == "IP_TRACKNUMBER" then return contains(track.project.tracks, track) + 0.0 end
  error("the fake knows no " .. name)
end

function Host:SetMediaTrackInfo_Value(track, name, value)
  track = self:of(track)
  assert(name == "I_FOLDERDEPTH", name)
  self:changed(track.project)
  track.depth = value
  return true
end

function Host:GetSetMediaTrackInfo_String(track, name, text, is_set)
  track = self:of(track)
  assert(name == "P_NAME", name)
  if is_set then
    self:changed(track.project)
    track.name = text
  end
  return true, track.name
end

function Host:SetTrackColor(track, colour)
  track = self:of(track)
  self:changed(track.project)
  track.colour = colour
end

function Host:ColorToNative(red, green, blue)
  for _, part in ipairs({ red, green, blue }) do assert(part >= 0 and part <= 255) end
  return red | green << 8 | blue << 16
end

function Host:InsertTrackInProject(project, index, flags)
  project = self:of(project, "ReaProject*")
  assert(flags == 0 and index >= 0 and index <= #project.tracks)
  self:changed(project)
  local track = self:track(project, {})
  table.remove(project.tracks)
  table.insert(project.tracks, index + 1, track)
end

function Host:InsertTrackAtIndex(index, with_defaults)
  assert(with_defaults == false)
  self:InsertTrackInProject(self.front.handle, index, 0)
end

function Host:DeleteTrack(track)
  track = self:of(track)
  self:changed(track.project)
  table.remove(track.project.tracks, contains(track.project.tracks, track))
end

-- Items and takes

local function all_items(project)
  local found = {}
  for _, track in ipairs(project.tracks) do
    for _, item in ipairs(track.items) do found[#found + 1] = item end
  end
  return found
end

function Host:CountMediaItems(project) return #all_items(self:of(project, "ReaProject*")) end

function Host:GetMediaItem(project, index)
  local item = all_items(self:of(project, "ReaProject*"))[index + 1]
  return item and item.handle
end

function Host:IsMediaItemSelected(item) return self:of(item).is_selected end
function Host:GetMediaItem_Track(item) return self:of(item).track.handle end
function Host:CountTrackMediaItems(track) return #self:of(track).items end

function Host:GetTrackMediaItem(track, index)
  local item = self:of(track).items[index + 1]
  return item and item.handle
end

function Host:GetActiveTake(item)
  local take = self:of(item).active
  return take and take.handle
end

function Host:GetTake(item, index)
  local take = self:of(item).takes[index + 1]
  return take and take.handle
end

local function get_value(object, name)
  return assert(object.values[name], "the fake knows no " .. name) + 0.0
end

local function set_value(host, object, project, name, value)
  assert(object.values[name], "the fake knows no " .. name)
  host:changed(project)
  object.values[name] = value
  return true
end

function Host:GetMediaItemInfo_Value(item, name) return get_value(self:of(item), name) end
function Host:GetMediaItemTakeInfo_Value(take, name) return get_value(self:of(take), name) end

function Host:SetMediaItemInfo_Value(item, name, value)
  item = self:of(item)
  return set_value(self, item, item.track.project, name, value)
end

function Host:SetMediaItemTakeInfo_Value(take, name, value)
  take = self:of(take)
  return set_value(self, take, take.item.track.project, name, value)
end

function Host:TakeIsMIDI(take) return self:of(take).is_midi end
function Host:TakeFX_GetCount(take) return self:of(take).effects end

function Host:AddMediaItemToTrack(track)
  track = self:of(track)
  self:changed(track.project)
  local item = self:item(track, { length = 0 })
  item.takes, item.active = {}, nil
  return item.handle
end

function Host:AddTakeToMediaItem(item)
  item = self:of(item)
  self:changed(item.track.project)
  local take = self:pointer({ item = item, name = "", effects = 0, is_midi = false, values = {
    D_STARTOFFS = 0, D_PLAYRATE = 1, D_VOL = 1, D_PAN = 0, I_CHANMODE = 0 } }, "MediaItem_Take*")
  table.insert(item.takes, take)
  item.active = item.active or take
  return take.handle
end

function Host:SetActiveTake(take)
  take = self:of(take)
  take.item.active = take
end

function Host:GetSetMediaItemTakeInfo_String(take, name, text, is_set)
  take = self:of(take)
  assert(name == "P_NAME", name)
  if is_set then take.name = text end
  return true, take.name
end

-- Sources

function Host:PCM_Source_CreateFromFile(path)
  if self.refuses_sources then return nil end
  local source = self:source(path)
  if not source then return nil end
  self.loose_sources = self.loose_sources + 1
  return source.handle
end

function Host:PCM_Source_Destroy(source)
  source = self:of(source)
  assert(not source.is_taken, "a source that a take has was destroyed")
  source.is_gone, self.loose_sources = true, self.loose_sources - 1
end

function Host:SetMediaItemTake_Source(take, source)
  take, source = self:of(take), self:of(source)
  if self.refuses_takes then return false end
  self:changed(take.item.track.project)
  take.source, source.is_taken, self.loose_sources = source, true, self.loose_sources - 1
  return true
end

function Host:PCM_Source_BuildPeaks(source, mode)
  source = self:of(source)
  if mode == 0 then
    source.peaks = 3
    return source.peaks
  end
  assert(source.peaks, "peaks go on that were never begun")
  if mode == 1 then source.peaks = math.max(0, source.peaks - 1) end
  if mode == 2 then source.has_peaks = true end
  return source.peaks
end

function Host:GetMediaItemTake_Source(take)
  local source = self:of(take).source
  return source and source.handle
end

function Host:GetMediaSourceNumChannels(source) return self:of(source).sound.channels end
function Host:GetMediaSourceSampleRate(source) return self:of(source).sound.rate end

-- Audio

function Host:CreateTakeAudioAccessor(take)
  self.accessors = self.accessors + 1
  return self:pointer({ take = self:of(take) }, "AudioAccessor*").handle
end

function Host:CreateTrackAudioAccessor(track)
  self.accessors = self.accessors + 1
  return self:pointer({ track = self:of(track) }, "AudioAccessor*").handle
end

function Host:DestroyAudioAccessor(accessor)
  self:of(accessor).is_gone, self.accessors = true, self.accessors - 1
end

function Host:AudioAccessorStateChanged(accessor)
  accessor = self:of(accessor)
  local project = (accessor.track or accessor.take.item.track).project
  local is_changed = project.edits ~= accessor.edits and accessor.edits ~= nil
  accessor.edits = project.edits
  return is_changed
end

function Host:GetAudioAccessorSamples(accessor, rate, channels, time, frames, buffer)
  accessor = self:of(accessor)
  assert(buffer.size >= frames * channels, "the buffer is too small")
  if self.reading_fails then return -1 end
  if accessor.take then
    assert(channels == accessor.take.source.sound.channels, "a take's accessor has all channels of its source, or garbage")
    return sound.take(accessor.take, rate, channels, time, frames, buffer)
  end
  assert(channels == accessor.track.channels, "a track's accessor has all channels of the track")
  return sound.track(accessor.track, rate, channels, time, frames, buffer)
end

function Host:new_array(size)
  assert(math.type(size) == "integer" and size > 0 and size <= 4194304, "a reaper.array of wrong size")
  return sound.array(size)
end

function Host:Main_OnCommandEx(command, flag, project)
  assert(command == 42230 and flag == 0)
  project = self:of(project, "ReaProject*")
  if self.render_is_stopped then return end
  assert(project.texts.RENDER_FORMAT == "ZXZhdyAAAQ==" and project.numbers.RENDER_BOUNDSFLAG == 0)
  assert(project.numbers.RENDER_SETTINGS & 3 == 2, "the selected tracks alone")
  local chosen = {}
  for _, track in ipairs(project.tracks) do
    if track.is_selected then chosen[#chosen + 1] = track end
  end
  assert(#chosen == 1, "one track, for the pattern makes one file")
  sound.render(chosen[1], project.numbers, project.texts.RENDER_FILE .. "/" .. project.texts.RENDER_PATTERN .. ".wav")
end

-- The system

function Host:GetOS() return self.system end
function Host:GetResourcePath() return self.folder .. "/REAPER" end
function Host:RecursiveCreateDirectory(path) return os.execute("mkdir -p " .. fake.shell(path)) and 1 or 0 end
function Host:APIExists(name) return (OF_LUA[name] and self.imgui ~= nil) or (api[name] ~= nil and not self.missing[name]) end

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

-- Scripts

-- A script's own world: its modules, and no way to wait or to run programs behind REAPER's back.
function Host:world(folder)
  local loaded, world = {}, {}
  for name, value in pairs(_G) do world[name] = value end
  world._G, world.reaper, world.gfx = world, self:surface(), self.gfx
  world.package = { path = "", cpath = "" }
  world.os = { time = os.time, clock = os.clock, date = os.date, rename = os.rename, remove = os.remove,
    getenv = function(name) return self.environment[name] end }
  world.io = self.io or { open = io.open }
  world.print = function() error("scripts do not print") end
  local root = getmetatable(world)
  assert(root == nil)
  function world.require(name)
    if loaded[name] then return loaded[name] end
    if name == "imgui" and self.imgui then return self.imgui end
    if name == "socket" and self.socket then return self.socket end
    local chunk, why = loadfile(folder .. "/lib/" .. name .. ".lua", "t", world)
    if not chunk then error(("module '%s' not found: %s"):format(name, tostring(why)), 2) end
    loaded[name] = chunk(name)
    return loaded[name]
  end
  return world
end

-- Run one of the scripts, as its action would; it goes on in ticks.
function Host:run(name)
  local world = self:world(fake.scripts)
  local chunk = assert(loadfile(fake.scripts .. "/" .. name .. ".lua", "t", world))
  chunk()
  return world
end

function Host:tick()
  local due = self.deferred
  self.deferred = {}
  self.now = self.now + 0.033
  for _, action in ipairs(due) do action() end
end

-- Until no script goes on. each: called between ticks
function Host:finish(each, ticks)
  for _ = 1, ticks or 3000 do
    if #self.deferred == 0 then return end
    if each then each() end
    self:tick()
  end
  error("the script does not end; it shows: " .. table.concat(fake.keys(self.shown), " | "))
end

-- The script is ended from outside, or REAPER quits.
function Host:terminate()
  self.deferred = {}
  for _, action in ipairs(self.at_exit) do action() end
  self.at_exit = {}
end

function fake.keys(map)
  local keys = {}
  for key in pairs(map) do keys[#keys + 1] = key end
  table.sort(keys)
  return keys
end

-- folder: where all files of the test go
function fake.new(folder)
  local host = setmetatable({
    folder = folder, objects = {}, projects = {}, calls = {}, missing = {}, accessors = 0, loose_sources = 0,
    commands = {}, kept = {}, messages = {}, answers = {}, asked = {}, deferred = {}, at_exit = {}, listings = {}, keys = {},
    shown = {}, frozen = 0, now = 0, cost = 0.001, system = "Other", environment = { HOME = folder }, parameters = {},
  }, Host)
  for name in pairs(api) do host.parameters[name] = parameters(name) end
  host.gfx = host:window()
  return host
end

return fake
