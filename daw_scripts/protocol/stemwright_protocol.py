"""The protocol of Stemwright's bridge.

Made from asks.py, answers.py and options.py of bridge/ by `make protocol`; do not edit.
"""

PROTOCOL = 1
PORT = 7836
HTTP_PORT = 7837
LONGEST_REPLY = 1400
LONGEST_ID = 64
PING = "/stemwright/ping"
ASK_STATUS = "/stemwright/status"
ASK_VERSION = "/stemwright/version"
TOKEN = "/stemwright/token"
NOTIFY = "/stemwright/notify"
SYNC = "/stemwright/sync"
ASK_MODELS = "/stemwright/models"
ASK_PRESETS = "/stemwright/presets"
EXTRACT = "/stemwright/extract"
ADD = "/stemwright/add"
ACCOMPANY = "/stemwright/accompany"
GENERATE = "/stemwright/generate"
CANCEL = "/stemwright/cancel"
ASK_JOB = "/stemwright/job"
ASK_JOBS = "/stemwright/jobs"
OPEN_UPLOAD = "/stemwright/upload/open"
CHUNK = "/stemwright/upload/chunk"
CLOSE_UPLOAD = "/stemwright/upload/close"
CAPTURE = "/stemwright/capture"
PLAY = "/stemwright/play"
STOP = "/stemwright/stop"
ASK_BUFFER = "/stemwright/buffer"
LEARN = "/stemwright/learn"
PONG = "/stemwright/pong"
STATUS = "/stemwright/status.reply"
VERSION = "/stemwright/version.reply"
SYNCED = "/stemwright/synced"
DONE = "/stemwright/done"
MODEL = "/stemwright/models.reply"
PRESET = "/stemwright/presets.reply"
ACCEPTED = "/stemwright/accepted"
JOB_STATE = "/stemwright/job.reply"
UPLOAD_OPENED = "/stemwright/upload/opened"
UPLOAD_DONE = "/stemwright/upload/done"
UPLOAD_MISSING = "/stemwright/upload/missing"
CAPTURED = "/stemwright/captured"
BUFFER = "/stemwright/buffer.reply"
PROGRESS = "/stemwright/progress"
RESULT = "/stemwright/result"
FINISHED = "/stemwright/finished"
CANCELLED = "/stemwright/cancelled"
FAIL = "/stemwright/fail"
STARTUP = "/stemwright/startup"
CODE_BAD_ARGS = "bad_args"
CODE_UNKNOWN_ADDRESS = "unknown_address"
CODE_UNKNOWN_MODEL = "unknown_model"
CODE_UNKNOWN_PRESET = "unknown_preset"
CODE_NOT_FOUND = "not_found"
CODE_FORBIDDEN_PATH = "forbidden_path"
CODE_FORBIDDEN = "forbidden"
CODE_TOO_LARGE = "too_large"
CODE_BUSY = "busy"
CODE_QUEUE_FULL = "queue_full"
CODE_DISK_FULL = "disk_full"
CODE_TOO_FAR = "too_far"
CODE_ID_IN_USE = "id_in_use"
CODE_NO_AUDIO = "no_audio"
CODE_BAD_INPUT = "bad_input"
CODE_BAD_JOB = "bad_job"
CODE_MODEL = "model"
CODE_WORKER_LOST = "worker_lost"
CODE_INTERNAL = "internal"
CODES = {
    "bad_args": "arguments missing, too many, of a wrong type or out of range",
    "unknown_address": "no such request",
    "unknown_model": "no model of that name",
    "unknown_preset": "no preset of that name",
    "not_found": "no such job, upload, capture or file",
    "forbidden_path": "the path is outside the allowed folders, or not a plain audio file",
    "forbidden": "the sender may not do this: no token, or not on the allow-list",
    "too_large": "over a size limit",
    "busy": "too many requests at once; ask again in a moment",
    "queue_full": "the queue has no room; ask again when a job has ended",
    "disk_full": "no room on the disk, or the spool's limit is reached",
    "too_far": "the bundle's time lies too far ahead",
    "id_in_use": "a job or upload of that id exists and is another one",
    "no_audio": "no live input or output runs, or it has not heard that much yet",
    "bad_input": "the audio cannot be read or used",
    "bad_job": "the engine cannot do what is asked",
    "model": "the model cannot be opened",
    "worker_lost": "the engine's process ended twice while it worked on the job",
    "internal": "an error of ours; the server's log has more",
}
TASKS = ("extract", "add", "accompany", "generate")
REQUESTS = {
    "/stemwright/ping": {
        "types": "i",
        "needed": 0,
        "fields": ("number",),
        "has_options": False,
    },
    "/stemwright/status": {
        "types": "",
        "needed": 0,
        "fields": (),
        "has_options": False,
    },
    "/stemwright/version": {
        "types": "",
        "needed": 0,
        "fields": (),
        "has_options": False,
    },
    "/stemwright/token": {
        "types": "s",
        "needed": 1,
        "fields": ("token",),
        "has_options": False,
    },
    "/stemwright/notify": {
        "types": "ii",
        "needed": 1,
        "fields": ("on", "port"),
        "has_options": False,
    },
    "/stemwright/sync": {
        "types": "i",
        "needed": 1,
        "fields": ("number",),
        "has_options": False,
    },
    "/stemwright/models": {
        "types": "",
        "needed": 0,
        "fields": (),
        "has_options": False,
    },
    "/stemwright/presets": {
        "types": "",
        "needed": 0,
        "fields": (),
        "has_options": False,
    },
    "/stemwright/extract": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": True,
    },
    "/stemwright/add": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": True,
    },
    "/stemwright/accompany": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": True,
    },
    "/stemwright/generate": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": True,
    },
    "/stemwright/cancel": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": False,
    },
    "/stemwright/job": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": False,
    },
    "/stemwright/jobs": {
        "types": "",
        "needed": 0,
        "fields": (),
        "has_options": False,
    },
    "/stemwright/upload/open": {
        "types": "sisii",
        "needed": 2,
        "fields": ("upload", "bytes", "format", "rate", "channels"),
        "has_options": False,
    },
    "/stemwright/upload/chunk": {
        "types": "sib",
        "needed": 3,
        "fields": ("upload", "offset", "data"),
        "has_options": False,
    },
    "/stemwright/upload/close": {
        "types": "ss",
        "needed": 2,
        "fields": ("upload", "crc32"),
        "has_options": False,
    },
    "/stemwright/capture": {
        "types": "sfs",
        "needed": 2,
        "fields": ("capture", "length", "unit"),
        "has_options": False,
    },
    "/stemwright/play": {
        "types": "sii",
        "needed": 1,
        "fields": ("job", "index", "loops"),
        "has_options": False,
    },
    "/stemwright/stop": {
        "types": "",
        "needed": 0,
        "fields": (),
        "has_options": False,
    },
    "/stemwright/buffer": {
        "types": "siii",
        "needed": 4,
        "fields": ("job", "index", "offset", "length"),
        "has_options": False,
    },
    "/stemwright/learn": {
        "types": "s",
        "needed": 1,
        "fields": ("action",),
        "has_options": False,
    },
}
ANSWERS = {
    "/stemwright/pong": {
        "types": "i",
        "needed": 1,
        "fields": ("number",),
        "has_options": False,
    },
    "/stemwright/status.reply": {
        "types": "siisfs",
        "needed": 6,
        "fields": ("state", "queued", "running", "model", "progress", "device"),
        "has_options": False,
    },
    "/stemwright/version.reply": {
        "types": "ssi",
        "needed": 3,
        "fields": ("name", "version", "protocol"),
        "has_options": False,
    },
    "/stemwright/synced": {
        "types": "i",
        "needed": 1,
        "fields": ("number",),
        "has_options": False,
    },
    "/stemwright/done": {
        "types": "ss",
        "needed": 1,
        "fields": ("request", "text"),
        "has_options": False,
    },
    "/stemwright/models.reply": {
        "types": "iisss",
        "needed": 5,
        "fields": ("index", "count", "name", "tasks", "state"),
        "has_options": False,
    },
    "/stemwright/presets.reply": {
        "types": "iissss",
        "needed": 6,
        "fields": ("index", "count", "name", "task", "prompt", "colour"),
        "has_options": False,
    },
    "/stemwright/accepted": {
        "types": "si",
        "needed": 2,
        "fields": ("job", "position"),
        "has_options": False,
    },
    "/stemwright/job.reply": {
        "types": "ssfss",
        "needed": 4,
        "fields": ("job", "state", "progress", "stage", "text"),
        "has_options": False,
    },
    "/stemwright/upload/opened": {
        "types": "si",
        "needed": 2,
        "fields": ("upload", "chunk_bytes"),
        "has_options": False,
    },
    "/stemwright/upload/done": {
        "types": "si",
        "needed": 2,
        "fields": ("upload", "bytes"),
        "has_options": False,
    },
    "/stemwright/upload/missing": {
        "types": "sii",
        "needed": 3,
        "fields": ("upload", "offset", "length"),
        "has_options": False,
    },
    "/stemwright/captured": {
        "types": "ssfii",
        "needed": 5,
        "fields": ("capture", "path", "seconds", "rate", "channels"),
        "has_options": False,
    },
    "/stemwright/buffer.reply": {
        "types": "siiib",
        "needed": 5,
        "fields": ("job", "index", "offset", "size", "data"),
        "has_options": False,
    },
    "/stemwright/progress": {
        "types": "sfsf",
        "needed": 4,
        "fields": ("job", "done", "stage", "seconds_left"),
        "has_options": False,
    },
    "/stemwright/result": {
        "types": "siissfi",
        "needed": 6,
        "fields": ("job", "index", "count", "kind", "path", "seconds", "seed"),
        "has_options": False,
    },
    "/stemwright/finished": {
        "types": "sf",
        "needed": 2,
        "fields": ("job", "seconds"),
        "has_options": False,
    },
    "/stemwright/cancelled": {
        "types": "s",
        "needed": 1,
        "fields": ("job",),
        "has_options": False,
    },
    "/stemwright/fail": {
        "types": "ssss",
        "needed": 3,
        "fields": ("request", "code", "text", "job"),
        "has_options": False,
    },
    "/stemwright/startup": {
        "types": "si",
        "needed": 2,
        "fields": ("version", "protocol"),
        "has_options": False,
    },
}
OPTIONS = {
    "prompt": {
        "type": "s",
        "is_repeated": True,
    },
    "negative": {
        "type": "s",
    },
    "like": {
        "type": "s",
    },
    "preset": {
        "type": "s",
    },
    "model": {
        "type": "s",
    },
    "path": {
        "type": "s",
    },
    "upload": {
        "type": "s",
    },
    "capture": {
        "type": "s",
    },
    "last": {
        "type": "f",
        "low": 0.1,
        "high": 600.0,
    },
    "bars": {
        "type": "f",
        "low": 0.25,
        "high": 256.0,
    },
    "start": {
        "type": "f",
        "low": 0.0,
        "high": 1000000.0,
    },
    "seconds": {
        "type": "f",
        "low": 0.05,
        "high": 86400.0,
    },
    "steps": {
        "type": "i",
        "low": 1,
        "high": 1000,
    },
    "guidance": {
        "type": "f",
        "low": 0.0,
        "high": 100.0,
    },
    "sampler": {
        "type": "s",
        "values": ("ddim", "unipc", "ab2"),
    },
    "seed": {
        "type": "i",
        "low": 0,
        "high": 2147483647,
    },
    "variations": {
        "type": "i",
        "low": 1,
        "high": 16,
    },
    "render": {
        "type": "s",
        "values": ("preserve", "decode"),
    },
    "track": {
        "type": "s",
    },
    "grid": {
        "type": "s",
        "values": ("auto", "uniform", "blended"),
    },
    "last_level": {
        "type": "f",
        "low": 0.0,
        "high": 0.5,
    },
    "overlap": {
        "type": "f",
        "low": 0.0,
        "high": 3600.0,
    },
    "inpainting": {
        "type": "s",
        "values": ("adaptive", "canonical", "repaint"),
    },
    "resamples": {
        "type": "i",
        "low": 1,
        "high": 50,
    },
    "null": {
        "type": "s",
        "values": ("all", "own"),
    },
    "rescale": {
        "type": "f",
        "low": 0.0,
        "high": 1.0,
    },
    "posterior": {
        "type": "s",
        "values": ("mean", "sample"),
    },
    "joint": {
        "type": "i",
        "low": 0,
        "high": 1,
    },
    "stem_by_stem": {
        "type": "i",
        "low": 0,
        "high": 1,
    },
    "rest": {
        "type": "i",
        "low": 0,
        "high": 1,
    },
    "rate": {
        "type": "i",
        "low": 8000,
        "high": 384000,
    },
    "channels": {
        "type": "i",
        "low": 1,
        "high": 64,
    },
    "format": {
        "type": "s",
        "values": ("wav", "flac"),
    },
    "priority": {
        "type": "s",
        "values": ("live", "batch"),
    },
    "play": {
        "type": "i",
        "low": 0,
        "high": 1,
    },
}
