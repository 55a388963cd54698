"""What the server says of itself: lines for people or for programs, never a flood, and a status line."""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from stemwright.engine.commands.show import one_line

BURST = 20  # lines of one kind that are written at once …
EVERY = 1.0  # … and then one a second, with the count of those between
WORDS: dict[str, str] = {
    "listening": "listening on {host} port {port} (UDP and TCP), OSCQuery {query}",
    "state": "{text}",
    "accepted": "{job}: accepted from {client}",
    "finished": "{job}: done in {seconds:.2f} s, {results} in {folder}",
    "cancelled": "{job}: cancelled",
    "failed": "{job}: failed ({code}): {text}",
    "refused": "{peer}: refused ({code}) {request}: {text}",
    "engine": "{text}",
    "midi": "MIDI: {text}",
    "audio": "live audio: {text}",
    "note": "{text}",
    "stopping": "stopping; {running} running, {queued} queued stay in the journal",
    "stopped": "stopped",
}


class Log:
    """Any thread. is_json: one JSON object a line, with the time in seconds since 1970."""

    def __init__(
        self, *, is_json: bool = False, stream: TextIO | None = None, clock: Callable[[], float] = time.time
    ) -> None:
        self._is_json, self._stream, self._clock = is_json, stream or sys.stderr, clock
        self._budgets: dict[str, tuple[float, float, int]] = {}  # kind → lines left, when counted, left out
        self._lock = threading.Lock()
        self._line = ""  # the status line that stands on the terminal

    def note(self, kind: str, **facts: Any) -> None:
        """A line; too many of one kind are counted instead."""
        with self._lock:
            left_out = self._spend(kind)
            if left_out is None:
                return
            if left_out:
                facts["left_out"] = left_out
            self._write(self._text(kind, facts))

    @contextmanager
    def taking(self, name: str) -> Iterator[None]:
        """Within the block, warnings of the loggers below `name` are lines of ours."""
        logger, handler = logging.getLogger(name), _Handler(self)
        before, logger.propagate = logger.propagate, False
        logger.addHandler(handler)
        try:
            yield
        finally:
            logger.removeHandler(handler)
            logger.propagate = before

    def status(self, text: str) -> None:
        """Redraw the status line; only on a terminal."""
        with self._lock:
            if self._is_json or not self._stream.isatty() or text == self._line:
                return
            self._stream.write("\r" + text + " " * max(0, len(self._line) - len(text)))
            self._stream.flush()
            self._line = text

    def _text(self, kind: str, facts: dict[str, Any]) -> str:
        if self._is_json:
            return json.dumps({"time": round(self._clock(), 3), "event": kind, **facts}, default=str)
        words = one_line(WORDS.get(kind, "{text}").format_map(defaultdict(str, facts)))
        more = f" (and {facts['left_out']} more like it)" if facts.get("left_out") else ""
        return f"stemwright: {words}{more}"

    def _write(self, text: str) -> None:
        try:
            if self._line:
                self._stream.write("\r" + " " * len(self._line) + "\r")
            self._stream.write(text + "\n" + self._line)
            self._stream.flush()
        except (OSError, ValueError):
            pass  # nobody reads any more

    def _spend(self, kind: str) -> int | None:
        """How many lines were left out before this one; None: this one is left out too."""
        now = self._clock()
        left, since, left_out = self._budgets.get(kind, (float(BURST), now, 0))
        left = min(float(BURST), left + max(0.0, now - since) / EVERY)
        if left < 1:
            self._budgets[kind] = (left, now, left_out + 1)
            return None
        self._budgets[kind] = (left - 1, now, 0)
        return left_out


class _Handler(logging.Handler):
    """Records of the logging library → notes."""

    def __init__(self, log: Log) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info and record.exc_info[1] is not None:
            text += f": {type(record.exc_info[1]).__name__}: {record.exc_info[1]}"
        self._log.note("note", text=text, source=record.name)
