-- Cases of the server: absent, slow, failing, stopped; and of what is left on disk.

local fake = require("fake_reaper")
local studio = require("studio")
local equal, has, folder = studio.equal, studio.has, studio.folder

local SINGLE = 2 ^ -23 -- rounding of float32 below 1, twice
local cases = {}

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

function cases.a_region_too_large_for_the_server_is_refused_before_it_is_read()
  local one = studio.new(folder, { time = { 0, 3 * 3600 } })
  studio.run(one)
  has(one.host.messages[1], "180 minutes of 2 channels, 4.1 GB; the server reads 2.1 GB")
  equal(one.host.calls.GetAudioAccessorSamples, nil, "slices")
  studio.assert_clean(one)
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

return cases
