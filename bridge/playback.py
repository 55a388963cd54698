"""Sound on an output, in time with a region of the live input. `Player.fill` runs in the audio callback."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stemwright.engine.contracts import Array


@dataclass(frozen=True, eq=False)
class Clip:
    """What is to be played.

    samples  (N, K) float32, K the output's channels
    start    frame of the timeline at which it begins, or any whole number of lengths later; None: at once
    length   frames of the timeline a pass takes; N, if the output runs at the timeline's rate
    passes   how often; 0: until it is stopped
    """

    samples: Array
    start: int | None
    length: int
    passes: int = 1


def fit_channels(samples: Array, channels: int) -> tuple[Array, str]:
    """(K, N) → (N, channels) and a note on what cannot be heard as it is, or ""."""
    raise NotImplementedError


class Player:
    """One clip at a time; a new one takes over at its own start."""

    def fill(self, out: Array, position: int) -> None:
        raise NotImplementedError


_ = np
