"""What answers to garbage may cost: so many replies a second for each source, so many lines in the log."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Hashable

KEYS = 20  # that may use up their limit at the same time


class Limiter:
    """So many a second for each key; a burst may come at once. For all keys together, 20 times as many.

    most  keys that are remembered. The longest silent is forgotten first and then counts as new; the limit
          on all together holds all the same, whoever makes up keys.
    """

    def __init__(self, rate: float, burst: float, *, most: int = 1024) -> None:
        self._rate, self._burst, self._most = rate, burst, most
        self._keys: OrderedDict[Hashable, _Bucket] = OrderedDict()
        self._all = _Bucket(rate * KEYS, burst * KEYS, time.monotonic())
        self._lock = threading.Lock()

    def allows(self, key: Hashable, now: float | None = None) -> bool:
        """Counts one more of `key`. now: monotonic seconds"""
        now = time.monotonic() if now is None else now
        with self._lock:
            bucket = self._keys.pop(key, None) or _Bucket(self._rate, self._burst, now)
            self._keys[key] = bucket
            if len(self._keys) > self._most:
                self._keys.popitem(last=False)
            return bucket.has_one(now) and self._all.has_one(now) and bucket.take() and self._all.take()

    def __len__(self) -> int:
        """Keys remembered."""
        return len(self._keys)


class _Bucket:
    __slots__ = ("burst", "filled", "left", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate, self.burst, self.left, self.filled = rate, burst, burst, now

    def has_one(self, now: float) -> bool:
        self.left = min(self.burst, self.left + max(now - self.filled, 0) * self.rate)
        self.filled = now
        return self.left >= 1

    def take(self) -> bool:
        self.left -= 1
        return True


class FewLines:
    """A log that cannot be flooded: of each kind the first lines, then one at each tenfold count."""

    def __init__(self, log: logging.Logger, first: int = 20) -> None:
        self._log, self._first = log, first
        self._counts: dict[str, int] = {}
        self._lock = threading.Lock()

    def say(self, kind: str, text: str, *values: object, level: int = logging.WARNING) -> None:
        """kind: one of the program's own words, never the sender's. values: for the %s in text"""
        with self._lock:
            count = self._counts[kind] = self._counts.get(kind, 0) + 1
        if count > self._first:
            if str(count).strip("0") != "1":
                return
            text, values = text + " (%d so far; the next line at %d)", (*values, count, count * 10)
        self._log.log(level, text, *values, exc_info=level >= logging.ERROR)
