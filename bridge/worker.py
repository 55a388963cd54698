"""The engine's process: `python -m stemwright.bridge.worker`. Started by LocalPool, of no use by hand.

JSON lines. From the parent: {"do": "give", "batch": [request, …], "folders": [path, …]}, {"do": "cancel",
"job": id}, {"do": "stop"}. To it: WorkEvents. When the parent goes away, what is being done is cancelled and
the process ends. Signals are the parent's business: Ctrl-C reaches this process, too, and must not end a job.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from stemwright.bridge.grammar import MODEL
from stemwright.bridge.pool import ENDS, WorkEvent
from stemwright.bridge.request import Request

KEPT = 2  # models open at a time
EVERY = 0.05  # seconds between two rows about a job's progress
log = logging.getLogger(__name__)

Work = Callable[
    [Any, Sequence[Request], Sequence[Path], Callable[[WorkEvent], None], Callable[[str], bool]], None
]
Open = Callable[[str | None], Any]  # a model's name, None for the default → its engine


class Line:
    """The pipe to the parent and back. `tell` from one thread, the others are safe everywhere."""

    def __init__(self, source: int, sink: int) -> None:
        self._source, self._sink = source, sink
        self._batches: queue.SimpleQueue[tuple[list[Request], list[Path]] | None] = queue.SimpleQueue()
        self._cancelled: set[str] = set()
        self._is_alone = threading.Event()  # the parent is gone
        self._told: dict[str, float] = {}

    def listen(self) -> None:
        """In a thread of its own, until the parent goes away."""
        try:
            for words in lines(self._source):
                self._heard(json.loads(words))
        except (OSError, ValueError, KeyError):
            log.exception("the pipe from the server is broken")
        self._is_alone.set()
        self._batches.put(None)

    def _heard(self, said: dict[str, Any]) -> None:
        if said["do"] == "give":
            requests = [Request.from_json(one) for one in said["batch"]]
            self._cancelled.difference_update(one.job for one in requests)  # came too late, of an older one
            self._batches.put((requests, [Path(folder) for folder in said["folders"]]))
        elif said["do"] == "cancel":
            self._cancelled.add(said["job"])
        else:
            self._batches.put(None)

    def batches(self) -> Iterator[tuple[list[Request], list[Path]]]:
        """Until the parent says stop, or goes away."""
        while (found := self._batches.get()) is not None and not self._is_alone.is_set():
            yield found

    def is_cancelled(self, job: str) -> bool:
        return job in self._cancelled or self._is_alone.is_set()

    def tell(self, event: WorkEvent) -> None:
        """Progress only so often."""
        now = time.monotonic()
        if event.kind == "progress":
            if now - self._told.get(event.job, 0.0) < EVERY:
                return
            self._told[event.job] = now
        elif event.kind in ENDS:
            self._told.pop(event.job, None)
        words = memoryview(json.dumps(event.to_json()).encode() + b"\n")
        try:
            while words:
                words = words[os.write(self._sink, words) :]
        except OSError:  # nobody listens any more
            self._is_alone.set()


def lines(source: int) -> Iterator[bytes]:
    """Lines as they come, read without Python's own buffers: a thread that waits in those blocks the exit."""
    parts: list[bytes] = []
    while data := os.read(source, 1 << 16):
        first, *others = data.split(b"\n")
        parts.append(first)
        for other in others:
            yield b"".join(parts)
            parts = [other]


def serve(line: Line, open_engine: Open, work: Work, text: str) -> int:
    """Open the engine, say so (text: its model and device), work; → the exit code."""
    thread = threading.Thread(target=line.listen, name="parent", daemon=True)
    thread.start()
    try:
        open_engine(None)
    except Exception as error:
        log.exception("the engine does not start")
        line.tell(WorkEvent("broken", code=MODEL, text=str(error) or type(error).__name__))
        return 1
    line.tell(WorkEvent("ready", text=text))
    for requests, folders in line.batches():
        try:
            engine = open_engine(requests[0].model)
        except Exception as error:
            _refuse(line, requests, error)
            continue
        work(engine, requests, folders, line.tell, line.is_cancelled)
    return 0


def _refuse(line: Line, requests: Sequence[Request], error: Exception) -> None:
    from stemwright.bridge.work import failed

    for request in requests:
        line.tell(failed(request.job, error))


class Engines:
    """Engines by the names of their models; those used last stay open."""

    def __init__(self, model: str, threads: int | None, device: str, profile: str = "best") -> None:
        self._model, self._threads, self._device, self._profile = model, threads, device, profile
        self._open: OrderedDict[str, Any] = OrderedDict()

    def __call__(self, model: str | None) -> Any:
        from stemwright.engine.engine import Engine

        name = model or self._model
        if name not in self._open:
            while len(self._open) >= KEPT:
                self._open.popitem(last=False)
            self._open[name] = Engine.load(
                name, threads=self._threads, device=self._device, profile=self._profile
            )
        self._open.move_to_end(name)
        return self._open[name]


def apart() -> Line:
    """The pipe, and standard output turned to standard error: what a library prints must not get into it."""
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, signal.SIG_IGN)
    sink = os.dup(1)
    os.dup2(2, 1)
    return Line(0, sink)


def main(words: Sequence[str] | None = None) -> int:
    flags = argparse.ArgumentParser(prog="stemwright.bridge.worker", description=__doc__)
    flags.add_argument("--model", default="default")
    flags.add_argument("--threads", type=int)
    flags.add_argument("--device", default="auto")
    flags.add_argument("--profile", default="best")
    found = flags.parse_args(words)
    line = apart()
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    from stemwright.bridge.work import do

    device = "cpu" if found.device == "auto" else found.device
    text = f"{Path(found.model).name} {device}"
    return serve(line, Engines(found.model, found.threads, found.device, found.profile), do, text)


if __name__ == "__main__":
    sys.exit(main())
