ardour {
  ["type"] = "EditorAction",
  name = "Stemwright",
  author = "Stemwright",
  license = "MIT",
  description = [[
Take a part out of the selected range or regions, or make one that fits to them, by words.
The stem and the rest come as new tracks below the source, at the exact sample.
Needs a running server: stemwright serve]],
}

-- Ardour keeps this factory compiled and alone, so all else is read when the button is pressed.
function factory() return function()
  local folder, modules = ARDOUR.user_config_directory(-1) .. "/scripts/stemwright/", {}
  local function need(name)
    if modules[name] == nil then
      local chunk, why = loadfile(folder .. name .. ".lua")
      if not chunk then error(why, 0) end
      modules[name] = chunk(need)
    end
    return modules[name]
  end
  local is_ok, why = pcall(function() need("app").run() end)
  if not is_ok then
    local hint = "\n\nIf files are missing: copy the whole folder scripts/ again, as the README says."
    LuaDialog.Message("Stemwright", tostring(why) .. hint, LuaDialog.MessageType.Error, LuaDialog.ButtonType.Close):run()
  end
  collectgarbage()
end end
