"""`stemwright serve --ray`: the queue's engines as actors of a Ray cluster. The server has it in a process of
its own, see rayprocess.py.

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
from pathlib import Path
from typing import Any

from stemwright.bridge.crew import Batch, Crew, Member
from stemwright.bridge.grammar import MODEL
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


class RayPool(Crew["_Member"]):
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
        profile: str = "best",
        workers: int | None = None,
        work: Any = None,
        load: Any = None,
    ) -> None:
        self._address, self._model, self._device = address, model, device
        self._profile, self._threads, self._workers = profile, threads, workers
        self._work, self._load = work, load
        super().__init__()

    def start(self, tell: Tell) -> None:
        """MissingExtra without Ray, NoCluster where none answers."""
        self._cluster = Cluster(self._address)
        threads = self._cluster.threads(self._threads)
        device = "cpu" if self._device == "auto" else self._device
        arguments = (self._model, threads, device, self._profile, self._work, self._load)
        count = self._workers or self._cluster.actors(threads)
        self._members = [
            _Member(self._cluster, threads, arguments, self._change, number) for number in range(count)
        ]
        for member in self._members:
            member.start(tell)

    def stop(self, seconds: float) -> None:
        super().stop(seconds)
        if self._members:
            self._cluster.close()

    def is_there(self) -> bool:
        """Whether this machine's node is still part of the cluster: without it actors cannot be reached."""
        return self._cluster.is_there()

    @property
    def processes(self) -> list[int]:
        """Their numbers on their nodes, of those that are ready."""
        with self._change:
            actors = [member.actor for member in self._members if member.state == "ready"]
        return [actor.process() for actor in actors if actor is not None]


class _Member(Member):
    """One actor and the thread that works with it."""

    def __init__(
        self,
        cluster: Cluster,
        threads: int,
        arguments: Sequence[Any],
        change: threading.Condition,
        number: int,
    ) -> None:
        super().__init__(change, f"ray {number}")
        self._cluster, self._threads, self._arguments = cluster, threads, arguments
        self.actor: ActorHandle | None = None
        self._trouble = ""  # why it is broken
        self._losses = 0  # of actors, in a row, without a batch between

    def _begin(self, batch: Batch) -> None:
        """The thread waits for it."""

    def _stop_job(self, batch: Batch, job: str) -> None:
        if self.actor is not None:
            self.actor.cancel(job)

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
            self._change.notify_all()
        if isinstance(found, str):
            self._tell(WorkEvent("ready", text=found))
        elif found is not None:
            self._tell(WorkEvent("broken", code=MODEL, text=found.text))

    def _next(self) -> Batch:
        """Waits for a batch; an empty one when it is time to leave."""
        with self._change:
            while self.batch is None and not self._is_leaving:
                self._change.wait()
            return self.batch or Batch((), ())

    def _rest(self, seconds: float, *, is_short_for_work: bool = False) -> None:
        deadline = time.monotonic() + seconds
        with self._change:
            while not self._is_leaving and (left := deadline - time.monotonic()) > 0:
                if is_short_for_work and self.batch is not None:
                    return
                self._change.wait(left)

    def _do(self, actor: ActorHandle, batch: Batch) -> None:
        with self._change:
            requests = [one for one in batch.requests if one.job in batch.left]  # the others are cancelled
            batch.is_sent = True
        if not requests:
            return
        folders = [batch.folder(one.job) for one in requests]
        if actor.sees(folders[0].parent, _inputs(batch)):
            for _, event in actor.work("do", requests, [str(folder) for folder in folders], []):
                self._heard(batch, event)
        else:
            self._do_apart(actor, batch, requests)
        self._losses = 0
        if batch.left:
            self._end_all(batch, RuntimeError("the actor ended its work without a word"))

    def _do_apart(self, actor: ActorHandle, batch: Batch, requests: list[Request]) -> None:
        """The inputs go there, the results come back."""
        try:
            contents = [path.read_bytes() for path in _inputs(batch)]
        except OSError as error:
            self._end_all(batch, BadInput(f"the input cannot be read ({error.strerror}); is it still there?"))
            return
        names = [str(path) for path in _inputs(batch)]
        with ExitStack() as stack:
            for request in requests:
                folder = batch.folder(request.job)
                stack.enter_context(held(folder, PATIENCE))
                clear(folder)
                (folder / OUT).mkdir(mode=0o700)
            for word in actor.work("do", requests, None, names, contents=contents):
                self._take(batch, word)

    def _take(self, batch: Batch, word: Word) -> None:
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

    def _heard(self, batch: Batch, event: WorkEvent) -> None:
        with self._change:
            if event.job not in batch.left:
                return
            self._tell(event)
            if event.kind in ENDS:
                self._ended(batch, event.job)

    def _lost(self, error: ActorLost) -> None:
        """The actor is gone. What it had not begun is given to the next one."""
        with self._change:
            self.actor, self.state = None, "starting"
            self._losses += 1
            batch = self.batch
            is_over = error.has_begun or self._losses >= STARTS
            if batch is not None and not is_over:
                batch.is_sent = False
            self._change.notify_all()
        log.warning("a Ray actor was lost: %s", error)
        if batch is not None and is_over:
            for job in sorted(batch.left):
                self._heard(batch, WorkEvent("lost", job, text=str(error)))
        elif batch is None and is_over:
            self._tell(WorkEvent("broken", code=MODEL, text=str(error)))
        self._rest(min(LATE, SOON * 2 ** min(self._losses - 1, 10)))

    def _fail_all(self, batch: Batch, text: str) -> None:
        for job in sorted(batch.left):
            self._heard(batch, WorkEvent("failed", job, code=MODEL, text=text))

    def _end_all(self, batch: Batch, error: Exception) -> None:
        for job in sorted(batch.left):
            self._heard(batch, failed(job, error))


def _inputs(batch: Batch) -> list[Path]:
    """Every file that it reads, once."""
    named = [name for one in batch.requests for name in (one.path, one.like) if name]
    return [Path(name) for name in dict.fromkeys(named)]


def _kept(batch: Batch, event: WorkEvent) -> WorkEvent:
    """A job whose results have all come back: finished here, too."""
    folder = batch.folder(event.job)
    results = tuple(
        MadeFile(made.kind, folder / OUT / made.path.name, made.seconds, made.seed) for made in event.results
    )
    write_done(folder, Done(batch.request(event.job), results, event.seconds))
    return WorkEvent("done", event.job, results=results, seconds=event.seconds)
