-- @noindex
-- Start the Stemwright server, so that it watches the inbox of these scripts.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "lib/?.lua;" .. package.path

local ok, problem = pcall(require("server").start)
if not ok then reaper.MB(tostring(problem), "Stemwright", 0) end
