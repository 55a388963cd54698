-- The protocol of Stemwright's bridge.
-- Made from asks.py, answers.py and options.py of bridge/ by `make protocol`; do not edit.

local protocol = {}

protocol.PROTOCOL = 1
protocol.PORT = 7836
protocol.HTTP_PORT = 7837
protocol.LONGEST_REPLY = 1400
protocol.LONGEST_ID = 64
protocol.PING = "/stemwright/ping"
protocol.ASK_STATUS = "/stemwright/status"
protocol.ASK_VERSION = "/stemwright/version"
protocol.TOKEN = "/stemwright/token"
protocol.NOTIFY = "/stemwright/notify"
protocol.SYNC = "/stemwright/sync"
protocol.ASK_MODELS = "/stemwright/models"
protocol.ASK_PRESETS = "/stemwright/presets"
protocol.EXTRACT = "/stemwright/extract"
protocol.ADD = "/stemwright/add"
protocol.ACCOMPANY = "/stemwright/accompany"
protocol.GENERATE = "/stemwright/generate"
protocol.CANCEL = "/stemwright/cancel"
protocol.ASK_JOB = "/stemwright/job"
protocol.ASK_JOBS = "/stemwright/jobs"
protocol.OPEN_UPLOAD = "/stemwright/upload/open"
protocol.CHUNK = "/stemwright/upload/chunk"
protocol.CLOSE_UPLOAD = "/stemwright/upload/close"
protocol.CAPTURE = "/stemwright/capture"
protocol.PLAY = "/stemwright/play"
protocol.STOP = "/stemwright/stop"
protocol.ASK_BUFFER = "/stemwright/buffer"
protocol.LEARN = "/stemwright/learn"
protocol.PONG = "/stemwright/pong"
protocol.STATUS = "/stemwright/status.reply"
protocol.VERSION = "/stemwright/version.reply"
protocol.SYNCED = "/stemwright/synced"
protocol.DONE = "/stemwright/done"
protocol.MODEL = "/stemwright/models.reply"
protocol.PRESET = "/stemwright/presets.reply"
protocol.ACCEPTED = "/stemwright/accepted"
protocol.JOB_STATE = "/stemwright/job.reply"
protocol.UPLOAD_OPENED = "/stemwright/upload/opened"
protocol.UPLOAD_DONE = "/stemwright/upload/done"
protocol.UPLOAD_MISSING = "/stemwright/upload/missing"
protocol.CAPTURED = "/stemwright/captured"
protocol.BUFFER = "/stemwright/buffer.reply"
protocol.PROGRESS = "/stemwright/progress"
protocol.RESULT = "/stemwright/result"
protocol.FINISHED = "/stemwright/finished"
protocol.CANCELLED = "/stemwright/cancelled"
protocol.FAIL = "/stemwright/fail"
protocol.STARTUP = "/stemwright/startup"
protocol.CODE_BAD_ARGS = "bad_args"
protocol.CODE_UNKNOWN_ADDRESS = "unknown_address"
protocol.CODE_UNKNOWN_MODEL = "unknown_model"
protocol.CODE_UNKNOWN_PRESET = "unknown_preset"
protocol.CODE_NOT_FOUND = "not_found"
protocol.CODE_FORBIDDEN_PATH = "forbidden_path"
protocol.CODE_FORBIDDEN = "forbidden"
protocol.CODE_TOO_LARGE = "too_large"
protocol.CODE_BUSY = "busy"
protocol.CODE_QUEUE_FULL = "queue_full"
protocol.CODE_DISK_FULL = "disk_full"
protocol.CODE_TOO_FAR = "too_far"
protocol.CODE_ID_IN_USE = "id_in_use"
protocol.CODE_NO_AUDIO = "no_audio"
protocol.CODE_BAD_INPUT = "bad_input"
protocol.CODE_BAD_JOB = "bad_job"
protocol.CODE_MODEL = "model"
protocol.CODE_WORKER_LOST = "worker_lost"
protocol.CODE_INTERNAL = "internal"
protocol.CODES = {
  ["bad_args"] = "arguments missing, too many, of a wrong type or out of range",
  ["unknown_address"] = "no such request",
  ["unknown_model"] = "no model of that name",
  ["unknown_preset"] = "no preset of that name",
  ["not_found"] = "no such job, upload, capture or file",
  ["forbidden_path"] = "the path is outside the allowed folders, or not a plain audio file",
  ["forbidden"] = "the sender may not do this: no token, or not on the allow-list",
  ["too_large"] = "over a size limit",
  ["busy"] = "too many requests at once; ask again in a moment",
  ["queue_full"] = "the queue has no room; ask again when a job has ended",
  ["disk_full"] = "no room on the disk, or the spool's limit is reached",
  ["too_far"] = "the bundle's time lies too far ahead",
  ["id_in_use"] = "a job or upload of that id exists and is another one",
  ["no_audio"] = "no live input or output runs, or it has not heard that much yet",
  ["bad_input"] = "the audio cannot be read or used",
  ["bad_job"] = "the engine cannot do what is asked",
  ["model"] = "the model cannot be opened",
  ["worker_lost"] = "the engine's process ended twice while it worked on the job",
  ["internal"] = "an error of ours; the server's log has more",
}
protocol.TASKS = {"extract", "add", "accompany", "generate"}
protocol.REQUESTS = {
  ["/stemwright/ping"] = {
    ["types"] = "i",
    ["needed"] = 0,
    ["fields"] = {"number"},
    ["has_options"] = false,
  },
  ["/stemwright/status"] = {
    ["types"] = "",
    ["needed"] = 0,
    ["fields"] = {},
    ["has_options"] = false,
  },
  ["/stemwright/version"] = {
    ["types"] = "",
    ["needed"] = 0,
    ["fields"] = {},
    ["has_options"] = false,
  },
  ["/stemwright/token"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"token"},
    ["has_options"] = false,
  },
  ["/stemwright/notify"] = {
    ["types"] = "ii",
    ["needed"] = 1,
    ["fields"] = {"on", "port"},
    ["has_options"] = false,
  },
  ["/stemwright/sync"] = {
    ["types"] = "i",
    ["needed"] = 1,
    ["fields"] = {"number"},
    ["has_options"] = false,
  },
  ["/stemwright/models"] = {
    ["types"] = "",
    ["needed"] = 0,
    ["fields"] = {},
    ["has_options"] = false,
  },
  ["/stemwright/presets"] = {
    ["types"] = "",
    ["needed"] = 0,
    ["fields"] = {},
    ["has_options"] = false,
  },
  ["/stemwright/extract"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = true,
  },
  ["/stemwright/add"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = true,
  },
  ["/stemwright/accompany"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = true,
  },
  ["/stemwright/generate"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = true,
  },
  ["/stemwright/cancel"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = false,
  },
  ["/stemwright/job"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = false,
  },
  ["/stemwright/jobs"] = {
    ["types"] = "",
    ["needed"] = 0,
    ["fields"] = {},
    ["has_options"] = false,
  },
  ["/stemwright/upload/open"] = {
    ["types"] = "sisii",
    ["needed"] = 2,
    ["fields"] = {"upload", "bytes", "format", "rate", "channels"},
    ["has_options"] = false,
  },
  ["/stemwright/upload/chunk"] = {
    ["types"] = "sib",
    ["needed"] = 3,
    ["fields"] = {"upload", "offset", "data"},
    ["has_options"] = false,
  },
  ["/stemwright/upload/close"] = {
    ["types"] = "ss",
    ["needed"] = 2,
    ["fields"] = {"upload", "crc32"},
    ["has_options"] = false,
  },
  ["/stemwright/capture"] = {
    ["types"] = "sfs",
    ["needed"] = 2,
    ["fields"] = {"capture", "length", "unit"},
    ["has_options"] = false,
  },
  ["/stemwright/play"] = {
    ["types"] = "sii",
    ["needed"] = 1,
    ["fields"] = {"job", "index", "loops"},
    ["has_options"] = false,
  },
  ["/stemwright/stop"] = {
    ["types"] = "",
    ["needed"] = 0,
    ["fields"] = {},
    ["has_options"] = false,
  },
  ["/stemwright/buffer"] = {
    ["types"] = "siii",
    ["needed"] = 4,
    ["fields"] = {"job", "index", "offset", "length"},
    ["has_options"] = false,
  },
  ["/stemwright/learn"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"action"},
    ["has_options"] = false,
  },
}
protocol.ANSWERS = {
  ["/stemwright/pong"] = {
    ["types"] = "i",
    ["needed"] = 1,
    ["fields"] = {"number"},
    ["has_options"] = false,
  },
  ["/stemwright/status.reply"] = {
    ["types"] = "siisfs",
    ["needed"] = 6,
    ["fields"] = {"state", "queued", "running", "model", "progress", "device"},
    ["has_options"] = false,
  },
  ["/stemwright/version.reply"] = {
    ["types"] = "ssi",
    ["needed"] = 3,
    ["fields"] = {"name", "version", "protocol"},
    ["has_options"] = false,
  },
  ["/stemwright/synced"] = {
    ["types"] = "i",
    ["needed"] = 1,
    ["fields"] = {"number"},
    ["has_options"] = false,
  },
  ["/stemwright/done"] = {
    ["types"] = "ss",
    ["needed"] = 1,
    ["fields"] = {"request", "text"},
    ["has_options"] = false,
  },
  ["/stemwright/models.reply"] = {
    ["types"] = "iisss",
    ["needed"] = 5,
    ["fields"] = {"index", "count", "name", "tasks", "state"},
    ["has_options"] = false,
  },
  ["/stemwright/presets.reply"] = {
    ["types"] = "iissss",
    ["needed"] = 6,
    ["fields"] = {"index", "count", "name", "task", "prompt", "colour"},
    ["has_options"] = false,
  },
  ["/stemwright/accepted"] = {
    ["types"] = "si",
    ["needed"] = 2,
    ["fields"] = {"job", "position"},
    ["has_options"] = false,
  },
  ["/stemwright/job.reply"] = {
    ["types"] = "ssfss",
    ["needed"] = 4,
    ["fields"] = {"job", "state", "progress", "stage", "text"},
    ["has_options"] = false,
  },
  ["/stemwright/upload/opened"] = {
    ["types"] = "si",
    ["needed"] = 2,
    ["fields"] = {"upload", "chunk_bytes"},
    ["has_options"] = false,
  },
  ["/stemwright/upload/done"] = {
    ["types"] = "si",
    ["needed"] = 2,
    ["fields"] = {"upload", "bytes"},
    ["has_options"] = false,
  },
  ["/stemwright/upload/missing"] = {
    ["types"] = "sii",
    ["needed"] = 3,
    ["fields"] = {"upload", "offset", "length"},
    ["has_options"] = false,
  },
  ["/stemwright/captured"] = {
    ["types"] = "ssfii",
    ["needed"] = 5,
    ["fields"] = {"capture", "path", "seconds", "rate", "channels"},
    ["has_options"] = false,
  },
  ["/stemwright/buffer.reply"] = {
    ["types"] = "siiib",
    ["needed"] = 5,
    ["fields"] = {"job", "index", "offset", "size", "data"},
    ["has_options"] = false,
  },
  ["/stemwright/progress"] = {
    ["types"] = "sfsf",
    ["needed"] = 4,
    ["fields"] = {"job", "done", "stage", "seconds_left"},
    ["has_options"] = false,
  },
  ["/stemwright/result"] = {
    ["types"] = "siissfi",
    ["needed"] = 6,
    ["fields"] = {"job", "index", "count", "kind", "path", "seconds", "seed"},
    ["has_options"] = false,
  },
  ["/stemwright/finished"] = {
    ["types"] = "sf",
    ["needed"] = 2,
    ["fields"] = {"job", "seconds"},
    ["has_options"] = false,
  },
  ["/stemwright/cancelled"] = {
    ["types"] = "s",
    ["needed"] = 1,
    ["fields"] = {"job"},
    ["has_options"] = false,
  },
  ["/stemwright/fail"] = {
    ["types"] = "ssss",
    ["needed"] = 3,
    ["fields"] = {"request", "code", "text", "job"},
    ["has_options"] = false,
  },
  ["/stemwright/startup"] = {
    ["types"] = "si",
    ["needed"] = 2,
    ["fields"] = {"version", "protocol"},
    ["has_options"] = false,
  },
}
protocol.OPTIONS = {
  ["prompt"] = {
    ["type"] = "s",
    ["is_repeated"] = true,
  },
  ["negative"] = {
    ["type"] = "s",
  },
  ["like"] = {
    ["type"] = "s",
  },
  ["preset"] = {
    ["type"] = "s",
  },
  ["model"] = {
    ["type"] = "s",
  },
  ["path"] = {
    ["type"] = "s",
  },
  ["upload"] = {
    ["type"] = "s",
  },
  ["capture"] = {
    ["type"] = "s",
  },
  ["last"] = {
    ["type"] = "f",
    ["low"] = 0.1,
    ["high"] = 600.0,
  },
  ["bars"] = {
    ["type"] = "f",
    ["low"] = 0.25,
    ["high"] = 256.0,
  },
  ["start"] = {
    ["type"] = "f",
    ["low"] = 0.0,
    ["high"] = 1000000.0,
  },
  ["seconds"] = {
    ["type"] = "f",
    ["low"] = 0.05,
    ["high"] = 86400.0,
  },
  ["steps"] = {
    ["type"] = "i",
    ["low"] = 1,
    ["high"] = 1000,
  },
  ["guidance"] = {
    ["type"] = "f",
    ["low"] = 0.0,
    ["high"] = 100.0,
  },
  ["sampler"] = {
    ["type"] = "s",
    ["values"] = {"ddim", "unipc", "ab2"},
  },
  ["seed"] = {
    ["type"] = "i",
    ["low"] = 0,
    ["high"] = 2147483647,
  },
  ["variations"] = {
    ["type"] = "i",
    ["low"] = 1,
    ["high"] = 16,
  },
  ["render"] = {
    ["type"] = "s",
    ["values"] = {"preserve", "decode"},
  },
  ["track"] = {
    ["type"] = "s",
  },
  ["grid"] = {
    ["type"] = "s",
    ["values"] = {"auto", "uniform", "blended"},
  },
  ["last_level"] = {
    ["type"] = "f",
    ["low"] = 0.0,
    ["high"] = 0.5,
  },
  ["overlap"] = {
    ["type"] = "f",
    ["low"] = 0.0,
    ["high"] = 3600.0,
  },
  ["inpainting"] = {
    ["type"] = "s",
    ["values"] = {"adaptive", "canonical", "repaint"},
  },
  ["resamples"] = {
    ["type"] = "i",
    ["low"] = 1,
    ["high"] = 50,
  },
  ["null"] = {
    ["type"] = "s",
    ["values"] = {"all", "own"},
  },
  ["rescale"] = {
    ["type"] = "f",
    ["low"] = 0.0,
    ["high"] = 1.0,
  },
  ["posterior"] = {
    ["type"] = "s",
    ["values"] = {"mean", "sample"},
  },
  ["joint"] = {
    ["type"] = "i",
    ["low"] = 0,
    ["high"] = 1,
  },
  ["stem_by_stem"] = {
    ["type"] = "i",
    ["low"] = 0,
    ["high"] = 1,
  },
  ["rest"] = {
    ["type"] = "i",
    ["low"] = 0,
    ["high"] = 1,
  },
  ["rate"] = {
    ["type"] = "i",
    ["low"] = 8000,
    ["high"] = 384000,
  },
  ["channels"] = {
    ["type"] = "i",
    ["low"] = 1,
    ["high"] = 64,
  },
  ["format"] = {
    ["type"] = "s",
    ["values"] = {"wav", "flac"},
  },
  ["priority"] = {
    ["type"] = "s",
    ["values"] = {"live", "batch"},
  },
  ["play"] = {
    ["type"] = "i",
    ["low"] = 0,
    ["high"] = 1,
  },
}

return protocol
