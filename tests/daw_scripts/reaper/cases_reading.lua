-- Cases of what is selected, and how its audio is read.

local studio = require("studio")
local equal, has, folder = studio.equal, studio.has, studio.folder

local SINGLE = 2 ^ -23 -- rounding of float32 below 1, twice
local cases = {}

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

function cases.an_item_deleted_while_it_is_read_is_said()
  local one = studio.new(folder, { item = { is_selected = true } })
  one.host.cost = 0.03
  studio.run(one, nil, function()
    if one.host.accessors == 1 then one.track.items = {} end
  end)
  has(one.host.messages[1], "“Vox” was deleted while its audio was read")
  studio.assert_clean(one)
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

return cases
