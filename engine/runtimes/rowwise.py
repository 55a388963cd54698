"""A denoiser of two graphs made for one row: rows run one after the other, and what prompts do is kept."""

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.ort import Graph

KEPT = 64  # modulations, about 40 kB each: of some songs' prompts and the rivals, at a few noise levels


class Rowwise:
    """A Runtime with the inputs latents, levels and conditions: what a row gets never depends on the others.

    Windows of a song have the same prompts, and so do their rivals: what these do is made once.

    modulation  levels (1, S), conditions (1, S, D) → modulation
    step        latents (1, S, C, T), modulation → velocity
    careful     opens the step for levels under `low`, if that is another one
    """

    inputs: tuple[str, ...] = ("latents", "levels", "conditions")
    outputs: tuple[str, ...] = ("velocity",)

    def __init__(
        self,
        name: str,
        modulation: Graph,
        step: Graph,
        careful: Callable[[], Graph] | None = None,
        low: float = 0.0,
    ) -> None:
        self.name, self._modulation, self._step = name, modulation, step
        self._open_careful, self._low = careful, low
        self._kept = lru_cache(KEPT)(self._modulated)

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        """latents (B, S, C, T), levels (B, S), conditions (B, S, D) → (velocity (B, S, C, T),)"""
        latents, levels, conditions = (arrays[name] for name in self.inputs)
        rows = [
            self._row(latents[row : row + 1], levels[row], conditions[row]) for row in range(len(latents))
        ]
        return (rows[0] if len(rows) == 1 else np.concatenate(rows),)

    def _row(self, latents: Array, levels: Array, conditions: Array) -> Array:
        is_low = self._open_careful is not None and float(levels.max()) < self._low
        step = self._careful if is_low else self._step
        modulation = self._kept(levels.tobytes(), conditions.tobytes(), conditions.shape)
        return step.run(latents=latents, modulation=modulation)[0]

    def _modulated(self, levels: bytes, conditions: bytes, shape: tuple[int, ...]) -> Array:
        given = np.frombuffer(conditions, np.float32).reshape(1, *shape)
        return self._modulation.run(levels=np.frombuffer(levels, np.float32)[None], conditions=given)[0]

    @cached_property
    def _careful(self) -> Graph:
        assert self._open_careful is not None
        return self._open_careful()
