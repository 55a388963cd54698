-- The scripts in a fake REAPER, but with the real server and the real clock.
--     lua real.lua SCRIPTS ORDER.json     → the project afterwards, as JSON

local here = arg[0]:match("^(.*/)") or "./"
package.path = here .. "?.lua"
local fake = require("fake_reaper")
fake.scripts = arg[1]
local studio = require("studio")
local json = assert(loadfile(fake.scripts .. "/lib/json.lua"))()

local file = assert(io.open(arg[2], "rb"))
local order = assert(json.decode(file:read("a")))
file:close()

local host = fake.new(order.folder)
host.is_real, host.clock = true, os.time
local started = os.time()

-- The clock of the system, in steps of a tick: sleeping is all that a test does between ticks.
local seconds = 0.0
function host.clock() return seconds end
local TICK = 0.05
local function sleep()
  os.execute("sleep " .. TICK)
  seconds = math.max(seconds + TICK, os.time() - started)
end

for name, value in pairs(order.kept or {}) do host.kept["Stemwright." .. name] = value end
if order.lua_sockets then
  package.path = package.path .. ";/usr/share/lua/5.4/?.lua"
  package.cpath = order.lua_sockets .. "/?.so;" .. package.cpath
  host.socket = require("socket")
end
function host.execute(command)
  local ok = os.execute("exec " .. command .. " >/dev/null 2>>" .. fake.shell(order.folder .. "/server.log") .. " &")
  return ok and "0\n" or nil
end

local project = host:project({ path = order.media, rate = order.rate, time = order.time or { 0, 0 } })
for _, one in ipairs(order.tracks) do
  local track = host:track(project, { name = one.name, is_selected = one.is_selected, channels = one.channels })
  for _, item in ipairs(one.items) do host:item(track, item) end
end

for _, changes in ipairs(order.answers) do table.insert(host.answers, studio.answer(changes)) end
host:run(order.script or "Stemwright")
local limit = os.time() + (order.patience or 480)
local is_clicked = false

-- Press the button once something that begins so is shown.
local function click()
  if not order.click or is_clicked then return end
  for text in pairs(host.shown) do
    if text:sub(1, #order.click[1]) == order.click[1] then host.click, is_clicked = order.click[2], true end
  end
end

while #host.deferred > 0 do
  assert(os.time() < limit, "too slow; shown: " .. table.concat(fake.keys(host.shown), " | "))
  click()
  host:tick()
  sleep()
end

local tracks = json.list()
for _, track in ipairs(project.tracks) do
  local items = json.list()
  for _, item in ipairs(track.items) do
    local takes = json.list()
    for _, take in ipairs(item.takes) do takes[#takes + 1] = { name = take.name, path = take.source.path } end
    items[#items + 1] = { position = item.values.D_POSITION, length = item.values.D_LENGTH, takes = takes }
  end
  tracks[#tracks + 1] = { name = track.name, colour = track.colour, items = items }
end
local steps = json.list()
for _, point in ipairs(project.undo) do steps[#steps + 1] = point.description end
io.write(json.encode({
  tracks = tracks, undo = #project.undo, steps = steps, messages = json.list(host.messages), commands = json.list(host.commands),
  loose = project.loose, accessors = host.accessors, shown = json.list(fake.keys(host.shown)),
  presets = host.kept["Stemwright.presets"] or "",
}), "\n")
