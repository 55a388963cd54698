-- What the user asks for: the values of the dialog, checked, and the request made of them. No host calls.

local need = ...
local json = need("json")
local protocol = need("stemwright_protocol")

local form = {}

form.LONGEST = 1000 -- characters of a prompt
form.DEFAULTS = {
  task = "extract", prompts = "", negative = "", preset = "", variations = 1, rest = true,
  guidance = "", steps = "", seed = 0,
}
form.TASKS = { -- as the dialog shows them
  ["Take it out of this (extract)"] = "extract",
  ["Make one that fits in (add)"] = "add",
  ["Make a backing for this (accompany)"] = "accompany",
  ["Make music from the words alone (generate)"] = "generate",
}

-- The last values as kept; what is missing or of another kind has its default.
function form.restored(kept)
  local values = {}
  for key, default in pairs(form.DEFAULTS) do
    local value = type(kept) == "table" and kept[key]
    values[key] = type(value) == type(default) and value or default
    if type(default) == "boolean" and type(kept) == "table" and kept[key] == false then values[key] = false end
  end
  return values
end

local function trimmed(text)
  return (tostring(text or ""):gsub("^%s+", ""):gsub("%s+$", ""))
end

-- "bass; drums" → { "bass", "drums" }
function form.prompts(text)
  local prompts = json.list()
  for part in (text .. ";"):gmatch("([^;]*);") do
    if trimmed(part) ~= "" then prompts[#prompts + 1] = trimmed(part) end
  end
  return prompts
end

-- → the number, nil for an empty text, or nil and what is wrong
local function number(values, key)
  local text = trimmed(values[key]):gsub(",", ".")
  if text == "" then return nil end
  local option, value = protocol.OPTIONS[key], tonumber(text)
  local whole = value and math.tointeger(value)
  if not value or (option.type == "i" and not whole) or value < option.low or value > option.high then
    return nil, ("%s is “%s”; it takes a %snumber from %g to %g."):format(
      key, text, option.type == "i" and "whole " or "", option.low, option.high)
  end
  return option.type == "i" and whole or value
end

local function wrong_words(values, prompts)
  if #prompts == 0 and trimmed(values.preset) == "" then
    return "Name a sound, such as “slap bass” or “everything but the vocals”, or choose a preset."
  end
  for _, prompt in ipairs(prompts) do
    local length = utf8.len(prompt) or #prompt
    if length > form.LONGEST then
      return ("A prompt has %d characters; %d are read. A few words do."):format(length, form.LONGEST)
    end
  end
  return nil
end

-- The preset of that name, as the server told it; nil where it told none
function form.preset(values, presets)
  for _, preset in ipairs(presets) do
    if preset.name == values.preset then return preset end
  end
  return nil
end

-- The values of the dialog → what request.json will hold, or nil and what is wrong
function form.request(values, presets)
  local prompts = form.prompts(values.prompts)
  local why = wrong_words(values, prompts)
  if why then return nil, why end
  local preset = form.preset(values, presets)
  local request = { task = preset and preset.task or values.task, prompts = prompts, priority = "live" }
  for _, key in ipairs({ "variations", "guidance", "steps", "seed" }) do
    request[key], why = number(values, key)
    if why then return nil, why end
  end
  if trimmed(values.negative) ~= "" then request.negative = trimmed(values.negative) end
  if trimmed(values.preset) ~= "" then request.preset = trimmed(values.preset) end
  if request.task == "extract" then request.rest = values.rest and 1 or 0 end
  return request
end

return form
