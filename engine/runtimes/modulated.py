"""A denoiser on which prompts act by a modulation of its layers: made once per prompt, not once per step."""

import numpy as np

from stemwright.engine.contracts import Array, Denoiser
from stemwright.engine.runtimes.graphs import Runtime


class Modulated:
    """A Denoiser of two graphs; what the first made of the last conditions is kept.

    denoiser    takes the modulation in the conditions' place
    modulation  conditions (B, S, D) → modulation (B, L, 6, W)
    """

    def __init__(self, denoiser: Denoiser, modulation: Runtime) -> None:
        self._denoiser, self._modulation = denoiser, modulation
        self._made: tuple[Array, Array] | None = None  # conditions, and what came of them

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        """latents (B, S, C, T), levels (B, S), conditions (B, S, D) → v (B, S, C, T)"""
        return self._denoiser(latents, levels, self._of(conditions))

    def _of(self, conditions: Array) -> Array:
        if self._made is None or not np.array_equal(self._made[0], conditions):
            single = np.array(conditions, np.float32)
            self._made = (single, self._modulation.run(conditions=single)[0])
        return self._made[1]
