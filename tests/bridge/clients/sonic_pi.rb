# Stemwright from Sonic Pi: paste into a buffer, and run.
#
# Answers arrive as cues. They are sent to the port that Sonic Pi takes cues on (4560), named by notify:
# newer versions send from another port than they listen on.

stemwright_port = ENV.fetch("STEMWRIGHT_PORT", 7836).to_i
cue_port = ENV.fetch("STEMWRIGHT_REPLY_PORT", 4560).to_i
song = ENV.fetch("STEMWRIGHT_SONG")

use_osc "127.0.0.1", stemwright_port
use_real_time

live_loop :stemwright do
  use_real_time
  event = sync_event "/osc*/stemwright/**"
  address = event.path.sub(/^\/osc[^\/]*/, "")
  job = event.val[0]
  puts [address, *event.val].join("\t")

  case address
  when "/stemwright/done"
    unless get[:is_known]
      set :is_known, true
      osc "/stemwright/extract", "sonic-pi-bass", "prompt", "bass", "path", song
    end
  when "/stemwright/finished"
    osc "/stemwright/extract", "sonic-pi-typo", "promt", "bass", "path", song # a mistake: no such option
  when "/stemwright/fail"
    stop unless event.val.last == "sonic-pi-typo"
    osc "/stemwright/extract", "sonic-pi-long", "prompt", "bass", "path", song, "steps", 1000, "variations", 16
  when "/stemwright/progress"
    if job == "sonic-pi-long" && !get[:is_stopping]
      set :is_stopping, true
      osc "/stemwright/cancel", job
    end
  when "/stemwright/cancelled"
    stop
  end
end

# UDP may lose a message, so ask again until the answer is heard.
# The lease lasts 60 seconds; a longer session asks once more in time.
until get[:is_known]
  osc "/stemwright/notify", 1, cue_port
  sleep 0.5
end
