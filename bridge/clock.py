"""MIDI clock: tempo, and when the bar lines were, from ticks that come late and uneven.

24 ticks are a quarter note. Times are seconds of time.monotonic(), as the ticks arrived; a tick through JACK
is late by up to a period, so what is told is read off a line through many ticks, never off one.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections import deque
from itertools import islice

import numpy as np

from stemwright.bridge.grammar import NO_AUDIO, BadMessage

TICKS_PER_BEAT = 24
TICKS_PER_SIXTEENTH = 6
REMEMBERED = 65_536  # ticks: 22 minutes at 120 bpm
NEAR = 48  # ticks on either side of a moment that the line is laid through
QUICK = 24  # the newest ticks; where these run at another tempo, they are right
SWERVE = 0.02  # a tempo that differs by so much is another,
FASTEST = 60 / 400 / TICKS_PER_BEAT  # seconds a tick; what is faster is a jam that dissolves
SURE = 4.0  # if it does so by so many standard errors
PAUSE = 0.5  # seconds between two ticks: the clock was not there
STOPPED_PAUSE = 0.15  # the same, after a stop
SILENT = 1.0  # seconds without a tick, after which there is no tempo, and another source may take over


class Clock:
    """What the ticks say. Any thread may ask.

    A bar line lies at song position 0 and every `beats_per_bar` beats on. The first tick after a start is
    position 0; after a continue or a song position it is what that says.
    """

    def __init__(self, beats_per_bar: int = 4) -> None:
        self.beats_per_bar = beats_per_bar
        self._lock = threading.Lock()
        self._times: deque[float] = deque(maxlen=REMEMBERED)
        self._heard = 0  # ticks ever; tick number n is the n-th of them, from 0
        self._lines: deque[int] = deque(maxlen=REMEMBERED)  # numbers of the ticks on bar lines
        self._pauses: deque[int] = deque(maxlen=REMEMBERED)  # of the first ticks after the clock was away
        self._breaks: deque[int] = deque(maxlen=REMEMBERED)  # of the first ticks after the song stood still
        self._is_running = self._was_running = False
        self._position = 0  # of the next tick, in ticks
        self._has_stopped = False  # since the last tick
        self._source = ""

    def tick(self, at: float, source: str = "") -> None:
        """One clock message. A second source is not heard while the first one ticks."""
        with self._lock:
            if not self._is_source(at, source):
                return
            number, self._heard = self._heard, self._heard + 1
            if self._times and at - self._times[-1] > (STOPPED_PAUSE if self._has_stopped else PAUSE):
                self._pauses.append(number)
                self._breaks.append(number)
            self._times.append(at)
            if self._is_running:
                if not self._was_running:
                    self._breaks.append(number)
                if self._position % self._bar == 0:
                    self._lines.append(number)
                self._position += 1
            self._was_running, self._has_stopped = self._is_running, False

    def start(self, at: float, source: str = "") -> None:
        """From the song's beginning."""
        with self._lock:
            if self._is_source(at, source):
                self._is_running, self._position = True, 0

    def resume(self, at: float, source: str = "") -> None:
        """MIDI continue: from where it stopped, or the song position since."""
        with self._lock:
            if self._is_source(at, source):
                self._is_running = True

    def stop(self, at: float, source: str = "") -> None:
        with self._lock:
            if self._is_source(at, source):
                self._is_running, self._has_stopped = False, True

    def locate(self, sixteenths: int, at: float, source: str = "") -> None:
        """Song position: the next tick is so many sixteenths into the song."""
        with self._lock:
            if self._is_source(at, source):
                self._position = sixteenths * TICKS_PER_SIXTEENTH

    @property
    def is_running(self) -> bool:
        """Between start or continue, and stop."""
        return self._is_running

    def tempo(self, now: float | None = None) -> float | None:
        """Quarter notes a minute; None when no clock ticks."""
        with self._lock:
            if not self._ticks(time.monotonic() if now is None else now):
                return None
            period = self._newest()[0]
            return None if period is None else 60 / (period * TICKS_PER_BEAT)

    def position(self) -> tuple[int, float] | None:
        """(bar, beat) of the last tick, both counted from 1 as people do; None before the song ran."""
        with self._lock:
            if not self._lines:
                return None
            bar, rest = divmod(max(0, self._position - 1), self._bar)
            return bar + 1, 1 + rest / TICKS_PER_BEAT

    def bars(self, count: float, at: float | None = None) -> tuple[float, float] | None:
        """When the last `count` bars began and ended, up to the last bar line not after `at` (None: now).

        None when no song ever ran; BadMessage(no_audio) when it did not run through so many bars.
        """
        with self._lock:
            end = self._line(time.monotonic() if at is None else at)
            if end is None:
                return None
            begin = end - round(count * self._bar)
            first = max(self._after(self._breaks, end), self._first)
            if begin < first:
                there = (end - first) / self._bar
                raise BadMessage(
                    NO_AUDIO,
                    f"{count:g} bars are asked for; the song has run through {there:g} up to the last line. "
                    "Wait, or capture fewer",
                )
            return self._moment(begin), self._moment(end)

    def next_line(self, now: float | None = None) -> float | None:
        """When the next bar line will be, at this tempo; None when no song runs."""
        now = time.monotonic() if now is None else now
        with self._lock:
            if not (self._is_running and self._lines and self._ticks(now)):
                return None
            period, last = self._newest()
            if period is None:
                return None
            line = last + period * (self._bar - (self._position - 1) % self._bar)
            return line + max(0, -((line - now) // (period * self._bar))) * period * self._bar

    @property
    def _bar(self) -> int:
        return self.beats_per_bar * TICKS_PER_BEAT

    @property
    def _first(self) -> int:
        """The number of the oldest tick that is remembered."""
        return self._heard - len(self._times)

    def _ticks(self, now: float) -> bool:
        return bool(self._times) and now - self._times[-1] <= SILENT

    def _is_source(self, at: float, source: str) -> bool:
        """Whether the clock is this source's, or nobody's; then it becomes this one's."""
        if source != self._source and self._ticks(at):
            return False
        self._source = source
        return True

    def _after(self, marks: deque[int], number: int) -> int:
        """The newest of the marks that is not behind tick `number`; 0 without one."""
        found = bisect_right(marks, number)
        return marks[found - 1] if found else 0

    def _line(self, at: float) -> int | None:
        """The number of the last bar line's tick not after `at`."""
        for number in reversed(self._lines):
            if number < self._first:
                break
            if self._moment(number) <= at:
                return number
        return None

    def _moment(self, number: int) -> float:
        """When tick `number` was due."""
        return self._fit(number, number - NEAR, number + NEAR)[1]

    def _newest(self) -> tuple[float | None, float]:
        """(seconds a tick, when the last one was due)"""
        last = self._heard - 1
        calm, quick = self._fit(last, last - 2 * NEAR, last), self._fit(last, last - QUICK, last)
        if calm[0] is None or quick[0] is None or quick[0] < FASTEST:
            return calm[:2]
        swerve = abs(
            quick[0] - calm[0]
        )  # ticks held up and then hurried are no new tempo: their line is poor
        return quick[:2] if swerve > max(SWERVE * calm[0], SURE * quick[2]) else calm[:2]

    def _fit(self, number: int, low: int, high: int) -> tuple[float | None, float, float]:
        """(seconds a tick, when tick `number` was due, the first's standard error), by ticks low … high."""
        low = max(low, self._after(self._pauses, number), self._first)
        ahead = bisect_right(self._pauses, number)
        high = min(high, self._heard - 1, self._pauses[ahead] - 1 if ahead < len(self._pauses) else high)
        times = np.array(list(islice(self._times, low - self._first, high + 1 - self._first)))
        where = np.arange(low, high + 1) - number
        if len(times) < 2:
            return None, float(times[0]), 0.0
        line = np.polyfit(where, times, 1)
        off = np.abs(times - np.polyval(line, where))
        near = off <= 3 * np.median(off) + 1e-6  # what came far too late says nothing of the tempo
        if near.sum() >= 2:
            line = np.polyfit(where[near], times[near], 1)
        spread = np.sqrt(np.mean(off**2) / (len(off) * np.var(where)))
        return float(line[0]), float(line[1]), float(spread)
