"""A worker process without an engine: what it does with a job is said by its first prompt.

Run as a program it speaks as `stemwright.bridge.worker` does; `instant` is its work, for pools in the test's
own process. Results hold a token drawn anew each time, so that a job done twice shows.
"""

import json
import os
import secrets
import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stemwright.bridge.pool import MadeFile, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Done, clear, held, read_done, write_done
from stemwright.bridge.worker import apart, serve
from stemwright.engine.errors import ModelMissing
from stemwright.engine.job import Progress

COMMAND = (sys.executable, __file__)


def command(**settings: object) -> tuple[str, ...]:
    """Starts one. broken=PATH: the engine does not load while that file exists; dying=PATH: it dies then"""
    return (*COMMAND, json.dumps({name: str(value) for name, value in settings.items()}))


def instant(
    engine: object,
    batch: Sequence[Request],
    folders: Sequence[Path],
    tell: Callable[[WorkEvent], None],
    is_cancelled: Callable[[str], bool],
) -> None:
    """Each job at once, one after the other."""
    for request, folder in zip(batch, folders, strict=True):
        with held(folder, 10):
            if done := read_done(folder, request):
                tell(WorkEvent("done", request.job, results=done.results, seconds=done.seconds))
                continue
            clear(folder)
            _one(request, folder, tell, is_cancelled)


def _one(
    request: Request,
    folder: Path,
    tell: Callable[[WorkEvent], None],
    is_cancelled: Callable[[str], bool],
) -> None:
    word = request.prompts[0]
    part = folder / OUT / ".stemwright-1.part"
    part.parent.mkdir(exist_ok=True)
    part.write_text(secrets.token_hex(8))
    if word == "crash" or (word == "crash once" and not (folder / "crashed").exists()):
        (folder / "crashed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if word in ("slow", "short"):
        _dawdle(request.job, tell, is_cancelled, steps=6000 if word == "slow" else 5)
    if word == "deaf":
        time.sleep(60)
    if is_cancelled(request.job):
        clear(folder)
        tell(WorkEvent("cancelled", request.job))
        return
    if word == "fail":
        clear(folder)
        tell(WorkEvent("failed", request.job, code="bad_job", text="cannot be done"))
        return
    if word == "print":
        print("this is not for the pipe", flush=True)
    made = MadeFile(word, part.with_name(f"{word}.wav"), 1.0, request.seed)
    part.rename(made.path)
    write_done(folder, Done(request, (made,), 0.0))
    tell(WorkEvent("done", request.job, results=(made,)))


def _dawdle(
    job: str, tell: Callable[[WorkEvent], None], is_cancelled: Callable[[str], bool], *, steps: int
) -> None:
    """Steps of a hundredth of a second."""
    for step in range(steps):
        if is_cancelled(job):
            return
        tell(WorkEvent("progress", job, Progress(step, steps, "sample", None)))
        time.sleep(0.01)


def main() -> int:
    settings = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}

    def load(model: str | None) -> object:
        if os.path.exists(settings.get("dying", "")):
            print("cannot go on", file=sys.stderr)
            os._exit(3)
        if os.path.exists(settings.get("broken", "")) or model == "missing":
            raise ModelMissing("there is no model here; known are: none.")
        return object()

    return serve(apart(), load, instant, "fake cpu")


if __name__ == "__main__":
    sys.exit(main())
