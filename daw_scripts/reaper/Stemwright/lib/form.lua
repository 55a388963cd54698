-- @noindex
-- What the user asks for: the fields of the dialog, checked, and the request made of them. No host calls.

local protocol = require("stemwright_protocol")
local json = require("json")

local form = {}

-- In the order of the dialog. Captions hold no commas: REAPER separates them by commas.
form.FIELDS = {
  { key = "task", caption = "Task: extract / add / accompany / generate", default = "extract" },
  { key = "prompts", caption = "Sound (several: bass; drums)", default = "" },
  { key = "negative", caption = "Not like (may be empty)", default = "" },
  { key = "preset", caption = "Preset (? lists them; may be empty)", default = "" },
  { key = "variations", caption = "Variations as takes (1 to 16)", default = "1" },
  { key = "rest", caption = "The rest too: 1 / 0", default = "1" },
  { key = "from", caption = "From: auto / time / items", default = "auto" },
  { key = "effects", caption = "With effects: 1 / 0 (renders)", default = "0" },
  { key = "guidance", caption = "Guidance (empty: the model's)", default = "" },
  { key = "steps", caption = "Steps (empty: the model's)", default = "" },
  { key = "seed", caption = "Seed", default = "0" },
}
form.SEPARATOR = "\n"
form.LONGEST = 1000 -- characters of a prompt

function form.defaults()
  local values = {}
  for _, field in ipairs(form.FIELDS) do values[field.key] = field.default end
  return values
end

-- The last values as kept; what is missing or broken has its default.
function form.restored(text)
  local values, kept = form.defaults(), json.decode(text)
  for key in pairs(values) do
    if type(kept) == "table" and type(kept[key]) == "string" then values[key] = kept[key] end
  end
  return values
end

function form.kept(values)
  return json.encode(values)
end

-- → captions and values as GetUserInputs takes them
function form.lines(values)
  local captions, lines = {}, {}
  for _, field in ipairs(form.FIELDS) do
    captions[#captions + 1] = field.caption
    lines[#lines + 1] = (tostring(values[field.key] or field.default):gsub("[\r\n]", " "))
  end
  captions[#captions + 1] = "extrawidth=260"
  captions[#captions + 1] = "separator=" .. form.SEPARATOR
  return table.concat(captions, ","), table.concat(lines, form.SEPARATOR)
end

-- Whether every field came back: REAPER's dialog holds only so many bytes, and cuts the last ones.
function form.is_whole(values)
  for _, field in ipairs(form.FIELDS) do
    if not values[field.key] then return false end
  end
  return true
end

-- The values that GetUserInputs gave back.
function form.values(lines)
  local values, index = {}, 0
  for line in (lines .. form.SEPARATOR):gmatch("([^\n]*)\n") do
    index = index + 1
    if form.FIELDS[index] then values[form.FIELDS[index].key] = (line:gsub("^%s+", ""):gsub("%s+$", "")) end
  end
  return values
end

-- "bass; drums" → { "bass", "drums" }
function form.prompts(text)
  local prompts = json.list()
  for part in (text .. ";"):gmatch("([^;]*);") do
    local prompt = part:gsub("^%s+", ""):gsub("%s+$", "")
    if prompt ~= "" then prompts[#prompts + 1] = prompt end
  end
  return prompts
end

local function has(list, value)
  for _, item in ipairs(list) do
    if item == value then return true end
  end
  return false
end

local function number(values, key)
  local text = values[key] or ""
  if text == "" then return nil end
  local option, value = protocol.OPTIONS[key], tonumber(text)
  local is_whole = option.type ~= "i" or (value and math.tointeger(value))
  if not value or not is_whole or value < option.low or value > option.high then
    return nil, ("%s is “%s”; it takes a %snumber from %g to %g."):format(
      key, text, option.type == "i" and "whole " or "", option.low, option.high)
  end
  return option.type == "i" and math.tointeger(value) or value
end

local function check_words(values, prompts)
  if not has(protocol.TASKS, values.task) then
    return ("There is no task “%s”; it may be %s."):format(values.task, table.concat(protocol.TASKS, ", "))
  end
  if not has({ "auto", "time", "items" }, values.from) then
    return ("From is “%s”; it may be auto, time (the time selection) or items (the selected items)."):format(values.from)
  end
  if #prompts == 0 and values.preset == "" then
    return "Name a sound, such as “slap bass” or “everything but the vocals”, or a preset."
  end
  for _, prompt in ipairs(prompts) do
    local length = utf8.len(prompt) or #prompt
    if length > form.LONGEST then
      return ("A prompt has %d characters; %d are read. A few words do."):format(length, form.LONGEST)
    end
  end
  return nil
end

-- The values of the dialog → a request and how to get its input, or nil and what is wrong.
-- request: what request.json will hold, but for what depends on the input
function form.checked(values)
  local prompts = form.prompts(values.prompts)
  local wrong = check_words(values, prompts)
  if wrong then return nil, wrong end
  local request = { task = values.task, prompts = prompts, priority = "live" }
  for _, key in ipairs({ "variations", "guidance", "steps", "seed" }) do
    request[key], wrong = number(values, key)
    if wrong then return nil, wrong end
  end
  for _, key in ipairs({ "rest", "effects" }) do
    if values[key] ~= "0" and values[key] ~= "1" then
      return nil, ("%s is “%s”; it takes 1 (yes) or 0 (no)."):format(key, values[key])
    end
  end
  if values.effects == "1" and values.from == "items" then
    return nil, "“With effects” renders tracks in the time selection, not items. Choose From: time, or effects 0."
  end
  if values.negative and values.negative ~= "" then request.negative = values.negative end
  if values.preset ~= "" then request.preset = values.preset end
  if values.task == "extract" then request.rest = tonumber(values.rest) end
  return { request = request, from = values.from, with_effects = values.effects == "1" }
end

-- The same request with a preset's own task, where the server told of it.
function form.with_preset(values, presets)
  for _, preset in ipairs(presets or {}) do
    if preset.name == values.preset then
      values.task = preset.task
      return preset
    end
  end
  return nil
end

return form
