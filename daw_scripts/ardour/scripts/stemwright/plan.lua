-- Which tracks the results become: names, colours, takes. No host calls.

local need = ...
local paths = need("paths")

local plan = {}

plan.REST = "rest"
local REST_COLOUR = 0x808080ff
local COLOURS = { -- red, green, blue, opacity; told apart also by people who see red and green alike
  0x0072b2ff, 0xe69f00ff, 0x009e73ff, 0xcc79a7ff, 0x56b4e9ff, 0xd55e00ff, 0xf0e442ff,
}

-- "#e4572e" → 0xe4572eff; nil for anything else
function plan.colour(text)
  local digits = tostring(text):match("^#(%x%x%x%x%x%x)$")
  return digits and tonumber(digits .. "ff", 16)
end

local function kinds_of(results)
  local kinds, takes = {}, {}
  for _, result in ipairs(results) do
    if not takes[result.kind] then
      takes[result.kind] = {}
      if result.kind ~= plan.REST then kinds[#kinds + 1] = result.kind end
    end
    table.insert(takes[result.kind], result)
  end
  return kinds, takes
end

-- The results of one job → tracks { kind, title, colour, takes }: the stems in the server's order, the rest last.
-- A take has path, seed and title; several are variations.
function plan.tracks(results, request, source_name, preset)
  local kinds, takes = kinds_of(results)
  local tracks = {}
  for index, kind in ipairs(kinds) do
    local words = #kinds == #request.prompts and request.prompts[index] or kind
    local colour = #kinds == 1 and preset and plan.colour(preset.colour) or COLOURS[(index - 1) % #COLOURS + 1]
    tracks[index] = { kind = kind, words = words, colour = colour, takes = takes[kind] }
  end
  if takes[plan.REST] then
    tracks[#tracks + 1] = { kind = plan.REST, words = plan.REST, colour = REST_COLOUR, takes = takes[plan.REST] }
  end
  for _, track in ipairs(tracks) do
    local title = source_name == "" and track.words or track.words .. " - " .. source_name
    track.title = paths.track_name(title)
    for _, take in ipairs(track.takes) do
      take.title = #track.takes > 1 and ("%s, seed %d"):format(title, take.seed or 0) or title
    end
  end
  return tracks
end

local function add_takes(track, other, start)
  for index, take in ipairs(other.takes) do
    track.takes[index] = track.takes[index] or {}
    table.insert(track.takes[index], { path = take.path, title = take.title, start = start })
  end
end

-- Parts { key, route, start, tracks } → groups { route, tracks }, one a key: regions of one track share its new
-- tracks. A take of theirs is a list of pieces { path, title, start }.
function plan.groups(parts)
  local groups, by_key = {}, {}
  for _, part in ipairs(parts) do
    local group = by_key[part.key]
    if not group then
      group = { route = part.route, tracks = {}, by_kind = {} }
      groups[#groups + 1], by_key[part.key] = group, group
    end
    for _, other in ipairs(part.tracks) do
      local track = group.by_kind[other.kind]
      if not track then
        track = { title = other.title, colour = other.colour, takes = {} }
        group.by_kind[other.kind] = track
        group.tracks[#group.tracks + 1] = track
      end
      add_takes(track, other, part.start)
    end
  end
  return groups
end

-- What is wrong with a result's file; nil when it is as asked.
-- found: { rate, channels, frames }; span: { frames, rate, channels }
function plan.flaw(found, span)
  for _, key in ipairs({ "rate", "frames", "channels" }) do
    if found[key] ~= span[key] then
      return ("the stem has %s %d, not %d; it is not put into the session"):format(key, found[key], span[key])
    end
  end
  return nil
end

return plan
