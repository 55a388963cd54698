-- What the scripts do in a fake REAPER. Every case is a function whose name is the sentence it proves.
--     lua cases.lua SCRIPTS FOLDER CASE

local here = arg[0]:match("^(.*/)") or "./"
package.path = here .. "?.lua"
local fake = require("fake_reaper")
fake.scripts = arg[1]
local studio = require("studio")
local equal, has = studio.equal, studio.has

local cases = {}
local folder = arg[2]
local SINGLE = 2 ^ -23 -- rounding of float32 below 1, twice

function cases.a_time_selection_comes_back_as_stem_and_rest_below_its_track()
  local one = studio.new(folder, { time = { 1.1, 1.4 } })
  studio.run(one)
  equal(studio.names(one.project), "Vox|slap bass - Vox|rest - Vox|after", "tracks")
  local stem, rest = one.project.tracks[2], one.project.tracks[3]
  for _, track in ipairs({ stem, rest }) do
    equal(#track.items, 1, "items")
    equal(track.items[1].values.D_POSITION, 1.1, "position")
    equal(track.items[1].values.D_LENGTH, 0.3, "length")
    equal(track.items[1].active.source.sound.frames, 14400, "frames")
    assert(track.items[1].active.source.has_peaks, "no waveform")
    assert(track.items[1].active.source.path:find(one.media, 1, true), "not in the project's media folder")
  end
  assert(stem.colour & 0x1000000 ~= 0 and rest.colour & 0x1000000 ~= 0 and stem.colour ~= rest.colour)
  local worst = studio.difference(one, { stem, rest }, one.track, 1.1, 14400, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
  equal(#one.host.messages, 0, "messages")
  studio.assert_clean(one)
end

function cases.the_source_is_left_as_it_was_and_one_undo_takes_everything_back()
  local one = studio.new(folder, { time = { 1.1, 1.4 } })
  local before = studio.names(one.project)
  studio.run(one)
  equal(#one.project.undo, 1, "undo steps")
  has(one.project.undo[1].description, "Stemwright: extract: slap bass")
  local item = one.track.items[1]
  equal(item.values.D_POSITION, 1, "the source's position")
  equal(item.active.source.path, one.file, "the source's file")
  equal(item.values.D_FADEINLEN, 0.01, "the source's fade")
  one.host:undo(one.project)
  equal(studio.names(one.project), before, "tracks after undo")
  equal(#one.project.tracks[1].items, 1, "items after undo")
end

function cases.a_selected_item_is_heard_with_its_offset_and_play_rate()
  local one = studio.new(folder, { item = { offset = 0.1, play_rate = 2, length = 0.15, position = 3.25, is_selected = true } })
  studio.run(one)
  local stem, rest = one.project.tracks[2], one.project.tracks[3]
  equal(stem.items[1].values.D_POSITION, 3.25, "position")
  equal(stem.items[1].values.D_LENGTH, 0.15, "length")
  equal(stem.items[1].active.values.D_PLAYRATE, 1, "play rate of the result")
  local worst = studio.difference(one, { stem, rest }, one.track, 3.25, 7200, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
  studio.assert_clean(one)
end

function cases.an_item_volume_and_pan_are_those_of_its_results()
  local one = studio.new(folder, { item = { volume = 0.5, take_volume = 0.8, pan = -0.4, is_selected = true } })
  studio.run(one)
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 24000, 2)
  assert(worst < SINGLE, worst) -- measured 1.2e-08
  equal(one.project.tracks[2].items[1].values.D_VOL, 0.5, "item volume")
end

function cases.several_tracks_are_several_jobs_and_one_undo_step()
  local one = studio.new(folder, { time = { 1.1, 1.3 } })
  local second = one.host:track(one.project, { name = "Gtr", is_selected = true })
  one.host:item(second, { path = one.file, position = 1, length = 0.5 })
  studio.run(one)
  equal(studio.names(one.project), "Vox|slap bass - Vox|rest - Vox|after|Gtr|slap bass - Gtr|rest - Gtr", "tracks")
  equal(#one.project.undo, 1, "undo steps")
  studio.assert_clean(one)
end

function cases.items_of_one_track_share_the_tracks_of_their_results()
  local one = studio.new(folder, { item = { is_selected = true } })
  one.host:item(one.track, { path = one.file, position = 4, length = 0.25, is_selected = true })
  studio.run(one)
  equal(studio.names(one.project), "Vox|slap bass - Vox|rest - Vox|after", "tracks")
  equal(#one.project.tracks[2].items, 2, "items")
  equal(one.project.tracks[2].items[2].values.D_POSITION, 4, "position of the second")
  studio.assert_clean(one)
end

function cases.without_a_selection_it_says_what_to_select()
  local one = studio.new(folder)
  studio.run(one)
  has(one.host.messages[1], "Nothing is selected. Drag a time selection")
  equal(#one.project.tracks, 2, "tracks")
  studio.assert_clean(one)
end

function cases.a_time_selection_without_a_track_says_so()
  local one = studio.new(folder, { time = { 1, 1.2 } })
  one.track.is_selected = false
  studio.run(one)
  has(one.host.messages[1], "No track is selected")
end

function cases.a_time_selection_takes_the_tracks_of_selected_items_when_no_track_is_selected()
  local one = studio.new(folder, { time = { 1, 1.2 }, item = { is_selected = true } })
  one.track.is_selected = false
  studio.run(one)
  equal(one.project.tracks[2].name, "slap bass - Vox", "stem")
end

function cases.a_track_without_audio_there_says_so()
  local one = studio.new(folder, { time = { 7, 8 } })
  studio.run(one)
  has(one.host.messages[1], "“Vox” has no audio item in the time selection")
  studio.assert_clean(one)
end

function cases.a_midi_item_is_refused_with_the_way_out()
  local one = studio.new(folder, { item = { is_selected = true, is_midi = true } })
  studio.run(one)
  has(one.host.messages[1], "MIDI")
  has(one.host.messages[1], "With effects")
end

function cases.an_offline_item_is_refused()
  local one = studio.new(folder, { item = { is_selected = true } })
  one.item.active.source = nil
  studio.run(one)
  has(one.host.messages[1], "offline")
end

function cases.media_of_another_rate_goes_at_the_rate_of_the_project()
  local one = studio.new(folder, { rate = 48000, media_rate = 44100, time = { 1.0, 1.25 } })
  studio.run(one)
  local source = one.project.tracks[2].items[1].active.source.sound
  equal(source.rate, 48000, "rate")
  equal(source.frames, 12000, "frames")
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 12000, 2)
  assert(worst < SINGLE, worst) -- measured 6.0e-08
end

function cases.a_project_at_96_kHz_gets_results_at_96_kHz()
  local one = studio.new(folder, { rate = 96000, time = { 1.0, 1.1 } })
  studio.run(one)
  equal(one.project.tracks[2].items[1].active.source.sound.rate, 96000, "rate")
  equal(one.project.tracks[2].items[1].active.source.sound.frames, 9600, "frames")
end

function cases.a_project_without_a_rate_of_its_own_has_that_of_the_device()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.project.numbers.PROJECT_SRATE_USE, one.host.device_rate = 0, 88200
  studio.run(one)
  equal(one.project.tracks[2].items[1].active.source.sound.rate, 88200, "rate")
end

function cases.mono_stays_mono()
  local one = studio.new(folder, { channels = 1, time = { 1.0, 1.2 } })
  studio.run(one)
  equal(one.project.tracks[2].items[1].active.source.sound.channels, 1, "channels")
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 9600, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
end

function cases.a_panned_mono_item_goes_as_stereo()
  local one = studio.new(folder, { channels = 1, time = { 1.0, 1.2 }, item = { pan = 0.5 } })
  studio.run(one)
  equal(one.project.tracks[2].items[1].active.source.sound.channels, 2, "channels")
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 9600, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
end

function cases.one_channel_of_a_stereo_source_goes_as_mono()
  local one = studio.new(folder, { item = { is_selected = true, channel_mode = 4 } })
  studio.run(one)
  equal(one.project.tracks[2].items[1].active.source.sound.channels, 1, "channels")
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 24000, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
end

function cases.a_track_of_four_channels_keeps_them()
  local one = studio.new(folder, { channels = 4, track_channels = 4, time = { 1.0, 1.2 } })
  studio.run(one)
  equal(one.project.tracks[2].items[1].active.source.sound.channels, 4, "channels")
  one.project.tracks[2].channels, one.project.tracks[3].channels = 4, 4
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 9600, 4)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
end

function cases.a_region_between_samples_is_put_onto_them()
  local one = studio.new(folder, { time = { 1.0000109, 1.1000217 } })
  studio.run(one)
  local item = one.project.tracks[2].items[1]
  equal(item.values.D_POSITION, 48001 / 48000, "position") -- 48000.52 frames
  equal(item.active.source.sound.frames, 52801 - 48001, "frames") -- 52801.04
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 48001 / 48000, 4800, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
end

function cases.variations_become_takes_of_one_item()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  studio.run(one, { prompts = "bass", variations = "3", seed = "7" })
  local stem, rest = one.project.tracks[2].items[1], one.project.tracks[3].items[1]
  equal(#stem.takes, 3, "takes")
  equal(#rest.takes, 3, "takes of the rest")
  equal(stem.active, stem.takes[1], "active take")
  equal(stem.takes[3].name, "bass, seed 9", "name of the last")
  equal(one.server.first.variations, 3, "variations asked for")
end

function cases.several_prompts_become_several_tracks_and_one_rest()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  studio.run(one, { prompts = "bass; 太鼓 ;" })
  equal(studio.names(one.project), "Vox|bass - Vox|太鼓 - Vox|rest - Vox|after", "tracks")
end

function cases.the_rest_can_be_left_out()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  studio.run(one, { prompts = "bass", rest = "0" })
  equal(studio.names(one.project), "Vox|bass - Vox|after", "tracks")
  equal(one.server.first.rest, 0, "rest asked for")
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

function cases.without_a_server_it_offers_to_start_one_and_then_goes_on()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { is_down = true } })
  one.host.execute = function() one.starts_at = one.host.now + 20 return "0\n" end
  studio.run(one, nil, function()
    if one.host.shown["no Stemwright server takes the job"] and not one.starts_at then one.host.click = "Start the server" end
    if one.starts_at and one.host.now > one.starts_at then one.server.is_down = false end
  end)
  equal(#one.host.commands, 1, "commands")
  equal(one.host.commands[1], '"stemwright" serve --inbox "' .. one.inbox .. '"', "command")
  assert(one.host.shown["the server is starting"])
  equal(studio.names(one.project), "Vox|slap bass - Vox|rest - Vox|after", "tracks")
  equal(#one.host.messages, 0, "messages")
  studio.assert_clean(one)
end

function cases.a_server_that_cannot_be_started_is_said_with_the_command_to_type()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { is_down = true } })
  studio.run(one, nil, function()
    if one.host.shown["no Stemwright server takes the job"] then one.host.click = "Start the server" end
  end)
  has(one.host.messages[1], "pip install stemwright")
  has(one.host.messages[1], 'stemwright serve --inbox "' .. one.inbox)
  equal(#one.project.tracks, 2, "tracks")
  studio.assert_clean(one)
end

function cases.a_server_that_does_not_come_up_is_given_up_with_the_way_out()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { is_down = true } })
  one.host.execute = function() return "0\n" end
  studio.run(one, nil, function()
    if one.host.shown["no Stemwright server takes the job"] and #one.host.commands == 0 then
      one.host.click = "Start the server"
    end
  end)
  equal(#one.host.commands, 1, "commands")
  has(one.host.messages[1], "within 60 seconds of its start. If one runs already, it watches another folder")
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

function cases.a_server_that_dies_midway_is_noticed_started_again_and_the_job_goes_on()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { lasts = 20 } })
  one.host.execute = function() one.server.is_down, one.server.known = false, {} return "0\n" end
  local looks = 0
  studio.run(one, nil, function()
    looks = looks + 1
    if looks == 10 then one.server.is_down = true end
    if one.host.shown["no news from the server; it may have ended"] and one.server.is_down then
      one.host.click = "Start the server"
    end
  end)
  equal(#one.host.commands, 1, "commands")
  equal(studio.names(one.project), "Vox|slap bass - Vox|rest - Vox|after", "tracks")
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

function cases.what_other_tracks_became_is_kept_when_one_fails()
  local one = studio.new(folder, { time = { 1.1, 1.3 } })
  local second = one.host:track(one.project, { name = "Gtr", is_selected = true })
  one.host:item(second, { path = one.file, position = 1, length = 0.5 })
  local count = 0
  local begin = one.server.go_on
  one.server.go_on = function(server, id)
    if server.known[id] == 0 then count = count + 1 end
    if count == 2 and not server.fails_id then server.fails_id = id end
    server.fails = server.fails_id == id and { "internal", "no luck" } or nil
    begin(server, id)
  end
  studio.run(one)
  has(one.host.messages[1], "no luck")
  equal(#one.project.tracks, 5, "tracks")
  equal(#one.project.undo, 1, "undo steps")
  studio.assert_clean(one)
end

function cases.a_done_file_that_cannot_be_read_ends_in_a_message()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.server.close = function(server, id)
    local file = io.open(server.inbox .. "/" .. id .. "/done.json", "w")
    file:write('{"state": "finis')
    file:close()
    server.known[id] = "over"
  end
  studio.run(one)
  has(one.host.messages[1], "done.json cannot be read")
  studio.assert_clean(one)
end

function cases.a_result_outside_the_job_is_refused()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { prefix = "../../" } })
  studio.run(one)
  has(one.host.messages[1], "which is no file of the job")
  equal(#one.project.undo, 0, "undo steps")
end

function cases.a_result_of_another_length_is_refused()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  local results = one.server.results
  one.server.results = function(server, place, request)
    studio.media(place .. "/in.wav", 0.05, 2, 48000)
    return results(server, place, request)
  end
  studio.run(one)
  has(one.host.messages[1], "has 2400 frames at 48000 Hz; the region has 4800")
  equal(#one.project.undo, 0, "undo steps")
end

function cases.cancel_while_the_server_works_stops_the_job_and_leaves_nothing()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { hangs = true } })
  studio.run(one, nil, function()
    if one.host.now > 1 then one.host.click = "Cancel" end
  end)
  equal(#one.server.cancelled, 1, "cancelled")
  equal(#one.project.undo, 0, "undo steps")
  equal(#one.host.messages, 0, "messages")
  equal(#fake.list(one.media, "f"), 1, "files in the media folder")
  studio.assert_clean(one)
end

function cases.cancel_without_a_server_takes_the_job_back_at_once()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { is_down = true } })
  studio.run(one, nil, function()
    if one.host.now > 1 then one.host.click = "Cancel" end
  end)
  assert(one.host.now < 2, one.host.now)
  studio.assert_clean(one)
end

function cases.closing_the_window_or_escape_is_cancel()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { hangs = true } })
  studio.run(one, nil, function()
    if one.host.now > 1 and #one.server.cancelled == 0 then one.host.keys = { 27 } end
  end)
  equal(#one.server.cancelled, 1, "cancelled")
  studio.assert_clean(one)
end

function cases.cancel_while_the_audio_is_read_leaves_nothing()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.cost = 0.03
  one.server.is_down = true
  local seen = false
  studio.run(one, nil, function()
    seen = seen or one.host.accessors == 1
    if one.host.accessors == 1 then one.host.keys = { 27 } end
  end)
  assert(seen, "reading was over in one tick")
  equal(#one.server.requests, 0, "requests")
  studio.assert_clean(one)
end

function cases.reading_gives_way_to_the_host_in_slices()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.cost = 0.011
  local most, before = 0, 0
  studio.run(one, nil, function()
    local now = one.host.calls.GetAudioAccessorSamples or 0
    most, before = math.max(most, now - before), now
  end)
  equal(one.host.calls.GetAudioAccessorSamples, 3, "slices") -- 24000 frames in slices of 8192
  assert(most <= 2, most)
end

function cases.audio_that_changes_while_it_is_read_is_read_again()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.cost = 0.03
  local edits = 0
  studio.run(one, nil, function()
    if one.host.accessors == 1 and edits < 3 then
      edits = edits + 1
      one.project.edits = edits
    end
  end)
  assert(one.host.calls.CreateTrackAudioAccessor >= 2, "it was not read again")
  equal(#one.project.undo, 1, "undo steps")
  studio.assert_clean(one)
end

function cases.audio_that_never_rests_is_given_up_with_a_message()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.cost = 0.03
  studio.run(one, nil, function() one.project.edits = (one.project.edits or 0) + 1 end)
  has(one.host.messages[1], "keeps changing")
  studio.assert_clean(one)
end

function cases.audio_that_cannot_be_read_is_said()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.host.reading_fails = true
  studio.run(one)
  has(one.host.messages[1], "could not read the audio of “Vox”")
  studio.assert_clean(one)
end

function cases.silence_is_refused()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, item = { volume = 0 } })
  studio.run(one)
  has(one.host.messages[1], "silent")
  studio.assert_clean(one)
end

function cases.a_region_too_large_for_the_server_is_refused_before_it_is_read()
  local one = studio.new(folder, { time = { 0, 3 * 3600 } })
  studio.run(one)
  has(one.host.messages[1], "180 minutes of 2 channels, 4.1 GB; the server reads 2.1 GB")
  equal(one.host.calls.GetAudioAccessorSamples, nil, "slices")
  studio.assert_clean(one)
end

-- A disk on which so many bytes still fit.
local function full_disk(bytes)
  local left = bytes
  return { open = function(path, mode)
    local file, why = io.open(path, mode)
    if not file then return nil, why end
    return setmetatable({}, { __index = function(_, name)
      if name == "write" then
        return function(self, text)
          left = left - #text
          if left < 0 then return nil, "No space left on device", 28 end
          assert(file:write(text))
          return self
        end
      end
      return function(_, ...) return file[name](file, ...) end
    end })
  end }
end

function cases.a_full_disk_while_reading_is_said_and_leaves_nothing()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.io = full_disk(100000)
  studio.run(one)
  has(one.host.messages[1], "No space left on device")
  has(one.host.messages[1], "Free some room")
  studio.assert_clean(one)
end

function cases.a_full_disk_before_anything_is_said()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.io = full_disk(1)
  studio.run(one)
  has(one.host.messages[1], "request.json cannot be written (No space left on device)")
  studio.assert_clean(one)
end

function cases.a_full_disk_of_the_project_keeps_the_stems_where_they_are()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  local rename = os.rename
  os.rename = function(from, to) -- another disk: only copying is possible
    if to:find(one.media, 1, true) then return nil, "Invalid cross-device link" end
    return rename(from, to)
  end
  one.host.io = full_disk(300000)
  studio.run(one)
  os.rename = rename
  has(one.host.messages[1], "No space left on device")
  has(one.host.messages[1], "The stems are here: ")
  equal(#one.project.undo, 0, "undo steps")
  equal(#fake.list(one.media, "f"), 1, "files in the media folder")
  local kept = one.host.messages[1]:match("here: (.*)$")
  equal(#fake.list(kept .. "/out", "f"), 2, "stems kept")
end

function cases.results_are_copied_from_another_disk_a_little_each_tick()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  local rename = os.rename
  os.rename = function(from, to)
    if to:find(one.media, 1, true) then return nil, "Invalid cross-device link" end
    return rename(from, to)
  end
  studio.run(one)
  os.rename = rename
  local worst = studio.difference(one, { one.project.tracks[2], one.project.tracks[3] }, one.track, 1, 24000, 2)
  assert(worst < SINGLE, worst) -- measured 3.0e-08
  studio.assert_clean(one)
end

function cases.a_closed_project_stops_the_job()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { hangs = true } })
  local other = one.host:project({ path = one.media })
  one.host.front = one.project
  local is_closed = false
  studio.run(one, nil, function()
    if one.host.now > 1 and not is_closed then
      is_closed = true
      one.host:close_project(one.project)
    end
  end)
  has(one.host.messages[1], "The project was closed")
  for _ = 1, 3 do one.look() end
  equal(#one.server.cancelled, 1, "cancelled")
  equal(#other.tracks, 0, "tracks of the other project")
  studio.assert_clean(one)
end

function cases.a_project_closed_while_it_is_read_is_no_crash()
  local one = studio.new(folder, { time = { 1.0, 1.5 } })
  one.host.cost = 0.03
  local is_closed = false
  studio.run(one, nil, function()
    if one.host.accessors == 1 and not is_closed then
      is_closed = true
      one.host:close_project(one.project)
    end
  end)
  assert(is_closed)
  has(one.host.messages[1], "“Vox” was deleted while its audio was read")
  studio.assert_clean(one)
end

function cases.another_tab_in_front_does_not_get_the_tracks()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  local other = one.host:project({ path = one.media })
  one.host.front = one.project
  studio.run(one, nil, function() one.host.front = other end)
  equal(#one.project.tracks, 4, "tracks")
  equal(#other.tracks, 0, "tracks of the other project")
end

function cases.a_source_track_deleted_meanwhile_puts_results_at_the_end()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  local is_deleted = false
  studio.run(one, nil, function()
    if next(one.server.requests) and not is_deleted then
      is_deleted = true
      table.remove(one.project.tracks, 1)
    end
  end)
  equal(studio.names(one.project), "after|slap bass - Vox|rest - Vox", "tracks")
  studio.assert_clean(one)
end

function cases.an_item_deleted_while_it_is_read_is_said()
  local one = studio.new(folder, { item = { is_selected = true } })
  one.host.cost = 0.03
  studio.run(one, nil, function()
    if one.host.accessors == 1 then one.track.items = {} end
  end)
  has(one.host.messages[1], "“Vox” was deleted while its audio was read")
  studio.assert_clean(one)
end

function cases.reaper_6_gets_its_tracks_by_the_older_call()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.host.missing.InsertTrackInProject = true
  local other = one.host:project({ path = one.media })
  one.host.front = one.project
  studio.run(one, nil, function() one.host.front = other end)
  equal(studio.names(one.project), "Vox|slap bass - Vox|rest - Vox|after", "tracks")
  equal(#other.tracks, 0, "tracks of the other project")
  equal(one.host.front, other, "project in front")
end

function cases.files_that_reaper_cannot_open_leave_the_project_alone()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.host.refuses_sources = true
  studio.run(one)
  has(one.host.messages[1], "REAPER cannot open")
  has(one.host.messages[1], "The stems are here: " .. one.media)
  equal(#one.project.undo, 0, "undo steps")
  equal(#one.project.tracks, 2, "tracks")
  studio.assert_clean(one)
end

function cases.half_placed_results_are_taken_back()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, depth = -1 })
  one.host.refuses_takes = true
  studio.run(one)
  has(one.host.messages[1], "REAPER does not take")
  equal(studio.names(one.project), "Vox|after", "tracks")
  equal(one.project.tracks[1].depth, -1, "folder depth")
  studio.assert_clean(one)
end

function cases.results_of_the_last_track_of_a_folder_stay_in_the_folder()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, depth = -1 })
  studio.run(one)
  equal(one.project.tracks[1].depth, 0, "depth of the source")
  equal(one.project.tracks[2].depth, 0, "depth of the stem")
  equal(one.project.tracks[3].depth, -1, "depth of the rest")
  one.host:undo(one.project)
  equal(one.project.tracks[1].depth, -1, "depth after undo")
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

function cases.a_folder_with_effects_gets_its_results_below_the_whole_folder()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, depth = 1, after_depth = -1 })
  one.host:track(one.project, { name = "last" })
  studio.run(one, { prompts = "bass", effects = "1" })
  equal(studio.names(one.project), "Vox|after|bass - Vox|rest - Vox|last", "tracks")
end

function cases.a_render_that_is_stopped_is_said()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  one.host.render_is_stopped = true
  studio.run(one, { prompts = "bass", effects = "1" })
  has(one.host.messages[1], "REAPER did not render “Vox”")
  studio.assert_clean(one)
end

function cases.effects_without_a_time_selection_say_what_is_needed()
  local one = studio.new(folder, { item = { is_selected = true } })
  studio.run(one, { prompts = "bass", effects = "1" })
  has(one.host.messages[1], "There is no time selection, which rendering with effects needs")
end

function cases.two_runs_at_once_do_not_disturb_each_other()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  table.insert(one.host.answers, studio.answer({ prompts = "bass" }))
  table.insert(one.host.answers, studio.answer({ prompts = "drums" }))
  one.host:run("Stemwright")
  one.host:run("Stemwright")
  one.host:finish(one.look)
  equal(#one.project.undo, 2, "undo steps")
  equal(#one.project.tracks, 6, "tracks")
  assert(studio.track_named(one, "^bass") and studio.track_named(one, "^drums"))
  studio.assert_clean(one)
end

function cases.it_works_the_second_time()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  for _ = 1, 3 do studio.run(one) end
  equal(#one.project.tracks, 8, "tracks")
  equal(#fake.list(one.media, "f"), 7, "files") -- nothing overwritten
  studio.assert_clean(one)
end

function cases.a_script_ended_from_outside_stops_its_job()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, server = { hangs = true } })
  table.insert(one.host.answers, studio.answer())
  one.host:run("Stemwright")
  for _ = 1, 30 do
    one.look()
    one.host:tick()
  end
  one.host:terminate()
  for _ = 1, 3 do one.look() end
  equal(#one.server.cancelled, 1, "cancelled")
  studio.assert_clean(one)
end

function cases.what_a_broken_run_left_is_swept_after_two_days()
  local one = studio.new(folder, { time = { 1.0, 1.1 } })
  local recent = "reaper-" .. os.time() .. "-abc"
  for _, name in ipairs({ "reaper-1000000-abc", "reaper-1000000-abd.part", "not-ours", recent }) do
    os.execute("mkdir -p " .. fake.shell(one.inbox .. "/" .. name .. "/out"))
    io.open(one.inbox .. "/" .. name .. "/in.wav", "w"):close()
  end
  table.insert(one.host.answers, false)
  one.host:run("Stemwright")
  one.host:finish()
  equal(table.concat(fake.list(one.inbox, "d"), " "), "not-ours " .. recent, "left")
  os.execute("mkdir " .. fake.shell(one.inbox .. "/reaper-1000000-abe")) -- REAPER remembers listings: look again
  table.insert(one.host.answers, false)
  one.host:run("Stemwright")
  one.host:finish()
  equal(table.concat(fake.list(one.inbox, "d"), " "), "not-ours " .. recent, "left by the second")
end

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

local case = assert(cases[arg[3]], "no such case: " .. tostring(arg[3]))
case()
