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

require("fake_project")(Host)
require("fake_system")(Host, fake, OF_LUA)

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
