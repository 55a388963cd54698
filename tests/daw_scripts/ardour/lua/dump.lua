-- Compile the factory of each script as the Script Manager does: without its upvalues and its debug names.
local folder = arg[1]
for index = 2, #arg do
  local name = arg[index]:match("([^/]+)%.lua$")
  local place = { ardour = function() end }
  setmetatable(place, { __index = _G })
  assert(loadfile(arg[index], "t", place))()
  local file = assert(io.open(folder .. "/" .. name .. ".luac", "wb"))
  file:write(string.dump(place.factory, true))
  file:close()
end
print("DUMPED")
quit()
