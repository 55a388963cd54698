"""Pools in the test's own process, and a queue around them that remembers what it told."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import Message
from stemwright.bridge.pool import MadeFile, Pool, Tell, WorkEvent
from stemwright.bridge.queue import Limits, Queue, Row
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Done, Spool, write_done
from stemwright.engine.job import Progress
from tests.bridge.fakes_worker import instant
from tests.bridge.waiting import DEADLINE

ENDS = (say.Finished, say.Cancelled, say.Fail)


def request(job: str, prompt: str = "bass", **options: object) -> Request:
    return Request(job, "extract", (prompt,), path="song.wav", **options)  # type: ignore[arg-type]


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes; skips where none can be had."""
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("needs root on Linux to mount a small disk")
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(options, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


class HandPool:
    """The test says what becomes of each batch."""

    def __init__(self, room: int = 1) -> None:
        self.room = room
        self.batches: list[tuple[Request, ...]] = []
        self.folders: dict[str, Path] = {}
        self.cancelled: list[str] = []
        self.stopped: list[float] = []
        self._open: dict[str, int] = {}  # job → its batch
        self._lock = threading.Lock()

    def start(self, tell: Tell) -> None:
        self.tell = tell

    def free(self) -> int:
        with self._lock:
            return self.room - len(set(self._open.values()))

    def give(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        assert self.free() > 0
        self._open |= {one.job: len(self.batches) for one in batch}
        self.folders |= {one.job: folder for one, folder in zip(batch, folders, strict=True)}
        self.batches.append(batch)

    def cancel(self, job: str) -> None:
        self.cancelled.append(job)

    def stop(self, seconds: float) -> None:
        self.stopped.append(seconds)

    @property
    def given(self) -> list[str]:
        """Ids in the order in which they were given."""
        return [one.job for batch in self.batches for one in batch]

    def write(self, job: str) -> tuple[MadeFile, ...]:
        """The results of a job as a worker leaves them, done.json and all."""
        (asked,) = [one for batch in self.batches for one in batch if one.job == job][-1:]
        out = self.folders[job] / OUT
        out.mkdir(exist_ok=True)
        made = MadeFile(asked.prompts[0], out / "bass.wav", 1.5, asked.seed)
        made.path.write_bytes(b"sound")
        write_done(self.folders[job], Done(asked, (made,), 0.25))
        return (made,)

    def finish(self, job: str) -> None:
        results = self.write(job)
        self.end("done", job, results=results, seconds=0.25)

    def end(self, kind: str, job: str, **others: object) -> None:
        with self._lock:
            self.tell(WorkEvent(kind, job, **others))  # type: ignore[arg-type]
            self._open.pop(job, None)

    def progress(self, job: str, done: int, total: int = 100) -> None:
        self.tell(WorkEvent("progress", job, Progress(done, total, "sample", 1.0)))


class InstantPool:
    """Does every job as soon as it is given, in a thread of its own."""

    def __init__(self) -> None:
        self._is_busy = False
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, tell: Tell) -> None:
        self._tell = tell
        tell(WorkEvent("ready", text="instant none"))

    def free(self) -> int:
        with self._lock:
            return int(not self._is_busy)

    def give(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        self._is_busy = True
        self._threads = [one for one in self._threads if one.is_alive()]
        thread = threading.Thread(target=self._work, args=(batch, folders))
        self._threads.append(thread)
        thread.start()

    def _work(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        events: list[WorkEvent] = []
        instant(None, batch, folders, events.append, lambda job: False)
        with self._lock:
            for event in events:
                self._tell(event)
            self._is_busy = False

    def cancel(self, job: str) -> None:
        pass

    def stop(self, seconds: float) -> None:
        for thread in self._threads:
            thread.join()


@dataclass
class Heard:
    """What a queue told."""

    events: list[Message] = field(default_factory=list)
    answers: list[Message] = field(default_factory=list)

    def of(self, job: str) -> list[Message]:
        return [one for one in self.events if getattr(one, "job", "") == job]

    def ends(self, job: str) -> list[Message]:
        return [one for one in self.of(job) if isinstance(one, ENDS)]


class Running:
    """A queue under test."""

    def __init__(
        self,
        root: Path,
        pool: Pool,
        *,
        settle: Callable[[Request], Request] = lambda request: request,
        limits: Limits | None = None,
    ) -> None:
        self.spool, self.heard = Spool(root), Heard()
        self.queue = Queue(self.spool, pool, settle=settle, on_event=self._hear, limits=limits or Limits())
        self.queue.start()

    def _hear(self, row: Row, message: Message) -> None:
        self.heard.events.append(message)

    def __enter__(self) -> "Running":
        return self

    def __exit__(self, *_: object) -> None:
        self.queue.close(1.0)

    def submit(self, *requests: Request, client: str = "me") -> list[Message]:
        """→ the first answer to each"""
        found: list[list[Message]] = [[] for _ in requests]
        for one, answers in zip(requests, found, strict=True):
            self.queue.submit(one, client, answers.append)
        self.settled()
        return [answers[0] for answers in found]

    def cancel(self, job: str) -> list[Message]:
        found: list[Message] = []
        self.queue.cancel(job, found.append)
        self.settled()
        return found

    def settled(self) -> None:
        """Everything put in before has been dealt with, and jobs given: that comes after the answers."""
        for _ in range(2):
            done = threading.Event()
            self.queue.barrier(done.set)
            assert done.wait(DEADLINE)

    def state(self, job: str) -> str:
        row = self.queue.row(job)
        return "" if row is None else row.state


def order_of(running: Running, pool: HandPool) -> list[str]:
    """Ids as they are done, one after the other, until none is left."""
    while running.queue.counts().running:
        pool.finish(pool.given[-1])
        running.settled()
    return pool.given


def code(message: object) -> str:
    assert isinstance(message, say.Fail), message
    return message.code


def kinds(heard: Heard, job: str) -> list[str]:
    return [type(one).__name__ for one in heard.of(job)]
