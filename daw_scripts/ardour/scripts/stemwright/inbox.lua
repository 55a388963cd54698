-- The job folder's files: request.json and in.wav in, status.json, done.json and out/ back.

local need = ...
local json = need("json")
local paths = need("paths")

local inbox = {}

inbox.CARD = ".server.json" -- what a running server tells of itself there: { time = now, presets = [...] }
local FRESH = 15 -- seconds; it is written again every five
local PART = ".part"

local function complaint(path, why)
  error(("%s cannot be written (%s). Free some room there, or check the folder's permissions."):format(path, tostring(why)), 0)
end

function inbox.write(path, text)
  local file, why = io.open(path, "wb")
  if not file then complaint(path, why) end
  local is_written, later = file:write(text)
  local is_closed, last = file:close()
  if not (is_written and is_closed) then complaint(path, later or last) end
end

-- What Ardour's os.execute returns differs from build to build, so what it did is looked at instead.
local function make_folder(path)
  os.execute("mkdir -p -- " .. paths.quoted(path))
  if not ARDOUR.LuaAPI.file_test(path, ARDOUR.LuaAPI.FileTest.IsDir) then complaint(path, "no such folder can be made") end
end

-- A folder the server does not look at yet; → its path
function inbox.prepare(folder, id)
  local place = folder .. "/" .. id .. PART
  make_folder(place)
  return place
end

-- Hand the job over: one rename, so that the server sees all of it or nothing. → its folder
function inbox.publish(folder, id, request)
  local part, place = folder .. "/" .. id .. PART, folder .. "/" .. id
  inbox.write(part .. "/request.json", json.encode(request))
  local is_moved, why = os.rename(part, place)
  if not is_moved then complaint(place, why) end
  return place
end

-- What a JSON file says; nil when it is not there or not whole
function inbox.read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  local value = text and json.decode(text)
  return type(value) == "table" and value or nil
end

-- Ask the server to stop the job. It may be gone already.
function inbox.cancel(place)
  local file = io.open(place .. "/cancel", "wb")
  if file then file:close() end
end

-- The job's folder with all in it. Out of the server's sight first: a job not ended yet is then cancelled.
function inbox.remove(folder, id)
  local place = folder .. "/" .. id
  os.rename(place, place .. PART)
  os.execute("rm -rf -- " .. paths.quoted(place .. PART) .. " " .. paths.quoted(place))
end

-- The presets as a running server told them: { name, task, prompt, colour }
function inbox.presets(folder)
  local card, presets = inbox.read(folder .. "/" .. inbox.CARD), {}
  for _, preset in ipairs(card and type(card.presets) == "table" and card.presets or {}) do
    if type(preset) == "table" and type(preset.name) == "string" then presets[#presets + 1] = preset end
  end
  return presets
end

-- Whether a server has lately said that it is there.
function inbox.is_watched(folder)
  local card = inbox.read(folder .. "/" .. inbox.CARD)
  return card ~= nil and math.abs(os.time() - (tonumber(card.time) or 0)) < FRESH
end

return inbox
