"""Few-step samplers of the probability-flow ODE: functions of (denoise, noise, levels).

denoise  (latents, level) → v, for the wanted tracks alone; called once per level
noise    standard normal, the shape of the latents; the state at the first level, which is 1
levels   (steps,) falling; see `schedule`
on_step  told the number of steps done after each; what it raises ends the sampling
returns  the clean latents z₀ predicted at the last level; with one step that is −v at τ = 1

Which one, by measured error on exact scores: `ab2` up to 6 steps, `unipc` for 8 and more, `ddim` where
guidance is high and steps are few.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stemwright.engine import schedule
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob
from stemwright.engine.schedule import Levels

Denoise = Callable[[Array, float], Array]
OnStep = Callable[[int], None]
Sampler = Callable[..., Array]  # (denoise, noise, levels, on_step=None)


def clean(latents: Array, velocity: Array, level: float) -> Array:
    """The z₀ that v predicts: α z − σ v."""
    return plus((schedule.signal(level), latents), (-schedule.noise(level), velocity))


def plus(*terms: tuple[float, Array]) -> Array:
    """Weighted sum in float32."""
    total = np.float32(terms[0][0]) * terms[0][1]
    for weight, array in terms[1:]:
        total = total + np.float32(weight) * array
    return total


def rotated(latents: Array, velocity: Array, level: float, following: float) -> Array:
    """The state at level `following` if z₀ and ε stay as v says: a rotation in the plane of z and v."""
    angle = (following - level) * np.pi / 2
    return plus((np.cos(angle), latents), (np.sin(angle), velocity))


def ddim(denoise: Denoise, noise: Array, levels: Levels, on_step: OnStep | None = None) -> Array:
    """First order, deterministic (η = 0): every step takes the predicted z₀ and ε for the truth."""
    latents = noise
    for step, level in enumerate(levels):
        velocity = denoise(latents, float(level))
        if on_step:
            on_step(step + 1)
        if step + 1 < len(levels):
            latents = rotated(latents, velocity, level, levels[step + 1])
    return clean(latents, velocity, float(levels[-1]))


def ab2(denoise: Denoise, noise: Array, levels: Levels, on_step: OnStep | None = None) -> Array:
    """Second order: Adams and Bashforth's two-step rule on dz/dφ = v, φ = πτ/2. The first step is DDIM's."""
    latents, previous = noise, noise
    for step, level in enumerate(levels):
        velocity = denoise(latents, float(level))
        if on_step:
            on_step(step + 1)
        if step + 1 < len(levels):
            following = levels[step + 1]
            if step == 0:
                latents = rotated(latents, velocity, level, following)
            else:
                angle = (following - level) * np.pi / 2
                half = (following - level) / (2 * (level - levels[step - 1]))
                latents = plus((1, latents), (angle * (1 + half), velocity), (-angle * half, previous))
        previous = velocity
    return clean(latents, velocity, float(levels[-1]))


@dataclass(frozen=True)
class Found:
    """A level that was visited and the z₀ predicted there."""

    level: float
    clean: Array


def unipc(denoise: Denoise, noise: Array, levels: Levels, on_step: OnStep | None = None) -> Array:
    """Second order in log-SNR with a corrector that costs no further call (UniPC, arXiv 2302.04867, B₂(h)).

    After each call the step that led here is redone with the new prediction; then the next is predicted from
    the last two. The step into the last level is of first order.
    """
    latents, before = noise, noise
    here: Found | None = None
    older: Found | None = None
    for step, level in enumerate(map(float, levels)):
        velocity = denoise(latents, level)
        there = Found(level, clean(latents, velocity, level))
        if on_step:
            on_step(step + 1)
        if here is not None:
            latents = _corrected(before, here, older, there)
        if step + 1 < len(levels):
            before, here, older = latents, there, here if step + 2 < len(levels) else None
            latents = _predicted(before, here, older, float(levels[step + 1]))
    return clean(latents, velocity, level)


def _exponential(latents: Array, here: Found, following: float) -> Array:
    """The first-order step: exact while the predicted z₀ stays as it is."""
    shrink = schedule.noise(following) / schedule.noise(here.level)
    kept = schedule.signal(following) - shrink * schedule.signal(here.level)
    return plus((shrink, latents), (kept, here.clean))


def _length(level: float, following: float) -> float:
    """h, the step's length in log-SNR; positive."""
    return schedule.log_snr(following) - schedule.log_snr(level)


def _weight(level: float, following: float) -> float:
    """α′ B₂(h), the weight of the higher-order differences; B₂(h) = 1 − exp(−h) for a predicted z₀."""
    return -schedule.signal(following) * float(np.expm1(-_length(level, following)))


def _predicted(latents: Array, here: Found, older: Found | None, following: float) -> Array:
    """UniP: the exponential step, bent by the slope between the last two predictions."""
    step = _exponential(latents, here, following)
    if older is None:
        return step
    back = -_length(older.level, here.level) / _length(here.level, following)
    bend = _weight(here.level, following) / (2 * back)
    return plus((1, step), (bend, older.clean), (-bend, here.clean))


def _corrected(latents: Array, here: Found, older: Found | None, there: Found) -> Array:
    """UniC: the step from `here` once more, with what was found `there`, at its end."""
    step, weight = _exponential(latents, here, there.level), _weight(here.level, there.level)
    ahead = there.clean - here.clean
    if older is None:
        return plus((1, step), (weight / 2, ahead))
    h = _length(here.level, there.level)
    back = -_length(older.level, here.level) / h
    on_slope, on_ahead = _corrector_weights(-h, back)
    return plus((1, step), (weight * on_slope / back, older.clean - here.clean), (weight * on_ahead, ahead))


def _corrector_weights(h: float, back: float) -> tuple[float, float]:
    """ρ of the two differences, from the moments of the exponential integral over the step (UniPC)."""
    bend = float(np.expm1(h))
    first = bend / h - 1
    second = first / h - 0.5
    moments = np.array([first / bend, 2 * second / bend])
    on_slope, on_ahead = np.linalg.solve(np.array([[1.0, 1.0], [back, 1.0]]), moments)
    return float(on_slope), float(on_ahead)


SAMPLERS: dict[str, Sampler] = {"ddim": ddim, "unipc": unipc, "ab2": ab2}


def named(name: str) -> Sampler:
    """The sampler of that name."""
    if name not in SAMPLERS:
        raise BadJob(f'there is no sampler "{name}"; choose one of {", ".join(SAMPLERS)}.')
    return SAMPLERS[name]
