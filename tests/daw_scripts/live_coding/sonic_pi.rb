# A session with the functions of stemwright.rb; lines for pytest to read.
song, bar = ENV.fetch("STEMWRIGHT_SONG"), ENV.fetch("STEMWRIGHT_BAR")
use_bpm 120

run_file ENV.fetch("STEMWRIGHT_RB")
sync :stemwright

define :ended do |name|
  600.times do
    break if %w[finished failed cancelled].include?(stemwright_state(name))
    sleep 0.5
  end
  puts ["said:", name, stemwright_state(name)].join("\t")
end

stemwright :verse, "bass", path: song
ended :verse
puts ["said:", "stems", stem(:verse, "bass"), stem(:verse, "rest"), stem(:verse) == stem(:verse, "bass")].join("\t")

stemwright :two, preset: :bass, path: song, variations: 2, rest: false
ended :two
puts ["said:", "variations", stem(:two, "bass", 0), stem(:two, "bass", 1)].join("\t")

stemwright :typo, "bass", path: song, promt: "drums"
ended :typo

stemwright :long, "bass", path: song, steps: 1000, variations: 16
240.times { sleep 0.5 unless stemwright_state(:long) == "running" }
stemwright_cancel :long
ended :long

# in time: a bar of a loop, and from the second on its stem beside it, left and right
recording_start
sleep 2
live_loop :bar do
  use_bpm 120
  sample bar, pan: -1, release: 0
  sleep 4
end
live_loop :groove, delay: 4 do
  use_bpm 120
  sync :bar
  play_stem :in_time, "bass", pan: 1
end
stemwright :in_time, "bass", path: bar
ended :in_time
sleep 14
recording_stop
recording_save ENV.fetch("STEMWRIGHT_OUT") + "/record.wav"
sleep 4
live_loop(:groove) { stop } # before what it waits for
sleep 9
live_loop(:bar) { stop }
stemwright_stop
puts ["said:", "ends"].join("\t")
sleep 1
