"""A process of ours: started with its three pipes, spoken to in JSON lines, its last words kept."""

from __future__ import annotations

import json
import logging
import os
import subprocess
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from stemwright.bridge.worker import lines

log = logging.getLogger(__name__)


def started(command: Sequence[str]) -> subprocess.Popen[bytes]:
    """OSError where it cannot be."""
    return subprocess.Popen(
        list(command),
        bufsize=0,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONSAFEPATH": "1"},  # a queue.py where we stand is not the library's
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def say(process: subprocess.Popen[bytes] | None, words: dict[str, object]) -> None:
    """A pipe that is broken shows at its other end: the process is dead, and that is seen there."""
    if process is None or process.stdin is None:
        return
    left = memoryview(json.dumps(words).encode() + b"\n")
    with suppress(OSError, ValueError):
        while left:
            left = left[process.stdin.write(left) :]


def overhear(process: subprocess.Popen[bytes], last_words: deque[str]) -> None:
    """Standard error, into the log, until it ends."""
    assert process.stderr is not None
    for words in lines(process.stderr.fileno()):
        text = words.decode(errors="replace").rstrip()
        if text:
            last_words.append(text)
            log.warning("worker: %s", text[:500])
