"""What the server answers, and what it tells of jobs.

Replies hold only i, f and s, are never bundles and never longer than LONGEST_REPLY; the one exception,
Buffer, is sent to those who ask for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stemwright.bridge.grammar import Message


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


REPLIES: tuple[type[Message], ...] = (
    Pong, Status, Version, Synced, Done, Model, Preset, Accepted, JobState, UploadOpened, UploadDone,
    UploadMissing, Captured, Buffer,
)  # fmt: skip
EVENTS: tuple[type[Message], ...] = (Progress, Result, Finished, Cancelled, Fail, Startup)
