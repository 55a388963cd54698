"""What stands between the sampler and the network: prompts that pull, tracks given, windows that follow on.

network     (B, S, C, T), levels (B, S), conditions (B, S, D) → v (B, S, C, T)
guided      fixes the conditions            → (latents (B, S, C, T), levels (B, S)) → v (B, S, C, T)
held        fixes the given tracks          → (latents (B, W, C, T), level) → v (B, W, C, T); W: wanted tracks
continued   fixes the first latent frames   → the same, for the window after another
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from stemwright.engine import schedule
from stemwright.engine.contracts import Array, Denoiser
from stemwright.engine.sampler import Denoise, plus

Guided = Callable[[Array, Array], Array]  # (latents, levels) → v


def guided(
    denoiser: Denoiser,
    conditions: Array,
    scale: float | Sequence[float] = 1.0,
    negatives: Array | None = None,
) -> Guided:
    """Text guidance with a scale of its own for every track: v = u + w (c − u).

    scale      w, one or (S,); all 1 costs one forward, everything else a forward of twice the batch
    negatives  (B, S, D) stands where the null condition (zeros) would: what to steer away from
    """
    scales = np.broadcast_to(np.asarray(scale, np.float32), conditions.shape[1:2])
    if np.all(scales == 1):
        return lambda latents, levels: denoiser(latents, levels, conditions)
    null = np.zeros_like(conditions) if negatives is None else negatives
    both = np.concatenate([conditions, null])

    def doubled(latents: Array, levels: Array) -> Array:
        twice = denoiser(np.concatenate([latents, latents]), np.concatenate([levels, levels]), both)
        with_prompt, without = np.split(twice, 2)
        mixed: Array = without + scales[:, None, None] * (with_prompt - without)
        return mixed

    return doubled


def held(denoise: Guided, given: Array, is_given: NDArray[np.bool_]) -> Denoise:
    """Hold given tracks clean at τ = 0 while the others are at the sampler's level (MGE-LDM, Algorithm 2).

    given     (B, S, C, T) clean latents; only the given tracks' are looked at
    is_given  (S,)
    """

    def wanted(latents: Array, level: float) -> Array:
        whole = given.copy()
        whole[:, ~is_given] = latents
        levels = np.where(is_given, np.float32(0), np.float32(level))
        velocity = denoise(whole, np.broadcast_to(levels, whole.shape[:2]))
        return velocity[:, ~is_given]

    return wanted


def continued(denoise: Denoise, beginning: Array, noise: Array) -> Denoise:
    """Hold the first latent frames of the wanted tracks to the end of the window before.

    beginning  (B, W, C, O) clean latents, O < T
    noise      (B, W, C, T) what the sampler starts from

    Before every call these frames are put at the sampler's level, with the noise they started from, and the
    answer for them is the v that leads there, so a sampler with a memory stays consistent (after RePaint,
    arXiv 2201.09865, with the noise kept instead of drawn anew). No network is trained on half-given tracks.
    """
    overlap = beginning.shape[-1]
    start = noise[..., :overlap]

    def following(latents: Array, level: float) -> Array:
        alpha, sigma = schedule.signal(level), schedule.noise(level)
        joined = latents.copy()
        joined[..., :overlap] = plus((alpha, beginning), (sigma, start))
        velocity = denoise(joined, level).copy()
        velocity[..., :overlap] = plus((alpha, start), (-sigma, beginning))
        return velocity

    return following
