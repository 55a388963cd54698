"""Regions longer than the model's window: the only file that knows.

A region is covered by whole windows, evenly spaced, each seam at least `overlap` wide. Where two windows
overlap by more, the edges of both are dropped, for there they had the least to hear. Across a seam their
results are cross-faded by weights that sum to exactly 1.

Windows may share far more than is cross-faded: what one window found is then what the next begins with.

Lengths here are latent frames (one is 0.128 s in the default model) unless said.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stemwright.engine.contracts import Array

WINDOW = 80  # 10.24 s in the default model
OVERLAP = 5  # 0.64 s


@dataclass(frozen=True)
class Window:
    """One span the model hears, and what is kept of it."""

    start: int
    length: int  # the model's window; less only where the whole region is shorter
    drop_in: int = 0  # left out at the beginning …
    fade_in: int = 0  # … then faded in
    fade_out: int = 0  # faded out …
    drop_out: int = 0  # … then left out

    @property
    def begin(self) -> int:
        """Where in the region its result starts to count."""
        return self.start + self.drop_in

    @property
    def end(self) -> int:
        return self.start + self.length - self.drop_out


def widest(window: int) -> int:
    """The most that windows may share: three quarters."""
    return window - -(-window // 4)


def plan(frames: int, window: int = WINDOW, overlap: int = OVERLAP) -> list[Window]:
    """As few windows as cover `frames` and share `overlap` or more; none for no frames.

    The seam is as wide as what they share, but at most a quarter of a window, and never so that two meet.
    """
    assert 0 <= overlap <= widest(window), (window, overlap)
    fade = min(overlap, window // 4, (window - overlap) // 2)
    if frames <= window:
        return [Window(0, frames)] if frames > 0 else []
    count = -(-(frames - overlap) // (window - overlap))
    starts = [index * (frames - window) // (count - 1) for index in range(count)]
    drops = [_drops(window - (right - left), fade) for left, right in pairwise(starts)]
    return [
        Window(
            start,
            window,
            drop_in=drops[index - 1][1] if index else 0,
            fade_in=fade if index else 0,
            fade_out=fade if index < count - 1 else 0,
            drop_out=drops[index][0] if index < count - 1 else 0,
        )
        for index, start in enumerate(starts)
    ]


def _drops(shared: int, fade: int) -> tuple[int, int]:
    """What the left window drops at its end and the right one at its start, where they share so much."""
    spare = shared - fade
    return spare // 2, spare - spare // 2


def batches(windows: Sequence[Window], size: int) -> Iterator[Sequence[Window]]:
    """The windows in order, `size` at a time; the last batch may be smaller."""
    for first in range(0, len(windows), size):
        yield windows[first : first + size]


def cut(samples: Array, window: Window, size: int = WINDOW, hop: int = 1) -> Array:
    """(…, N) of the whole region → (…, size × hop): what the model hears, silence after the end.

    hop  entries of the last axis per latent frame: the codec's for audio, 1 for latents
    """
    piece = samples[..., window.start * hop : (window.start + size) * hop]
    missing = size * hop - piece.shape[-1]
    return np.pad(piece, [(0, 0)] * (piece.ndim - 1) + [(0, missing)]) if missing else piece


def rising(length: int) -> Array:
    """(length,) a raised cosine from near 0 to near 1, and `1 − rising` is exactly its mirror image.

    Steps of 2⁻²⁰ are exact in float32, so a weight and its counterpart sum to 1 without rounding.
    """
    ramp = np.sin(np.pi / 2 * (np.arange(length) + 0.5) / max(length, 1)) ** 2
    steps = np.rint(ramp * 2**20)
    steps[length - length // 2 :] = 2**20 - steps[: length // 2][::-1]
    return np.asarray(steps / 2**20, np.float32)


def weights(window: Window, scale: int = 1) -> Array:
    """(length × scale,) what each column of a window's result counts; over the region they sum to 1."""
    column = np.ones(window.length * scale, np.float32)
    first, last = window.drop_in * scale, len(column) - window.drop_out * scale
    fade_in, fade_out = window.fade_in * scale, window.fade_out * scale
    column[:first] = 0
    column[first : first + fade_in] = rising(fade_in)
    column[last - fade_out : last] = 1 - rising(fade_out)
    column[last:] = 0
    return column


class Overlap:
    """Joins the windows' results, taken in order, and gives out what no later window changes.

    scale  columns of a result per latent frame: 8 for the default codec's spectrum, its hop for waveforms

    All spans together are (…, frames × scale); what is held meanwhile is one seam.
    """

    def __init__(self, windows: Sequence[Window], scale: int = 1) -> None:
        self._windows = tuple(windows)
        self._scale = scale
        self._next = 0
        self._seam: Array | None = None  # the last window's weighted fade-out

    def add(self, result: Array) -> Array:
        """(…, M ≥ length × scale) of the next window → (…, m) finished; padding beyond that is ignored."""
        window = self._windows[self._next]
        scale = self._scale
        begin, end = window.drop_in * scale, (window.length - window.drop_out) * scale
        assert result.shape[-1] >= end, (result.shape, window)
        joined = result[..., begin:end] * weights(window, scale)[begin:end]
        if self._seam is not None:
            joined[..., : window.fade_in * scale] += self._seam
        done = joined.shape[-1] - window.fade_out * scale
        self._seam = joined[..., done:].copy()
        self._next += 1
        return np.ascontiguousarray(joined[..., :done])
