"""What the user sees while a job runs and when it is done: results on stdout, everything else on stderr."""

import json
import os
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stemwright.engine.errors import BadOutput

if TYPE_CHECKING:
    from stemwright.engine.job import Progress

REDRAW = 0.1  # seconds between two progress lines


def one_line(message: str) -> str:
    """The message with its control characters spelled out: a newline in a file name stays one line."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in message
    )


def unexpected(error: Exception) -> str:
    """The line for an error that nobody foresaw."""
    if isinstance(error, MemoryError):
        return "there is not enough memory for this; close other programs, or give a shorter piece"
    return (
        f"unexpected {type(error).__name__}: {error}. This is a bug: please report it with the command line "
        "and what STEMWRIGHT_DEBUG=1 adds to it."
    )


@dataclass
class Screen:
    """The two streams. A reader of stdout who leaves is no error: the files are the result."""

    is_json: bool
    line: str = ""  # the progress line that stands on the terminal now
    drawn: float = 0.0

    def result(self, facts: dict[str, Any], paths: list[str]) -> None:
        """`facts` for programs, `paths` for people."""
        self._clear()
        put(json.dumps(facts, ensure_ascii=True) if self.is_json else "\n".join(paths))

    def note(self, text: str) -> None:
        self._clear()
        sys.stderr.write(f"stemwright: {one_line(text)}\n")

    def progress(self, title: str, at: "Progress") -> None:
        """One line, redrawn in place; nothing where stderr is not a terminal."""
        now = time.monotonic()
        if not sys.stderr.isatty() or (now - self.drawn < REDRAW and at.done < at.total):
            return
        self.drawn = now
        left = "" if at.seconds_left is None else f", {clock(at.seconds_left)} left"
        self._draw(f"{100 * at.done // max(at.total, 1):3} %{left}  {at.stage}  {one_line(title)}")

    def _draw(self, text: str) -> None:
        columns = _columns()
        text = text if len(text) < columns else text[: columns - 2] + "…"
        sys.stderr.write("\r" + text + " " * (len(self.line) - len(text)))
        sys.stderr.flush()
        self.line = text

    def _clear(self) -> None:
        if self.line:
            sys.stderr.write("\r" + " " * len(self.line) + "\r")
            self.line = ""


def clock(seconds: float) -> str:
    """75 → "1 min 15 s" """
    whole = max(0, round(seconds))
    return f"{whole} s" if whole < 60 else f"{whole // 60} min {whole % 60} s"


def _columns() -> int:
    try:
        return os.get_terminal_size(sys.stderr.fileno()).columns
    except (OSError, ValueError):
        return 80


def put(text: str) -> None:
    """One line to stdout. A path may hold any bytes: they go out as they came in."""
    try:
        buffer = getattr(sys.stdout, "buffer", None)
        if buffer is None:
            sys.stdout.write(text + "\n")
        else:
            sys.stdout.flush()
            buffer.write(os.fsencode(text + "\n"))
        sys.stdout.flush()
    except BrokenPipeError:
        silence_stdout()
    except OSError as error:
        silence_stdout()
        raise BadOutput(
            f"standard output cannot be written ({error.strerror}); the results before it stand"
        ) from error


def silence_stdout() -> None:
    """What stays in the buffer goes nowhere, so that Python does not complain about it while it ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
