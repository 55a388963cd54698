local session = assert(load_session(arg[1], arg[2]))
for route in session:get_tracks():iter() do
  if route:name() == arg[3] then route:mute_control():set_value(1, PBD.GroupControlDisposition.NoGroup) end
end
session:save_state("")
close_session()
quit()
