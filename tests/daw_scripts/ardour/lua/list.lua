-- Tracks from top to bottom: name, where their only region is, its length, channels, and how many playlists there are.
local session = assert(load_session(arg[1], arg[2]))
local rows = {}
for route in session:get_tracks():iter() do
  local track, row = route:to_track(), { route:name() }
  for region in track:playlist():region_list():iter() do
    row[2], row[3] = region:position():samples(), region:length():samples()
    row[4] = region:to_audioregion():n_channels()
    row[5] = session:playlists():playlists_for_track(track):size()
  end
  rows[#rows + 1] = { route:presentation_info_ptr():order(), table.concat(row, "\t") }
end
table.sort(rows, function(one, other) return one[1] < other[1] end)
for _, row in ipairs(rows) do print("ROW\t" .. row[2]) end
close_session()
quit()
