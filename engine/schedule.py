"""Noise levels: how much of a latent is signal and how much noise at level τ, and which levels are visited.

τ = 0 is clean, τ = 1 is noise alone. Cosine schedule: α = cos(πτ/2), σ = sin(πτ/2), so α² + σ² = 1 and a
latent on its way is z(τ) = α z₀ + σ ε; the network's target is v = α ε − σ z₀ (MGE-LDM, arXiv 2505.23305,
section 3.2).
"""

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.errors import BadJob

Levels = NDArray[np.float64]

STEPS_LIMIT = 1000
LAST = 0.02  # the lowest level the network was trained at
LARGEST_LAST = 0.5
GRIDS = ("auto", "uniform", "blended")
SOFT_FIRST = 0.999  # log-SNR is infinite at τ = 1; from here on it is taken as constant


def signal(level: float) -> float:
    """α, the weight of the clean latent at level τ. Exactly 0 at τ = 1."""
    return float(np.cos(level * np.pi / 2)) if level < 1 else 0.0


def noise(level: float) -> float:
    """σ, the weight of the noise at level τ."""
    return float(np.sin(level * np.pi / 2))


def log_snr(level: float) -> float:
    """log(α / σ), half the logarithm of the signal-to-noise ratio; finite at both ends."""
    kept = float(np.clip(level, 1 - SOFT_FIRST, SOFT_FIRST))
    return float(-np.log(np.tan(kept * np.pi / 2)))


def levels(steps: int, last: float = LAST) -> Levels:
    """Noise levels τ from 1 down to `last`, evenly spaced; one step is the level 1 alone.

    returns  (steps,)  falling

    The paper's code: linspace(1, 0.02, steps). Best for up to six steps. The paper: from 1 to 0, which is as
    many steps of even length of which the last arrives at 0; what it visits ends at 1/steps, for at 0 there
    is nothing left to predict.
    """
    check_steps(steps)
    return _visited(np.linspace(1.0, last, _points(steps, last)), last)


def blended_levels(steps: int, last: float = LAST) -> Levels:
    """Noise levels τ from 1 down to `last`: the mean of even spacing in τ and even spacing in log-SNR.

    returns  (steps,)  falling

    Measured best for 8 to 16 steps of the cosine schedule; more of its levels lie near both ends.
    """
    check_steps(steps)
    points = _points(steps, last)
    ratios = np.linspace(log_snr(1.0), log_snr(last), points)
    by_ratio = np.arctan(np.exp(-ratios)) * 2 / np.pi
    blended: Levels = (np.linspace(1.0, last, points) + by_ratio) / 2
    blended[0] = 1.0
    return _visited(blended, last)


def _points(steps: int, last: float) -> int:
    """How many levels the steps lie between: where they end at 0, that one counts too."""
    return steps + 1 if last == 0 else steps


def _visited(points: Levels, last: float) -> Levels:
    """The levels at which the network is asked: never 0."""
    return points[:-1] if last == 0 else points


def grid(steps: int, kind: str = "auto", last: float = LAST) -> Levels:
    """What a manifest or a job asks for: "uniform", "blended", or "auto": blended from 7 to 32 steps."""
    if kind not in GRIDS:
        raise BadJob(f'there is no grid "{kind:.40}"; choose one of {", ".join(GRIDS)}.')
    if kind == "auto":
        kind = "blended" if 7 <= steps <= 32 else "uniform"
    return {"uniform": levels, "blended": blended_levels}[kind](steps, last)


def check_steps(steps: int) -> None:
    """Refuse a number of steps that makes no sense."""
    if not 1 <= steps <= STEPS_LIMIT:
        raise BadJob(f"{steps} steps asked for; give 1 to {STEPS_LIMIT}. One is best to extract.")
