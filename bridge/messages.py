"""Every OSC message of the protocol: a frozen dataclass each; field order is wire order.

On the wire a field is `i` (int), `f` (float), `s` (str) or `b` (bytes). Whole numbers may come as `f` and
fractions as `i`; flags are 0 or 1. The last field of a job request is a tail of key and value pairs (see
options.py), which can grow without breaking anybody. Replies hold only i, f and s, are never bundles and
never longer than LONGEST_REPLY; the one exception, Buffer, is sent to those who ask for it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

Value = int | float | str
Argument = int | float | str | bytes
Pairs = tuple[tuple[str, Value], ...]

PREFIX = "/stemwright"
PROTOCOL = 1  # grows when a message changes its meaning
PORT = 7836  # UDP and TCP; S-T-E-M on a phone
HTTP_PORT = 7837  # OSCQuery
LONGEST_REPLY = 1400  # bytes
LONGEST_ID = 64

BAD_ARGS = "bad_args"
UNKNOWN_ADDRESS = "unknown_address"
UNKNOWN_MODEL = "unknown_model"
UNKNOWN_PRESET = "unknown_preset"
NOT_FOUND = "not_found"
FORBIDDEN_PATH = "forbidden_path"
FORBIDDEN = "forbidden"
TOO_LARGE = "too_large"
BUSY = "busy"
QUEUE_FULL = "queue_full"
DISK_FULL = "disk_full"
TOO_FAR = "too_far"
ID_IN_USE = "id_in_use"
NO_AUDIO = "no_audio"
BAD_INPUT = "bad_input"
BAD_JOB = "bad_job"
MODEL = "model"
WORKER_LOST = "worker_lost"
INTERNAL = "internal"

CODES = {
    BAD_ARGS: "arguments missing, too many, of a wrong type or out of range",
    UNKNOWN_ADDRESS: "no such request",
    UNKNOWN_MODEL: "no model of that name",
    UNKNOWN_PRESET: "no preset of that name",
    NOT_FOUND: "no such job, upload, capture or file",
    FORBIDDEN_PATH: "the path is outside the allowed folders, or not a plain audio file",
    FORBIDDEN: "the sender may not do this: no token, or not on the allow-list",
    TOO_LARGE: "over a size limit",
    BUSY: "too many requests at once; ask again in a moment",
    QUEUE_FULL: "the queue has no room; ask again when a job has ended",
    DISK_FULL: "no room on the disk, or the spool's limit is reached",
    TOO_FAR: "the bundle's time lies too far ahead",
    ID_IN_USE: "a job or upload of that id exists and is another one",
    NO_AUDIO: "no live input or output runs, or it has not heard that much yet",
    BAD_INPUT: "the audio cannot be read or used",
    BAD_JOB: "the engine cannot do what is asked",
    MODEL: "the model cannot be opened",
    WORKER_LOST: "the engine's process ended twice while it worked on the job",
    INTERNAL: "an error of ours; the server's log has more",
}


class BadMessage(Exception):
    """A message that cannot be accepted; `code` is one of CODES, the text says what would be."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


Self = TypeVar("Self", bound="Message")


@dataclass(frozen=True)
class Message:
    """What all messages share."""

    address: ClassVar[str]

    @classmethod
    def parse(cls: type[Self], arguments: list[Any]) -> Self:
        """Arguments as decoded → the message; BadMessage names the field, what came and what may come."""
        shapes = shape(cls)
        has_tail = bool(shapes) and shapes[-1][1] == "*"
        plain = shapes[:-1] if has_tail else shapes
        needed = sum(1 for _, _, is_needed in plain if is_needed)
        if len(arguments) < needed or (len(arguments) > len(plain) and not has_tail):
            raise BadMessage(BAD_ARGS, f"{cls.address} takes {signature(cls)}; {len(arguments)} came")
        values: list[Any] = [
            _fitted(cls, name, kind, value) for (name, kind, _), value in zip(plain, arguments, strict=False)
        ]
        if has_tail:
            values.append(_pairs(cls, arguments[len(plain) :]))
        return cls(*values)

    def arguments(self) -> list[Argument]:
        """As they go on the wire."""
        flat: list[Any] = []
        for field in fields(self):
            value = getattr(self, field.name)
            flat.extend([part for pair in value for part in pair] if isinstance(value, tuple) else [value])
        return flat


def shape(kind: type[Message]) -> list[tuple[str, str, bool]]:
    """(name, "i" | "f" | "s" | "b" | "*" for a tail, whether it must be there) of each field"""
    letters = {"int": "i", "float": "f", "str": "s", "bytes": "b", "Pairs": "*"}
    return [
        (field.name, letters[str(field.type)], field.default is field.default_factory)  # both MISSING
        for field in fields(kind)
    ]


def signature(kind: type[Message]) -> str:
    """For people: "s:job [i:port] [s:key value]*"; "nothing" without fields"""
    words = []
    for name, letter, is_needed in shape(kind):
        word = "s:key value" if letter == "*" else f"{letter}:{name}"
        words.append(f"[{word}]*" if letter == "*" else word if is_needed else f"[{word}]")
    return " ".join(words) or "nothing"


def fitted(letter: str, value: Any) -> Argument:
    """A decoded value as i, f, s or b; ValueError says what came."""
    if letter in "if":
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"a number is needed, {value!r:.40} came")
        if letter == "f":
            return float(value)
        if value != int(value) or not -(2**31) <= value < 2**31:
            raise ValueError(f"a whole number of 32 bits is needed, {value!r:.40} came")
        return int(value)
    wanted = str if letter == "s" else bytes
    if not isinstance(value, wanted):
        raise ValueError(f"{'text' if letter == 's' else 'a blob'} is needed, {value!r:.40} came")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("text must not hold NUL")
    return value


def _fitted(cls: type[Message], name: str, letter: str, value: Any) -> Argument:
    try:
        return fitted(letter, value)
    except ValueError as error:
        raise BadMessage(BAD_ARGS, f"{cls.address} {name}: {error}") from error


def _pairs(cls: type[Message], values: list[Any]) -> Pairs:
    if len(values) % 2:
        raise BadMessage(BAD_ARGS, f"{cls.address}: a key without a value; keys and values come in pairs")
    pairs = []
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str):
            raise BadMessage(BAD_ARGS, f"{cls.address}: {key!r:.40} stands where a key is needed")
        letter = "s" if isinstance(value, str) else "f" if isinstance(value, float) else "i"
        pairs.append((key, _fitted(cls, key, letter, value)))
    return tuple(pairs)  # type: ignore[arg-type]


# Requests


@dataclass(frozen=True)
class Ping(Message):
    """Is anybody there? Answered by Pong with the same number."""

    address: ClassVar[str] = "/stemwright/ping"

    number: int = 0


@dataclass(frozen=True)
class AskStatus(Message):
    """How busy the server is. Answered by Status."""

    address: ClassVar[str] = "/stemwright/status"


@dataclass(frozen=True)
class AskVersion(Message):
    """Answered by Version."""

    address: ClassVar[str] = "/stemwright/version"


@dataclass(frozen=True)
class Token(Message):
    """Show the secret of a server that listens beyond this machine. Answered by Done."""

    address: ClassVar[str] = "/stemwright/token"

    token: str


@dataclass(frozen=True)
class Notify(Message):
    """Hear of every job (1), or no longer (0), for a lease; ask again to keep it.

    Events then go to `port` on the sender's own machine (0: to where the request came from), and so do those
    of jobs this sender submits. Answered by Done, whose text is the lease in seconds.
    """

    address: ClassVar[str] = "/stemwright/notify"

    on: int
    port: int = 0


@dataclass(frozen=True)
class Sync(Message):
    """Answered by Synced once every earlier request of this sender is accepted or refused."""

    address: ClassVar[str] = "/stemwright/sync"

    number: int


@dataclass(frozen=True)
class AskModels(Message):
    """Answered by one Model a model."""

    address: ClassVar[str] = "/stemwright/models"


@dataclass(frozen=True)
class AskPresets(Message):
    """Answered by one Preset a preset."""

    address: ClassVar[str] = "/stemwright/presets"


@dataclass(frozen=True)
class JobRequest(Message):
    """What the requests for a job share. The same id and words again are the same job, asked after."""

    job: str  # chosen by the sender: letters, digits, ". _ -", at most 64
    options: Pairs = ()


@dataclass(frozen=True)
class Extract(JobRequest):
    """Take a part out of a mix.

    Answered by Accepted or Fail, then Progress, Result, and one of Finished, Cancelled, Fail.
    """

    address: ClassVar[str] = "/stemwright/extract"


@dataclass(frozen=True)
class Add(JobRequest):
    """Make a part that fits into a mix. Answered as Extract is."""

    address: ClassVar[str] = "/stemwright/add"


@dataclass(frozen=True)
class Accompany(JobRequest):
    """Make a backing for a single part. Answered as Extract is."""

    address: ClassVar[str] = "/stemwright/accompany"


@dataclass(frozen=True)
class Generate(JobRequest):
    """Make music from words alone. Answered as Extract is."""

    address: ClassVar[str] = "/stemwright/generate"


@dataclass(frozen=True)
class Cancel(Message):
    """Stop a job. Answered by Done, then the job's own end follows: Cancelled, or what it came to before."""

    address: ClassVar[str] = "/stemwright/cancel"

    job: str


@dataclass(frozen=True)
class AskJob(Message):
    """Where a job is; repairs what got lost. Answered by JobState, then its Result rows and end, if any."""

    address: ClassVar[str] = "/stemwright/job"

    job: str


@dataclass(frozen=True)
class AskJobs(Message):
    """Answered by one JobState a job of the last hour, the newest first, 100 at most."""

    address: ClassVar[str] = "/stemwright/jobs"


@dataclass(frozen=True)
class OpenUpload(Message):
    """Send audio through the socket; the same words again are the same upload. Answered by UploadOpened."""

    address: ClassVar[str] = "/stemwright/upload/open"

    upload: str
    bytes: int
    format: str = "file"  # file: those of a WAV or FLAC file; f32 or s16: interleaved, little-endian
    rate: int = 0  # Hz, of f32 and s16
    channels: int = 0  # of f32 and s16


@dataclass(frozen=True)
class Chunk(Message):
    """A range of an upload. Not answered, unless wrong; may come twice and in any order."""

    address: ClassVar[str] = "/stemwright/upload/chunk"

    upload: str
    offset: int
    data: bytes


@dataclass(frozen=True)
class CloseUpload(Message):
    """All is sent. Answered by UploadDone, or by UploadMissing rows: send those ranges and close again."""

    address: ClassVar[str] = "/stemwright/upload/close"

    upload: str
    crc32: str  # of all bytes, eight hexadecimal digits


@dataclass(frozen=True)
class Capture(Message):
    """Keep the last seconds (or bars) of the live input as a file. Answered by Captured or Fail."""

    address: ClassVar[str] = "/stemwright/capture"

    capture: str  # an id, for the option `capture` of a job
    length: float
    unit: str = "seconds"  # or bars, of the MIDI clock


@dataclass(frozen=True)
class Play(Message):
    """Play a result of a finished job on the live output, in time with its region. Answered by Done."""

    address: ClassVar[str] = "/stemwright/play"

    job: str
    index: int = 0
    loops: int = 1  # 0: until Stop


@dataclass(frozen=True)
class Stop(Message):
    """Stop what plays. Answered by Done."""

    address: ClassVar[str] = "/stemwright/stop"


@dataclass(frozen=True)
class AskBuffer(Message):
    """A range of a result's file, for clients on another machine. Answered by Buffer."""

    address: ClassVar[str] = "/stemwright/buffer"

    job: str
    index: int
    offset: int
    length: int  # bytes; over UDP 1200 at most, over TCP 65536


@dataclass(frozen=True)
class Learn(Message):
    """MIDI learn: the next note, controller or program change gets this action. Answered by Done."""

    address: ClassVar[str] = "/stemwright/learn"

    action: str  # as in a MIDI map, e.g. "preset slap-bass"; empty: stop learning


# Answers


@dataclass(frozen=True)
class Pong(Message):
    """To Ping."""

    address: ClassVar[str] = "/stemwright/pong"

    number: int


@dataclass(frozen=True)
class Status(Message):
    """To AskStatus."""

    address: ClassVar[str] = "/stemwright/status.reply"

    state: str  # starting, ready, working, or failing: the engine does not start
    queued: int
    running: int
    model: str
    progress: float  # of the running job, 0 to 1
    device: str


@dataclass(frozen=True)
class Version(Message):
    """To AskVersion."""

    address: ClassVar[str] = "/stemwright/version.reply"

    name: str
    version: str
    protocol: int


@dataclass(frozen=True)
class Synced(Message):
    """To Sync."""

    address: ClassVar[str] = "/stemwright/synced"

    number: int


@dataclass(frozen=True)
class Done(Message):
    """A request that has no answer of its own is done."""

    address: ClassVar[str] = "/stemwright/done"

    request: str  # its address
    text: str = ""


@dataclass(frozen=True)
class Model(Message):
    """A row of the models; without any, one row of index -1."""

    address: ClassVar[str] = "/stemwright/models.reply"

    index: int
    count: int
    name: str
    tasks: str  # with commas
    state: str  # ready, or what is wrong with it


@dataclass(frozen=True)
class Preset(Message):
    """A row of the presets; without any, one row of index -1."""

    address: ClassVar[str] = "/stemwright/presets.reply"

    index: int
    count: int
    name: str
    task: str
    prompt: str
    colour: str  # #rrggbb, or empty


@dataclass(frozen=True)
class Accepted(Message):
    """The job is in the journal and will come to an end. Position 0: it begins at once."""

    address: ClassVar[str] = "/stemwright/accepted"

    job: str
    position: int


@dataclass(frozen=True)
class JobState(Message):
    """A row about one job; without any jobs, one row with an empty id."""

    address: ClassVar[str] = "/stemwright/job.reply"

    job: str
    state: str  # queued, running, finished, cancelled or failed
    progress: float  # 0 to 1
    stage: str
    text: str = ""  # of a failure


@dataclass(frozen=True)
class UploadOpened(Message):
    """To OpenUpload."""

    address: ClassVar[str] = "/stemwright/upload/opened"

    upload: str
    chunk_bytes: int  # largest chunk that will do on this transport


@dataclass(frozen=True)
class UploadDone(Message):
    """The upload is whole; a job names it by the option `upload`."""

    address: ClassVar[str] = "/stemwright/upload/done"

    upload: str
    bytes: int


@dataclass(frozen=True)
class UploadMissing(Message):
    """A range that never came; 16 rows at most, then close again."""

    address: ClassVar[str] = "/stemwright/upload/missing"

    upload: str
    offset: int
    length: int


@dataclass(frozen=True)
class Captured(Message):
    """The live input is kept."""

    address: ClassVar[str] = "/stemwright/captured"

    capture: str
    path: str
    seconds: float
    rate: int
    channels: int


@dataclass(frozen=True)
class Buffer(Message):
    """To AskBuffer; the one answer with a blob. Empty past the file's end."""

    address: ClassVar[str] = "/stemwright/buffer.reply"

    job: str
    index: int
    offset: int
    size: int  # of the whole file, bytes
    data: bytes


# Events: to who submitted the job, and to who asked by Notify


@dataclass(frozen=True)
class Progress(Message):
    """Where a running job is; ten a second at most."""

    address: ClassVar[str] = "/stemwright/progress"

    job: str
    done: float  # 0 to 1
    stage: str  # encode, sample, render
    seconds_left: float  # -1: not known yet


@dataclass(frozen=True)
class Result(Message):
    """A file of the job, whole, at its place."""

    address: ClassVar[str] = "/stemwright/result"

    job: str
    index: int
    count: int
    kind: str  # the prompt's name for a file ("slap-bass"), or "rest"
    path: str
    seconds: float
    seed: int = 0


@dataclass(frozen=True)
class Finished(Message):
    """The job came to its end, and its results are there."""

    address: ClassVar[str] = "/stemwright/finished"

    job: str
    seconds: float  # from the start of the work


@dataclass(frozen=True)
class Cancelled(Message):
    """The job was stopped on request; nothing of it is left."""

    address: ClassVar[str] = "/stemwright/cancelled"

    job: str


@dataclass(frozen=True)
class Fail(Message):
    """A request was refused, or a job could not be done."""

    address: ClassVar[str] = "/stemwright/fail"

    request: str  # the address it answers
    code: str  # one of CODES
    text: str  # what, the limit, the way out
    job: str = ""


@dataclass(frozen=True)
class Startup(Message):
    """The server is there (again). To those who had a lease when it went."""

    address: ClassVar[str] = "/stemwright/startup"

    version: str
    protocol: int


REQUESTS: tuple[type[Message], ...] = (
    Ping, AskStatus, AskVersion, Token, Notify, Sync, AskModels, AskPresets, Extract, Add, Accompany,
    Generate, Cancel, AskJob, AskJobs, OpenUpload, Chunk, CloseUpload, Capture, Play, Stop, AskBuffer, Learn,
)  # fmt: skip
REPLIES: tuple[type[Message], ...] = (
    Pong, Status, Version, Synced, Done, Model, Preset, Accepted, JobState, UploadOpened, UploadDone,
    UploadMissing, Captured, Buffer,
)  # fmt: skip
EVENTS: tuple[type[Message], ...] = (Progress, Result, Finished, Cancelled, Fail, Startup)
BY_ADDRESS = {kind.address: kind for kind in REQUESTS}
