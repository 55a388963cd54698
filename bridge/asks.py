"""What clients ask of the server.

The last field of a job request is a tail of key and value pairs, see options.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from stemwright.bridge.grammar import Message, Pairs


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


REQUESTS: tuple[type[Message], ...] = (
    Ping, AskStatus, AskVersion, Token, Notify, Sync, AskModels, AskPresets, Extract, Add, Accompany,
    Generate, Cancel, AskJob, AskJobs, OpenUpload, Chunk, CloseUpload, Capture, Play, Stop, AskBuffer, Learn,
)  # fmt: skip
BY_ADDRESS = {kind.address: kind for kind in REQUESTS}
