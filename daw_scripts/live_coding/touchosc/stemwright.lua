-- Stemwright for TouchOSC: paste into the script of the document's root.
--
-- Buttons whose tag is a preset's name ("bass", "karaoke") take that part out of the last seconds of the server's live
-- input. A button tagged "cancel" stops the latest job, one tagged "play" plays its stem on the server's output, once,
-- in time with its region, and "stop" ends that. A label named "state" tells what happens.
-- In the script of each button:
--
--   function onValueChanged(key)
--     if key == "x" and self.values.x == 1 then root:notify("stemwright", self.tag) end
--   end

local SECONDS = 8 -- of the live input
local RECEIVE_PORT = 9000 -- as in Connections, OSC
local TOKEN = "" -- of a server on another machine
local RENEW = 20000 -- milliseconds; a lease lasts 60 seconds

local latest = ""
local count = 0
local renewed = -RENEW

local function tell(request, ...)
  local arguments = {}
  for _, value in ipairs({ ... }) do
    local tag = "s"
    if type(value) == "number" then tag = value == math.floor(value) and "i" or "f" end
    table.insert(arguments, { tag = tag, value = value })
  end
  sendOSC({ "/stemwright/" .. request, arguments })
end

local function show(text)
  local label = root:findByName("state", true)
  if label then label.values.text = text end
end

function update()
  if getMillis() - renewed < RENEW then return end
  renewed = getMillis()
  if TOKEN ~= "" then tell("token", TOKEN) end
  tell("notify", 1, RECEIVE_PORT)
end

function onReceiveNotify(key, value)
  if key ~= "stemwright" then return end
  if value == "cancel" then
    tell("cancel", latest)
  elseif value == "play" then
    tell("play", latest, 0, 1)
  elseif value == "stop" then
    tell("stop")
  else
    count = count + 1
    local time = getTime() -- an id nobody had before: the day's time, and a counter
    latest = string.format("touchosc-%02d%02d%02d-%d", time[1], time[2], time[3], count)
    tell("extract", latest, "preset", value, "last", SECONDS)
    show("asked for " .. value)
  end
end

function onReceiveOSC(message, connections)
  local name = string.match(message[1], "^/stemwright/(.+)$")
  if not name then return end
  local words = {}
  for i, argument in ipairs(message[2]) do words[i] = argument.value end
  if name == "fail" then
    show(words[3])
  elseif words[1] == latest then
    if name == "progress" then
      show(string.format("%d %%", words[2] * 100))
    elseif name == "finished" or name == "cancelled" then
      show(name)
    end
  end
end
