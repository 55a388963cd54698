-- Cases of where results go.

local studio = require("studio")
local equal, has, folder = studio.equal, studio.has, studio.folder

local SINGLE = 2 ^ -23 -- rounding of float32 below 1, twice
local cases = {}

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

function cases.a_folder_with_effects_gets_its_results_below_the_whole_folder()
  local one = studio.new(folder, { time = { 1.0, 1.1 }, depth = 1, after_depth = -1 })
  one.host:track(one.project, { name = "last" })
  studio.run(one, { prompts = "bass", effects = "1" })
  equal(studio.names(one.project), "Vox|after|bass - Vox|rest - Vox|last", "tracks")
end

return cases
