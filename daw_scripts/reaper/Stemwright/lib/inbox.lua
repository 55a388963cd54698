-- @noindex
-- The job folder's files: request.json and in.wav in, status.json, done.json and out/ back.

local json = require("json")
local paths = require("paths")
local trouble = require("trouble")

local inbox = {}

inbox.KEEP = 2 * 24 * 3600 -- seconds that what a broken run left behind is kept
local PART = ".part"

-- A disk's word for what went wrong, with a way out.
function inbox.complaint(path, why)
  why = tostring(why or "unknown reason")
  local hint = why:match("[Nn]o space") and "Free some room on that disk." or "Check the disk and the folder's permissions."
  return ("%s cannot be written (%s). %s"):format(path, why, hint)
end

local function write_file(path, text)
  local file, why = io.open(path, "wb")
  local ok = file
  if file then
    ok, why = file:write(text)
    local closed, later = file:close()
    if ok and not closed then ok, why = nil, later end
  end
  if not ok then trouble.raise("%s", inbox.complaint(path, why)) end
end

-- A folder the server does not look at yet → its path, with "/" for a job to be
function inbox.prepare(folder, id)
  local place = paths.join(folder, id .. PART)
  reaper.RecursiveCreateDirectory(place, 0)
  write_file(paths.join(place, "request.json"), "{}") -- says at once whether the folder can be written
  return place
end

-- Hand the job over: one rename, so that the server sees all of it or nothing.
function inbox.publish(folder, id, request)
  local part, place = paths.join(folder, id .. PART), paths.join(folder, id)
  write_file(paths.join(part, "request.json"), json.encode(request))
  local ok, why = os.rename(part, place)
  if not ok then trouble.raise("%s", inbox.complaint(place, why)) end
  return place
end

-- → what a JSON file of the job says, nil when it is not there, false when it cannot be read
function inbox.read(place, name)
  local file = io.open(paths.join(place, name), "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  local value = text and json.decode(text)
  return type(value) == "table" and value ~= json.null and value or false
end

-- Ask the server to stop the job. Never fails: the job may be gone already.
function inbox.cancel(place)
  local file = io.open(paths.join(place, "cancel"), "wb")
  if file then file:close() end
end

local function names(list, place)
  local found, index = {}, 0
  list(place, -1) -- REAPER remembers listings; this makes it look again
  while true do
    local name = list(place, index)
    if not name or name == "" then return found end
    found[#found + 1], index = name, index + 1
  end
end

local function remove_folder(place)
  for _, name in ipairs(names(reaper.EnumerateFiles, place)) do os.remove(paths.join(place, name)) end
  if os.remove(place) then return end
  local system = reaper.GetOS()
  local word = paths.is_windows(system) and paths.quoted((place:gsub("/", "\\")), system)
  if word then reaper.ExecProcess("cmd.exe /c rd " .. word, -1) end -- C's remove leaves folders alone there
end

-- A job's folder with all that is in it. Out of the server's sight first, so that it forgets the job.
function inbox.remove(folder, id)
  local place = paths.join(folder, id)
  if not os.rename(place, place .. PART) then
    for _, name in ipairs({ "cancel", "request.json" }) do os.remove(paths.join(place, name)) end
  end
  for _, left in ipairs({ place .. PART, place }) do
    remove_folder(paths.join(left, "out"))
    remove_folder(left)
  end
end

-- What runs that broke off have left, when it is old enough.
function inbox.sweep(folder, now)
  for _, name in ipairs(names(reaper.EnumerateSubdirectories, folder)) do
    local made = paths.job_time(name)
    if made and now - made > inbox.KEEP then inbox.remove(folder, (name:gsub("%.part$", ""))) end
  end
end

return inbox
