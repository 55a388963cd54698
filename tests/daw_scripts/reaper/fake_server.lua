-- A fake of the server's watched inbox: takes jobs, tells of them, puts results there. Its stem is a quarter of the
-- input, its rest the other three.

local fake = require("fake_reaper")
local sound = require("fake_sound")
local json = assert(loadfile(fake.scripts .. "/lib/json.lua"))()

local server = {}
server.__index = server

-- inbox: its folder. fails: { code, text }. lasts: looks that a job runs. hangs: it never ends
function server.new(inbox, options)
  local one = setmetatable(options or {}, server)
  one.inbox, one.known, one.requests, one.cancelled = inbox, {}, {}, {}
  return one
end

local function read(path)
  local file = io.open(path, "rb")
  if not file then return nil end
  local text = file:read("a")
  file:close()
  return text
end

local function write(path, text)
  local file = io.open(path .. ".part", "wb")
  if not file then return end
  file:write(text)
  file:close()
  os.rename(path .. ".part", path)
end

function server:tell(place, state, progress)
  local status = { state = state, progress = progress, stage = "sample", text = "", seconds_left = 3 }
  write(place .. "/status.json", json.encode(status))
end

local function scaled(samples, gain)
  local made = {}
  for index = 1, #samples do made[index] = samples[index] * gain end
  return made
end

function server:results(place, request)
  local input = request.task ~= "generate" and sound.read(place .. "/in.wav")
  if not input then
    input = { channels = request.channels, rate = request.rate }
    for index = 1, math.floor(request.seconds * request.rate + 0.5) * request.channels do input[index] = 0.1 end
  end
  os.execute("mkdir -p " .. fake.shell(place .. "/out"))
  local kinds, results = {}, json.list()
  for index in ipairs(request.prompts) do kinds[index] = "stem-" .. index end
  if #kinds == 0 then kinds[1] = request.preset end
  if request.rest == 1 then kinds[#kinds + 1] = "rest" end
  for seed = request.seed or 0, (request.seed or 0) + (request.variations or 1) - 1 do
    for _, kind in ipairs(kinds) do
      local name = ("%s.seed-%d.wav"):format(kind, seed)
      sound.write(place .. "/out/" .. name, input.channels, input.rate, scaled(input, kind == "rest" and 0.75 or 0.25))
      results[#results + 1] = { kind = kind, path = (self.prefix or "out/") .. name, seed = seed, seconds = 1 }
    end
  end
  return results
end

function server:close(id, done)
  local place = self.inbox .. "/" .. id
  done.job, done.seconds = id, 1
  write(place .. "/done.json", json.encode(done))
  self.known[id] = "over"
end

function server:begin(id)
  local text = read(self.inbox .. "/" .. id .. "/request.json")
  if not text then return end
  self.known[id], self.requests[id] = 0, json.decode(text)
  self.first = self.first or self.requests[id]
  self:tell(self.inbox .. "/" .. id, "queued", 0)
end

function server:go_on(id)
  local place, looks = self.inbox .. "/" .. id, self.known[id] + 1
  self.known[id] = looks
  if read(place .. "/cancel") then
    table.insert(self.cancelled, id)
    return self:close(id, { state = "cancelled", results = json.list(), code = "", text = "" })
  end
  if looks < (self.lasts or 10) or self.hangs then return self:tell(place, "running", math.min(0.9, looks / 10)) end
  if self.fails then
    return self:close(id, { state = "failed", results = json.list(), code = self.fails[1], text = self.fails[2] })
  end
  self:close(id, { state = "finished", results = self:results(place, self.requests[id]), code = "", text = "" })
end

-- One look at the inbox, as the server takes them all the time.
function server:look()
  self.looks = (self.looks or 0) + 1
  if self.is_down or self.looks % 3 ~= 0 then return end
  local here = {}
  for _, id in ipairs(fake.list(self.inbox, "d")) do
    here[id] = true
    if not id:match("%.part$") then
      if self.known[id] == nil then self:begin(id) elseif self.known[id] ~= "over" then self:go_on(id) end
    end
  end
  for id, state in pairs(self.known) do
    if not here[id] and state ~= "over" then
      self.known[id] = "over"
      table.insert(self.cancelled, id) -- its folder is gone: wanted no more
    end
  end
end

return server
