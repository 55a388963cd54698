"""How much of the mixture each prompted stem gets, in every bin and frame: soft masks.

P prompts · F bins · M spectrum frames; spectra are natural logs of amplitudes, as `Codec.spectrum` gives them
"""

import numpy as np

from stemwright.engine.contracts import Array


def shares(
    sources: Array, rests: Array, power: float, *, is_joint: bool, is_inverted: tuple[bool, ...]
) -> Array:
    """(P, F, M) source and rest of every prompt → (P, F, M) in [0, 1]

    Alone, a stem gets S^p / (S^p + U^p). Joint stems get the mean of that and of their part among all of
    them and what none of them claims, and never sum to more than 1. An inverted prompt ("everything but …")
    gets the other side, and takes no part among the others.
    """
    of_source, of_both = powers(sources, rests, power)
    alone = of_source / of_both
    together = [row for row, inverted in enumerate(is_inverted) if not inverted]
    if is_joint and len(together) > 1:
        alone[together] = _joint(of_source[together], of_both[together], alone[together])
    for row, inverted in enumerate(is_inverted):
        if inverted:
            alone[row] = 1 - alone[row]
    return alone


def powers(sources: Array, rests: Array, power: float) -> tuple[Array, Array]:
    """S^p and S^p + U^p, all rows on one scale that keeps them from overflowing."""
    loudest = np.maximum(sources, rests).max(axis=0)
    of_source = np.exp(np.float32(power) * (sources - loudest))
    of_rest = np.exp(np.float32(power) * (rests - loudest))
    of_both = np.maximum(of_source + of_rest, np.finfo(np.float32).tiny)
    return of_source, of_both


def _joint(of_source: Array, of_both: Array, alone: Array) -> Array:
    """The whole is what the prompts say on average, or the sum of the stems where that is more."""
    whole = np.maximum(of_source.sum(axis=0), of_both.mean(axis=0))
    mean = (alone + of_source / whole) / 2
    fitted: Array = mean / np.maximum(mean.sum(axis=0), 1)
    return fitted
