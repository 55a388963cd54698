-- @noindex
-- The last job again, on what is selected now, without a dialog.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "lib/?.lua;" .. package.path

require("app").main({ is_repeat = true })
