-- @noindex
-- Which tracks the results become: names, colours, takes. No host calls.

local plan = {}

plan.REST = "rest"
local REST_COLOUR = { 128, 128, 128 }
local COLOURS = { -- told apart also by people who see red and green alike
  { 0, 114, 178 }, { 230, 159, 0 }, { 0, 158, 115 }, { 204, 121, 167 }, { 86, 180, 233 }, { 213, 94, 0 }, { 240, 228, 66 },
}

local function kinds_of(results)
  local kinds, takes = {}, {}
  for _, result in ipairs(results) do
    if not takes[result.kind] then
      kinds[#kinds + 1], takes[result.kind] = result.kind, {}
    end
    table.insert(takes[result.kind], result)
  end
  return kinds, takes
end

-- "#e4572e" → { 228, 87, 46 }, nil for anything else
function plan.colour(text)
  local red, green, blue = tostring(text):match("^#(%x%x)(%x%x)(%x%x)$")
  return red and { tonumber(red, 16), tonumber(green, 16), tonumber(blue, 16) } or nil
end

-- The results of one job → a list of tracks { kind, title, colour, takes }, in the server's order, the rest last.
-- A take has path, seed and title; variations of one kind are takes of one item.
function plan.tracks(results, request, source_name, preset)
  local kinds, takes = kinds_of(results)
  local own = {}
  for _, kind in ipairs(kinds) do
    if kind ~= plan.REST then own[#own + 1] = kind end
  end
  local tracks = {}
  for index, kind in ipairs(own) do
    local is_told = #own == #request.prompts -- then a prompt's own words say more than its file's name
    local words = is_told and request.prompts[index] or kind
    local colour = #own == 1 and preset and plan.colour(preset.colour) or COLOURS[(index - 1) % #COLOURS + 1]
    tracks[#tracks + 1] = { kind = kind, words = words, colour = colour, takes = takes[kind] }
  end
  if takes[plan.REST] then
    tracks[#tracks + 1] = { kind = plan.REST, words = plan.REST, colour = REST_COLOUR, takes = takes[plan.REST] }
  end
  for _, track in ipairs(tracks) do
    track.title = source_name ~= "" and ("%s - %s"):format(track.words, source_name) or track.words
    for _, take in ipairs(track.takes) do
      take.title = #track.takes > 1 and ("%s, seed %d"):format(track.words, take.seed or 0) or track.words
    end
  end
  return tracks
end

return plan
