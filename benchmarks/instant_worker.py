"""In place of the engine: a worker that makes no stems, at once. For the figures of the queue alone."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.worker import apart, serve


def work(
    engine: Any,
    batch: Sequence[Request],
    folders: Sequence[Path],
    tell: Callable[[WorkEvent], None],
    is_cancelled: Callable[[str], bool],
) -> None:
    for request in batch:
        tell(WorkEvent("done", request.job, seconds=0.0))


if __name__ == "__main__":
    sys.exit(serve(apart(), lambda model: None, work, "nothing cpu"))
