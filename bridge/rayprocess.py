"""The process that speaks with a Ray cluster: `python -m stemwright.bridge.rayprocess`, of PoolProcess.

JSON lines. From the parent what `worker` takes, but that several batches may be given at once, and how long
what runs has to end: {"do": "stop", "seconds": s}. To it WorkEvents, and first {"kind": "up"}, or {"kind":
"refused", "text": why, "exit_code": n}; then, whenever it changes, {"kind": "free", "free": batches that can
be given, "given": those that were}.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stemwright.bridge.cluster import RayPool
from stemwright.bridge.crew import Crew
from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.worker import lines
from stemwright.engine.errors import StemwrightError

LOOK = 3.0  # seconds between two looks for this machine's node
LOSS = "the process that speaks with the Ray cluster has ended"
GONE = "this machine's Ray node has ended. Start one and the jobs go on: ray start --address HEAD:6379"


def command(
    address: str, model: str, *, threads: int | None, device: str, profile: str, workers: int | None
) -> list[str]:
    """What starts it."""
    words = [sys.executable, "-m", "stemwright.bridge.rayprocess", "--address", address, "--model", model]
    words += ["--device", device, "--profile", profile]
    words += ["--threads", str(threads)] if threads else []
    return words + (["--workers", str(workers)] if workers else [])


def pool_of(words: Sequence[str] | None = None) -> RayPool:
    """What a command line of `command` means."""
    flags = argparse.ArgumentParser(prog="stemwright.bridge.rayprocess", description=__doc__)
    for name in ("address", "model", "device", "profile"):
        flags.add_argument(f"--{name}", required=True)
    flags.add_argument("--threads", type=int)
    flags.add_argument("--workers", type=int)
    found = flags.parse_args(words)
    return RayPool(
        found.address,
        found.model,
        threads=found.threads,
        device=found.device,
        profile=found.profile,
        workers=found.workers,
    )


class Mouth:
    """The pipe to the parent; any thread. When nobody listens any more, the other pipe tells."""

    def __init__(self, sink: int) -> None:
        self._sink, self._lock = sink, threading.Lock()

    def say(self, **words: Any) -> None:
        left = memoryview(json.dumps(words).encode() + b"\n")
        with self._lock, suppress(OSError):
            while left:
                left = left[os.write(self._sink, left) :]

    def tell(self, event: WorkEvent) -> None:
        self.say(**event.to_json())


def serve(pool: Any, source: int, mouth: Mouth) -> int:
    """Start the pool, and do what the parent says until it says stop or goes; → the exit code.

    pool  a Crew with `is_there`; when that is no longer so, the process ends at once
    """
    try:
        pool.start(mouth.tell)
    except StemwrightError as error:
        mouth.say(kind="refused", text=str(error), exit_code=error.exit_code)
        return error.exit_code
    mouth.say(kind="up")
    for task in (_tell_free, _watch):
        threading.Thread(target=task, args=(pool, mouth), daemon=True).start()
    seconds = 0.0
    for words in lines(source):
        said = json.loads(words)
        if said["do"] == "stop":
            seconds = float(said["seconds"])
            break
        if said["do"] == "cancel":
            pool.cancel(said["job"])
        else:
            batch = tuple(Request.from_json(one) for one in said["batch"])
            pool.give(batch, tuple(Path(folder) for folder in said["folders"]))
    pool.stop(seconds)
    return 0


def _tell_free(pool: Crew[Any], mouth: Mouth) -> None:
    """Whenever it changes."""
    known = (0, 0)
    while True:
        known = pool.room_after(known)
        mouth.say(kind="free", free=known[0], given=known[1])


def _watch(pool: Any, mouth: Mouth) -> None:
    """Without its node nothing of Ray's comes back, not even an answer to `shutdown`."""
    while pool.is_there():
        time.sleep(LOOK)
    mouth.say(kind="refused", text=GONE, exit_code=StemwrightError.exit_code)
    os._exit(StemwrightError.exit_code)


def main() -> int:
    for one in (signal.SIGINT, signal.SIGTERM):  # the parent's business; what Ray starts must hear them again
        signal.signal(one, lambda number, frame: None)
    sink = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get into the pipe
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    return serve(pool_of(), 0, Mouth(sink))


if __name__ == "__main__":
    sys.exit(main())
