-- Checks of the modules that call no host; and commands through which Python looks at what they make.
--     lua modules.lua LIB CHECK FOLDER

package.path = arg[1] .. "/?.lua;" .. package.path
local flow, form, json, osc, paths, plan, wav = require("flow"), require("form"), require("json"), require("osc"),
  require("paths"), require("plan"), require("wav")

local checks = {}

local function equal(actual, expected, what)
  if actual ~= expected then
    error(("%s: %s, not %s"):format(what or "value", tostring(actual), tostring(expected)), 2)
  end
end

function checks.json_is_one_line_with_names_in_order()
  equal(json.encode({ b = 1, a = { "x", 2.5 }, c = json.list() }), '{"a":["x",2.5],"b":1,"c":[]}')
  assert(not json.encode({ text = "a\nb\r\0c" }):find("%c"))
end

function checks.json_repairs_what_is_no_utf_8()
  equal(json.encode("a\xFFb\xC3"), '"a?b?"')
  equal(json.decode('"\\ud834\\udd1e \\ud834 x"'), "𝄞 ? x")
end

function checks.json_refuses_numbers_it_does_not_have()
  assert(not pcall(json.encode, 0 / 0))
  assert(not pcall(json.encode, math.huge))
  assert(not pcall(json.encode, print))
end

function checks.json_null_is_no_nil()
  equal(json.decode("[null]")[1], json.null)
  equal(json.encode({ a = json.null }), '{"a":null}')
end

function checks.wav_says_that_a_disk_is_full(_)
  local writer = assert(wav.create("/dev/full", 2, 48000, 100000))
  local samples = {}
  for index = 1, 200000 do samples[index] = 0.5 end
  local ok, why = writer:write(samples, 200000)
  if ok then ok, why = writer:close() end
  assert(not ok and why:find("No space left"), why)
end

function checks.wav_says_when_samples_are_missing(folder)
  local writer = assert(wav.create(folder .. "/short.wav", 1, 48000, 10))
  writer:write({ 1, 2 }, 2)
  local ok, why = writer:close()
  assert(not ok and why == "8 samples are missing", why)
  assert(not wav.create(folder .. "/none/there.wav", 1, 48000, 10))
end

function checks.wav_hears_silence(folder)
  local writer = assert(wav.create(folder .. "/silent.wav", 1, 48000, 300))
  local samples = {}
  for index = 1, 300 do samples[index] = 0 end
  writer:write(samples, 150)
  assert(not writer.has_sound)
  samples[150] = 1e-4
  writer:write(samples, 150)
  assert(writer.has_sound)
  assert(writer:close())
end

function checks.wav_refuses_other_files(folder)
  for name, text in pairs({ empty = "", text = "hello, this is no sound", cut = "RIFF\0\0\0\0WAVEfmt \16\0\0\0\1\0" }) do
    local file = io.open(folder .. "/" .. name, "wb")
    file:write(text)
    file:close()
    local facts, why = wav.info(folder .. "/" .. name)
    assert(not facts and why, name)
  end
  assert(not wav.info(folder .. "/not there"))
end

function checks.inboxes_lie_in_the_home_folder_of_each_system()
  local function environment(values) return function(name) return values[name] end end
  equal(paths.inbox("Other", environment({ HOME = "/home/jö" })), "/home/jö/.local/state/stemwright/inbox")
  equal(paths.inbox("OSX64", environment({ HOME = "/Users/jö" })), "/Users/jö/Library/Application Support/stemwright/inbox")
  equal(paths.inbox("macOS-arm64", environment({ HOME = "/U" })), "/U/Library/Application Support/stemwright/inbox")
  equal(paths.inbox("Win64", environment({ LOCALAPPDATA = "C:\\Users\\Jö\\AppData\\Local" })),
    "C:\\Users\\Jö\\AppData\\Local/stemwright/inbox")
  equal(paths.inbox("Other", environment({ HOME = "/h", STEMWRIGHT_SPOOL = "/spool" })), "/spool/inbox")
end

function checks.ids_are_names_the_server_takes_and_all_different()
  local seen = {}
  for _ = 1, 1000 do
    local id = paths.job_id(os.time(), math.random)
    assert(id:match("^[A-Za-z0-9._%-]+$") and #id <= 64 and not seen[id], id)
    equal(paths.job_time(id .. ".part"), paths.job_time(id))
    seen[id] = true
  end
  equal(paths.job_time("reaper-12-ab"), 12)
  equal(paths.job_time("take-1"), nil)
end

function checks.command_words_are_quoted_or_refused()
  equal(paths.quoted("/a b/c", "Other"), '"/a b/c"')
  equal(paths.quoted("C:\\a b\\歌 (1) & co", "Win64"), '"C:\\a b\\歌 (1) & co"')
  for _, word in ipairs({ 'a"b', "a$b", "a`b", "a\nb", "a\\b", "a!b" }) do assert(not paths.quoted(word, "Other"), word) end
  for _, word in ipairs({ 'a"b', "a%b", "a\nb" }) do assert(not paths.quoted(word, "Win32"), word) end
end

function checks.results_lie_in_out_or_nowhere()
  equal(paths.result_name("out/bass.wav"), "bass.wav")
  for _, path in ipairs({ "bass.wav", "out/../x.wav", "out/a/b.wav", "/out/x", "out/", "out/..", "out/c:x", "out/a\\b" }) do
    equal(paths.result_name(path), nil, path)
  end
end

function checks.prompts_are_split_at_semicolons()
  equal(table.concat(form.prompts(" bass ; ; the drums, loud;"), "|"), "bass|the drums, loud")
end

function checks.the_dialog_gives_back_what_it_was_given()
  local values = form.defaults()
  values.prompts, values.seed = "a, b; \"c\" 歌", "7"
  local captions, lines = form.lines(values)
  local back = form.values(lines)
  for key, value in pairs(values) do equal(back[key], value, key) end
  equal(select(2, captions:gsub(",", ",")), #form.FIELDS + 1, "commas in the captions")
  assert(#form.FIELDS <= 16)
end

function checks.kept_values_that_are_broken_are_the_defaults()
  equal(form.restored("").task, "extract")
  equal(form.restored('{"task": 5, "prompts": "x"}').task, "extract")
  equal(form.restored('{"task": 5, "prompts": "x"}').prompts, "x")
  equal(form.restored(form.kept({ prompts = 'a "b"\nc' })).prompts, 'a "b"\nc')
end

function checks.a_job_goes_from_handed_to_finished()
  local job = flow.new("a", 0)
  equal(flow.told(job), "handed over")
  flow.step(job, 1, { state = "queued", progress = 0 }, nil)
  equal(flow.told(job), "queued")
  flow.step(job, 2, { state = "running", progress = 0.5, stage = "sample", seconds_left = 12.4, text = "" }, nil)
  equal(flow.told(job), "making the sound, 12 s left")
  equal(job.progress, 0.5)
  flow.step(job, 3, nil, { state = "finished", results = { { kind = "bass" } } })
  assert(flow.is_over(job))
  equal(job.progress, 1.0)
  flow.step(job, 4, nil, { state = "failed" }) -- what is over stays so
  equal(job.state, "finished")
end

function checks.a_job_that_nobody_takes_is_absent_and_gets_time_when_a_server_starts()
  local job = flow.new("a", 0)
  flow.step(job, 3.9, nil, nil)
  equal(job.trouble, nil)
  flow.step(job, 4.1, nil, nil)
  equal(job.trouble, "absent")
  flow.started(job, 5)
  equal(flow.told(job), "the server is starting")
  flow.step(job, 60, nil, nil)
  equal(job.trouble, nil)
  flow.step(job, 66, nil, nil)
  equal(job.trouble, "absent")
  flow.step(job, 67, { state = "queued", progress = 0 }, nil)
  equal(job.trouble, nil)
end

function checks.a_running_job_without_news_is_silent_until_there_are_some()
  local job = flow.new("a", 0)
  flow.step(job, 1, { state = "running", progress = 0.1 }, nil)
  flow.step(job, 30, { state = "running", progress = 0.1 }, nil)
  equal(job.trouble, nil)
  flow.step(job, 32, { state = "running", progress = 0.1 }, nil)
  equal(job.trouble, "silent")
  flow.step(job, 33, { state = "running", progress = 0.2 }, nil)
  equal(job.trouble, nil)
end

function checks.a_queued_job_may_wait_longer()
  local job = flow.new("a", 0)
  flow.step(job, 1, { state = "queued", progress = 0 }, nil)
  flow.step(job, 119, { state = "queued", progress = 0 }, nil)
  equal(job.trouble, nil)
  flow.step(job, 122, { state = "queued", progress = 0 }, nil)
  equal(job.trouble, "silent")
end

function checks.a_cancelled_job_ends_when_the_server_says_so_or_says_nothing()
  local job = flow.new("a", 0)
  flow.step(job, 1, { state = "running", progress = 0.1 }, nil)
  flow.cancel(job, 2)
  equal(flow.told(job), "stopping")
  flow.step(job, 6.9, nil, nil)
  equal(job.state, "running")
  flow.step(job, 7.1, nil, nil)
  equal(job.state, "cancelled")
  local other = flow.new("b", 0)
  flow.cancel(other, 1)
  flow.step(other, 2, nil, { state = "cancelled", results = {} })
  equal(other.state, "cancelled")
end

function checks.odd_words_of_a_server_do_no_harm()
  local job = flow.new("a", 0)
  flow.step(job, 1, { state = 5, progress = "much", stage = {}, text = 7, seconds_left = "x" }, nil)
  flow.step(job, 2, { state = "running", progress = 17 }, nil)
  equal(job.progress, 1)
  flow.step(job, 3, { state = "running", progress = 0 / 0 }, nil)
  equal(job.progress, 1)
  flow.step(job, 4, false, false)
  flow.step(job, 8, nil, false)
  equal(job.state, "failed")
  local other = flow.new("b", 0)
  flow.step(other, 1, nil, { state = "finished" })
  equal(other.state, "failed")
  local third = flow.new("c", 0)
  flow.step(third, 1, nil, {})
  equal(third.state, "failed")
end

function checks.tracks_are_named_by_prompts_and_the_rest_is_last_and_grey()
  local results = { { kind = "rest", path = "r" } }
  for seed = 3, 4 do results[#results + 1] = { kind = "slap-bass", path = "a", seed = seed } end
  local tracks = plan.tracks(results, { prompts = { "Slap Bass!" } }, "Vox", nil)
  equal(#tracks, 2)
  equal(tracks[1].title, "Slap Bass! - Vox")
  equal(tracks[1].takes[2].title, "Slap Bass!, seed 4")
  equal(tracks[2].title, "rest - Vox")
  equal(tracks[2].colour[1], 128)
  equal(plan.colour("#0a0B0c")[3], 12)
  equal(plan.colour("red"), nil)
  equal(plan.tracks({ { kind = "a" }, { kind = "b" } }, { prompts = {} }, "", nil)[2].title, "b")
end

function checks.osc_packets_are_those_of_the_standard()
  equal(osc.encode("/oscillator/4/frequency", 440.0), "/oscillator/4/frequency\0,f\0\0\x43\xdc\0\0")
  equal(osc.encode("/foo", 1000, -1, "hello", 1.234, 5.678):sub(1, 16), "/foo\0\0\0\0,iisff\0\0")
  local address, values = osc.decode(osc.encode("/a", 7, "歌", 0.5, ""))
  equal(address, "/a")
  equal(values[1] .. values[2] .. values[3] .. values[4], "7歌0.5")
  for length = 0, 15 do assert(not osc.decode(osc.encode("/foo", 1000, "x"):sub(1, length)), length) end
end

local commands = {}

function commands.echo() io.write(json.encode(assert(json.decode(io.read("a"))))) end

function commands.refuse()
  local value, why = json.decode(io.read("a"))
  assert(value == nil)
  io.write("refused: ", why)
end

function commands.ramp(path, channels, rate, frames)
  channels, frames = math.tointeger(tonumber(channels)), math.tointeger(tonumber(frames))
  local writer, samples = assert(wav.create(path, channels, math.tointeger(tonumber(rate)), frames)), {}
  for index = 1, frames * channels do samples[index] = (index - 1) / 7000 - 0.5 end
  assert(writer:write(samples, #samples))
  assert(writer:close())
end

function commands.bytes(channels, frames)
  io.write(wav.bytes(math.tointeger(tonumber(channels)), math.tointeger(tonumber(frames))))
end

function commands.info(path) io.write(json.encode(assert(wav.info(path)))) end

local run = checks[arg[2]] or commands[arg[2]]
run(table.unpack(arg, 3))
