"""What happens on each request. Runs in the sockets' thread: looks up, hands over, answers; never works.

Every request gets exactly one answer (rows count as one), except a chunk, which is answered only when wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

from stemwright.bridge import clients as who
from stemwright.bridge import messages as say
from stemwright.bridge.clients import Clients, Gate
from stemwright.bridge.desk import Desk
from stemwright.bridge.grammar import (
    BAD_ARGS,
    INTERNAL,
    NO_AUDIO,
    NOT_FOUND,
    UNKNOWN_ADDRESS,
    BadMessage,
    Message,
)
from stemwright.bridge.inputs import Inputs
from stemwright.bridge.live import Live
from stemwright.bridge.midi import Midi
from stemwright.bridge.playing import play
from stemwright.bridge.presets import Preset, filled
from stemwright.bridge.queue import Queue, Row
from stemwright.bridge.request import make
from stemwright.bridge.server import Peer
from stemwright.bridge.uploads import Uploads
from stemwright.bridge.wire import BadPacket, Incoming
from stemwright.engine.errors import StemwrightError
from stemwright.engine.manifest import read_manifest
from stemwright.engine.modelfolder import list_models
from stemwright.engine.tracks import TASKS

OPEN = (say.Ping, say.AskStatus, say.AskVersion, say.Token)  # what needs no token
UDP_BUFFER = 1200  # bytes of a result in one answer
TCP_BUFFER = 1 << 16
MOST_ROWS = 100
RECENT = 3600.0  # seconds of jobs that `jobs` tells
Kind = TypeVar("Kind", bound=Message)
Answer = Callable[[Message], None]


@dataclass(frozen=True)
class Parts:
    """What the handlers hand over to. live, midi: None where there is none"""

    queue: Queue
    uploads: Uploads
    inputs: Inputs
    clients: Clients
    gate: Gate
    desk: Desk
    presets: Mapping[str, Preset]
    note: Callable[..., None]  # a line for the log: kind, facts
    live: Live | None = None
    midi: Midi | None = None


class Handlers:
    """One method a request; `handle` is what the server calls."""

    def __init__(self, parts: Parts, *, may_answer: Callable[[str], bool]) -> None:
        self._parts = parts
        self.send: Callable[[Peer, Message], None] = lambda peer, message: None  # the server's, once it is
        self._may_answer = may_answer  # limits refusals by source
        self._own_version = say.Version("stemwright", version("stemwright"), say.PROTOCOL)
        self._methods: dict[type[Message], Callable[[Any, Peer, Answer], None]] = {
            say.Ping: self._ping, say.AskStatus: self._status, say.AskVersion: self._version,
            say.Token: self._token, say.Notify: self._notify, say.Sync: self._sync,
            say.AskModels: self._models, say.AskPresets: self._presets, say.Extract: self._submit,
            say.Add: self._submit, say.Accompany: self._submit, say.Generate: self._submit,
            say.Cancel: self._cancel, say.AskJob: self._job, say.AskJobs: self._jobs,
            say.OpenUpload: self._open_upload, say.Chunk: self._chunk, say.CloseUpload: self._close_upload,
            say.Capture: self._capture, say.Play: self._play, say.Stop: self._stop,
            say.AskBuffer: self._buffer, say.Learn: self._learn,
        }  # fmt: skip
        self._by_address = {kind.address: (kind, method) for kind, method in self._methods.items()}

    def handle(self, incoming: Incoming, peer: Peer) -> None:
        """One decoded message, at its time."""
        try:
            found = self._by_address.get(incoming.address)
            self._parts.gate.check(peer, is_open=found is not None and found[0] in OPEN)
            if found is None:
                raise BadMessage(
                    UNKNOWN_ADDRESS,
                    f"no request {incoming.address!r:.80}; see {say.PREFIX}/version, OSCQuery",
                )
            kind, method = found
            asked = kind.parse(incoming.arguments)
            method(asked, peer, self._answering(peer, asked))
        except BadMessage as error:
            self._refuse(peer, incoming.address, error, _named_job(incoming))

    def bad(self, peer: Peer, error: BadPacket) -> None:
        """A packet that is no OSC message of ours."""
        self._refuse(peer, error.address, BadMessage(error.code, str(error)), "")

    def told(self, row: Row, message: Message) -> None:
        """An event of the queue → to who submitted the job, and to who listens."""
        self._tell_all(who.read(row.client), message)

    def _tell_all(self, owner: Peer | None, message: Message) -> None:
        """What concerns a job: also to those who listen; a client may hear on another port than it asks."""
        targets = self._parts.clients.listeners()
        if owner is not None and owner.kind in ("udp", "tcp"):
            targets.add(self._parts.clients.target(owner))
        for target in targets:
            self.send(target, message)

    def _answering(self, peer: Peer, asked: Message) -> Answer:
        """Answers go to the sender, or to the port it named by Notify; those to Notify itself do too."""

        def answer(message: Message) -> None:
            self.send(self._parts.clients.target(peer), message)

        return answer

    def _refuse(self, peer: Peer, address: str, error: BadMessage, job: str) -> None:
        self._parts.note("refused", peer=str(peer), request=address[:80], code=error.code, text=str(error))
        if self._may_answer(peer.host):
            fail = say.Fail(address[:80] or "?", error.code, str(error), job)
            self._tell_all(peer, fail) if job else self.send(self._parts.clients.target(peer), fail)

    def _later(self, asked: Message, answer: Answer, errand: Callable[[], None], job: str = "") -> None:
        """An errand for the desk; what it refuses is answered as here."""

        def safe() -> None:
            try:
                errand()
            except (BadMessage, StemwrightError) as error:
                code = error.code if isinstance(error, BadMessage) else INTERNAL
                answer(say.Fail(asked.address, code, str(error), job))
            except Exception as error:
                answer(say.Fail(asked.address, INTERNAL, "an error of ours; the log has more", job))
                raise error

        self._parts.desk.put(safe)

    def _ping(self, asked: say.Ping, peer: Peer, answer: Answer) -> None:
        answer(say.Pong(asked.number))

    def _status(self, asked: say.AskStatus, peer: Peer, answer: Answer) -> None:
        answer(status(self._parts.queue))

    def _version(self, asked: say.AskVersion, peer: Peer, answer: Answer) -> None:
        answer(self._own_version)

    def _token(self, asked: say.Token, peer: Peer, answer: Answer) -> None:
        self._parts.gate.admit(peer, asked.token)
        answer(say.Done(asked.address))

    def _notify(self, asked: say.Notify, peer: Peer, answer: Answer) -> None:
        if asked.on not in (0, 1):
            raise BadMessage(BAD_ARGS, f"on is {asked.on}; it may be 0 or 1")
        if asked.on:
            self._parts.clients.listen(peer, asked.port)
            answer(say.Done(asked.address, f"{who.LEASE:.0f}"))
        else:
            answer(say.Done(asked.address, "0"))
            self._parts.clients.leave(peer)

    def _sync(self, asked: say.Sync, peer: Peer, answer: Answer) -> None:
        self._parts.desk.put(lambda: self._parts.queue.barrier(lambda: answer(say.Synced(asked.number))))

    def _models(self, asked: say.AskModels, peer: Peer, answer: Answer) -> None:
        self._later(asked, answer, lambda: _each(answer, model_rows()))

    def _presets(self, asked: say.AskPresets, peer: Peer, answer: Answer) -> None:
        known = self._parts.presets
        rows: list[Message] = [
            say.Preset(index, len(known), one.name, one.task, ", ".join(one.prompts), one.colour)
            for index, one in enumerate(known.values())
        ]
        _each(answer, rows or [say.Preset(-1, 0, "", "", "", "")])

    def _submit(self, asked: say.JobRequest, peer: Peer, answer: Answer) -> None:
        pairs = filled(asked.options, self._parts.presets)
        request = make(asked.job, asked.address.rpartition("/")[2], pairs)
        self._parts.queue.submit(request, who.written(peer), lambda told: self._tell_all(peer, told))

    def _cancel(self, asked: say.Cancel, peer: Peer, answer: Answer) -> None:
        self._parts.queue.cancel(asked.job, answer)

    def _job(self, asked: say.AskJob, peer: Peer, answer: Answer) -> None:
        def tell() -> None:
            told = self._parts.queue.told(asked.job)
            if not told:
                raise BadMessage(NOT_FOUND, f"no job {asked.job!r:.70}; it may be too old")
            _each(answer, told)

        self._later(asked, answer, tell, asked.job)

    def _jobs(self, asked: say.AskJobs, peer: Peer, answer: Answer) -> None:
        def tell() -> None:
            recent = [
                row for row in self._parts.queue.rows(MOST_ROWS) if row.submitted > time.time() - RECENT
            ]
            rows: list[Message] = [
                say.JobState(row.request.job, row.state, row.progress, row.stage, row.text) for row in recent
            ]
            _each(answer, rows or [say.JobState("", "", 0.0, "")])

        self._later(asked, answer, tell)

    def _open_upload(self, asked: say.OpenUpload, peer: Peer, answer: Answer) -> None:
        answer(self._parts.uploads.open(asked, _owner(peer), is_tcp=peer.kind == "tcp"))

    def _chunk(self, asked: say.Chunk, peer: Peer, answer: Answer) -> None:
        self._parts.uploads.chunk(asked, _owner(peer))

    def _close_upload(self, asked: say.CloseUpload, peer: Peer, answer: Answer) -> None:
        self._later(asked, answer, lambda: _each(answer, self._parts.uploads.close(asked, _owner(peer))))

    def _capture(self, asked: say.Capture, peer: Peer, answer: Answer) -> None:
        self._later(asked, answer, lambda: answer(self._parts.inputs.capture(asked)), asked.capture)

    def _play(self, asked: say.Play, peer: Peer, answer: Answer) -> None:
        def start() -> None:
            row = self._ended(asked.job, asked.index)
            region = self._parts.inputs.region(asked.job)
            text = play(self._parts.live, row, asked.index, asked.loops, region)
            answer(say.Done(asked.address, text or asked.job))

        self._later(asked, answer, start, asked.job)

    def _stop(self, asked: say.Stop, peer: Peer, answer: Answer) -> None:
        if self._parts.live is not None:
            self._parts.live.stop_playing()
        answer(say.Done(asked.address))

    def _buffer(self, asked: say.AskBuffer, peer: Peer, answer: Answer) -> None:
        longest = TCP_BUFFER if peer.kind == "tcp" else UDP_BUFFER
        if asked.offset < 0 or not 1 <= asked.length <= longest:
            raise BadMessage(
                BAD_ARGS, f"{asked.length} bytes from {asked.offset}; 1 to {longest} here, from 0 up"
            )

        def tell() -> None:
            path = Path(self._ended(asked.job, asked.index).results[asked.index].path)
            try:
                with path.open("rb") as file:
                    size = file.seek(0, 2)
                    file.seek(min(asked.offset, size))
                    data = file.read(asked.length)
            except OSError as error:
                raise BadMessage(NOT_FOUND, f"the result is gone ({error.strerror})") from error
            self.send(peer, say.Buffer(asked.job, asked.index, asked.offset, size, data))

        self._later(asked, answer, tell, asked.job)

    def _learn(self, asked: say.Learn, peer: Peer, answer: Answer) -> None:
        if self._parts.midi is None:
            raise BadMessage(NO_AUDIO, "no MIDI here; start with: stemwright serve --midi")
        self._parts.midi.learn(asked.action)
        answer(say.Done(asked.address, asked.action))

    def _ended(self, job: str, index: int) -> Row:
        """The finished job that has this result."""
        row = self._parts.queue.row(job)
        if row is None:
            raise BadMessage(NOT_FOUND, f"no job {job!r:.70}; it may be too old")
        if not 0 <= index < len(row.results):
            raise BadMessage(NOT_FOUND, f"{job} is {row.state} and has {len(row.results)} results")
        return row


def status(queue: Queue) -> say.Status:
    """How busy it is now."""
    now = queue.counts()
    return say.Status(now.state, now.queued, now.running, now.model, now.progress, now.device)


def _each(answer: Answer, rows: Sequence[Message]) -> None:
    for row in rows:
        answer(row)


def _owner(peer: Peer) -> str:
    """Whose an upload is: the host's, so that a client may come back by another socket."""
    return peer.host


def _named_job(incoming: Incoming) -> str:
    """The id in a refused request, for the answer."""
    has_job = incoming.address.rpartition("/")[2] in {
        "extract",
        "add",
        "accompany",
        "generate",
        "cancel",
        "job",
    }
    first = incoming.arguments[0] if incoming.arguments else ""
    return first[: say.LONGEST_ID] if has_job and isinstance(first, str) else ""


def model_rows() -> list[Message]:
    """Every model with what it can do, or what is wrong with it."""
    rows: list[Message] = []
    known = list_models()
    for index, (name, folder) in enumerate(known.items()):
        try:
            tracks = set(read_manifest(folder).tracks.names)
            tasks = [task.value for task, roles in TASKS.items() if {*roles.given, *roles.returned} <= tracks]
            rows.append(say.Model(index, len(known), name, ",".join(tasks), "ready"))
        except StemwrightError as error:
            rows.append(say.Model(index, len(known), name, "", str(error)))
    return rows or [say.Model(-1, 0, "", "", "no models here")]
