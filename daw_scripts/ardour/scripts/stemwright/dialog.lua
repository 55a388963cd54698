-- What is asked and said.

local need = ...
local form = need("form")

local dialog = {}

local TITLE = "Stemwright"
local WORKING, NOTE, QUESTION = TITLE .. ": working", TITLE .. ": note", TITLE .. ": question"

-- Dropdowns of Ardour take a table of words → values.
local function task_words(task)
  for words, value in pairs(form.TASKS) do
    if value == task then return words end
  end
  return nil
end

local function preset_field(values, presets)
  if #presets == 0 then
    return { type = "entry", key = "preset", title = "Preset (may be empty)", default = values.preset }
  end
  local choices, current = { ["(none)"] = "" }, "(none)"
  for _, preset in ipairs(presets) do
    local words = tostring(preset.prompt or "") ~= "" and ("%s: %s"):format(preset.name, preset.prompt) or preset.name
    choices[words] = preset.name
    if preset.name == values.preset then current = words end
  end
  return { type = "dropdown", key = "preset", title = "Preset", values = choices, default = current }
end

-- The dialog → values, nil when it was cancelled. what: a line about the selection; problem: about the last try
function dialog.ask(values, presets, what, problem)
  local fields = {
    { type = "heading", title = what, align = "left" },
    { type = "dropdown", key = "task", title = "Task", values = form.TASKS, default = task_words(values.task) },
    { type = "entry", key = "prompts", title = "Sound (several: bass; drums)", default = values.prompts },
    preset_field(values, presets),
    { type = "entry", key = "negative", title = "Not like (may be empty)", default = values.negative },
    { type = "checkbox", key = "rest", title = "The rest too, on a track of its own", default = values.rest },
    { type = "number", key = "variations", title = "Variations, as playlists", min = 1, max = 16, step = 1, digits = 0,
      default = values.variations },
    { type = "entry", key = "guidance", title = "Guidance (empty: the model's)", default = values.guidance },
    { type = "entry", key = "steps", title = "Steps (empty: the model's)", default = values.steps },
    { type = "number", key = "seed", title = "Seed", min = 0, max = 2147483647, step = 1, digits = 0,
      default = values.seed },
  }
  if problem then table.insert(fields, 1, { type = "heading", title = problem, align = "left" }) end
  local answer = LuaDialog.Dialog(TITLE, fields):run()
  collectgarbage()
  if not answer then return nil end
  answer.variations, answer.seed = math.floor(answer.variations), math.floor(answer.seed)
  return answer
end

function dialog.say(text, kind)
  LuaDialog.Message(NOTE, text, kind or LuaDialog.MessageType.Info, LuaDialog.ButtonType.Close):run()
end

-- → whether the user said yes
function dialog.agrees(text)
  local message = LuaDialog.Message(QUESTION, text, LuaDialog.MessageType.Question, LuaDialog.ButtonType.Yes_No)
  return message:run() == LuaDialog.Response.Yes
end

-- → a path, nil when cancelled
function dialog.program()
  local fields = { { type = "file", key = "path", title = "Where is the program stemwright?", path = "" } }
  local answer = LuaDialog.Dialog(TITLE, fields):run()
  return answer and answer.path ~= "" and answer.path or nil
end

-- A window with a bar and Cancel, which keeps Ardour alive while it is told
function dialog.progress()
  return LuaDialog.ProgressWindow(WORKING, true)
end

return dialog
