"""A sampling laid out beforehand, so that a runtime can do all of it without coming back to us.

Every sampler is a recurrence of weighted sums: with the levels known, each state is a fixed sum of the noise
and of the network's answers so far. The weights are found by running the sampler itself on unit vectors.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.sampler import Sampler
from stemwright.engine.schedule import Levels

LONGEST = 64  # steps; the weights, and the answers that are kept, grow with them


@dataclass(frozen=True)
class Course:
    """Where a sampler goes.

    levels   τ of every call
    weights  (steps + 1, steps + 1): row k makes the latents of call k, the last row the clean ones; columns
             are the noise, then the answers to the calls before
    """

    levels: tuple[float, ...]
    weights: Array


def course(sampler: Sampler, levels: Levels) -> Course:
    """What the sampler does with these levels, whatever the network answers."""
    units: Any = np.eye(len(levels) + 1)  # double: what is summed here is kept
    states: list[Array] = []
    visited: list[float] = []

    def answer(latents: Array, level: float) -> Array:
        states.append(latents)
        visited.append(level)
        unit: Array = units[len(states)]
        return unit

    end = sampler(answer, units[0], levels)
    return Course(tuple(visited), np.array([*states, end], np.float32))


@dataclass(frozen=True)
class Sampling:
    """All that one sampling of a batch needs. H forwards a call, of which guidance takes a sum.

    noise       (B, W, C, T) of the wanted tracks
    given       (B, S, C, T) clean latents; only those of the given tracks are looked at
    is_given    (S,)
    conditions  (H, B, S, D) what stands in each forward
    mixing      (S, H) v of a track: the sum of the forwards' with these weights; (S, 1) of ones: no guidance
    """

    noise: Array
    given: Array
    is_given: NDArray[np.bool_]
    conditions: Array
    mixing: Array
    course: Course

    def parts(self, rows: int) -> Iterator["Sampling"]:
        """The same of at most so many rows each; no row depends on another."""
        for start in range(0, len(self.noise), rows):
            here = slice(start, start + rows)
            yield replace(
                self, noise=self.noise[here], given=self.given[here], conditions=self.conditions[:, here]
            )


@runtime_checkable
class Looping(Protocol):
    """A Denoiser, or a Runtime, that may do a whole sampling at once."""

    @property
    def is_looping(self) -> bool:
        """Whether it is worth asking."""
        ...

    def loop(self, sampling: Sampling) -> Array | None:
        """The clean latents (B, W, C, T); None where it must be done step by step after all."""
        ...


def can_loop(denoiser: object, steps: int) -> bool:
    """Whether a sampling of so many steps may be done at once."""
    return steps <= LONGEST and isinstance(denoiser, Looping) and denoiser.is_looping


def at_once(denoiser: object, sampling: Sampling) -> Array | None:
    """The clean latents, where the denoiser can; None where the sampler has to call it."""
    if not can_loop(denoiser, len(sampling.course.levels)):
        return None
    assert isinstance(denoiser, Looping)
    return denoiser.loop(sampling)
