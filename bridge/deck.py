"""What the audio callbacks do: remember what is heard, and play in time with it.

Nothing here waits or asks for an array's memory. Buffers come as PortAudio hands them over, interleaved
float32; its time info (currentTime, inputBufferAdcTime, outputBufferDacTime, in seconds of its own clock) is
used where it makes sense and replaced where not.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from stemwright.bridge.playback import Player
from stemwright.bridge.ring import Ring, Times

KEPT = 4.0  # seconds of input that wait for their reader
ROW = 0.01  # seconds between two rows of times, at least
SANE = 2.0  # seconds: no buffer is longer
STARTING = 0.5  # seconds after which a lost block counts; systems report some while they start
ENOUGH = 8  # callbacks before their time info is believed


def sane(seconds: float, otherwise: float) -> float:
    return seconds if 0 < seconds < SANE else otherwise


class Deck:
    """The callbacks of an input, an output, or both in one or two streams.

    The timeline counts the input's frames from `first` on; without an input, the output's.
    """

    def __init__(self, *, inputs: int, outputs: int, rates: tuple[int, int], first: int = 0) -> None:
        """inputs, outputs: channels, 0 for none; rates: Hz of the timeline and of the output"""
        self.inputs, self.outputs = inputs, outputs
        self.timeline_rate, self.output_rate = rates
        self.heard = Ring(round(KEPT * rates[0]), max(1, inputs), first=first)
        self.times = Times(rates[0], 1024)  # of the timeline
        self.played = first  # frames
        self.play_times = Times(rates[1], 1024)  # of the output, in frames played
        self.delays = Ring(256, 1, dtype="float64")  # seconds from an input's sound to an output's
        self.player = Player(rates, max(1, outputs))
        self.offset: int | None = None  # of positions against frames played, once known
        self._offset_used: int | None = None
        self._first = first
        self.calls = 0
        self.overflows = 0
        self._delay = np.zeros((1, 1))
        self._age = self._ahead = 0.0  # seconds, as last told: since an input's sound, until an output's
        self._next_row = self._next_play_row = first

    def hear(self, data: Any, frames: int, info: Any, status: Any) -> None:
        """Callback of an input stream."""
        now = time.monotonic()
        self.calls += 1
        begin = self.heard.written
        if status and begin - self._first > STARTING * self.timeline_rate:
            self.overflows += bool(status.input_overflow)
        self.heard.write(np.frombuffer(data, np.float32).reshape(frames, self.inputs))
        if begin >= self._next_row:
            age = sane(info.currentTime - info.inputBufferAdcTime, frames / self.timeline_rate)
            self.times.add(begin, now - age)
            self._age = age
            self._next_row = begin + int(ROW * self.timeline_rate)

    def play(self, data: Any, frames: int, info: Any, status: Any) -> None:
        """Callback of an output stream."""
        now = time.monotonic()
        self.calls += 1
        begin = self.played
        if begin >= self._next_play_row:
            ahead = sane(info.outputBufferDacTime - info.currentTime, frames / self.output_rate)
            self.play_times.add(begin, now + ahead)
            self._ahead = ahead
            if not self.inputs:
                self.times.add(begin, now + ahead)
            self._next_play_row = begin + int(ROW * self.output_rate)
        self.played = begin + frames
        self._fill(data, frames, begin)

    def both(self, heard: Any, played: Any, frames: int, info: Any, status: Any) -> None:
        """Callback of a duplex stream: a frame played is counted as the frame heard in the same call."""
        begin = self.heard.written
        self.hear(heard, frames, info, status)
        self._delay[0, 0] = info.outputBufferDacTime - info.inputBufferAdcTime
        self.delays.write(self._delay)
        self.played = begin + frames
        self._fill(played, frames, begin)

    def _fill(self, data: Any, frames: int, begin: int) -> None:
        out = np.frombuffer(data, np.float32).reshape(frames, self.outputs)
        if self._offset_used is None:
            self._offset_used = self.offset
            if self._offset_used is None:
                out[:] = 0
                return
        if self.player.fill(out, begin + self._offset_used):
            self._offset_used = self.offset

    def align(self, latency: float | None, is_duplex: bool) -> None:
        """Find out which position is heard when; now and then, by another thread than the callbacks'.

        latency  seconds from an input's sound to an output's; None: as the device says
        """
        if not self.outputs:
            return
        if not self.inputs:
            self.offset = 0
        elif is_duplex:
            delay = self._delay_told() if latency is None else latency
            if delay is not None:
                self.offset = round(delay * self.output_rate)
        else:
            self.offset = self._offset_by_clock(latency)

    def _delay_told(self) -> float | None:
        _, rows = self.delays.read_since(0)
        if len(rows) < ENOUGH:
            return None
        return sane(float(np.median(rows)), 0.0)

    def _offset_by_clock(self, latency: float | None) -> int | None:
        """Two streams: the frame of the input that sounds when a frame of the output does."""
        if min(self.times.rows.written, self.play_times.rows.written) < ENOUGH:
            return self.offset
        played = self.played
        when = self.play_times.monotonic_at(played)
        frame = None if when is None else self.times.frame_at(when)
        if frame is None:
            return self.offset
        wrong = 0.0 if latency is None else latency - self._age - self._ahead
        return round((frame / self.timeline_rate + wrong) * self.output_rate) - played
