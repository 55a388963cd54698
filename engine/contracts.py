"""Shapes and the three parts a model is made of.

B batch · S tracks · K audio channels · N audio frames · C latent channels · T latent frames (N = T × hop) ·
D conditioning width · F frequency bins · M spectrum frames
"""

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Codec(Protocol):
    """Audio ↔ latents, at the model's own rate, mono."""

    @property
    def rate(self) -> int:
        """Hz"""
        ...

    @property
    def hop(self) -> int:
        """Audio frames per latent frame."""
        ...

    @property
    def channels(self) -> int:
        """C"""
        ...

    def encode(self, waves: Array) -> Array:
        """(B, N) → (B, C, T) with T = ceil(N / hop); the tail is padded with silence."""
        ...

    def spectrum(self, latents: Array) -> Array:
        """(B, C, T) → (B, F, M): natural log of the amplitude, floored; the grid of `spectral.STFT`."""
        ...

    def decode(self, latents: Array) -> Array:
        """(B, C, T) → (B, N) waveforms with N = T × hop, the codec's own phase."""
        ...


@runtime_checkable
class Uncertain(Protocol):
    """What a codec also has whose encoder gives a distribution; its `encode` gives the mean."""

    def posterior(self, waves: Array) -> tuple[Array, Array]:
        """(B, N) → means and standard deviations, both (B, C, T)"""
        ...


class Conditioner(Protocol):
    """Prompts → points of the space in which the denoiser is conditioned. A row of zeros means no prompt."""

    width: int  # D

    def text(self, prompts: list[str]) -> Array:
        """(B, D)"""
        ...

    def audio(self, waves: Array) -> Array:
        """(B, N) at the codec's rate → (B, D)"""
        ...


@runtime_checkable
class Hearing(Protocol):
    """What a conditioner also has that hears sounds at a rate of its own, not the codec's."""

    rate: int  # Hz of the waves its `audio` is given


class Denoiser(Protocol):
    """The diffusion network: the v-objective's prediction."""

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        """latents (B, S, C, T), levels τ in [0, 1] (B, S), conditions (B, S, D) → v (B, S, C, T)"""
        ...
