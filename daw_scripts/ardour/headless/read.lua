-- ardour7-lua read.lua SESSION_FOLDER NAME ANSWER TRACK START STOP WAV MODULE
-- Write what a track's playlist holds from START to STOP (samples; -1: where its regions begin and end), before
-- fader and effects, as a WAV file of 32-bit floats; ANSWER gets the numbers, one a line.
-- MODULE: where wav.lua is.

local folder, name, answer, wanted, start, stop, place, module = table.unpack(arg, 1, 8)
local wav = assert(loadfile(module))()
local BLOCK = 8192

local function refuse(text)
  local file = io.open(answer, "w")
  file:write("refused\n", text, "\n")
  file:close()
  close_session()
  quit()
end

local function track_of(session)
  local names = {}
  for route in session:get_tracks():iter() do
    if not route:to_track():to_audio_track():isnil() then
      if route:name() == wanted then return route end
      names[#names + 1] = route:name()
    end
  end
  return nil, table.concat(names, ", ")
end

local function extent(playlist)
  local first, last = math.huge, 0
  for region in playlist:region_list():iter() do
    local begin = region:position():samples()
    first, last = math.min(first, begin), math.max(last, begin + region:length():samples())
  end
  return first, last
end

local function copy(playlist, from, frames, channels, rate)
  local file = assert(io.open(place, "wb"))
  assert(file:write(wav.header(rate, channels, frames)))
  local sound, mix, gain = ARDOUR.DSP.DspShm(BLOCK), ARDOUR.DSP.DspShm(BLOCK), ARDOUR.DSP.DspShm(BLOCK)
  for done = 0, frames - 1, BLOCK do
    local count, lists = math.min(BLOCK, frames - done), {}
    for channel = 1, channels do
      playlist:read(sound:to_float(0), mix:to_float(0), gain:to_float(0), Temporal.timepos_t(from + done),
        Temporal.timecnt_t(count), channel - 1)
      lists[channel] = sound:to_float(0):get_table(count)
    end
    assert(file:write(wav.bytes(lists, count)))
  end
  assert(file:close())
end

local session = load_session(folder, name)
if not session then return refuse("Ardour cannot open " .. folder .. "/" .. name .. ".ardour") end
local route, names = track_of(session)
if not route then return refuse("there is no audio track “" .. wanted .. "”; there are: " .. names) end
local playlist = route:to_track():playlist()
local first, last = extent(playlist)
local from = tonumber(start) >= 0 and tonumber(start) or first
local frames = math.tointeger((tonumber(stop) >= 0 and tonumber(stop) or last) - from)
if not frames or frames <= 0 then return refuse("“" .. wanted .. "” has no sound there") end
local rate, channels = math.tointeger(session:nominal_sample_rate()), math.max(1, route:n_inputs():n_audio())
if frames * channels * 4 > wav.LARGEST then return refuse("that is too long to be sent at once; give --from and --to") end
copy(playlist:to_audioplaylist(), math.tointeger(from), frames, channels, rate)
local file = assert(io.open(answer, "w"))
file:write(("read\n%d\n%d\n%d\n%d\n"):format(from, frames, channels, rate))
file:close()
close_session()
quit()
