-- @description Stemwright: take out, add or make parts by words
-- @version 0.1.0
-- @author Stemwright
-- @about
--   # Stemwright
--   Select a time and tracks, or items; say what you want to hear; the stem and the rest come back on new tracks
--   below the source, at the same place and length, as one undo step. Needs the Stemwright server on this
--   machine (pip install stemwright). No extension is required; ReaImGui is used when it is there.
-- @provides
--   [main] Stemwright - Repeat.lua
--   [main] Stemwright - Start server.lua
--   [main] Stemwright - Settings.lua
--   [nomain] lib/*.lua
-- @changelog
--   First version.

local folder = debug.getinfo(1, "S").source:match("^@(.*[/\\])") or "./"
package.path = folder .. "lib/?.lua;" .. package.path

require("app").main()
