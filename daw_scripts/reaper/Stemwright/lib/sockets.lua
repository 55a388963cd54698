-- @noindex
-- The server asked directly, where LuaSocket is installed (ReaPack: Mavriq Lua Sockets). Nothing here is needed.

local osc = require("osc")
local protocol = require("stemwright_protocol")
local server = require("server")
local settings = require("settings")

local sockets = {}

sockets.PATIENCE = 0.25 -- seconds for all answers; a server on this machine needs a few thousandths
local REPOSITORY = "/Scripts/Mavriq ReaScript Repository/Various/Mavriq-Lua-Sockets/"

local function load()
  local folder = reaper.GetResourcePath() .. REPOSITORY
  local before, before_binary = package.path, package.cpath
  package.path = before .. ";" .. folder .. "?.lua"
  package.cpath = before_binary .. ";" .. folder .. "?.dll;" .. folder .. "?.so"
  local ok, socket = pcall(require, "socket")
  package.path, package.cpath = before, before_binary
  return ok and type(socket) == "table" and socket.udp and socket or nil
end

local function port()
  return math.tointeger(tonumber(settings.get("port"))) or protocol.PORT
end

local function ask(socket)
  local udp = socket.udp()
  if not udp or not udp:setpeername("127.0.0.1", port()) then return nil end
  udp:settimeout(sockets.PATIENCE)
  udp:send(osc.encode(protocol.ASK_PRESETS))
  local presets, stop = {}, reaper.time_precise() + sockets.PATIENCE
  while reaper.time_precise() < stop do
    local packet = udp:receive()
    if not packet then break end
    local address, values = osc.decode(packet)
    if address == protocol.PRESET and values[1] >= 0 then
      presets[values[1] + 1] = { name = values[3], task = values[4], prompt = values[5], colour = values[6] }
    end
    if address == protocol.PRESET and #presets >= values[2] then break end
  end
  udp:close()
  return #presets > 0 and presets or nil
end

-- The presets of the running server, or nil where there are no sockets or no server.
function sockets.presets()
  local socket = load()
  local ok, presets = pcall(ask, socket)
  if not socket or not ok or not presets then return nil end
  server.remember_presets(presets)
  return presets
end

return sockets
