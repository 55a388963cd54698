"""What works for the queue: a pool of engines, each in a process of its own, and what it tells."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from stemwright.bridge.request import Request
from stemwright.engine.job import Progress

ENDS = ("done", "cancelled", "failed", "lost")  # the kinds after which a job is no longer the pool's


@dataclass(frozen=True)
class MadeFile:
    """A result, whole and at its place. kind: the name of its prompt for a file, or "rest" """

    kind: str
    path: Path
    seconds: float
    seed: int


@dataclass(frozen=True)
class WorkEvent:
    """Something that happened to a job, or to an engine.

    ready      an engine is loaded; text: its model and its device, "default cpu"
    progress   progress: where the job is
    done       results, and the seconds the work took
    cancelled  stopped on request, nothing is left
    failed     code (one of messages.CODES) and text
    lost       the process that worked on the job died
    broken     an engine does not start; text: why
    """

    kind: str
    job: str = ""
    progress: Progress | None = None
    results: tuple[MadeFile, ...] = ()
    code: str = ""
    text: str = ""
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """For a pipe."""
        plain: dict[str, Any] = {"kind": self.kind, "job": self.job, "seconds": self.seconds}
        if self.progress is not None:
            at = self.progress
            plain["progress"] = [at.done, at.total, at.stage, at.seconds_left]
        if self.results:
            plain["results"] = [[one.kind, str(one.path), one.seconds, one.seed] for one in self.results]
        return {**plain, "code": self.code, "text": self.text}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> WorkEvent:
        """What `to_json` wrote; anything else is a KeyError, TypeError or ValueError."""
        at = content.get("progress")
        return cls(
            kind=str(content["kind"]),
            job=str(content["job"]),
            progress=None if at is None else Progress(int(at[0]), int(at[1]), str(at[2]), at[3]),
            results=tuple(
                MadeFile(str(kind), Path(path), float(seconds), int(seed))
                for kind, path, seconds, seed in content.get("results", ())
            ),
            code=str(content["code"]),
            text=str(content["text"]),
            seconds=float(content["seconds"]),
        )


Tell = Callable[[WorkEvent], None]


class Pool(Protocol):
    """Engines at work. Every job that is given comes to one of ENDS, unless the pool is stopped; that is told
    before its place counts as free.
    """

    def start(self, tell: Tell) -> None:
        """`tell` may be called from any thread."""
        ...

    def free(self) -> int:
        """How many batches can be given now. Cheap."""
        ...

    def give(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        """Compatible jobs (see `order.batch_key`), done together where the engine can."""
        ...

    def cancel(self, job: str) -> None:
        """Stop a job that was given; it ends as cancelled, or as what it had come to."""
        ...

    def stop(self, seconds: float) -> None:
        """Wait so long for what runs, then end it; what is cut off so is not told."""
        ...
