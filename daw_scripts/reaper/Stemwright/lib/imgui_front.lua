-- @noindex
-- The same dialog and window with ReaImGui, where it is installed.

local form = require("form")
local protocol = require("stemwright_protocol")

local front = {}

local VERSION = "0.9" -- of the interface we were written for; ReaImGui keeps old ones alive
local FROM = { "auto", "time", "items" }
local TITLES = { start = "Start the server", cancel = "Cancel" }

-- → this front, ready, or nil where ReaImGui is absent or too old
function front.load()
  if not reaper.APIExists("ImGui_GetBuiltinPath") then return nil end
  local before = package.path
  package.path = reaper.ImGui_GetBuiltinPath() .. "/?.lua;" .. before
  local ok, imgui = pcall(function() return require("imgui")(VERSION) end)
  package.path = before
  if not ok then return nil end
  front.imgui = imgui
  return front
end

local function begin(context, width, height)
  local imgui = front.imgui
  imgui.SetNextWindowSize(context, width, height, imgui.Cond_FirstUseEver)
  return imgui.Begin(context, "Stemwright", true)
end

local function combo(context, label, items, value)
  local chosen = 0
  for index, item in ipairs(items) do
    if item == value then chosen = index - 1 end
  end
  local _, index = front.imgui.Combo(context, label, chosen, table.concat(items, "\0") .. "\0")
  return items[index + 1]
end

local function text(context, label, value)
  local _, new = front.imgui.InputText(context, label, value)
  return new
end

local function check(context, label, value)
  local _, is_on = front.imgui.Checkbox(context, label, value == "1")
  return is_on and "1" or "0"
end

local function preset(context, values, presets)
  if #presets == 0 then return text(context, "Preset", values.preset) end
  local names = { "" }
  for _, one in ipairs(presets) do names[#names + 1] = one.name end
  local chosen = combo(context, "Preset", names, values.preset)
  if chosen ~= values.preset then
    values.preset = chosen
    form.with_preset(values, presets)
  end
  return chosen
end

local function fields(context, values, presets)
  values.task = combo(context, "Task", protocol.TASKS, values.task)
  values.prompts = text(context, "Sound (several: bass; drums)", values.prompts)
  values.negative = text(context, "Not like", values.negative)
  values.preset = preset(context, values, presets)
  local most = protocol.OPTIONS.variations.high
  local now = math.tointeger(tonumber(values.variations)) or 1
  local _, count = front.imgui.SliderInt(context, "Variations as takes", now, 1, most)
  values.variations = tostring(count)
  values.rest = check(context, "The rest too", values.rest)
  values.from = combo(context, "From", FROM, values.from)
  values.effects = check(context, "With effects (renders)", values.effects)
  values.guidance = text(context, "Guidance (empty: the model's)", values.guidance)
  values.steps = text(context, "Steps (empty: the model's)", values.steps)
  values.seed = text(context, "Seed", values.seed)
end

-- → the values, or nil when the user changed their mind. pause: gives REAPER its turn
function front.ask(values, presets, pause)
  local imgui = front.imgui
  local context = imgui.CreateContext("Stemwright")
  while true do
    local is_visible, is_open = begin(context, 480, 400)
    local answer
    if is_visible then
      fields(context, values, presets)
      if imgui.Button(context, "Go") then answer = "go" end
      imgui.SameLine(context)
      if imgui.Button(context, "Cancel") then answer = "cancel" end
      imgui.End(context)
    end
    if answer == "go" then return values end
    if answer == "cancel" or not is_open then return nil end
    pause()
  end
end

local Window = {}
Window.__index = Window

function front.window()
  return setmetatable({ context = front.imgui.CreateContext("Stemwright") }, Window)
end

-- One frame, as native.lua's.
function Window:draw(screen)
  local imgui = front.imgui
  local is_visible, is_open = begin(self.context, 460, 150)
  local pressed = not is_open and "cancel" or nil
  if is_visible then
    imgui.TextWrapped(self.context, screen.title)
    imgui.TextWrapped(self.context, screen.line)
    imgui.ProgressBar(self.context, screen.fraction)
    for _, name in ipairs(screen.buttons) do
      if imgui.Button(self.context, TITLES[name]) then pressed = name end
      imgui.SameLine(self.context)
    end
    imgui.End(self.context)
  end
  return pressed
end

function Window.close() end -- a context that is drawn no more goes by itself

return front
