-- Tests of the modules that call nothing of Ardour. arg[1]: their folder; arg[2]: a folder to write to

local modules = {}
local function need(name)
  if modules[name] == nil then modules[name] = assert(loadfile(arg[1] .. "/" .. name .. ".lua"))(need) end
  return modules[name]
end

local function equal(one, other, what)
  if type(one) == "table" and type(other) == "table" then
    for key in pairs(one) do equal(one[key], other[key], what .. "." .. tostring(key)) end
    for key in pairs(other) do equal(one[key], other[key], what .. "." .. tostring(key)) end
  elseif one ~= other then
    error(("%s: %s, not %s"):format(what, tostring(one), tostring(other)), 2)
  end
end

local json, wav, form, plan, paths = need("json"), need("wav"), need("form"), need("plan"), need("paths")

-- JSON
local odd = { text = 'Jürgen\'s "bass"\n\\ 歌 \1', list = json.list({ 1, 0.5, -2e-9, true, false }), none = json.list() }
equal(json.decode(json.encode(odd)), odd, "round trip")
equal(json.encode({ none = json.list() }), '{"none": []}', "an empty list")
equal(json.decode('"\\ud834\\udd1e\\u00e9\\n"'), "𝄞é\n", "escapes")
equal(json.decode(' {"a" : [ ] , "b":{"c":null}} '), { a = {}, b = {} }, "an object")
for _, broken in ipairs({ "", "{", "[1,]", '{"a"}', '"a', "tru", "1 2", "[" .. ("["):rep(100000), "nil", "{1:2}" }) do
  local value, why = json.decode(broken)
  assert(value == nil and why, broken:sub(1, 20))
end

-- WAV
local place = arg[2] .. "/two.wav"
local file = assert(io.open(place, "wb"))
file:write(wav.header(44100, 2, 300))
local left, right = {}, {}
for frame = 1, 300 do left[frame], right[frame] = frame / 1024, -frame / 1024 end
file:write(wav.bytes({ left, right }, 300))
file:close()
local found = wav.describe(place)
equal({ found.rate, found.channels, found.frames }, { 44100, 2, 300 }, "a WAV file")
assert(wav.describe(arg[1] .. "/json.lua") == nil and wav.describe(arg[2] .. "/none.wav") == nil)

-- Words
equal(paths.quoted("it's"), [['it'\''s']], "quoting")
equal(paths.result_name("out/bass.wav"), "bass.wav", "a result")
for _, wrong in ipairs({ "bass.wav", "out/../x", "/etc/passwd", "out/..", "out/a/b", "out/" }) do
  equal(paths.result_name(wrong), nil, wrong)
end
equal(paths.track_name("a:b/c"), "a-b-c", "a track's name")
local function place_of(values) return function(name) return values[name] end end
equal(paths.inbox(place_of({ HOME = "/h" })), "/h/.local/state/stemwright/inbox", "the inbox")
equal(paths.inbox(place_of({ HOME = "/h", XDG_STATE_HOME = "/s" })), "/s/stemwright/inbox", "the inbox")
equal(paths.inbox(place_of({ STEMWRIGHT_SPOOL = "/p" })), "/p/inbox", "the inbox")
equal(paths.inbox(place_of({ HOME = "/h" }), true), "/h/Library/Application Support/stemwright/inbox", "the inbox")
assert(paths.job_id(1795183173, 15460000000):match("^ardour%-%d+%-%x+%-%x+$"))

-- What is asked for
equal(form.restored(nil), form.DEFAULTS, "no last values")
equal(form.restored({ rest = false, seed = "x", prompts = "bass" }).rest, false, "last values")
equal(form.restored({ rest = false, seed = "x" }).seed, 0, "last values of another kind")
local function values(changes)
  local all = form.restored(nil)
  for key, value in pairs(changes) do all[key] = value end
  return all
end
local request = form.request(values({ prompts = " slap bass ;; drums", guidance = "2,5", seed = 3 }), {})
equal(request, { task = "extract", prompts = { "slap bass", "drums" }, priority = "live", variations = 1, guidance = 2.5,
  seed = 3, rest = 1 }, "a request")
local preset = { name = "add-bass", task = "add", prompt = "bass", colour = "#4b3fa7" }
equal(form.request(values({ preset = "add-bass" }), { preset }).task, "add", "a preset's task")
equal(form.request(values({ preset = "add-bass" }), { preset }).rest, nil, "only extract leaves a rest")
for key, wrong in pairs({ guidance = "101", steps = "1.5", seed = -1, variations = 17, prompts = ("x"):rep(1001) }) do
  local made, why = form.request(values({ prompts = "bass", [key] = wrong }), {})
  assert(made == nil and why, key)
end
assert(not form.request(values({ prompts = " ; " }), {}))

-- What becomes of it
local results = { { kind = "bass", path = "b0", seed = 0 }, { kind = "rest", path = "r0", seed = 0 },
  { kind = "bass", path = "b1", seed = 1 }, { kind = "rest", path = "r1", seed = 1 } }
local tracks = plan.tracks(results, { prompts = { "Bass: tief" } }, "Mix", preset)
equal({ tracks[1].title, tracks[2].title }, { "Bass- tief - Mix", "rest - Mix" }, "titles")
equal({ tracks[1].colour, #tracks[1].takes, tracks[1].takes[2].title }, { 0x4b3fa7ff, 2, "Bass: tief - Mix, seed 1" }, "takes")
local groups = plan.groups({ { key = "1", start = 10, tracks = tracks }, { key = "2", start = 5, tracks = tracks },
  { key = "1", start = 90, tracks = tracks } })
equal({ #groups, #groups[1].tracks, #groups[1].tracks[1].takes, #groups[1].tracks[1].takes[2] }, { 2, 2, 2, 2 }, "groups")
equal(groups[1].tracks[1].takes[2][2], { path = "b1", start = 90, title = "Bass: tief - Mix, seed 1" }, "a piece")
equal(plan.flaw({ rate = 48000, frames = 10, channels = 2 }, { rate = 48000, frames = 10, channels = 2 }), nil, "no flaw")
assert(plan.flaw({ rate = 48000, frames = 11, channels = 2 }, { rate = 48000, frames = 10, channels = 2 }):find("frames 11"))
print("ALL GOOD")
