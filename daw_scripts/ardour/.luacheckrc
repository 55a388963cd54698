std = "lua53"
read_globals = {
  "ARDOUR", "C", "Editing", "Editor", "LuaDialog", "Session", "Temporal", "ardour",
  "close_session", "create_session", "load_session", "quit", "arg", os = { fields = { "forkexec" } },
}
globals = { "factory" }
max_line_length = 130
exclude_files = { "**/stemwright_protocol.lua" }
