std = "lua53"
self = false
max_line_length = 130
exclude_files = { "**/reaper_api.lua" }
files["cases_serving.lua"] = { globals = { "os.rename" } }
