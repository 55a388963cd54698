"""Ctrl-C and SIGTERM in a training: the step is finished, a checkpoint is written, then it ends."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from torch import Tensor

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def heeding(stopped: Tensor, signals: tuple[signal.Signals, ...] = SIGNALS) -> Iterator[None]:
    """The first of these signals only sets `stopped` (1,) to 1; the second finds the handlers from before.

    A tensor in shared memory, because a handler may take no lock. Signals are those of the main thread:
    elsewhere nothing changes.
    """
    before: dict[signal.Signals, Any] = {}

    def set_it(number: int, frame: FrameType | None) -> None:
        stopped[0] = 1
        give_back()

    def give_back() -> None:
        for one, handler in before.items():
            signal.signal(one, handler)

    try:
        for one in signals:
            before[one] = signal.signal(one, set_it)
    except ValueError:
        yield
        return
    try:
        yield
    finally:
        give_back()


@contextmanager
def held_back() -> Iterator[None]:
    """Processes started in this block are deaf to the signals until they call `listen`.

    A process that is still importing cannot end in order.
    """
    _mask(block=True)
    try:
        yield
    finally:
        _mask(block=False)


def listen() -> None:
    """In a process started in `held_back`, when its handlers are set."""
    _mask(block=False)


def _mask(*, block: bool) -> None:
    if hasattr(signal, "pthread_sigmask"):  # not on Windows
        signal.pthread_sigmask(signal.SIG_BLOCK if block else signal.SIG_UNBLOCK, SIGNALS)
