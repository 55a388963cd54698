-- Cases of the fake itself: that it refuses what REAPER would.

local fake = require("fake_reaper")
local studio = require("studio")
local has, folder = studio.has, studio.folder

local cases = {}

local function refuses(part, call, ...)
  local ok, why = pcall(call, ...)
  assert(not ok, "not refused: " .. part)
  has(why, part)
end

function cases.calls_outside_the_published_api_are_refused()
  local reaper = studio.new(folder).host:world(fake.scripts).reaper
  refuses("REAPER's published API has no InsertTrackFromMoon", function() return reaper.InsertTrackFromMoon end)
  refuses("gfx has no blur", function() return studio.new(folder).host.gfx.blur end)
end

function cases.wrong_arguments_are_refused()
  local one = studio.new(folder)
  local reaper, track = one.host:world(fake.scripts).reaper, one.track.handle
  refuses("takes 2 arguments", reaper.GetTrack, 0)
  refuses("takes 2 arguments", reaper.GetTrack, 0, 0, 0)
  refuses("int expected", reaper.GetTrack, 0, 0.5)
  refuses("int expected", reaper.GetTrack, 0, "0")
  refuses("bool expected", reaper.SetTrackSelected, track, 1)
  refuses("MediaTrack* expected", reaper.GetTrackName, one.item.handle)
  refuses("MediaTrack* expected", reaper.GetTrackName, nil)
  refuses("looked into a pointer", function() return track.name end)
end

function cases.dead_pointers_are_refused()
  local one = studio.new(folder)
  local reaper, track, item = one.host:world(fake.scripts).reaper, one.track.handle, one.item.handle
  reaper.DeleteTrack(track)
  refuses("dead or other pointer", reaper.GetTrackName, track)
  refuses("dead or other pointer", reaper.GetActiveTake, item)
  local accessor = reaper.CreateTrackAudioAccessor(one.after.handle)
  reaper.DestroyAudioAccessor(accessor)
  refuses("dead or other pointer", reaper.DestroyAudioAccessor, accessor)
  local project = one.project.handle
  one.host:close_project(one.project)
  refuses("dead or other pointer", reaper.CountTracks, project)
end

function cases.ways_to_block_the_host_are_not_there()
  local world = studio.new(folder).host:world(fake.scripts)
  assert(world.os.execute == nil and world.io.popen == nil and world.os.exit == nil)
  refuses("anything else waits", world.reaper.ExecProcess, "stemwright", 0)
end

return cases
