"""Waiting for what must come about: as long as a busy machine may need, and no longer than it takes."""

import time
from collections.abc import Callable
from typing import TypeVar

DEADLINE = 60.0  # seconds; a test that waits so long has failed
Found = TypeVar("Found")


def until(look: Callable[[], Found], what: str = "it", seconds: float = DEADLINE) -> Found:
    """What `look` returns as soon as that is true."""
    end = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < end, f"not within {seconds:g} s: {what}"
        time.sleep(0.002)
    return found
