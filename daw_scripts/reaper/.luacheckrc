std = "lua53"
read_globals = { "reaper" }
globals = { "gfx" }
max_line_length = 130
exclude_files = { "**/stemwright_protocol.lua" }
