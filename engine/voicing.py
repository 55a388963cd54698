"""From latents to waveforms with the model's vocoder: its graph, then a little Griffin-Lim from its phases.

They begin near the right ones, so a few iterations settle what neighbouring frames disagree about.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.phase import MOMENTUM, QUIETEST, istft
from stemwright.engine.spectral import stft

ITERATIONS = 8


class Bands(Protocol):
    """The part of the spectral codec that is needed here."""

    def bands(self, latents: Array) -> Array:
        """(B, C, T) → (B, 96, M)"""
        ...


class VocoderGraph(Protocol):
    """A graph with the input bands (B, 96, M) and the outputs waves (B, N) and amplitudes (B, 513, M)."""

    def run(self, **arrays: Array) -> tuple[Array, ...]: ...


class Voice:
    """Latents (B, C, T) → waves (B, T × hop).

    iterations  of Griffin-Lim after the graph; 0 leaves its waves as they are
    """

    def __init__(self, graph: VocoderGraph, codec: Bands, iterations: int = ITERATIONS) -> None:
        self.graph, self.codec, self.iterations = graph, codec, iterations

    def __call__(self, latents: Array) -> Array:
        waves, amplitudes = self.graph.run(bands=self.codec.bands(latents))
        if self.iterations == 0:
            return waves
        return settled(waves, amplitudes, self.iterations)


def settled(waves: Array, amplitudes: Array, iterations: int) -> Array:
    """(B, N) waves, phases moved until spectra of these amplitudes (B, 513, M) agree with themselves."""
    rows = zip(waves, amplitudes, strict=True)
    return np.concatenate([_settled(wave[None], wanted[None], iterations) for wave, wanted in rows])


def _settled(wave: Array, amplitudes: Array, iterations: int) -> Array:
    """(1, N), (1, 513, M) → (1, N); one at a time so that memory does not grow with the batch."""
    spectrum = stft(wave)
    before = spectrum
    for _ in range(iterations):
        pushed = spectrum + np.float32(MOMENTUM) * (spectrum - before)
        before = spectrum
        spectrum = stft(istft(_with_amplitudes(pushed, amplitudes)))
    return istft(_with_amplitudes(spectrum, amplitudes))


def _with_amplitudes(spectrum: NDArray[np.complex64], amplitudes: Array) -> NDArray[np.complex64]:
    turned = amplitudes * (spectrum / np.maximum(np.abs(spectrum), QUIETEST))
    return turned.astype(np.complex64, copy=False)
