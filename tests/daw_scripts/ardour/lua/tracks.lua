-- The tracks of a test's session: one with so many channels, and another below it.
local session = assert(load_session(arg[1], arg[2]))
session:new_audio_track(tonumber(arg[3]), 2, nil, 1, "Der Mix", -1, ARDOUR.TrackMode.Normal, true)
session:new_audio_track(1, 2, nil, 1, "darunter", -1, ARDOUR.TrackMode.Normal, true)
session:save_state("")
close_session()
quit()
