"""Progress with the time left, judged by the pace so far; the door through which a job is cancelled."""

import time

from stemwright.engine.job import OnProgress, Progress


class Pace:
    """Counts units of work of about equal cost. What `on_progress` raises goes through."""

    def __init__(self, total: int, on_progress: OnProgress | None) -> None:
        self._total, self._on_progress = total, on_progress
        self._done = 0
        self._begin = time.monotonic()

    def tick(self, stage: str, units: int = 1) -> None:
        """So many more units are done."""
        self._done = min(self._done + units, self._total)
        if self._on_progress:
            elapsed = time.monotonic() - self._begin
            left = elapsed / self._done * (self._total - self._done) if self._done else None
            self._on_progress(Progress(self._done, self._total, stage, left))
