-- @noindex
-- Names of files, folders and jobs, and words for a command line. No host calls.

local paths = {}

paths.PREFIX = "reaper-" -- of the ids of our jobs
local LONGEST_SLUG = 40

function paths.is_windows(system)
  return system:match("^Win") ~= nil
end

function paths.join(first, ...)
  local path = first
  for _, part in ipairs({ ... }) do
    path = path:match("[/\\]$") and path .. part or path .. "/" .. part
  end
  return path
end

-- Where the server keeps its things by default, and the inbox beside them: always inside the home folder,
-- which the server may read without being told.
function paths.inbox(system, environment)
  local spool = environment("STEMWRIGHT_SPOOL")
  local home = environment("HOME") or environment("USERPROFILE") or "."
  if not spool or spool == "" then
    if paths.is_windows(system) then
      spool = paths.join(environment("LOCALAPPDATA") or paths.join(home, "AppData", "Local"), "stemwright")
    elseif system:match("^OSX") or system:match("^macOS") then
      spool = paths.join(home, "Library", "Application Support", "stemwright")
    else
      spool = paths.join(environment("XDG_STATE_HOME") or paths.join(home, ".local", "state"), "stemwright")
    end
  end
  return paths.join(spool, "inbox")
end

-- Where the command may be when nobody said: a host started from a desktop knows little of PATH.
function paths.commands(system, environment)
  local home = environment("HOME") or environment("USERPROFILE") or "."
  if paths.is_windows(system) then
    return { paths.join(home, ".local", "bin", "stemwright.exe") }
  end
  return {
    paths.join(home, ".local", "bin", "stemwright"), "/opt/homebrew/bin/stemwright", "/usr/local/bin/stemwright",
    "/usr/bin/stemwright",
  }
end

-- A job's id: when, and 48 random bits; letters, digits and "-", so that it is a folder's name on any disk.
function paths.job_id(now, random)
  return ("%s%d-%06x%06x"):format(paths.PREFIX, now, random(0, 0xFFFFFF), random(0, 0xFFFFFF))
end

-- When a job of ours was made (seconds since 1970), nil for what is no id of ours.
function paths.job_time(id)
  return tonumber(id:match("^reaper%-(%d+)%-%x+$") or id:match("^reaper%-(%d+)%-%x+%.part$"))
end

-- Words as a plain part of a file's name; other letters than a to z are left out.
function paths.slug(words)
  local slug = words:lower():gsub("[^a-z0-9]+", "-"):sub(1, LONGEST_SLUG):gsub("^%-+", ""):gsub("%-+$", "")
  return slug
end

-- A word of a command line; nil and the way out where it cannot be quoted for sure.
function paths.quoted(word, system)
  local forbidden = paths.is_windows(system) and '["%%\r\n]' or '["$`\\!\r\n]'
  if word:find(forbidden) then
    return nil, ("%s cannot stand on a command line; choose a folder without %s in its name."):format(
      word, paths.is_windows(system) and '" and %' or '" $ ` \\ and !')
  end
  return '"' .. word .. '"'
end

-- The plain name of a result; nil where the server's word leads anywhere else than into out/.
function paths.result_name(path)
  local name = path:match("^out/([^/\\:%c]+)$")
  return name ~= ".." and name ~= "." and name or nil
end

return paths
