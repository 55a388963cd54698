"""What every pool of engines has in common: members, each with an engine and a thread of its own, that take
one batch at a time. LocalPool's are processes of this machine, RayPool's are actors of a cluster.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from stemwright.bridge.pool import Tell, WorkEvent
from stemwright.bridge.request import Request


@dataclass
class Batch:
    """What a member has been given.

    left     jobs that have not ended
    is_sent  the engine knows of it
    timers   stopped when the last job has ended
    """

    requests: tuple[Request, ...]
    folders: tuple[Path, ...]
    left: set[str] = field(default_factory=set)
    is_sent: bool = False
    timers: list[threading.Timer] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.left = {request.job for request in self.requests}

    def folder(self, job: str) -> Path:
        return next(folder for one, folder in zip(self.requests, self.folders, strict=True) if one.job == job)

    def request(self, job: str) -> Request:
        return next(one for one in self.requests if one.job == job)

    def close(self) -> None:
        for timer in self.timers:
            timer.cancel()


class Member(ABC):
    """An engine and the thread that keeps it. state: starting, ready, broken, stopped

    Methods without an underscore are called by the crew, all but `end` and `wait_for_work` while `change` is
    held; what others may look at is changed, and told, only then.
    """

    def __init__(self, change: threading.Condition, name: str) -> None:
        self._change = change
        self.state = "starting"
        self.batch: Batch | None = None
        self._is_leaving = False  # no new work
        self._is_muted = False  # nothing is told any more
        self._thread = threading.Thread(target=self._keep, name=name, daemon=True)

    @abstractmethod
    def _keep(self) -> None:
        """The thread: the engine's life, until it is time to leave."""

    @abstractmethod
    def _begin(self, batch: Batch) -> None:
        """There is a batch: do it, or see to it that it is done soon."""

    @abstractmethod
    def _stop_job(self, batch: Batch, job: str) -> None:
        """A job that the engine knows of is no longer wanted."""

    @abstractmethod
    def end(self) -> None:
        """The engine and the thread ended, whatever they do."""

    def start(self, tell: Tell) -> None:
        self._tell_all = tell
        self._thread.start()

    @property
    def is_free(self) -> bool:
        """A broken one counts: it tries again for the next job, and tells of it if it cannot."""
        return self.batch is None and self.state in ("ready", "broken") and not self._is_leaving

    @property
    def unfitness(self) -> int:
        """The lowest is given the next batch."""
        return 4 if self.batch is not None else ("ready", "broken", "starting", "stopped").index(self.state)

    def give(self, batch: Batch) -> None:
        if self._is_leaving:
            return
        assert self.batch is None, "give only what `free` has room for"
        self.batch = batch
        self._begin(batch)
        self._change.notify_all()

    def cancel(self, job: str) -> None:
        if self.batch is None or job not in self.batch.left:
            return
        if self.batch.is_sent:
            self._stop_job(self.batch, job)
        else:
            self._tell(WorkEvent("cancelled", job))
            self._ended(self.batch, job)

    def leave(self) -> None:
        self._is_leaving = True
        self._change.notify_all()

    def wait_for_work(self, deadline: float) -> None:
        """Until it has nothing to do, or the time is over; then nothing is told any more."""
        with self._change:
            while self.batch is not None and self.batch.is_sent and (left := deadline - time.monotonic()) > 0:
                self._change.wait(left)
            self._is_muted = True

    def _ended(self, batch: Batch, job: str) -> None:
        """Told before: the place is free from now on, if it was the last one."""
        batch.left.discard(job)
        if not batch.left:
            batch.close()
            if self.batch is batch:
                self.batch = None
        self._change.notify_all()

    def _tell(self, event: WorkEvent) -> None:
        if not self._is_muted:
            self._tell_all(event)


Kind = TypeVar("Kind", bound=Member)


class Crew(Generic[Kind]):
    """A Pool but for its start."""

    def __init__(self) -> None:
        self._change = threading.Condition()
        self._members: list[Kind] = []
        self._given = 0

    def free(self) -> int:
        with self._change:
            return sum(member.is_free for member in self._members)

    def room_after(self, known: tuple[int, int]) -> tuple[int, int]:
        """(what `free` says, batches given so far), as soon as that is not what is known."""
        with self._change:
            while (now := (sum(member.is_free for member in self._members), self._given)) == known:
                self._change.wait()
            return now

    def give(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        with self._change:
            member = min(self._members, key=lambda one: one.unfitness)
            self._given += 1
            member.give(Batch(batch, folders))

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
