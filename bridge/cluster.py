"""`stemwright serve --ray`: the queue's engines as actors of a Ray cluster.

One thread an actor hands it batches and passes on what it tells. Where an actor sees the spool and the input
as we do, it works there as a process of ours would. Where it does not, the input goes to it and the results
come back through Ray's object store, and are put into the job's folder here.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemwright.bridge.messages import MODEL
from stemwright.bridge.nodes import Failure, Returned, Word
from stemwright.bridge.pool import ENDS, MadeFile, Tell, WorkEvent
from stemwright.bridge.raylink import ActorHandle, ActorLost, Cluster
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Done, clear, held, write_done
from stemwright.bridge.work import PATIENCE, failed
from stemwright.engine.commands.outputs import write_bytes
from stemwright.engine.errors import BadInput, StemwrightError

SOON, LATE, BROKEN = 0.2, 5.0, 30.0  # seconds until an actor is made again: at first, at most, when broken
STARTS = 3  # actors lost in a row, with nothing done between
NO_ROOM = 60.0  # seconds without a free CPU in the cluster until it is said
LEAVING = 5.0  # seconds for an actor's thread to see that it is gone
log = logging.getLogger(__name__)


class RayPool:
    """A Pool of actors. address: of the cluster, "auto" for that of this machine

    threads  of each actor; None: 4, or what a node has
    workers  actors; None: as many as the cluster has room for
    work     what does a batch in an actor; None: the engine
    """

    def __init__(
        self,
        address: str = "auto",
        model: str = "default",
        *,
        threads: int | None = None,
        device: str = "auto",
        workers: int | None = None,
        work: Any = None,
        load: Any = None,
    ) -> None:
        self._address, self._model, self._device = address, model, device
        self._threads, self._workers = threads, workers
        self._work, self._load = work, load
        self._change = threading.Condition()
        self._members: list[_Member] = []

    def start(self, tell: Tell) -> None:
        """MissingExtra without Ray, NoCluster where none answers."""
        self._cluster = Cluster(self._address)
        threads = self._cluster.threads(self._threads)
        device = "cpu" if self._device == "auto" else self._device
        arguments = (self._model, threads, device, self._work, self._load)
        count = self._workers or self._cluster.actors(threads)
        self._members = [
            _Member(self._cluster, threads, arguments, self._change, tell, number) for number in range(count)
        ]
        for member in self._members:
            member.start()

    def free(self) -> int:
        return sum(member.is_free for member in self._members)

    def give(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        with self._change:
            member = min(self._members, key=lambda one: one.unfitness)
            member.give(_Batch(batch, folders))

    def cancel(self, job: str) -> None:
        with self._change:
            for member in self._members:
                member.cancel(job)

    def stop(self, seconds: float) -> None:
        with self._change:
            for member in self._members:
                member.leave()
        deadline = time.monotonic() + seconds
        for member in self._members:
            member.wait_for_work(deadline)
        for member in self._members:
            member.end()
        if self._members:
            self._cluster.close()

    @property
    def processes(self) -> list[int]:
        """Their numbers on their nodes, of those that are ready."""
        with self._change:
            actors = [member.actor for member in self._members if member.state == "ready"]
        return [actor.process() for actor in actors if actor is not None]


@dataclass
class _Batch:
    """What a member has been given. left: jobs that have not ended"""

    requests: tuple[Request, ...]
    folders: tuple[Path, ...]
    left: set[str] = field(default_factory=set)
    is_sent: bool = False

    def __post_init__(self) -> None:
        self.left = {request.job for request in self.requests}

    def folder(self, job: str) -> Path:
        return next(folder for one, folder in zip(self.requests, self.folders, strict=True) if one.job == job)

    def request(self, job: str) -> Request:
        return next(one for one in self.requests if one.job == job)

    @property
    def inputs(self) -> list[Path]:
        """Every file that they read, once."""
        named = [name for one in self.requests for name in (one.path, one.like) if name]
        return [Path(name) for name in dict.fromkeys(named)]


class _Member:
    """One actor and the thread that works with it. state: starting, ready, broken, stopped

    What others may look at is changed while `change` is held; `tell` is called without.
    """

    def __init__(
        self,
        cluster: Cluster,
        threads: int,
        arguments: Sequence[Any],
        change: threading.Condition,
        tell: Tell,
        number: int,
    ) -> None:
        self._cluster, self._threads, self._arguments = cluster, threads, arguments
        self._change, self._tell_all = change, tell
        self.state = "starting"
        self.actor: ActorHandle | None = None
        self.batch: _Batch | None = None
        self._trouble = ""  # why it is broken
        self._losses = 0  # of actors, in a row, without a batch between
        self._is_leaving = self._is_muted = False
        self._thread = threading.Thread(target=self._keep, name=f"ray {number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    @property
    def is_free(self) -> bool:
        """A broken one counts: it tries again for the next job, and tells of it if it cannot."""
        return self.batch is None and self.state in ("ready", "broken") and not self._is_leaving

    @property
    def unfitness(self) -> int:
        return 3 if self.batch is not None else ("ready", "broken", "starting", "stopped").index(self.state)

    def give(self, batch: _Batch) -> None:
        if not self._is_leaving:
            assert self.batch is None, "give only what `free` has room for"
            self.batch = batch
            self._change.notify_all()

    def cancel(self, job: str) -> None:
        if self.batch is None or job not in self.batch.left:
            return
        if self.batch.is_sent and self.actor is not None:
            self.actor.cancel(job)
        else:
            self._ended(self.batch, job)
            self._tell_all(WorkEvent("cancelled", job))

    def leave(self) -> None:
        self._is_leaving = True
        self._change.notify_all()

    def wait_for_work(self, deadline: float) -> None:
        with self._change:
            while self.batch is not None and self.batch.is_sent and (left := deadline - time.monotonic()) > 0:
                self._change.wait(left)
            self._is_muted = True

    def end(self) -> None:
        """The actor killed; its thread sees that."""
        if self.actor is not None:
            self.actor.kill()
        self._thread.join(LEAVING)

    def _keep(self) -> None:
        while not self._is_leaving:
            try:
                if self.actor is None:
                    self._born()
                if self.actor is not None:
                    self._do(self.actor, self._next())
                elif self.batch is not None:
                    self._fail_all(self.batch, f"the engine does not start: {self._trouble}")
                else:
                    self._rest(BROKEN, is_short_for_work=True)
            except ActorLost as error:
                self._lost(error)
            except Exception as error:
                log.exception("the thread of an actor stumbled")
                if self.batch is not None:
                    self._end_all(self.batch, error)
        self.state = "stopped"

    def _born(self) -> None:
        """A new actor, ready to work, or broken."""
        actor = self._cluster.make(self._threads, self._arguments)
        begin, is_told = time.monotonic(), False

        def may_wait() -> bool:
            nonlocal is_told
            if not is_told and time.monotonic() - begin > NO_ROOM:
                is_told = True
                words = "CPU" if self._threads == 1 else "CPUs"
                self._tell(
                    WorkEvent("broken", text=f"no node of the cluster has {self._threads} {words} free")
                )
            return not self._is_leaving

        found = None
        try:
            found = actor.ready(may_wait)
        finally:
            if not isinstance(found, str):
                actor.kill()
        with self._change:
            self.actor = actor if isinstance(found, str) else None
            self.state = "ready" if isinstance(found, str) else "broken"
            self._trouble = found.text if isinstance(found, Failure) else ""
        if isinstance(found, str):
            self._tell(WorkEvent("ready", text=found))
        elif found is not None:
            self._tell(WorkEvent("broken", code=MODEL, text=found.text))

    def _next(self) -> _Batch:
        """Waits for a batch; an empty one when it is time to leave."""
        with self._change:
            while self.batch is None and not self._is_leaving:
                self._change.wait()
            return self.batch or _Batch((), ())

    def _rest(self, seconds: float, *, is_short_for_work: bool = False) -> None:
        deadline = time.monotonic() + seconds
        with self._change:
            while not self._is_leaving and (left := deadline - time.monotonic()) > 0:
                if is_short_for_work and self.batch is not None:
                    return
                self._change.wait(left)

    def _do(self, actor: ActorHandle, batch: _Batch) -> None:
        with self._change:
            requests = [one for one in batch.requests if one.job in batch.left]  # the others are cancelled
            batch.is_sent = True
        if not requests:
            return
        folders = [batch.folder(one.job) for one in requests]
        if actor.sees(folders[0].parent, batch.inputs):
            for _, event in actor.work("do", requests, [str(folder) for folder in folders], []):
                self._heard(batch, event)
        else:
            self._do_apart(actor, batch, requests)
        self._losses = 0
        if batch.left:
            self._end_all(batch, RuntimeError("the actor ended its work without a word"))

    def _do_apart(self, actor: ActorHandle, batch: _Batch, requests: list[Request]) -> None:
        """The inputs go there, the results come back."""
        try:
            contents = [path.read_bytes() for path in batch.inputs]
        except OSError as error:
            self._end_all(batch, BadInput(f"the input cannot be read ({error.strerror}); is it still there?"))
            return
        names = [str(path) for path in batch.inputs]
        with ExitStack() as stack:
            for request in requests:
                folder = batch.folder(request.job)
                stack.enter_context(held(folder, PATIENCE))
                clear(folder)
                (folder / OUT).mkdir(mode=0o700)
            for word in actor.work("do", requests, None, names, contents=contents):
                self._take(batch, word)

    def _take(self, batch: _Batch, word: Word) -> None:
        """A result into its folder, and done.json when all are there."""
        kind, value = word
        try:
            if isinstance(value, Returned):
                write_bytes(batch.folder(value.job) / OUT / Path(value.name).name, value.data)
            elif kind == "event" and value.kind == "done":
                self._heard(batch, _kept(batch, value))
            else:
                self._heard(batch, value)
        except (OSError, StemwrightError) as error:
            if value.job in batch.left:
                clear(batch.folder(value.job))
            self._heard(batch, failed(value.job, error))

    def _heard(self, batch: _Batch, event: WorkEvent) -> None:
        with self._change:
            if event.job not in batch.left:
                return
            if event.kind in ENDS:
                self._ended(batch, event.job)
        self._tell(event)

    def _lost(self, error: ActorLost) -> None:
        """The actor is gone. What it had not begun is given to the next one."""
        with self._change:
            self.actor, self.state = None, "starting"
            self._losses += 1
            batch = self.batch
        log.warning("a Ray actor was lost: %s", error)
        if batch is not None and (error.has_begun or self._losses >= STARTS):
            for job in sorted(batch.left):
                self._heard(batch, WorkEvent("lost", job, text=str(error)))
        elif batch is not None:
            batch.is_sent = False
        elif self._losses >= STARTS:
            self._tell(WorkEvent("broken", code=MODEL, text=str(error)))
        self._rest(min(LATE, SOON * 2 ** min(self._losses - 1, 10)))

    def _fail_all(self, batch: _Batch, text: str) -> None:
        for job in sorted(batch.left):
            self._heard(batch, WorkEvent("failed", job, code=MODEL, text=text))

    def _end_all(self, batch: _Batch, error: Exception) -> None:
        for job in sorted(batch.left):
            self._heard(batch, failed(job, error))

    def _ended(self, batch: _Batch, job: str) -> None:
        batch.left.discard(job)
        if not batch.left and self.batch is batch:
            self.batch = None
        self._change.notify_all()

    def _tell(self, event: WorkEvent) -> None:
        if not self._is_muted:
            self._tell_all(event)


def _kept(batch: _Batch, event: WorkEvent) -> WorkEvent:
    """A job whose results have all come back: finished here, too."""
    folder = batch.folder(event.job)
    results = tuple(
        MadeFile(made.kind, folder / OUT / made.path.name, made.seconds, made.seed) for made in event.results
    )
    write_done(folder, Done(batch.request(event.job), results, event.seconds))
    return WorkEvent("done", event.job, results=results, seconds=event.seconds)
