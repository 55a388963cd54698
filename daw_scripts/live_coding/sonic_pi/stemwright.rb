# Stemwright for Sonic Pi: run this file once, from any buffer:
#
#   run_file "/where/it/is/stemwright.rb"
#
# then, in your own buffers:
#
#   stemwright :verse, "bass", path: "/music/song.wav"   # ask; returns at once
#   stemwright :jam, "drums", last: 8                    # of the last 8 beats that the server's input heard
#
#   live_loop :groove do
#     sync :bar                                          # a loop of yours that cues every bar
#     play_stem :verse, "bass", amp: 0.8                 # plays it, or nothing while it is not there
#   end
#
# Answers arrive as cues. They are sent to the port that Sonic Pi takes cues on, named by notify: newer
# versions send from another port than they listen on. Only whole numbers, fractions and texts are sent.

server_port = ENV.fetch("STEMWRIGHT_PORT", 7836).to_i
cue_port = ENV.fetch("STEMWRIGHT_REPLY_PORT", 4560).to_i

define :stemwright_tell do |request, *words|
  osc_send "127.0.0.1", server_port, "/stemwright/#{request}", *words
end

# Ask for a stem under a name of yours. Options are those of the server's protocol (seed: 3, variations: 2,
# preset: "slap-bass" …), and task: "add", "accompany" or "generate" in place of extract. `last` and `seconds`
# are in beats here; `last` ends now: ask right after a sync to your bars.
define :stemwright do |name, prompt = nil, options = {}|
  prompt, options = nil, prompt if prompt.is_a?(Hash)
  options = options.to_h.dup
  task = options.delete(:task) || "extract"
  id = "sonic-pi-#{name.to_s.gsub(/[^A-Za-z0-9]/, '-')[0, 20]}-#{(Time.now.to_f * 1000).to_i}"
  words = Array(prompt).flat_map { |one| ["prompt", one.to_s] }
  options.each do |key, value|
    value = rt(value) if key == :last || key == :seconds # of a beat, in seconds
    value = value ? 1 : 0 if value == true || value == false
    words.push(key.to_s, value.is_a?(Numeric) ? value : value.to_s)
  end
  set :"stemwright_id_#{name}", id.freeze
  set :"stemwright_state_#{id}", "asked".freeze
  set :"stemwright_words_#{id}", [task.to_s.freeze, *words.map(&:freeze)].freeze
  set :stemwright_open, id.freeze
  stemwright_tell task, id, *words
  id
end

# asked, queued, running, finished, failed or cancelled; nil: never asked for
define :stemwright_state do |name|
  id = get[:"stemwright_id_#{name}"]
  id && get[:"stemwright_state_#{id}"]
end

define :stemwright_cancel do |name|
  id = get[:"stemwright_id_#{name}"]
  stemwright_tell "cancel", id if id
end

# The file of a stem; nil while it is not there. kind: its prompt's name, or "rest".
define :stem do |name, kind = "stem", variation = 0|
  id = get[:"stemwright_id_#{name}"]
  id && get[:"stemwright_stem_#{id}_#{kind}_#{variation}"]
end

# Like sample, for a stem; nothing while it is not there.
define :play_stem do |name, kind = "stem", options = {}|
  kind, options = "stem", kind if kind.is_a?(Hash)
  path = stem(name, kind, options.fetch(:variation, 0))
  sample path, options.to_h.reject { |key, _| key == :variation } if path
end

# No longer listen; run the file again to come back.
define :stemwright_stop do
  set :stemwright_is_off, true
  stemwright_tell "ping", 0 # wakes the loop that waits for answers
end

set :stemwright_is_off, false
set :stemwright_is_known, false

live_loop :stemwright_ears do
  use_real_time
  use_cue_logging false
  event = sync_event "/osc*/stemwright/**"
  stop if get[:stemwright_is_off]
  answer = event.path.sub(/^\/osc[^\/]*\/stemwright\//, "")
  id, *words = event.val.to_a
  case answer
  when "done"
    if id == "/stemwright/notify"
      set :stemwright_is_known, true
      cue :stemwright
    end
  when "startup" # the server is back
    stemwright_tell "notify", 1, cue_port
  when "accepted", "progress"
    state = answer == "accepted" ? "queued" : "running"
    known = get[:"stemwright_state_#{id}"]
    set :"stemwright_state_#{id}", state.freeze if known == "asked" || known == "queued"
  when "result"
    index, _, kind, path, _, seed = words
    first = get[:"stemwright_seed_#{id}"] || seed
    set :"stemwright_seed_#{id}", first
    unless get[:"stemwright_stem_#{id}_#{kind}_#{seed - first}"]
      load_sample path # now, so that it is there in time
      set :"stemwright_stem_#{id}_stem_#{seed - first}", path.dup.freeze unless kind == "rest" ||
        get[:"stemwright_stem_#{id}_stem_#{seed - first}"]
      set :"stemwright_stem_#{id}_#{kind}_#{seed - first}", path.dup.freeze
    end
  when "finished", "cancelled"
    set :"stemwright_state_#{id}", answer.freeze
    cue :stem, id, answer
  when "fail"
    request, text, id = id, words[1], words[2]
    if request == "/stemwright/job" # not known yet, or lost on the way: the same again is the same job
      task, *words = get[:"stemwright_words_#{id}"].to_a
      stemwright_tell task, id, *words if task
    else
      puts "Stemwright: #{text}"
      set :"stemwright_state_#{id}", "failed".freeze
      cue :stem, id, "failed"
    end
  end
end

# The lease lasts 60 seconds. UDP may lose a message: what is not known to have ended is asked after.
live_loop :stemwright_lease do
  use_bpm 60
  use_real_time
  count = tick
  stop if get[:stemwright_is_off]
  if count % 10 == 0 || !get[:stemwright_is_known]
    stemwright_tell "notify", 1, cue_port
    if count == 3
      puts "Stemwright: no answer on port #{server_port}; start it in a terminal: stemwright serve"
    end
  end
  id = get[:stemwright_open]
  stemwright_tell "job", id if id && %w[asked queued running].include?(get[:"stemwright_state_#{id}"])
  sleep 2
end
