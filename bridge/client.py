"""A client of the protocol: asks, submits, follows, sends audio there and fetches stems back.

    with Client() as client:
        client.submit("take-1", "extract", [("prompt", "bass"), ("path", "/music/song.wav")])
        for event in client.follow("take-1"):
            print(event)

Small messages go over UDP and are repeated until they are answered; ids make that harmless. Audio goes over a
TCP connection of its own. One thread at a time.
"""

from __future__ import annotations

import itertools
import os
import secrets
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import NOT_FOUND, BadMessage, Message, Value
from stemwright.bridge.link import Line, LineDown, TcpLine, UdpLine
from stemwright.bridge.messages import PORT, Fail
from stemwright.bridge.transfer import fetch_file, send_file
from stemwright.bridge.wire import BadPacket, Incoming, decode, encode
from stemwright.engine.errors import BadInput, BadOutput, StemwrightError
from stemwright.engine.writing import quoted

BY_ADDRESS: dict[str, type[Message]] = {kind.address: kind for kind in (*say.REPLIES, *say.EVENTS)}
ANSWERS: dict[type[Message], tuple[type[Message], ...]] = {
    say.Ping: (say.Pong,), say.AskStatus: (say.Status,), say.AskVersion: (say.Version,),
    say.Token: (say.Done,), say.Notify: (say.Done,), say.Sync: (say.Synced,), say.AskModels: (say.Model,),
    say.AskPresets: (say.Preset,), say.Extract: (say.Accepted,), say.Add: (say.Accepted,),
    say.Accompany: (say.Accepted,), say.Generate: (say.Accepted,), say.Cancel: (say.Done,),
    say.AskJob: (say.JobState,), say.AskJobs: (say.JobState,), say.OpenUpload: (say.UploadOpened,),
    say.CloseUpload: (say.UploadDone, say.UploadMissing), say.Capture: (say.Captured,),
    say.Play: (say.Done,), say.Stop: (say.Done,), say.AskBuffer: (say.Buffer,), say.Learn: (say.Done,),
}  # fmt: skip
TASKS: dict[str, type[say.JobRequest]] = {
    "extract": say.Extract, "add": say.Add, "accompany": say.Accompany, "generate": say.Generate,
}  # fmt: skip
UNCOUNTED = (say.AskJobs, say.CloseUpload)  # a Sync sent behind them tells when all rows are there
ONCE = (say.Capture, say.Play)  # not harmless when they come twice
ENDS = (say.Finished, say.Cancelled, say.Fail)

AGAIN = 0.2  # seconds until a request is repeated over UDP for the first time; then twice that, and so on
FIRST = 0.05  # seconds until a job is asked after first: it may have ended long ago
QUIET = 1.0  # seconds without an event after which a job is asked after
PATIENCE = 30.0  # seconds without any sign of the server after which a job is given up
KEPT = 10_000  # messages nobody has taken yet


class NoServer(StemwrightError):
    """Nobody answers."""

    exit_code = 8


class Refused(StemwrightError):
    """The server said no; `fail` is what it said."""

    def __init__(self, fail: Fail) -> None:
        super().__init__(fail.text or fail.code)
        self.fail = fail


class Client:
    """A conversation with one server.

    transport  "udp" or "tcp", for small messages
    bulk       "udp" or "tcp", for audio
    token      what a server beyond this machine wants to see first
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = PORT,
        *,
        transport: str = "udp",
        bulk: str = "tcp",
        token: str = "",
    ) -> None:
        self.host, self.port, self.transport, self.bulk, self.token = host, port, transport, bulk, token
        self._line: Line = (TcpLine if transport == "tcp" else UdpLine)(host, port)
        self._inbox: deque[Message] = deque(maxlen=KEPT)
        self._numbers = itertools.count(secrets.randbelow(1 << 30))
        self._is_admitted = not token
        self._helper: Client | None = None  # for audio

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._line.close()
        if self._helper is not None:
            self._helper.close()

    # What users need

    def ask(self, message: Message, wait: float = 5.0) -> list[Message]:
        """The answer to a request: one message, or all its rows. Refused where the server says no.

        Events that come meanwhile are kept for `follow` and `hear`.
        """
        behind = say.Sync(self.number()) if isinstance(message, UNCOUNTED) else None
        rows: list[Message] = []
        until, pause, downs = time.monotonic() + wait, AGAIN, 0
        while (now := time.monotonic()) < until:
            is_sent_once = self.is_sure or isinstance(message, ONCE)
            try:
                self._send(message)
                if behind is not None:
                    self._send(behind)
                if self._collect(message, behind, rows, until if is_sent_once else min(until, now + pause)):
                    return rows
            except LineDown as error:
                downs += 1
                if downs > 1 or isinstance(message, ONCE):  # the first may be about an earlier message
                    raise self.silent(str(error)) from error
            pause *= 2
        raise self.silent(f"no answer to {message.address} within {wait:g} s")

    def submit(
        self, job: str, task: str, options: Iterable[tuple[str, Value]], wait: float = 10.0
    ) -> say.Accepted:
        """Hand a job in. The same id and options again are the same job, so this may be repeated freely."""
        answer = self.ask(TASKS[task](job, tuple(options)), wait)[0]
        assert isinstance(answer, say.Accepted)
        return answer

    def cancel(self, job: str, wait: float = 5.0) -> None:
        """Stop a job. Its end still comes, to `follow`."""
        self.ask(say.Cancel(job), wait)

    def follow(self, job: str, patience: float = PATIENCE) -> Iterator[Message]:
        """Progress as it comes, each Result once, and the end last: Finished, Cancelled or Fail.

        What gets lost on the way is asked for again; a server that restarts is waited for. NoServer after
        `patience` seconds without a sign of it.
        """
        results: dict[int, say.Result] = {}
        end: Message | None = None
        progress, silence, wait = -1.0, 0.0, FIRST
        while end is None or not _is_whole(end, results):
            event = self._next(job, wait)
            wait = QUIET if end is None else AGAIN
            silence = 0.0 if event is not None and end is None else silence + wait
            if silence > patience:
                raise self.silent(f"nothing more about {job} for {patience:.0f} s")
            if event is None:
                self._look(job)
            if isinstance(event, say.JobState) and event.state == "running" and event.progress > progress:
                event = say.Progress(job, event.progress, event.stage, -1.0)
            if isinstance(event, say.Progress):
                progress = event.done
                yield event
            elif isinstance(event, say.Result) and event.index not in results:
                results[event.index] = event
                yield event
            elif isinstance(event, say.Fail) and event.request in (say.AskJob.address, say.Cancel.address):
                if event.request == say.AskJob.address and event.code == NOT_FOUND:
                    raise Refused(event)
            elif isinstance(event, ENDS):
                end = event
        yield end

    def hear(self, seconds: float) -> Message | None:
        """The next message that no request has taken; None when none comes in time."""
        if self._inbox:
            return self._inbox.popleft()
        try:
            return self.receive(seconds)
        except LineDown as error:
            raise self.silent(str(error)) from error

    def upload(self, path: str | os.PathLike[str], upload: str | None = None) -> str:
        """Send an audio file; → the id for the option `upload` of a job."""
        upload = upload or f"u-{secrets.token_hex(8)}"
        try:
            with open(path, "rb") as file:
                send_file(self._bulk(), file, upload)
        except OSError as error:
            raise BadInput(f"{quoted(path)}: cannot be read ({error.strerror}). Check the name.") from error
        return upload

    def fetch(self, job: str, index: int, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Bring a result here: a part-file beside `path`, which gets the name when it is whole."""
        place = Path(path)
        part = place.parent / f".stemwright-{secrets.token_hex(8)}.part"
        try:
            with part.open("xb") as file:
                fetch_file(self._bulk(), job, index, file)
                file.flush()
                os.fsync(file.fileno())
            publish(part, place, overwrite=overwrite)
        except OSError as error:
            raise BadOutput(
                f"{quoted(place)}: cannot be written ({error.strerror}). Choose another --output."
            ) from error
        finally:
            with suppress(OSError):
                part.unlink()
        return place

    # What the transfer of audio needs

    @property
    def is_sure(self) -> bool:
        """Whether what is sent arrives, once and in order."""
        return self._line.is_sure

    def send(self, message: Message) -> None:
        """Send, and wait for nothing; NoServer where nobody listens."""
        try:
            self._send(message)
        except LineDown as error:
            if self.is_sure:
                raise self.silent(str(error)) from error

    def receive(self, seconds: float) -> Message | None:
        """The next message that comes in, past those kept; None when none comes in time."""
        until = time.monotonic() + seconds
        try:
            while (packet := self._line.receive(until - time.monotonic())) is not None:
                with suppress(BadPacket):
                    for incoming in decode(packet):
                        if (message := _read(incoming)) is not None:
                            return message
        except LineDown:
            self._is_admitted = not self.token
            raise
        return None

    def keep(self, message: Message) -> None:
        """For `follow` and `hear`."""
        self._inbox.append(message)

    def refuse(self, message: Message, asked: Message) -> None:
        """Refused, if that is what a message says about a request."""
        is_about_it = isinstance(message, Fail) and message.request == asked.address
        names = ("", getattr(asked, "job", ""), getattr(asked, "capture", ""))
        if isinstance(message, Fail) and is_about_it and message.job in names:
            raise Refused(message)

    def number(self) -> int:
        """A new one, for Ping and Sync."""
        return next(self._numbers) % (1 << 31)

    def silent(self, why: str) -> NoServer:
        """The error for a server that does not answer."""
        return NoServer(
            f"no Stemwright server answers at {self.host}:{self.port} ({why}). "
            "Start one with: stemwright serve"
        )

    # Inside

    def _send(self, message: Message) -> None:
        if not self._is_admitted and not isinstance(message, say.Token):
            self.ask(say.Token(self.token))
            self._is_admitted = True
        try:
            self._line.send(encode(message))
        except LineDown:
            self._is_admitted = not self.token  # the server may be another one by the next time
            raise

    def _collect(self, asked: Message, behind: say.Sync | None, rows: list[Message], until: float) -> bool:
        """Take messages until the answer is whole; False when it is not by then."""
        while not _is_all(rows, is_open=behind is not None):
            message = self.receive(until - time.monotonic())
            if message is None:
                return False
            self.refuse(message, asked)
            if behind is not None and isinstance(message, say.Synced) and message.number == behind.number:
                return bool(rows)
            if not (isinstance(message, ANSWERS[type(asked)]) and _repeats(asked, message)):
                self.keep(message)
            elif message not in rows:
                rows.append(message)
        return True

    def _next(self, job: str, seconds: float) -> Message | None:
        """The next message about a job, of those kept or of those that come."""
        for kept in self._inbox:
            if getattr(kept, "job", None) == job:
                self._inbox.remove(kept)
                return kept
        until = time.monotonic() + seconds
        try:
            while (message := self.receive(until - time.monotonic())) is not None:
                if getattr(message, "job", None) == job:
                    return message
                self.keep(message)
        except LineDown:
            time.sleep(max(0.0, min(AGAIN, until - time.monotonic())))
        return None

    def _look(self, job: str) -> None:
        """Ask after a job; the answer comes with the events. A server that is not there may come back."""
        with suppress(LineDown, NoServer):
            self._send(say.AskJob(job))

    def _bulk(self) -> Client:
        """Who carries audio."""
        if self.bulk == self.transport:
            return self
        if self._helper is None:
            self._helper = Client(self.host, self.port, transport=self.bulk, token=self.token)
        return self._helper


def publish(part: Path, place: Path, *, overwrite: bool) -> None:
    """Give a finished part-file its name; without `overwrite` only where nothing is."""
    kept = BadOutput(f"{quoted(place)}: exists already and is kept. Use --overwrite, or another --output.")
    if overwrite:
        os.replace(part, place)
        return
    try:
        os.link(part, place)
    except FileExistsError as error:
        raise kept from error
    except OSError:  # no hard links here
        if os.path.lexists(place):
            raise kept from None
        os.replace(part, place)


def _read(incoming: Incoming) -> Message | None:
    """A decoded message; None for one of a newer protocol, or of somebody else."""
    kind = BY_ADDRESS.get(incoming.address)
    try:
        return None if kind is None else kind.parse(incoming.arguments)
    except BadMessage:
        return None


def _repeats(asked: Message, answer: Message) -> bool:
    """Whether an answer is to this request: it repeats the fields that both have."""
    if isinstance(answer, say.Done):
        return answer.request == asked.address
    shared = {field.name for field in fields(asked)} & {field.name for field in fields(answer)}
    return all(getattr(asked, name) == getattr(answer, name) for name in shared)


def _is_all(rows: list[Message], *, is_open: bool) -> bool:
    """Whether all rows of an answer are there. is_open: their number shows by what comes behind them"""
    if not rows or is_open:
        return False
    last = rows[-1]
    if isinstance(last, say.Model | say.Preset):
        return last.index < 0 or len(rows) >= last.count
    return True


def _is_whole(end: Message, results: dict[int, say.Result]) -> bool:
    """Whether every result of a finished job has been heard."""
    if not isinstance(end, say.Finished):
        return True
    return bool(results) and len(results) >= next(iter(results.values())).count
