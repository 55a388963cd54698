-- @noindex
-- What is remembered between two runs, in REAPER's own settings: the last values, the command, the inbox.

local form = require("form")
local paths = require("paths")

local settings = {}

local SECTION = "Stemwright"

function settings.get(key)
  return reaper.GetExtState(SECTION, key)
end

function settings.set(key, text)
  reaper.SetExtState(SECTION, key, (text:gsub("[\r\n]", " ")), true)
end

function settings.values()
  return form.restored(settings.get("form"))
end

function settings.keep(values)
  settings.set("form", form.kept(values))
end

-- The watched folder: as set, or beside the server's own things.
function settings.inbox()
  local set = settings.get("inbox")
  return set ~= "" and set or paths.inbox(reaper.GetOS(), os.getenv)
end

-- The command that starts the server: as set, or where installers put it, or left to PATH.
function settings.command()
  local set = settings.get("command")
  if set ~= "" then return set end
  for _, path in ipairs(paths.commands(reaper.GetOS(), os.getenv)) do
    if reaper.file_exists(path) then return path end
  end
  return "stemwright"
end

-- Ask for both. → whether they were changed
function settings.ask()
  local captions = "Command (path of stemwright),Inbox (empty: the usual place),extrawidth=320,separator=\n"
  local lines = settings.get("command") .. "\n" .. settings.get("inbox")
  local is_ok, answer = reaper.GetUserInputs("Stemwright settings", 2, captions, lines)
  if not is_ok then return false end
  local command, inbox = answer:match("^([^\n]*)\n?([^\n]*)")
  settings.set("command", command)
  settings.set("inbox", inbox)
  return true
end

return settings
