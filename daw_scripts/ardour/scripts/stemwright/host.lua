-- The session: what is selected, its sound, and the tracks that results become.

local need = ...
local wav = need("wav")

local host = {}

local BLOCK = 8192 -- frames read at a time

local function is_audio(track)
  return not track:isnil() and not track:to_track():isnil() and not track:to_track():to_audio_track():isnil()
end

local function channels_of(route)
  return math.max(1, route:n_inputs():n_audio())
end

local function span(route, start, stop)
  return {
    route = route, name = route:name(), start = start, frames = stop - start,
    rate = math.floor(Session:nominal_sample_rate()), channels = channels_of(route),
  }
end

local function of_range(selection)
  local spans = {}
  for route in selection.tracks:routelist():iter() do
    if is_audio(route) then
      spans[#spans + 1] = span(route, selection.time:start_sample(), selection.time:end_sample())
    end
  end
  return spans
end

-- Which track a region lies on: regions do not tell, so the playlists are looked through.
local function route_of(region)
  local id = region:to_stateful():id():to_s()
  for route in Session:get_tracks():iter() do
    if is_audio(route) then
      for other in route:to_track():playlist():region_list():iter() do
        if other:to_stateful():id():to_s() == id then return route end
      end
    end
  end
  return nil
end

local function of_regions(selection)
  local spans = {}
  for region in selection.regions:regionlist():iter() do
    local route = not region:to_audioregion():isnil() and route_of(region)
    if route then
      local start = region:position():samples()
      spans[#spans + 1] = span(route, start, start + region:length():samples())
    end
  end
  table.sort(spans, function(one, other) return one.start < other.start end)
  return spans
end

-- What is selected: a list of { route, name, start, frames, rate, channels }, positions in samples of the session.
-- A range counts for every audio track it covers; else the selected audio regions do.
-- is_range: whether there is a range at all, also without a track
function host.selected()
  local selection = Editor:get_selection()
  local is_range = selection.time:end_sample() > selection.time:start_sample()
  local spans = is_range and of_range(selection) or of_regions(selection)
  return spans, is_range
end

-- The selected time alone, for what is made from words: at the end of the session's tracks.
function host.time()
  local time = Editor:get_selection().time
  local rate = math.floor(Session:nominal_sample_rate())
  return { name = "", start = time:start_sample(), frames = time:end_sample() - time:start_sample(), rate = rate, channels = 2 }
end

-- Write what the track's playlist holds in the span, before fader and effects: bit for bit where a region plays
-- unchanged. tell(share) is called on the way and stops it by true. → the loudest sample, nil when stopped
function host.record(one, path, tell)
  local file, why = io.open(path, "wb")
  if not file then error(why, 0) end
  local playlist = one.route:to_track():playlist():to_audioplaylist()
  local sound, mix, gain = ARDOUR.DSP.DspShm(BLOCK), ARDOUR.DSP.DspShm(BLOCK), ARDOUR.DSP.DspShm(BLOCK)
  local is_written = file:write(wav.header(one.rate, one.channels, one.frames))
  local peak = 0.0
  for done = 0, one.frames - 1, BLOCK do
    local count, lists = math.min(BLOCK, one.frames - done), {}
    for channel = 1, one.channels do
      playlist:read(sound:to_float(0), mix:to_float(0), gain:to_float(0), Temporal.timepos_t(one.start + done),
        Temporal.timecnt_t(count), channel - 1)
      lists[channel] = sound:to_float(0):get_table(count)
      peak = ARDOUR.DSP.compute_peak(sound:to_float(0), count, peak)
    end
    is_written = is_written and file:write(wav.bytes(lists, count))
    if tell((done + count) / one.frames) then
      file:close()
      return nil
    end
  end
  local is_closed = file:close()
  if not (is_written and is_closed) then error(path .. " cannot be written: is the disk full?", 0) end
  return peak
end

local function regions_by_id()
  local regions = {}
  for _, region in ARDOUR.RegionFactory.regions():iter() do
    regions[region:to_stateful():id():to_s()] = region
  end
  return regions
end

local function name_source()
  local names = ARDOUR.MidiTrackNameSource -- another word since Ardour 8
  return names.SMFTrackName or names.SMFFileAndTrackName
end

-- Copy a file into the session → the region of all of it
local function imported(path)
  local before = regions_by_id()
  local files = C.StringVector()
  files:push_back(path)
  Editor:do_import(files, Editing.ImportDistinctFiles, Editing.ImportAsRegion, ARDOUR.SrcQuality.SrcBest, name_source(),
    ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore, Temporal.timepos_t(0), ARDOUR.PluginInfo(), ARDOUR.Track(), false)
  for id, region in pairs(regions_by_id()) do
    if not before[id] and region:whole_file() then return region end
  end
  error("Ardour did not import " .. path, 0)
end

-- Ardour 7 takes nil for "in no group", later ones want an empty group.
local function no_group()
  local is_newer, group = pcall(function() return ARDOUR.RouteGroup() end)
  return is_newer and group or nil
end

local function new_route(title, like, order)
  local outputs = like and like:n_outputs():n_audio() or 2
  local made = Session:new_audio_track(like and channels_of(like) or 2, outputs, no_group(), 1, title, order,
    ARDOUR.TrackMode.Normal, true)
  local newest
  for route in made:iter() do newest = route end
  if not newest then error("Ardour made no new track; are there too many already?", 0) end
  return newest
end

-- The new tracks of a group, in order and directly below its route (nil: at the end).
local function make_tracks(group)
  local order = group.route and group.route:presentation_info_ptr():order() or nil
  for index, track in ipairs(group.tracks) do
    track.route = new_route(track.title, group.route, order and order + index or -1)
    track.route:presentation_info_ptr():set_color(track.colour)
  end
end

local function put(playlist, pieces)
  playlist:to_stateful():clear_changes()
  for _, piece in ipairs(pieces) do
    local region = ARDOUR.RegionFactory.clone_region(piece.region, true, false)
    region:set_name(piece.title)
    region:to_audioregion():set_fade_in_active(false) -- with fades, stem + rest would not be the mix at the ends
    region:to_audioregion():set_fade_out_active(false)
    playlist:add_region(region, Temporal.timepos_t(piece.start), 1, false)
  end
  Session:add_stateful_diff_command(playlist:to_statefuldestructible())
end

-- One take on the track's playlist, each further one on a playlist of its own; the first stays chosen.
local function put_takes(track)
  local line = track.route:to_track()
  local first = line:playlist()
  for index, pieces in ipairs(track.takes) do
    if index > 1 then line:use_new_playlist(first:data_type()) end
    put(line:playlist(), pieces)
  end
  if #track.takes > 1 then line:use_playlist(first:data_type(), first, true) end
end

local function each_track(groups, act)
  for _, group in ipairs(groups) do
    for _, track in ipairs(group.tracks) do act(track) end
  end
end

-- Put all results into the session. Copying files in and making tracks cannot be undone in Ardour; all regions
-- are one undo step. groups: of plan.groups
function host.deliver(groups, title)
  each_track(groups, function(track)
    for _, pieces in ipairs(track.takes) do
      for _, piece in ipairs(pieces) do piece.region = imported(piece.path) end
    end
  end)
  for _, group in ipairs(groups) do make_tracks(group) end
  Session:begin_reversible_command(title)
  each_track(groups, put_takes)
  if not Session:abort_empty_reversible_command() then Session:commit_reversible_command(nil) end
end

return host
