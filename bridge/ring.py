"""The last seconds of a stream, written by one audio callback and read by anybody, without a lock.

The callback must never wait and must not ask for memory, so the ring is allocated once and the writer only
counts: first what it is about to overwrite, then what is there. A reader copies and looks at the first count
afterwards; what was overwritten meanwhile it throws away.
"""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[Any]

NEAR = 1.0  # seconds: rows so near in time tell where a frame lies
LATE = 0.1  # this part of the rows is taken as on time: a callback is often late and seldom early


class Overrun(Exception):
    """The span is no longer in the ring; `oldest` is the first row that still is."""

    def __init__(self, begin: int, oldest: int) -> None:
        super().__init__(f"row {begin} is overwritten, the oldest is {oldest}")
        self.oldest = oldest


class Ring:
    """The newest `capacity` rows of `width` numbers each; rows are counted from `first` on and never anew.

    One thread writes. The two counts are Python ints: they change as a whole, and in the order written.
    """

    def __init__(self, capacity: int, width: int, *, first: int = 0, dtype: str = "float32") -> None:
        self._rows: Rows = np.full((capacity, width), 0, dtype)  # written to: the system gives the memory now
        self.capacity = capacity
        self.width = width
        self.first = first
        self._claimed = first  # rows written, and those being written
        self.written = first  # rows written

    def write(self, rows: Rows) -> None:
        """(n, width), by the one writer. More rows than the capacity: only the last of them are kept."""
        count = len(rows)
        self._claimed = self.written + count
        if count > self.capacity:
            rows = rows[count - self.capacity :]
        at = (self._claimed - len(rows)) % self.capacity
        until_wrap = min(len(rows), self.capacity - at)
        self._rows[at : at + until_wrap] = rows[:until_wrap]
        self._rows[: len(rows) - until_wrap] = rows[until_wrap:]
        self.written = self._claimed

    def skip(self, count: int) -> None:
        """Count rows that never came; they read as zeros."""
        self._claimed = self.written + count
        at = self.written % self.capacity
        until_wrap = min(count, self.capacity, self.capacity - at)
        self._rows[at : at + until_wrap] = 0
        self._rows[: min(count, self.capacity) - until_wrap] = 0
        self.written = self._claimed

    @property
    def oldest(self) -> int:
        """The first row that can be read, if the writer rests."""
        return max(self.first, self._claimed - self.capacity)

    def read(self, begin: int, end: int) -> Rows:
        """A copy of rows [begin, end), all written by now; Overrun when the first are gone."""
        if begin < self.oldest:
            raise Overrun(begin, self.oldest)
        if not begin <= end <= self.written:
            raise ValueError(f"rows {begin} to {end} are asked for, of {self.written} written")
        copy = np.empty((end - begin, self.width), self._rows.dtype)
        at = begin % self.capacity
        until_wrap = min(end - begin, self.capacity - at)
        copy[:until_wrap] = self._rows[at : at + until_wrap]
        copy[until_wrap:] = self._rows[: end - begin - until_wrap]
        if begin < self.oldest:  # overwritten while it was copied
            raise Overrun(begin, self.oldest)
        return copy

    def read_since(self, begin: int) -> tuple[int, Rows]:
        """(the newest row's number + 1, rows) from `begin` on, or from the oldest that is still there."""
        while True:
            end = self.written
            first = max(begin, self.oldest)
            if first <= end:
                with contextlib.suppress(Overrun):  # the writer came round meanwhile
                    return end, self.read(first, end)


class Times:
    """Which frame was when: a row of a ring a callback, the line through the nearest rows for an answer.

    Callbacks come late by milliseconds, the device's own time info is missing or coarse on some systems, and
    its clock drifts against the computer's. So an answer rests on the rows of two seconds around it, and on
    the early ones among them.
    """

    def __init__(self, rate: float, capacity: int) -> None:
        self.rate = rate
        self._rows = Ring(capacity, 3, dtype="float64")  # frame, monotonic seconds, take
        self._row = np.zeros((1, 3))

    def add(self, frame: int, monotonic: float, take: int = 0) -> None:
        """By the ring's one writer. `take` counts the device's comings: two takes have no common clock."""
        self._row[0, 0], self._row[0, 1], self._row[0, 2] = frame, monotonic, take
        self._rows.write(self._row)

    def monotonic_at(self, frame: float) -> float | None:
        """When `frame` was heard, or will be; None before anything was."""
        _, table = self._rows.read_since(0)
        if not len(table):
            return None
        nearest = int(np.abs(table[:, 0] - frame).argmin())
        return frame / self.rate + self._offset(table, nearest)

    def frame_at(self, monotonic: float) -> float | None:
        """The frame heard then, as a fraction; None before anything was."""
        _, table = self._rows.read_since(0)
        if not len(table):
            return None
        nearest = int(np.abs(table[:, 1] - monotonic).argmin())
        return (monotonic - self._offset(table, nearest)) * self.rate

    @property
    def rows(self) -> Ring:
        return self._rows

    def _offset(self, table: Rows, nearest: int) -> float:
        """Seconds to add to frame / rate, from the rows around one of them."""
        is_near = (np.abs(table[:, 1] - table[nearest, 1]) <= NEAR) & (table[:, 2] == table[nearest, 2])
        offsets = table[is_near, 1] - table[is_near, 0] / self.rate
        return float(np.sort(offsets)[int(LATE * len(offsets))])
