-- @noindex
-- The server: starting it, and what it tells of itself in the inbox.

local inbox = require("inbox")
local json = require("json")
local paths = require("paths")
local settings = require("settings")
local trouble = require("trouble")

local server = {}

server.CARD = ".server.json" -- what a running server may write into its inbox: { presets = [...] }
local NO_WAIT, MINIMISED = -1, -2 -- for ExecProcess: start it and go on

-- The command line that starts it. Only two paths stand on it, never a prompt.
function server.command_line()
  local system = reaper.GetOS()
  local words = {}
  for _, word in ipairs({ settings.command(), settings.inbox() }) do
    local quoted, why = paths.quoted(word, system)
    if not quoted then trouble.raise("%s", why) end
    words[#words + 1] = quoted
  end
  return words[1] .. " serve --inbox " .. words[2]
end

local function run()
  local wait = paths.is_windows(reaper.GetOS()) and MINIMISED or NO_WAIT
  return reaper.ExecProcess(server.command_line(), wait)
end

-- Start it and come back at once; asks where it is when it is not found.
function server.start()
  reaper.RecursiveCreateDirectory(settings.inbox(), 0)
  if run() then return end
  local is_chosen, path = reaper.GetUserFileNameForRead(settings.get("command"), "Where is the program stemwright?", "")
  if is_chosen then
    settings.set("command", path)
    if run() then return end
  end
  trouble.raise("The server could not be started: %s did not run. Install it (pip install stemwright), or type in a "
    .. "terminal:\n\nstemwright serve --inbox \"%s\"", settings.command(), settings.inbox())
end

-- The presets as the server told them last: { name, task, prompt, colour }; empty when it never did.
function server.presets()
  local card = inbox.read(settings.inbox(), server.CARD)
  local told = card and card.presets or json.decode(settings.get("presets"))
  local presets = {}
  for _, preset in ipairs(type(told) == "table" and told or {}) do
    if type(preset) == "table" and type(preset.name) == "string" then presets[#presets + 1] = preset end
  end
  return presets
end

-- Keep what another way brought (see sockets.lua).
function server.remember_presets(presets)
  settings.set("presets", json.encode(json.list(presets)))
end

return server
