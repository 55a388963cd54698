"""Part of the latents is known and all are sampled: canonical inpainting, and RePaint.

Where the network was trained with a noise level for every track, given tracks are held clean (`held`) and
need none of this. It is for networks that know one level alone, for comparison with them, and for the window
after another, whose first frames are known in every model.

canonical  before every call what is known is put at the call's level with noise drawn anew: one sample of
           what the score at that level should be averaged over
repaint    so, and every step is taken `resamples` times, noised back by one step in between, so that what is
           unknown settles on what is known (RePaint, arXiv 2201.09865, Algorithm 1 with jumps of one step;
           U there. The MGE-LDM code's repaint_n)

Both are of first order (DDIM): a sampler with a memory would remember another noise.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from stemwright.engine import schedule
from stemwright.engine.contracts import Array
from stemwright.engine.sampler import Denoise, OnStep, clean, plus, rotated
from stemwright.engine.schedule import Levels

Draw = Callable[[], Array]  # standard normal numbers of the latents' shape, others at every call


def inpainted(
    denoise: Denoise,
    known: Array,
    is_known: NDArray[np.bool_],
    draw: Draw,
    levels: Levels,
    *,
    resamples: int = 1,
    on_call: OnStep | None = None,
) -> Array:
    """The clean latents: what is known as it is, the rest sampled to fit it.

    denoise    (latents (B, W, C, T), level) → v, everything at the same level
    known      (B, W, C, T) clean latents, looked at only where
    is_known   (W, 1, T) is True
    resamples  how often each step is taken; the last level's prediction ends the sampling and is made once
    on_call    told the number of calls done after each; what it raises ends the sampling
    """
    latents, done = draw(), 0
    for step, level in enumerate(map(float, levels)):
        is_last = step + 1 == len(levels)
        for turn in range(1 if is_last else resamples):
            if turn:
                latents = renoised(latents, float(levels[step + 1]), level, draw())
            latents = np.where(is_known, noised(known, level, draw()), latents)
            velocity = denoise(latents, level)
            done += 1
            if on_call:
                on_call(done)
            if not is_last:
                latents = rotated(latents, velocity, level, float(levels[step + 1]))
    return np.where(is_known, known, clean(latents, velocity, float(levels[-1])))


def calls(steps: int, resamples: int) -> int:
    """How often `inpainted` asks the network."""
    return (steps - 1) * resamples + 1


def noised(latents: Array, level: float, noise: Array) -> Array:
    """Clean latents put at a level."""
    return plus((schedule.signal(level), latents), (schedule.noise(level), noise))


def renoised(latents: Array, level: float, higher: float, noise: Array) -> Array:
    """Latents at `level` noised up to a higher one."""
    kept = schedule.signal(higher) / schedule.signal(level)
    return plus((kept, latents), (float(np.sqrt(1 - kept**2)), noise))
