"""What runs in a Ray cluster: an actor with an engine. Knows nothing of Ray.

It works on files that it sees as the driver does, or on bytes that it is given; then its results go back as
bytes, too. Its methods that are generators tell as they go: what they yield are pairs of a word and its
value, told in order.
"""

from __future__ import annotations

import os
import queue
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stemwright.bridge.grammar import INTERNAL
from stemwright.bridge.pool import ENDS, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.worker import Engines, Work
from stemwright.engine.commands.deliver import Made, Places, deliver
from stemwright.engine.commands.show import unexpected
from stemwright.engine.errors import BadInput, BadOutput, MissingExtra, ModelError, StemwrightError
from stemwright.engine.job import Job, Progress

EVERY = 0.1  # seconds between two words about progress
ERRORS: tuple[type[StemwrightError], ...] = (BadInput, ModelError, BadOutput, MissingExtra)
Word = tuple[str, Any]


@dataclass(frozen=True)
class File:
    """A file as the driver sees it; an actor that sees the same uses it where it lies."""

    path: str
    bytes: int
    changed: int  # nanoseconds since 1970

    @classmethod
    def of(cls, path: str | os.PathLike[str]) -> File:
        found = os.stat(path)
        return cls(os.fspath(path), found.st_size, found.st_mtime_ns)

    def is_here(self) -> bool:
        with suppress(OSError):
            return File.of(self.path) == self
        return False


@dataclass(frozen=True)
class Returned:
    """A result on its way to the driver."""

    job: str
    name: str  # of the file
    data: bytes


@dataclass(frozen=True)
class Failure:
    """Why a piece could not be done, with the exit code it means."""

    text: str
    exit_code: int
    is_model: bool = False

    @classmethod
    def of(cls, error: Exception) -> Failure:
        if isinstance(error, StemwrightError):
            return cls(str(error), error.exit_code, isinstance(error, ModelError))
        return cls(unexpected(error), StemwrightError.exit_code)

    def as_error(self) -> StemwrightError:
        """With the same words and exit code."""
        kind = next((kind for kind in ERRORS if kind.exit_code == self.exit_code), StemwrightError)
        return kind(self.text)


class Actor:
    """An engine. One piece of work at a time; `cancel` and `sees` may be called meanwhile.

    work  what does a batch, as `work.do`
    load  makes the engines of models by name
    """

    def __init__(
        self,
        model: str,
        threads: int,
        device: str,
        profile: str = "best",
        work: Work | None = None,
        load: Callable[[str | None], Any] | None = None,
    ) -> None:
        self._text = f"{Path(model).name} {device}"
        self._work, self._open = work, load or Engines(model, threads, device, profile)
        self._cancelled: set[str] = set()

    def ready(self) -> Failure | str:
        """Load the engine; → its model and device, or why not."""
        try:
            self._open(None)
        except Exception as error:
            return Failure.of(error)
        return self._text

    def process(self) -> int:
        return os.getpid()

    def sees(self, probe: File | None, secret: str, files: Sequence[File]) -> tuple[bool, bool]:
        """Whether the folder of the probe, and these files, are the driver's own."""
        try:
            is_shared = probe is None or Path(probe.path).read_text() == secret
        except (OSError, ValueError):
            is_shared = False
        return is_shared, all(file.is_here() for file in files)

    def cancel(self, job: str) -> None:
        self._cancelled.add(job)

    def do(
        self, batch: list[Request], folders: list[str] | None, names: list[str], *contents: bytes
    ) -> Iterator[Word]:
        """Do jobs in their folders; without folders: in one of our own, and the results are returned.

        names, contents  files to be put in place of those of these paths
        yields           begun, then event: WorkEvent, and file: Returned before the event done
        """
        yield "begun", None
        with _Desk() as desk:
            own = desk.put(names, contents)
            moved = [_moved(request, own) for request in batch]
            if folders is None:
                places = [desk.folder(f"job-{number}") for number in range(len(batch))]
            else:
                places = [Path(folder) for folder in folders]
            told: queue.SimpleQueue[WorkEvent] = queue.SimpleQueue()
            thread = threading.Thread(target=self._run, args=(moved, places, told), daemon=True)
            thread.start()
            left = {request.job for request in batch}
            while left:
                event = told.get()
                if folders is None and event.kind == "done":
                    for made in event.results:
                        yield "file", Returned(event.job, made.path.name, made.path.read_bytes())
                if event.kind in ENDS:
                    left.discard(event.job)
                yield "event", event
            thread.join()
        self._cancelled.difference_update(request.job for request in batch)

    def _run(self, batch: list[Request], places: list[Path], told: queue.SimpleQueue[WorkEvent]) -> None:
        """In a thread of its own: every job comes to an end, whatever happens."""
        from stemwright.bridge.work import do, failed

        left, spoke = {request.job for request in batch}, dict.fromkeys((one.job for one in batch), 0.0)

        def tell(event: WorkEvent) -> None:
            now = time.monotonic()
            if event.kind == "progress":
                if now - spoke[event.job] < EVERY:
                    return
                spoke[event.job] = now
            if event.kind in ENDS:
                left.discard(event.job)
            told.put(event)

        try:
            engine = self._open(batch[0].model)
            (self._work or do)(engine, batch, places, tell, self._cancelled.__contains__)
        except Exception as error:
            for job in sorted(left):
                tell(failed(job, error))
        for job in sorted(left):
            tell(WorkEvent("failed", job, code=INTERNAL, text="the work ended without a word; see the log"))

    def deliver(
        self, job: Job, song: str | None, places: Places, is_shared: bool, *contents: bytes
    ) -> Iterator[Word]:
        """One piece of a catalogue, into `places` or, where those are not shared, back as bytes.

        contents  the song, where it is not shared
        yields    begun; progress: Progress; file: Returned; then made: Made, or failed: Failure
        """
        yield "begun", None
        with _Desk() as desk:
            at = None if song is None else Path(song)
            if at is not None and contents:
                at = Path(desk.put([at.name], contents)[at.name])
            here = places if is_shared else _moved_places(places, desk.folder("out"))
            told: queue.SimpleQueue[Word] = queue.SimpleQueue()
            thread = threading.Thread(target=self._piece, args=(job, at, here, told), daemon=True)
            thread.start()
            while (word := told.get())[0] == "progress":
                yield word
            thread.join()
            if word[0] == "made" and not is_shared:
                for path in [*here.files, *([here.picture] if here.picture else [])]:
                    yield "file", Returned("", path.name, path.read_bytes())
            if word[0] == "failed" and contents:  # it names the file as the driver does
                word = "failed", replace(word[1], text=word[1].text.replace(str(at), str(song)))
            yield word

    def _piece(self, job: Job, song: Path | None, places: Places, told: queue.SimpleQueue[Word]) -> None:
        spoke = 0.0

        def on_progress(at: Progress) -> None:
            nonlocal spoke
            if time.monotonic() - spoke >= EVERY:
                spoke = time.monotonic()
                told.put(("progress", at))

        try:
            made: Made = deliver(self._open(None), job, song, places, on_progress)
        except Exception as error:
            told.put(("failed", Failure.of(error)))
        else:
            told.put(("made", made))


class _Desk:
    """A temporary folder, made when it is needed and removed at the end."""

    def __init__(self) -> None:
        self._root: Path | None = None

    def __enter__(self) -> _Desk:
        return self

    def __exit__(self, *_: object) -> None:
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)

    def folder(self, name: str) -> Path:
        if self._root is None:
            self._root = Path(tempfile.mkdtemp(prefix="stemwright-"))
        path = self._root / name
        path.mkdir()
        return path

    def put(self, names: Sequence[str], contents: Sequence[bytes]) -> dict[str, str]:
        """Files of these names, each in a folder of its own; → where each is now."""
        own = {}
        for number, (name, content) in enumerate(zip(names, contents, strict=True)):
            path = self.folder(f"in-{number}") / Path(name).name
            path.write_bytes(content)
            own[name] = str(path)
        return own


def _moved(request: Request, own: dict[str, str]) -> Request:
    path, like = request.path, request.like
    return replace(request, path=own.get(path or "", path), like=own.get(like or "", like))


def _moved_places(places: Places, folder: Path) -> Places:
    files = tuple(folder / path.name for path in places.files)
    return replace(places, files=files, picture=places.picture and folder / places.picture.name)
