"""Ctrl-C and SIGTERM at any moment."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any


class Stop:
    """Whether the user wants to stop. The first signal raises KeyboardInterrupt wherever the program is."""

    def __init__(self) -> None:
        self.is_asked = False

    def check(self) -> None:
        """Raise what a library may have swallowed: an exception does not get through a callback from C."""
        if self.is_asked:
            raise KeyboardInterrupt

    @contextmanager
    def listening(self, *, is_program: bool) -> Iterator[None]:
        """Signals are ours in this block; after the first one, no other disturbs the tidying up.

        is_program  the process ends after the block: signals that come so late are ignored
        """
        ours = (signal.SIGINT, signal.SIGTERM)
        try:
            before = {one: signal.signal(one, self._stop) for one in ours}
        except ValueError:  # not the main thread: signals are somebody else's
            yield
            return
        hook, sys.unraisablehook = sys.unraisablehook, self._swallowed(sys.unraisablehook)
        try:
            yield
        finally:
            sys.unraisablehook = hook
            for one, handler in before.items():
                signal.signal(one, signal.SIG_IGN if is_program else handler)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        for one in (signal.SIGINT, signal.SIGTERM):
            signal.signal(one, signal.SIG_IGN)
        self.is_asked = True
        raise KeyboardInterrupt

    def _swallowed(self, hook: Any) -> Any:
        """An interrupt that ended in a callback is remembered and not shown."""

        def quiet(unraisable: "sys.UnraisableHookArgs") -> None:
            if not (self.is_asked and unraisable.exc_type is KeyboardInterrupt):
                hook(unraisable)

        return quiet
