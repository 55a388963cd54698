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
from stemwright.engine.job import Null
from stemwright.engine.sampler import Denoise, plus

Guided = Callable[[Array, Array], Array]  # (latents, levels) → v


def guided(
    denoiser: Denoiser,
    conditions: Array,
    scale: float | Sequence[float] = 1.0,
    negatives: Array | None = None,
    *,
    null: Null = Null.ALL,
    rescale: float = 0.0,
) -> Guided:
    """Text guidance: what the prompts change in v is made larger.

    scale      w, one or (S,); all 1 costs one forward, everything else a forward of a larger batch
    negatives  (B, S, D) stands where the null condition (zeros) would: what to steer away from
    null       all: v = u + w (c − u), u without any prompt, w of the track whose v it is: twice the batch.
               own: v = c + Σ (w − 1) (c − u), over the tracks with a prompt, each u without that one alone
               and w of that track: a batch more for each. With one prompt both are the same
    rescale    φ: how far the spread of v is led back to what it is without guidance
    """
    every, mixing = forwards(conditions, scale, negatives, null)
    if len(every) == 1:
        return lambda latents, levels: denoiser(latents, levels, conditions)
    rows = np.concatenate(every)

    def several(latents: Array, levels: Array) -> Array:
        batch = denoiser(np.concatenate([latents] * len(every)), np.concatenate([levels] * len(every)), rows)
        parts = batch.reshape(len(every), *latents.shape)
        *pulling, base = parts  # weights sum to 1: v = base + Σ w (part − base), exact where parts agree
        weights = mixing.T[..., None, None]
        mixed = base + sum(
            (weight * (part - base) for weight, part in zip(weights, pulling, strict=False)),
            start=np.float32(0),
        )
        return mixed if rescale == 0 else rescaled(mixed, parts[0], rescale)

    return several


def forwards(
    conditions: Array,
    scale: float | Sequence[float] = 1.0,
    negatives: Array | None = None,
    null: Null = Null.ALL,
) -> tuple[Array, Array]:
    """What `guided` asks the network, and how it sums the answers.

    returns  conditions of each forward (H, B, S, D), the prompts' own first, and every track's weights of
             the forwards' v (S, H)
    """
    scales = np.broadcast_to(np.asarray(scale, np.float32), conditions.shape[1:2])
    if np.all(scales == 1):
        return conditions[None], np.ones((len(scales), 1), np.float32)
    absent = np.zeros_like(conditions) if negatives is None else negatives
    if null is Null.ALL:
        return np.stack([conditions, absent]), np.stack([scales, 1 - scales], axis=1)
    tracks = _prompted(conditions, absent)
    lacking = [_without(conditions, absent, track) for track in tracks]
    pulls = scales[tracks] - 1
    weights = np.concatenate([[1 + pulls.sum()], -pulls]).astype(np.float32)
    return np.stack([conditions, *lacking]), np.tile(weights, (len(scales), 1))


def _prompted(conditions: Array, absent: Array) -> list[int]:
    """The tracks that carry a prompt, or something to steer away from."""
    return [int(track) for track in np.flatnonzero((conditions != absent).any(axis=(0, 2)))]


def _without(conditions: Array, absent: Array, track: int) -> Array:
    """(B, S, D) with one track's condition replaced by what stands for none"""
    left = conditions.copy()
    left[:, track] = absent[:, track]
    return left


def rescaled(guided: Array, plain: Array, share: float) -> Array:
    """Guidance makes v larger than any the network was trained on; this takes a share of that back.

    The standard deviation is that of all tracks' channels together in one latent frame, as in
    stable-audio-tools, where it comes from (after arXiv 2305.08891).
    """
    wanted, found = (each.std(axis=(1, 2), keepdims=True, ddof=1) for each in (plain, guided))
    back: Array = guided * (wanted / np.maximum(found, np.float32(1e-8)))
    return plus((share, back), (1 - share, guided))


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
