"""A network as a file that is executed somewhere: what every runtime offers, and a Denoiser made of it."""

from collections.abc import Callable
from typing import Protocol

import numpy as np

from stemwright.engine.contracts import Array, Denoiser
from stemwright.engine.errors import DeviceLost, ModelDamaged
from stemwright.engine.runtimes.course import Looping, Sampling, at_once


class Runtime(Protocol):
    """`ort.Graph` on the CPU or by CUDA, `tensorrt.PlanGraph`."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        """Named inputs → every output, in the order of `outputs`. DeviceLost where the card fails."""
        ...


class GraphDenoiser:
    """A Denoiser whose network is a graph with the inputs latents, levels and conditions.

    In the conditions' place it may take the modulation that `Modulated` makes of them.
    """

    def __init__(self, graph: Runtime) -> None:
        third = [name for name in ("conditions", "modulation") if name in graph.inputs][:1]
        if {"latents", "levels", *third} != set(graph.inputs) or not third or len(graph.outputs) != 1:
            raise ModelDamaged(
                f"{graph.name}: takes {', '.join(graph.inputs)}; a denoiser takes latents, levels and "
                "conditions and returns v alone. Export it again."
            )
        self._graph, self._third = graph, third[0]

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        """(B, S, C, T), (B, S), (B, S, D) → v (B, S, C, T)"""
        single = [np.ascontiguousarray(array, np.float32) for array in (latents, levels, conditions)]
        (velocity,) = self._graph.run(latents=single[0], levels=single[1], **{self._third: single[2]})
        return velocity

    @property
    def is_looping(self) -> bool:
        return isinstance(self._graph, Looping) and self._graph.is_looping

    def loop(self, sampling: Sampling) -> Array | None:
        return at_once(self._graph, sampling)


class Rescued:
    """A Denoiser on a graphics card that goes on elsewhere when the card fails: the job is not lost.

    spare  opens the Denoiser that takes over, once it is needed
    told   remarks for the user; grows by one when that happens
    """

    def __init__(self, denoiser: Denoiser, spare: Callable[[], Denoiser], told: list[str]) -> None:
        self._denoiser, self._spare, self._told = denoiser, spare, told
        self._is_rescued = False

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        """(B, S, C, T), (B, S), (B, S, D) → v (B, S, C, T)"""
        try:
            return self._denoiser(latents, levels, conditions)
        except DeviceLost as error:
            if self._is_rescued:
                raise
            self._rescue(error)
            return self._denoiser(latents, levels, conditions)

    @property
    def is_looping(self) -> bool:
        return isinstance(self._denoiser, Looping) and self._denoiser.is_looping

    def loop(self, sampling: Sampling) -> Array | None:
        """Where the card fails the sampling begins again, step by step, on what takes over."""
        try:
            return at_once(self._denoiser, sampling)
        except DeviceLost as error:
            if self._is_rescued:
                raise
            self._rescue(error)
            return None

    def _rescue(self, error: DeviceLost) -> None:
        self._is_rescued = True
        self._told.append(f"the processor took over: {error}")
        self._denoiser = self._spare()
