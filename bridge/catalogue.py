"""`stemwright extract songs/ vocals --ray`: the files of a command line, spread over a Ray cluster.

What is written, refused and said is what the same command line does without --ray; only the order in which
files get ready is another. One thread an actor takes pieces; the main thread shows what they tell. A piece
whose actor is lost is done by another; one that loses TRIES actors is given up.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from argparse import Namespace
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from secrets import token_hex
from typing import Any

from stemwright.bridge.client import publish
from stemwright.bridge.nodes import Failure, Returned
from stemwright.bridge.raylink import ActorHandle, ActorLost, Cluster
from stemwright.engine.commands.deliver import Made, Places
from stemwright.engine.commands.outputs import make_folder, write_bytes
from stemwright.engine.commands.plan import Piece, Plan, plan
from stemwright.engine.commands.run import Run
from stemwright.engine.commands.show import Screen
from stemwright.engine.commands.stop import Stop
from stemwright.engine.errors import (
    BadOutput,
    ModelError,
    StemwrightError,
)
from stemwright.engine.job import Job, Progress
from stemwright.engine.writing import quoted

TRIES = 3  # actors that a piece may cost
THREADS = 1  # of an actor: many files are done soonest one on each core
NO_ROOM = 20.0  # seconds without a word until it is said that the cluster is full
LOOK = 0.1  # seconds between two looks for Ctrl-C
LEAVING = 5.0  # seconds for a thread to see that its actor is gone
NODE = 3.0  # seconds between two looks for this machine's node
CUT_OFF = "this machine's Ray node has ended, and no worker can be reached. Start one: ray start"


class GivenUp(StemwrightError):
    """A piece that every actor died of."""


def run(flags: Namespace, stop: Stop) -> int:
    """→ the exit code, as without --ray: that of the first failure, 0 without any."""
    asked = plan(flags)
    make_folder(asked.folder)
    cluster = Cluster(flags.ray)
    try:
        return Catalogue(flags, asked, Screen(is_json=flags.json), stop, cluster).all()
    finally:
        cluster.close()


@dataclass
class Task:
    """A piece and how far it is. number: its place in the plan; folder: where its results wait to be named"""

    number: int
    piece: Piece
    folder: Path
    losses: int = 0
    share: float = 0.0  # done, 0 to 1
    stage: str = ""
    begin: float = field(default_factory=time.monotonic)


class Catalogue(Run):
    """A plan under way in a cluster."""

    def __init__(self, flags: Namespace, asked: Plan, screen: Screen, stop: Stop, cluster: Cluster) -> None:
        super().__init__(flags, asked, None, screen, stop)  # type: ignore[arg-type]  # the engines are there
        self._cluster = cluster
        self._told: queue.SimpleQueue[tuple[Task, Any]] = queue.SimpleQueue()
        self._tasks = [
            Task(number, piece, asked.folder.absolute() / f".stemwright-{token_hex(8)}.part")
            for number, piece in enumerate(asked.pieces)
        ]
        self._waiting = deque(
            task for task in self._tasks if not (task.piece.found and task.piece.found.problem)
        )
        self._change = threading.Condition()
        self._is_over = False
        self._is_waiting = True  # for the first word
        self._codes: dict[int, int] = {}  # number of a piece → its exit code

    def all(self) -> int:
        threads = self._cluster.threads(self._flags.threads, usual=THREADS)
        count = min(self._cluster.actors(threads), max(1, len(self._waiting)))
        hands = [Hand(self, self._cluster, threads, number) for number in range(count)]
        begin = time.monotonic()
        try:
            for task in self._tasks:
                if task.piece.found and task.piece.found.problem:
                    self._codes[task.number] = self._failed(task.piece, task.piece.found.problem)
            for hand in hands:
                hand.start()
            while len(self._codes) < len(self._tasks):
                self._hear(begin)
        finally:
            self._end(hands)
        return self._summed([self._codes[number] for number in sorted(self._codes)])

    # What the hands need; any thread

    def next(self) -> Task | None:
        """The next piece; None when all is done."""
        with self._change:
            while not self._waiting and not self._is_over:
                self._change.wait()
            return None if self._is_over else self._waiting.popleft()

    def give_back(self, task: Task) -> None:
        with self._change:
            self._waiting.appendleft(task)
            self._change.notify()

    def tell(self, task: Task | None, word: Any) -> None:
        self._told.put((task or self._tasks[0], word))

    @property
    def is_over(self) -> bool:
        return self._is_over

    def arguments(self, task: Task) -> tuple[Job, Path | None, Places]:
        """What the engine is asked for: the results go into the task's own folder."""
        flags, piece = self._flags, task.piece
        files = tuple(task.folder / path.name for path in piece.files)
        picture = piece.picture and task.folder / piece.picture.name
        places = Places(files, picture, flags.subtype, overwrite=True)
        return self._asked.job, piece.found.path.absolute() if piece.found else None, places

    @property
    def model(self) -> tuple[str, str, str]:
        """Its name, the device and the profile."""
        device = "cpu" if self._flags.device == "auto" else self._flags.device
        return self._flags.model, device, self._flags.profile

    # What the main thread does

    def _hear(self, begin: float) -> None:
        """One word of a hand, or a look whether to stop."""
        self._stop.check()
        try:
            task, word = self._told.get(timeout=LOOK)
        except queue.Empty:
            self._wait_aloud(begin)
            return
        self._is_waiting = False
        if isinstance(word, Progress):
            task.share, task.stage = word.done / max(word.total, 1), word.stage
            self._show_progress(task, begin)
        elif isinstance(word, Made):
            self._codes[task.number] = self._made(task, word)
        elif isinstance(word, Failure) and not word.is_model:
            self._codes[task.number] = self._failed(task.piece, word.as_error())
        elif isinstance(word, Failure):
            raise word.as_error()  # a model that does not work fails them all
        elif isinstance(word, Exception):
            self._codes[task.number] = self._failed(task.piece, word)

    def _wait_aloud(self, begin: float) -> None:
        """Say once that the cluster is full."""
        if self._is_waiting and time.monotonic() - begin > NO_ROOM:
            self._is_waiting = False
            self._screen.note("the cluster has no CPU free yet; waiting for one (Ctrl-C stops)")

    def _made(self, task: Task, made: Made) -> int:
        task.share = 1.0
        piece = task.piece
        try:
            self._publish(task)
        except StemwrightError as error:
            return self._failed(piece, error)
        self._done(piece, made, time.monotonic() - task.begin)
        return 0

    def _publish(self, task: Task) -> None:
        """All results get their names, or none."""
        named: list[Path] = []
        try:
            for place in task.piece.results:
                publish(task.folder / place.name, place, overwrite=self._flags.overwrite)
                named.append(place)
        except (OSError, StemwrightError) as error:
            for place in named if not self._flags.overwrite else ():
                place.unlink(missing_ok=True)
            if isinstance(error, StemwrightError):
                raise
            raise BadOutput(
                f"{quoted(place)}: cannot be written ({error.strerror}). Choose another --output."
            ) from error
        finally:
            shutil.rmtree(task.folder, ignore_errors=True)

    def _show_progress(self, task: Task, begin: float) -> None:
        total = len(self._tasks)
        share = sum(1.0 if one.number in self._codes else one.share for one in self._tasks) / total
        passed = time.monotonic() - begin
        left = passed / share * (1 - share) if share > 0.02 else None
        title = f"{len(self._codes)} of {total} done, now {task.piece.title}"
        self._screen.progress(title, Progress(min(999, round(share * 1000)), 1000, task.stage, left))

    def _end(self, hands: Sequence[Hand]) -> None:
        with self._change:
            self._is_over = True
            self._change.notify_all()
        for hand in hands:
            hand.end()
        for task in self._tasks:
            shutil.rmtree(task.folder, ignore_errors=True)


class Hand:
    """One actor and the thread that gives it pieces."""

    def __init__(self, catalogue: Catalogue, cluster: Cluster, threads: int, number: int) -> None:
        self._catalogue, self._cluster, self._threads = catalogue, cluster, threads
        self._actor: ActorHandle | None = None
        self._losses = 0  # in a row, with nothing done
        self._is_there, self._next_look = True, 0.0  # this machine's node; monotonic
        self._thread = threading.Thread(target=self._work, name=f"ray {number}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        if self._actor is not None:
            self._actor.kill()
        if self._thread.ident:
            self._thread.join(LEAVING)

    def _work(self) -> None:
        try:
            while self._is_ready() and (task := self._catalogue.next()) is not None:
                self._do(task)
        except Exception as error:  # the main thread must not wait for ever
            self._catalogue.tell(None, replace(Failure.of(error), is_model=True))

    def _is_ready(self) -> bool:
        """An actor is there; False when all is over, or none works."""
        while self._actor is None and not self._catalogue.is_over:
            actor = self._cluster.make(self._threads, self._arguments())
            found: Failure | str | None
            try:
                found = actor.ready(self._may_wait)
            except ActorLost as error:
                self._losses += 1
                found = Failure(f"no worker gets ready: {error}", ModelError.exit_code)
            if isinstance(found, str):
                self._actor = actor
                self._catalogue.tell(None, None)
                return True
            actor.kill()
            if found is None and not self._catalogue.is_over:
                self._losses, found = 0, Failure(CUT_OFF, StemwrightError.exit_code)
            if isinstance(found, Failure) and not 0 < self._losses < TRIES:
                self._catalogue.tell(None, replace(found, is_model=True))
                return False
        return self._actor is not None

    def _may_wait(self) -> bool:
        """For an actor, which without our own node never comes."""
        if time.monotonic() > self._next_look:
            self._is_there = self._cluster.is_there()
            self._next_look = time.monotonic() + NODE
        return self._is_there and not self._catalogue.is_over

    def _arguments(self) -> tuple[str, int, str, str]:
        model, device, profile = self._catalogue.model
        return model, self._threads, device, profile

    def _do(self, task: Task) -> None:
        assert self._actor is not None
        try:
            self._catalogue.tell(task, self._done(self._actor, task))
            self._losses = 0
        except ActorLost as error:
            self._actor = None
            shutil.rmtree(task.folder, ignore_errors=True)
            task.losses += error.has_begun
            if task.losses < TRIES:
                self._catalogue.give_back(task)
            else:
                told = GivenUp(f"{task.piece.title}: {task.losses} workers died of it ({error})")
                self._catalogue.tell(task, told)
        except Exception as error:
            shutil.rmtree(task.folder, ignore_errors=True)
            self._catalogue.tell(task, error)

    def _done(self, actor: ActorHandle, task: Task) -> Any:
        """Made or Failure; the results are in the task's folder then."""
        job, song, places = self._catalogue.arguments(task)
        task.begin = time.monotonic()
        task.folder.mkdir()
        contents = []
        is_shared = actor.sees(task.folder.parent, [song] if song else [])
        if not is_shared and song is not None:
            with suppress(OSError):  # the engine says what is wrong with it
                contents = [song.read_bytes()]
        asked = (job, None if song is None else str(song), places, is_shared)
        last: Any = Failure("the worker ended without a word", StemwrightError.exit_code)
        for kind, value in actor.work("deliver", *asked, contents=contents):
            if isinstance(value, Returned):
                write_bytes(task.folder / Path(value.name).name, value.data)
            elif kind == "progress":
                self._catalogue.tell(task, value)
            else:
                last = value
        return _as_asked(last, task) if isinstance(last, Failure) else last


def _as_asked(failure: Failure, task: Task) -> Failure:
    """With the files called as the command line calls them."""
    text = failure.text
    if task.piece.found is not None:
        path = task.piece.found.path
        text = text.replace(quoted(path.absolute()), quoted(path))
    for place in task.piece.results:
        text = text.replace(quoted(task.folder / place.name), quoted(place))
    return replace(failure, text=text)
