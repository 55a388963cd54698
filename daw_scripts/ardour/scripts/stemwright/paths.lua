-- Names of files, folders and jobs, and words for a command line. No host calls.

local paths = {}

paths.PREFIX = "ardour-" -- of the ids of our jobs

-- Where the server keeps its things by default, and the inbox beside them: inside the home folder, which it may read.
function paths.inbox(environment, is_mac)
  local spool = environment("STEMWRIGHT_SPOOL")
  if spool and spool ~= "" then return spool .. "/inbox" end
  local home = environment("HOME") or "."
  if is_mac then return home .. "/Library/Application Support/stemwright/inbox" end
  local state = environment("XDG_STATE_HOME")
  return (state and state ~= "" and state or home .. "/.local/state") .. "/stemwright/inbox"
end

-- Where the program may be: in PATH, or where installers put it, for a host started from a desktop knows little of PATH.
function paths.commands(environment)
  local places = {}
  for folder in (environment("PATH") or ""):gmatch("[^:]+") do places[#places + 1] = folder .. "/stemwright" end
  for _, folder in ipairs({ (environment("HOME") or ".") .. "/.local/bin", "/opt/homebrew/bin", "/usr/local/bin" }) do
    places[#places + 1] = folder .. "/stemwright"
  end
  return places
end

function paths.job_id(now, ticks)
  local place = tostring({}):match("0x(%x+)") or "0"
  return ("%s%d-%x-%s"):format(paths.PREFIX, now, ticks, place):sub(1, 64)
end

-- A word of a POSIX shell's command line, whatever it holds.
function paths.quoted(word)
  return "'" .. word:gsub("'", "'\\''") .. "'"
end

-- The plain name of a result; nil where the server's word leads anywhere else than into out/.
function paths.result_name(path)
  local name = tostring(path):match("^out/([^/\\%c]+)$")
  return name ~= ".." and name ~= "." and name or nil
end

-- A name for a track: Ardour builds names of ports from it, in which ":" and "/" part things.
function paths.track_name(text)
  return (text:gsub("[:/%c]+", "-"))
end

return paths
