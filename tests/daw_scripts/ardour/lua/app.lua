-- In the place of app.lua in a test's home: the same, and a file when it has ended, for tests to wait for.

local need = ...
local app = need("app_itself")

return {
  run = function()
    local is_ok, why = pcall(app.run)
    local file = assert(io.open(os.getenv("HOME") .. "/script.ended", "w"))
    file:close()
    if not is_ok then error(why, 0) end
  end,
}
