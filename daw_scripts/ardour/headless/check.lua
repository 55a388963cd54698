-- ardour7-lua check.lua SESSION_FOLDER NAME ANSWER
-- What the session holds once Ardour has opened it: position, length, channels, region and track, one a line.

local session = assert(load_session(arg[1], arg[2]))
local file = assert(io.open(arg[3], "w"))
for route in session:get_tracks():iter() do
  local track = route:to_track()
  if not track:to_audio_track():isnil() then
    for region in track:playlist():region_list():iter() do
      local channels = region:to_audioregion():n_channels()
      file:write(("%d\t%d\t%d\t%s\t%s\n"):format(region:position():samples(), region:length():samples(), channels,
        region:name(), route:name()))
    end
  end
end
file:close()
close_session()
quit()
