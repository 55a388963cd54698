-- The tracks of a test's session: one with so many channels, and another below it.
local session = assert(load_session(arg[1], arg[2]))
session:new_audio_track(tonumber(arg[3]), 2, nil, 1, "Der Mix", -1, ARDOUR.TrackMode.Normal, true)
session:new_audio_track(1, 2, nil, 1, "darunter", -1, ARDOUR.TrackMode.Normal, true)
for _ = 1, 100 do -- they are connected by another thread
  local is_done = true
  for route in session:get_tracks():iter() do is_done = is_done and route:output():audio(0):connected() end
  if is_done then break end
  ARDOUR.LuaAPI.usleep(20000)
end
session:save_state("")
close_session()
quit()
