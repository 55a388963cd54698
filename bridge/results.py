"""The stems of one pass on their way into files, at the rate, channels and length that were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemwright.bridge.asking import span
from stemwright.bridge.request import Request
from stemwright.engine.audio import AudioWriter, Resampler, commit_all, resampled_frames
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob


@dataclass(frozen=True)
class Shape:
    """Of a sound: rate in Hz, channels, frames."""

    rate: int
    channels: int
    frames: int

    def asked(self, request: Request) -> Shape:
        """That of the results; BadJob where these channels cannot become those."""
        rate, channels = request.rate or self.rate, request.channels or self.channels
        if channels != self.channels and 1 not in (channels, self.channels):
            raise BadJob(
                f"{self.channels} channels cannot be made {channels}; ask for {self.channels} or 1, "
                "or leave `channels` away."
            )
        frames = resampled_frames(self.frames, self.rate, rate)
        if rate != self.rate and request.seconds is not None:
            exact = span(request.start, request.seconds, rate)[1]
            if abs(exact - frames) <= 1 + rate / self.rate:  # else the region was cut at the input's end
                frames = exact
        return Shape(rate, channels, frames)


class Stems:
    """Files of the same shape being written together: all get their names at `commit`, or none.

    As a context manager it removes the part-files of what was not committed.
    """

    def __init__(self, paths: Sequence[Path], given: Shape, wanted: Shape, seed: int) -> None:
        self.paths, self.given, self.wanted, self.seed = tuple(paths), given, wanted, seed
        self._writers: list[AudioWriter] = []
        self._stack = ExitStack()
        self._resamplers = [
            Resampler(given.rate, wanted.rate, wanted.channels) for _ in (paths if self._is_resampled else ())
        ]

    @property
    def _is_resampled(self) -> bool:
        return self.given.rate != self.wanted.rate

    def __enter__(self) -> Stems:
        try:
            for path in self.paths:
                writer = AudioWriter(
                    path, self.wanted.rate, self.wanted.channels, seed=self.seed, overwrite=True
                )
                self._stack.callback(writer.discard)
                self._writers.append(writer.__enter__())
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def discard(self) -> None:
        """Remove the part-files now."""
        for writer in self._writers:
            writer.discard()

    def write(self, block: Array) -> None:
        """(stems, K, n); what goes beyond the files is left out."""
        for index, writer in enumerate(self._writers):
            samples = _on_channels(block[index], self.wanted.channels)
            self._put(writer, self._resamplers[index].push(samples) if self._is_resampled else samples)

    def _put(self, writer: AudioWriter, samples: Array) -> None:
        writer.write(samples[:, : self.wanted.frames - writer.frames])

    def commit(self) -> float:
        """Complete the files, exactly as long as wanted; → the gain that FLAC needed, 1 if none."""
        for writer, resampler in zip(self._writers, self._resamplers, strict=False):
            self._put(writer, resampler.finish())
        for writer in self._writers:
            missing = self.wanted.frames - writer.frames
            writer.write(np.zeros((self.wanted.channels, missing), np.float32))
        return commit_all(self._writers)

    @property
    def seconds(self) -> float:
        return self.wanted.frames / self.wanted.rate


def _on_channels(samples: Array, channels: int) -> Array:
    """(K, n) → (channels, n): the same signal on each, or their mean on one"""
    if samples.shape[0] == channels:
        return samples
    if channels == 1:
        mean: Array = samples.mean(axis=0, keepdims=True, dtype=np.float32)
        return mean
    same: Array = np.repeat(samples, channels, axis=0)
    return same
