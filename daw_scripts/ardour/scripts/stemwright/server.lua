-- The server, when it is not there: starting it.

local need = ...
local dialog = need("dialog")
local paths = need("paths")

local server = {}

server.LOG = ".server.log" -- in the inbox
local ENDED = "the server ended: exit code "
-- The words come as arguments, so no name of a folder can become a command.
local START = [["$0" serve --inbox "$1" >"$2" 2>&1 </dev/null; echo "]] .. ENDED .. [[$?" >>"$2"]]

local function is_program(path)
  local test = ARDOUR.LuaAPI.FileTest
  return ARDOUR.LuaAPI.file_test(path, test.IsExecutable) and not ARDOUR.LuaAPI.file_test(path, test.IsDir)
end

-- The program: as kept, or where installers put it, or in PATH; else the user is asked. nil: nowhere
function server.command(config)
  local places = paths.commands(os.getenv)
  if type(config.command) == "string" and config.command ~= "" then table.insert(places, 1, config.command) end
  for _, place in ipairs(places) do
    if is_program(place) then return place end
  end
  local chosen = dialog.program()
  if chosen and is_program(chosen) then
    config.command = chosen
    return chosen
  end
  return nil
end

-- Start it and come back at once. → whether there was anything to start
function server.start(config, folder)
  local command = server.command(config)
  if not command then return false end
  os.forkexec("/bin/sh", "-c", START, command, folder, folder .. "/" .. server.LOG)
  return true
end

-- Its last words when it has ended; nil while it runs
function server.last_words(folder)
  local file = io.open(folder .. "/" .. server.LOG, "rb")
  local text = file and file:read("a")
  if file then file:close() end
  if not text or not text:find(ENDED, 1, true) then return nil end
  return text:sub(-600)
end

function server.way_out(folder)
  return ("No server watches the folder\n%s\n\nStart one in a terminal:\nstemwright serve --inbox %s"):format(
    folder, paths.quoted(folder))
end

return server
