-- A small session for the cases: a project, tracks, media, a server, and what can be asked of them afterwards.

local fake = require("fake_reaper")
local fake_server = require("fake_server")
local sound = require("fake_sound")

local studio = {}

studio.NAME = 'Söng "eins" – 歌' -- of folders and tracks: spaces, quotes, other letters

-- Noise that is the same every time, as a WAV.
function studio.media(path, seconds, channels, rate)
  local state, samples = 12345, {}
  for index = 1, math.floor(seconds * rate + 0.5) * channels do
    state = (state * 1103515245 + 12345) & 0x7FFFFFFF
    samples[index] = state / 0x40000000 - 1
  end
  sound.write(path, channels, rate, samples)
  return path
end

-- options: rate (project), media_rate, channels, time, item, track
function studio.new(folder, options)
  options = options or {}
  local host = fake.new(folder)
  local media = folder .. "/" .. (options.folder or "media")
  os.execute("mkdir -p " .. fake.shell(media))
  local rate = options.rate or 48000
  local project = host:project({ path = media, rate = rate, time = options.time or { 0, 0 } })
  local one = { host = host, project = project, media = media, rate = rate, inbox = folder .. "/.local/state/stemwright/inbox" }
  one.file = studio.media(media .. "/source.wav", 0.5, options.channels or 2, options.media_rate or rate)
  one.track = host:track(project, { name = options.name or "Vox", is_selected = true, channels = options.track_channels,
    depth = options.depth, gain = 0.5 })
  one.after = host:track(project, { name = "after", depth = options.after_depth })
  local item = { path = one.file, position = 1, length = 0.5 }
  for key, value in pairs(options.item or {}) do item[key] = value end
  one.item = host:item(one.track, item)
  one.server = fake_server.new(one.inbox, options.server)
  one.look = function() one.server:look() end
  return one
end

-- The dialog's answer with the named fields changed; the others stay as they were.
local INDEX = { task = 1, prompts = 2, negative = 3, preset = 4, variations = 5, rest = 6, from = 7, effects = 8, guidance = 9,
  steps = 10, seed = 11 }

function studio.answer(changes)
  local answer = {}
  for key, value in pairs(changes or { prompts = "slap bass" }) do answer[INDEX[key]] = value end
  return answer
end

-- Run the main script with these values to its end.
function studio.run(one, changes, each)
  table.insert(one.host.answers, studio.answer(changes))
  one.host:run("Stemwright")
  one.host:finish(function()
    one.look()
    if each then each() end
  end)
end

function studio.track_named(one, pattern)
  for index, track in ipairs(one.project.tracks) do
    if track.name:match(pattern) then return track, index end
  end
  return nil
end

function studio.names(project)
  local names = {}
  for _, track in ipairs(project.tracks) do names[#names + 1] = track.name end
  return table.concat(names, "|")
end

-- What an item's take plays, as the fake's track accessor hears it.
function studio.played(track, rate, channels, time, frames)
  local buffer = sound.array(frames * channels)
  sound.track(track, rate, channels, time, frames, buffer)
  return buffer.cells
end

-- Largest difference of the sum of tracks from another track, over a span.
function studio.difference(one, tracks, source, position, frames, channels)
  local wanted, worst, loudest = studio.played(source, one.rate, channels, position, frames), 0, 0
  local sums = {}
  for _, track in ipairs(tracks) do
    for index, sample in ipairs(studio.played(track, one.rate, channels, position, frames)) do
      sums[index] = (sums[index] or 0) + sample
    end
  end
  for index, sample in ipairs(wanted) do
    worst = math.max(worst, math.abs(sums[index] - sample))
    loudest = math.max(loudest, math.abs(sample))
  end
  assert(loudest > 0.1, "nothing was compared")
  if os.getenv("STEMWRIGHT_SHOW") then io.stderr:write(("%.2e\n"):format(worst)) end
  return worst
end

-- That a run has left nothing behind: no job, no accessor, no source, no window, no frozen display.
function studio.assert_clean(one)
  local host = one.host
  assert(#fake.list(one.inbox, "d") == 0, "left in the inbox: " .. table.concat(fake.list(one.inbox, "d"), " "))
  assert(host.accessors == 0, "accessors are left")
  assert(host.loose_sources == 0, "sources are left")
  assert(host.frozen == 0, "the display is frozen")
  assert(not host.is_open, "the window is open")
  assert(one.project.open == 0, "an undo block is open")
  assert(one.project.loose == 0, ("%d changes outside an undo block"):format(one.project.loose))
end

function studio.equal(actual, expected, what)
  if actual ~= expected then
    error(("%s: %s, not %s"):format(what or "value", tostring(actual), tostring(expected)), 2)
  end
end

function studio.has(text, part)
  if not tostring(text):find(part, 1, true) then error(("“%s” does not say “%s”"):format(tostring(text), part), 2) end
end

return studio
