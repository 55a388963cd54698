"""Sound on an output, in time with a region of the live input. `Player.fill` runs in the audio callback."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from stemwright.engine.audio import Audio, resample, resampled_frames
from stemwright.engine.contracts import Array

FADE = 0.01  # seconds, only where a pass is left in its middle


@dataclass(frozen=True, eq=False)
class Clip:
    """What is to be played.

    samples  (N, K) float32, at the output's rate, K its channels
    begin    frame of the timeline at which it begins, or any whole number of lengths later; None: at once
    length   frames of the timeline that a pass takes
    passes   how often; 0: until it is stopped
    """

    samples: Array
    begin: int | None
    length: int
    passes: int = 1


def fit_channels(samples: Array, channels: int) -> tuple[Array, str]:
    """(K, N) → (N, channels), and a note on what cannot be heard as it is, or ""."""
    given = samples.shape[0]
    if given == channels:
        return np.ascontiguousarray(samples.T), ""
    if given == 1:
        return np.repeat(samples.T, channels, axis=1), ""
    if channels == 1:
        mono = samples.mean(axis=0, dtype=np.float32)[:, None]
        return mono, f"the output has one channel: the mean of {given} is played"
    fitted = np.zeros((samples.shape[1], channels), np.float32)
    both = min(given, channels)
    fitted[:, :both] = samples.T[:, :both]
    if given < channels:
        return fitted, ""
    return fitted, f"the output has {channels} channels: the first {channels} of {given} are played"


def make_clip(
    sound: Audio, *, begin: int | None, length: int | None, passes: int, rates: tuple[int, int], channels: int
) -> tuple[Clip, str]:
    """A sound of any rate and channels as a clip, and a note on its channels, or "".

    length  frames of the timeline that a pass takes; None: as many as the sound takes
    rates   Hz of the timeline and of the output
    """
    timeline, output = rates
    if length is None:
        length = resampled_frames(sound.frames, sound.rate, timeline)
    fitted = resample(
        sound, output, None if sound.rate == output else resampled_frames(length, timeline, output)
    )
    samples, note = fit_channels(fitted.samples, channels)
    if timeline != output and len(samples):  # a pass is then now and then a frame longer
        samples = np.concatenate([samples, samples[:1]])
    return Clip(samples, begin, length, passes), note


class Voice:
    """A clip and, once placed, where its passes lie. Positions are frames at the output's rate."""

    def __init__(self, clip: Clip, rates: tuple[int, int]) -> None:
        self.clip = clip
        self._timeline, self._output = rates
        self._begin = 0  # frame of the timeline
        self.start = 0  # position of the first pass to be heard
        self.last: int | None = None  # pass
        self.is_placed = False

    def place(self, position: int) -> None:
        """Begin with the first pass whose start lies at `position` or later."""
        if self.clip.begin is None:
            self._begin = -(-position * self._timeline // self._output)
            first = 0
        else:
            self._begin = self.clip.begin
            first = max(0, self.pass_at(position))
            first += self.pass_start(first) < position
        self.start = self.pass_start(first)
        self.last = first + self.clip.passes - 1 if self.clip.passes else None
        self.is_placed = True

    def pass_start(self, number: int) -> int:
        """Its position, rounded: neighbours share their edge, and nothing adds up."""
        frame = self._begin + number * self.clip.length
        return (2 * frame * self._output + self._timeline) // (2 * self._timeline)

    def pass_at(self, position: int) -> int:
        """The pass that `position` lies in; below 0 before the begin."""
        number = (position * self._timeline // self._output - self._begin) // self.clip.length
        while self.pass_start(number + 1) <= position:
            number += 1
        while self.pass_start(number) > position:
            number -= 1
        return number

    def has_ended(self, position: int) -> bool:
        return self.last is not None and self.pass_at(position) > self.last

    def is_inside(self, position: int) -> bool:
        """Whether a stop at `position` would cut a pass."""
        return self.start < position < self._end() and self.pass_start(self.pass_at(position)) != position

    def render(self, out: Array, position: int) -> None:
        """Add its sound from `position` on to out (n, K)."""
        at = max(0, self.start - position)
        while at < len(out):
            number = self.pass_at(position + at)
            if self.last is not None and number > self.last:
                return
            inside = max(0, position + at - self.pass_start(number))
            frames = min(self.pass_start(number + 1) - position - at, len(out) - at)
            part = self.clip.samples[inside : inside + frames]
            out[at : at + len(part)] += part
            at += frames

    def _end(self) -> float:
        return float("inf") if self.last is None else self.pass_start(self.last + 1)


class Player:
    """One clip at a time; a new one takes over at its own start, and what it cuts is faded.

    Orders come from any thread through a deque, whose ends are atomic; everything else belongs to the
    callback that calls `fill`.
    """

    def __init__(self, rates: tuple[int, int], channels: int) -> None:
        self._rates = rates
        self._orders: deque[Voice | None] = deque()
        self._now: Voice | None = None
        self._next: Voice | None = None
        self._fading: Voice | None = None
        self._faded = 0  # frames of the fade that are done
        frames = max(1, round(FADE * rates[1]))
        self._ramp = np.linspace(1, 0, frames, endpoint=False, dtype=np.float32)[:, None]
        self._scratch = np.zeros((frames, channels), np.float32)

    def play(self, clip: Clip) -> None:
        self._orders.append(Voice(clip, self._rates))

    def stop(self) -> None:
        """Fade out, and forget what was to come."""
        self._orders.append(None)

    @property
    def is_busy(self) -> bool:
        """Whether something is heard, or will be."""
        return bool(self._orders or self._now or self._next or self._fading)

    def fill(self, out: Array, position: int) -> bool:
        """What is heard from `position` on, into out (n, K).

        returns  whether positions may jump here: nothing is heard, or a pass began
        """
        out[:] = 0
        self._take_orders(position)
        end = position + len(out)
        if self._next is not None and self._next.start < end:
            at = max(0, self._next.start - position)
            self._sound(out[:at], position)
            self._fade_out(position + at)
            self._now, self._next = self._next, None
            self._sound(out[at:], position + at)
        else:
            self._sound(out, position)
        if self._now is None:
            return self._fading is None
        if self._now.has_ended(end):
            self._now = None
            return True
        return self._now.pass_at(position - 1) != self._now.pass_at(end - 1)

    def _take_orders(self, position: int) -> None:
        while self._orders:
            self._next = self._orders.popleft()
            if self._next is None:
                self._fade_out(position)
                self._now = None
            else:
                self._next.place(position)

    def _fade_out(self, position: int) -> None:
        if self._now is not None and self._now.is_inside(position):
            self._fading, self._faded = self._now, 0

    def _sound(self, out: Array, position: int) -> None:
        if self._now is not None:
            self._now.render(out, position)
        if self._fading is None:
            return
        frames = min(len(out), len(self._ramp) - self._faded)
        faint = self._scratch[:frames]
        faint[:] = 0
        self._fading.render(faint, position)
        faint *= self._ramp[self._faded : self._faded + frames]
        out[:frames] += faint
        self._faded += frames
        if self._faded >= len(self._ramp):
            self._fading = None
