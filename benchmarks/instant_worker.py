"""In place of the engine: a worker whose stems are a thousand zeros. For the figures of the queue alone."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stemwright.bridge.pool import MadeFile, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT
from stemwright.bridge.worker import apart, serve


def work(
    engine: Any,
    batch: Sequence[Request],
    folders: Sequence[Path],
    tell: Callable[[WorkEvent], None],
    is_cancelled: Callable[[str], bool],
) -> None:
    for request, folder in zip(batch, folders, strict=True):
        stem = folder / OUT / "stem.wav"
        stem.parent.mkdir()
        stem.write_bytes(bytes(1000))
        tell(WorkEvent("done", request.job, results=(MadeFile("stem", stem, 0.1, 0),), seconds=0.0))


if __name__ == "__main__":
    sys.exit(serve(apart(), lambda model: None, work, "nothing cpu"))
