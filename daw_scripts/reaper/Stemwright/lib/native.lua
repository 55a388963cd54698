-- @noindex
-- The dialog and the progress window with what REAPER has itself: GetUserInputs and gfx.

local form = require("form")

local native = {}

local WIDTH, HEIGHT, LINE, EDGE = 460, 150, 20, 14
local ESCAPE, CLOSED = 27, -1
local TITLES = { start = "Start the server", cancel = "Cancel" }

local function is_in_window()
  return gfx.getchar() ~= CLOSED
end

-- A menu of the presets → the name chosen, or nil
local function choose(presets)
  local labels = {}
  for _, preset in ipairs(presets) do
    labels[#labels + 1] = ("%s (%s: %s)"):format(preset.name, preset.task or "", preset.prompt or ""):gsub("[|#!<>]", " ")
  end
  if #labels == 0 then
    reaper.MB("No presets are known yet. They come from the running server; their names can also be typed.", "Stemwright", 0)
    return nil
  end
  gfx.init("Stemwright presets", 1, 1, 0, 200, 200)
  local chosen = gfx.showmenu(table.concat(labels, "|"))
  gfx.quit()
  return presets[chosen] and presets[chosen].name
end

-- → the values, or nil when the user changed their mind
function native.ask(values, presets)
  while true do
    local captions, lines = form.lines(values)
    local is_ok, answer = reaper.GetUserInputs("Stemwright", #form.FIELDS, captions, lines)
    if not is_ok then return nil end
    local given = form.values(answer)
    if not form.is_whole(given) then
      reaper.MB("REAPER's dialog cut the text. Use fewer words, or install ReaImGui, whose fields are longer.", "Stemwright", 0)
    elseif given.preset ~= "?" then
      return given
    else
      values = given
      values.preset = choose(presets) or ""
      form.with_preset(values, presets)
    end
  end
end

local function draw_text(text, row)
  gfx.x, gfx.y = EDGE, EDGE + row * LINE
  gfx.drawstr(text)
end

local function draw_bar(fraction)
  local y = EDGE + 3 * LINE
  gfx.set(0.3, 0.3, 0.3)
  gfx.rect(EDGE, y, WIDTH - 2 * EDGE, 12, 1)
  gfx.set(0.25, 0.6, 0.9)
  gfx.rect(EDGE, y, math.floor((WIDTH - 2 * EDGE) * math.max(0, math.min(1, fraction))), 12, 1)
end

local function draw_button(name, left)
  local width, height = gfx.measurestr(TITLES[name])
  local top = HEIGHT - EDGE - height - 8
  gfx.set(0.35, 0.35, 0.35)
  gfx.rect(left, top, width + 20, height + 8, 1)
  gfx.set(0.95, 0.95, 0.95)
  gfx.x, gfx.y = left + 10, top + 4
  gfx.drawstr(TITLES[name])
  local is_over = gfx.mouse_x >= left and gfx.mouse_x < left + width + 20 and gfx.mouse_y >= top
    and gfx.mouse_y < top + height + 8
  return is_over, left + width + 30
end

local Window = {}
Window.__index = Window

function native.window()
  gfx.init("Stemwright", WIDTH, HEIGHT, 0, 200, 200)
  gfx.setfont(1, "Arial", 15)
  return setmetatable({ was_down = false }, Window)
end

-- One frame. screen: title, line, fraction, buttons → the button pressed, nil for none; closing is cancelling
function Window:draw(screen)
  local key = gfx.getchar()
  if key == CLOSED or key == ESCAPE then return "cancel" end
  gfx.set(0.15, 0.15, 0.15)
  gfx.rect(0, 0, WIDTH, HEIGHT, 1)
  gfx.set(0.95, 0.95, 0.95)
  draw_text(screen.title, 0)
  draw_text(screen.line, 1)
  draw_bar(screen.fraction)
  local is_down, left, pressed = gfx.mouse_cap & 1 == 1, EDGE, nil
  for _, name in ipairs(screen.buttons) do
    local is_over
    is_over, left = draw_button(name, left)
    if is_over and is_down and not self.was_down then pressed = name end
  end
  self.was_down = is_down
  gfx.update()
  return pressed
end

function Window.close()
  if is_in_window() then gfx.quit() end
end

return native
