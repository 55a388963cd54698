-- Cases of the dialog, its words and settings.

local fake = require("fake_reaper")
local studio = require("studio")
local equal, has, folder = studio.equal, studio.has, studio.folder

local SINGLE = 2 ^ -23 -- rounding of float32 below 1, twice
local cases = {}

-- ReaImGui, as far as the script calls it.
local function imgui(presses)
  local widgets = { Cond_FirstUseEver = 4, drawn = {} }
  local function one_of(label)
    widgets.drawn[label] = true
    local press = presses[1]
    if type(press) == "table" and press[1] == label then
      table.remove(presses, 1)
      return true, press[2]
    end
    return false
  end
  function widgets.CreateContext(name) return { name = name } end
  function widgets.SetNextWindowSize(context, width, height, condition)
    assert(context.name and width and height and condition == 4)
  end
  function widgets.Begin(context, name, is_open) assert(context.name and name and is_open == true) return true, true end
  function widgets.End(context) assert(context.name) end
  function widgets.SameLine(context) assert(context.name) end
  function widgets.TextWrapped(context, text) assert(context.name and type(text) == "string") end
  function widgets.ProgressBar(context, fraction) assert(context.name and fraction >= 0 and fraction <= 1) end
  function widgets.InputText(_, label, value)
    local is_new, new = one_of(label)
    return is_new, is_new and new or value
  end
  function widgets.Combo(_, label, index, items)
    assert(items:sub(-1) == "\0" and math.type(index) == "integer")
    local is_new, new = one_of(label)
    return is_new, is_new and new or index
  end
  function widgets.SliderInt(_, label, value, low, high)
    assert(value >= low and value <= high)
    local is_new, new = one_of(label)
    return is_new, is_new and new or value
  end
  function widgets.Checkbox(_, label, value)
    assert(type(value) == "boolean")
    local is_new, new = one_of(label)
    return is_new, is_new and new or (not is_new and value)
  end
  function widgets.Button(_, label)
    local is_pressed = one_of(label)
    return is_pressed
  end
  return function(version)
    assert(version == "0.9")
    return widgets
  end
end

function cases.words_and_folders_with_quotes_and_other_letters_arrive_unchanged()
  local prompt = 'the "big" drums\' $HOME `ls` \\ & | 太鼓 ü'
  local one = studio.new(folder, { time = { 1.0, 1.1 }, folder = studio.NAME, name = studio.NAME })
  studio.run(one, { prompts = prompt, negative = "no, comma" })
  equal(one.server.first.prompts[1], prompt, "prompt")
  equal(one.server.first.negative, "no, comma", "negative")
  equal(one.project.tracks[2].name, prompt .. " - " .. studio.NAME, "name")
  equal(#one.host.commands, 0, "command lines")
  assert(one.project.tracks[2].items[1].active.source.path:find(studio.NAME, 1, true))
  equal(#one.host.messages, 0, "messages")
  studio.assert_clean(one)
end

function cases.the_last_values_are_remembered_and_repeat_asks_nothing()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  studio.run(one, { prompts = "bass, low", guidance = "2.5", steps = "12" })
  one.host:run("Stemwright - Repeat")
  one.host:finish(one.look)
  equal(#one.project.undo, 2, "undo steps")
  equal(studio.names(one.project), "Vox|bass, low - Vox|rest - Vox|bass, low - Vox|rest - Vox|after", "tracks")
  table.insert(one.host.answers, false)
  one.host:run("Stemwright")
  one.host:finish(one.look)
  equal(one.host.asked[2][2], "bass, low", "sound offered again")
  equal(one.host.asked[2][9], "2.5", "guidance offered again")
  equal(one.server.first.guidance, 2.5, "guidance")
  equal(one.server.first.steps, 12, "steps")
end

function cases.a_dialog_that_is_cancelled_changes_nothing()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  table.insert(one.host.answers, false)
  one.host:run("Stemwright")
  one.host:finish(one.look)
  equal(#one.project.undo, 0, "undo steps")
  equal(#one.host.messages, 0, "messages")
  studio.assert_clean(one)
end

function cases.wrong_values_are_said_and_asked_again()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  local wrong = { { prompts = "" }, { prompts = "x", task = "remix" }, { variations = "17", task = "extract" },
    { variations = "2", guidance = "a lot" }, { guidance = "", rest = "maybe" }, { rest = "1", from = "moon" },
    { from = "items", effects = "1" } }
  for _, changes in ipairs(wrong) do table.insert(one.host.answers, studio.answer(changes)) end
  table.insert(one.host.answers, studio.answer({ from = "time", effects = "0" }))
  one.host:run("Stemwright")
  one.host:finish(one.look)
  local said = { "Name a sound", "no task “remix”", "from 1 to 16", "guidance is “a lot”", "rest is “maybe”", "From is “moon”",
    "renders tracks in the time selection" }
  for index, part in ipairs(said) do has(one.host.messages[index], part) end
  equal(#one.host.messages, #said, "messages")
  equal(#one.project.undo, 1, "undo steps")
end

function cases.words_that_the_dialog_of_reaper_cuts_are_asked_for_again()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  table.insert(one.host.answers, studio.answer({ prompts = ("very "):rep(250) .. "low bass" }))
  studio.run(one, { prompts = "bass" })
  has(one.host.messages[1], "dialog cut the text")
  equal(#one.host.messages, 1, "messages")
  equal(one.server.first.prompts[1], "bass", "prompt")
end

function cases.presets_of_the_server_are_chosen_from_a_menu_and_give_their_colour()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  os.execute("mkdir -p " .. fake.shell(one.inbox))
  local card = io.open(one.inbox .. "/.server.json", "w")
  card:write('{"presets": [{"name": "drums", "task": "extract", "prompt": "drums", "colour": "#e4572e"},',
    '{"name": "strings", "task": "add", "prompt": "strings", "colour": ""}]}')
  card:close()
  one.host.menu_choice = 1
  table.insert(one.host.answers, studio.answer({ preset = "?" }))
  studio.run(one, {})
  has(one.host.menu, "drums (extract: drums)|strings (add: strings)")
  equal(one.server.first.preset, "drums", "preset")
  equal(one.project.tracks[2].name, "drums - Vox", "name")
  equal(one.project.tracks[2].colour, 0xE4 | 0x57 << 8 | 0x2E << 16 | 0x1000000, "colour")
  studio.run(one, { preset = "strings" })
  local last = nil
  for _, request in pairs(one.server.requests) do
    if request.preset == "strings" then last = request end
  end
  equal(last.task, "add", "the preset's own task")
end

function cases.a_region_for_music_from_words_alone_needs_no_input()
  local one = studio.new(folder, { time = { 2, 2.5 } })
  studio.run(one, { prompts = "funk", task = "generate" })
  local request = one.server.first
  equal(request.seconds, 0.5, "seconds")
  equal(request.rate, 48000, "rate")
  equal(request.rest, nil, "rest")
  equal(studio.names(one.project), "Vox|funk|after", "tracks")
  equal(one.project.tracks[2].items[1].values.D_POSITION, 2, "position")
  studio.assert_clean(one)
end

function cases.a_program_that_is_not_found_is_asked_for_and_remembered()
  local one = studio.new(folder)
  one.host.chosen_file = "/opt/my tools/stemwright"
  one.host.execute = function(command) return command:match("my tools") and "0\n" or nil end
  one.host:run("Stemwright - Start server")
  equal(one.host.commands[2], '"/opt/my tools/stemwright" serve --inbox "' .. one.inbox .. '"', "command")
  equal(one.host.kept["Stemwright.command"], "/opt/my tools/stemwright", "remembered")
  equal(#one.host.messages, 0, "messages")
end

function cases.a_path_that_cannot_be_quoted_is_refused()
  local one = studio.new(folder)
  one.host.kept["Stemwright.command"] = "/opt/$(reboot)/stemwright"
  one.host:run("Stemwright - Start server")
  equal(#one.host.commands, 0, "commands")
  has(one.host.messages[1], "cannot stand on a command line")
end

function cases.windows_starts_the_server_minimised_and_finds_its_own_folders()
  local one = studio.new(folder)
  one.host.system, one.host.environment = "Win64", { USERPROFILE = folder .. "/Jörg", LOCALAPPDATA = folder .. "/Jörg/Local" }
  local wait
  one.host.ExecProcess = function(_, command, timeout)
    wait = timeout
    table.insert(one.host.commands, command)
    return "0\n"
  end
  one.host:run("Stemwright - Start server")
  equal(wait, -2, "wait")
  equal(one.host.commands[1], '"stemwright" serve --inbox "' .. folder .. '/Jörg/Local/stemwright/inbox"', "command")
end

function cases.settings_are_asked_for_and_used()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  table.insert(one.host.answers, { "/usr/bin/stemwright", folder .. "/other inbox" })
  one.host:run("Stemwright - Settings")
  one.inbox = folder .. "/other inbox"
  one.server.inbox = one.inbox
  studio.run(one)
  equal(#one.project.tracks, 4, "tracks")
  studio.assert_clean(one)
end

function cases.a_failed_job_is_said_in_the_words_of_the_server()
  local fails = { "bad_job", "The region is too long; choose a shorter one." }
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { fails = fails } })
  studio.run(one)
  has(one.host.messages[1], "Vox: The region is too long; choose a shorter one. (bad_job)")
  equal(#one.project.undo, 0, "undo steps")
  studio.assert_clean(one)
end

function cases.with_effects_the_track_is_rendered_and_all_settings_are_put_back()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.project.numbers.RENDER_SRATE, one.project.texts.RENDER_FILE = 44100, "/somewhere"
  one.project.numbers.RENDER_SETTINGS, one.project.texts.RENDER_PATTERN = 8, "$project"
  one.after.is_selected = false
  studio.run(one, { prompts = "bass", effects = "1" })
  equal(one.project.numbers.RENDER_SRATE, 44100, "rate of renders")
  equal(one.project.numbers.RENDER_SETTINGS, 8, "settings of renders")
  equal(one.project.texts.RENDER_FILE, "/somewhere", "folder of renders")
  equal(one.project.texts.RENDER_PATTERN, "$project", "names of renders")
  equal(one.track.is_selected, true, "selection")
  local played = studio.played(one.track, 48000, 2, 1, 4800)
  local stem = studio.played(one.project.tracks[2], 48000, 2, 1, 4800)
  for index = 1, #played do assert(math.abs(stem[index] - played[index] * 0.5 * 0.25) < SINGLE) end -- effect 0.5, stem 0.25
  studio.assert_clean(one)
end

function cases.reaimgui_is_used_where_it_is_installed()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.host.imgui = imgui({ { "Task", 1 }, { "Sound (several: bass; drums)", "brass" }, { "Variations as takes", 2 }, { "Go" } })
  one.host.ImGui_GetBuiltinPath = function() return "/imgui" end
  one.host:run("Stemwright")
  one.host:finish(one.look)
  equal(one.server.first.task, "add", "task")
  equal(one.server.first.prompts[1], "brass", "prompt")
  equal(#one.project.tracks[2].items[1].takes, 2, "takes")
  equal(#one.host.asked, 0, "native dialogs")
  studio.assert_clean(one)
end

function cases.reaimgui_can_be_cancelled_too()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { hangs = true } })
  one.host.imgui = imgui({ { "Sound (several: bass; drums)", "brass" }, { "Go" }, { "Cancel" } })
  one.host.ImGui_GetBuiltinPath = function() return "/imgui" end
  one.host:run("Stemwright")
  one.host:finish(one.look)
  equal(#one.project.undo, 0, "undo steps")
  studio.assert_clean(one)
end

return cases
