-- What the scripts do in a fake REAPER. Every case is a function whose name is the sentence it proves.
--     lua cases.lua SCRIPTS FOLDER GROUP CASE

local here = arg[0]:match("^(.*/)") or "./"
package.path = here .. "?.lua"
require("fake_reaper").scripts = arg[1]
require("studio").folder = arg[2]
local cases = require("cases_" .. arg[3])
assert(cases[arg[4]], "no such case: " .. tostring(arg[4]))()
