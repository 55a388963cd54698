-- ardour7-lua tracks.lua SESSION_FOLDER NAME ANSWER BELOW [TITLE COLOUR]...
-- Make tracks directly below the track BELOW, and save. ANSWER gets the ids of their playlists and their names, one
-- track a line.

local folder, name, answer, below = table.unpack(arg, 1, 4)

local function route_named(session, wanted)
  for route in session:get_tracks():iter() do
    if route:name() == wanted then return route end
  end
  return nil
end

-- Ardour 7 takes nil for "in no group", later ones want an empty group.
local function no_group()
  local is_newer, group = pcall(function() return ARDOUR.RouteGroup() end)
  return is_newer and group or nil
end

-- Ardour connects new tracks to the master in a thread of its own; saved too early, they would be heard by nobody.
local function wait_for_outputs(routes)
  for _ = 1, 500 do
    local is_done = true
    for _, route in ipairs(routes) do
      is_done = is_done and (route:n_outputs():n_audio() == 0 or route:output():audio(0):connected())
    end
    if is_done then return end
    ARDOUR.LuaAPI.usleep(20000)
  end
  print("warning: the new tracks are connected to nothing")
end

local session = assert(load_session(folder, name))
local source = assert(route_named(session, below))
local order, lines, routes = source:presentation_info_ptr():order(), {}, {}
for at = 5, #arg, 2 do
  local made = session:new_audio_track(math.max(1, source:n_inputs():n_audio()), source:n_outputs():n_audio(), no_group(), 1,
    arg[at], order + #lines + 1, ARDOUR.TrackMode.Normal, true)
  for route in made:iter() do
    routes[#routes + 1] = route
    route:presentation_info_ptr():set_color(math.tointeger(arg[at + 1]))
    lines[#lines + 1] = route:to_track():playlist():to_stateful():id():to_s() .. "\t" .. route:name()
  end
end
wait_for_outputs(routes)
session:save_state("")
local file = assert(io.open(answer, "w"))
file:write(table.concat(lines, "\n"), "\n")
file:close()
close_session()
quit()
