-- @noindex
-- Where the stemwright command is, and the inbox it watches.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "lib/?.lua;" .. package.path

require("settings").ask()
