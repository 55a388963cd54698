"""What the model hears: one channel at its own rate, window by window, from sound that arrives in blocks."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from stemwright.engine.audio import BLOCK, Audio, Resampler
from stemwright.engine.contracts import Array
from stemwright.engine.windows import Window, cut

SILENT = 1e-4  # RMS, −80 dBFS: below, a window is taken for silent


class Source(Protocol):
    """A sound of known shape that can be read from its beginning: an AudioFile, or Whole."""

    @property
    def rate(self) -> int: ...

    @property
    def channels(self) -> int: ...

    @property
    def frames(self) -> int: ...

    def blocks(self) -> Iterator[Array]:
        """All of it, (K, n) at a time."""
        ...


@dataclass(frozen=True)
class Whole:
    """Audio in memory as a Source."""

    audio: Audio

    @property
    def rate(self) -> int:
        return self.audio.rate

    @property
    def channels(self) -> int:
        return self.audio.channels

    @property
    def frames(self) -> int:
        return self.audio.frames

    def blocks(self) -> Iterator[Array]:
        for start in range(0, self.audio.frames, BLOCK):
            yield self.audio.samples[:, start : start + BLOCK]


class Feed:
    """The mean channel at the model's rate; holds what has come and is still wanted."""

    def __init__(self, source_rate: int, rate: int, hop: int) -> None:
        self._resampler = Resampler(source_rate, rate, channels=1)
        self._hop = hop
        self._heard = np.zeros(0, np.float32)
        self._start = 0  # frame of _heard[0]

    def push(self, block: Array) -> None:
        """(K, n) at the source's rate"""
        self._append(self._resampler.push(block.mean(axis=0, keepdims=True)))

    def finish(self) -> None:
        self._append(self._resampler.finish())

    def _append(self, wave: Array) -> None:
        self._heard = np.concatenate([self._heard, wave[0]])

    def has(self, window: Window) -> bool:
        """Whether all of the window has come."""
        return self._start + len(self._heard) >= (window.start + window.length) * self._hop

    def take(self, window: Window, size: int) -> Array:
        """(size × hop,) of the window, silence after the end; what lies before it is forgotten."""
        forgotten = window.start * self._hop - self._start
        self._heard, self._start = self._heard[forgotten:], self._start + forgotten
        return cut(self._heard, Window(0, window.length), size, self._hop)


def loudness(waves: Array) -> Array:
    """(B, N) → (B,) RMS"""
    rms: Array = np.sqrt(np.mean(np.square(waves, dtype=np.float64), axis=-1)).astype(np.float32)
    return rms


def active_loudness(wave: Array, frames: int = 1600) -> float:
    """RMS of the tenths of a second of (N,) that are within 40 dB of the loudest; 0 for silence."""
    whole = np.pad(wave, (0, -len(wave) % frames)).reshape(-1, frames)
    parts = loudness(whole)
    active = parts[parts > max(float(parts.max()) * 0.01, SILENT)]
    return float(np.sqrt(np.mean(np.square(active)))) if len(active) else 0.0
