"""A phase for spectra that have none: Griffin and Lim's iteration with momentum.

The floor under any vocoder: it needs no training and sounds hollow. Same grid as `spectral.stft`.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.spectral import FFT, STRIDE, analysis_window, stft

ITERATIONS = 32
MOMENTUM = 0.99  # "fast" Griffin-Lim, Perraudin, Balazs and Søndergaard 2013
SHIFTS = FFT // STRIDE
QUIETEST = np.float32(1e-8)


def istft(spectra: NDArray[np.complex64]) -> Array:
    """(B, 513, M) → (B, M × 256), the least-squares inverse of `spectral.stft`."""
    frames = np.fft.irfft(spectra.transpose(0, 2, 1), n=FFT, axis=2).astype(np.float32) * analysis_window()
    summed = _overlap_added(frames)
    waves: Array = summed / _envelope(spectra.shape[2])
    return waves


def _overlap_added(frames: Array) -> Array:
    """(B, M, 1024) → (B, M × 256): frame m centred on audio frame m × 256"""
    batch, count, _ = frames.shape
    parts = frames.reshape(batch, count, SHIFTS, STRIDE)
    total = np.zeros((batch, count + SHIFTS - 1, STRIDE), np.float32)
    for shift in range(SHIFTS):
        total[:, shift : shift + count] += parts[:, :, shift]
    return total.reshape(batch, -1)[:, FFT // 2 :][:, : count * STRIDE]


@lru_cache(maxsize=4)
def _envelope(count: int) -> Array:
    """(1, M × 256): the sum of the squared windows"""
    squares = np.broadcast_to(analysis_window() ** 2, (1, count, FFT))
    return np.maximum(_overlap_added(np.ascontiguousarray(squares)), QUIETEST)


def griffin_lim(magnitudes: Array, iterations: int = ITERATIONS, seed: int = 0) -> Array:
    """(B, 513, M) amplitudes → (B, M × 256) waves whose spectra come near them.

    The phases begin at random from `seed`: the same amplitudes give the same waves.
    """
    return np.concatenate([_one(row[None], iterations, seed) for row in magnitudes])


def _one(magnitudes: Array, iterations: int, seed: int) -> Array:
    """(1, 513, M) → (1, M × 256); one at a time so that memory does not grow with the batch."""
    turns = np.random.default_rng(seed).random(magnitudes.shape, dtype=np.float32)
    phases = np.exp(np.complex64(2j * np.pi) * turns)
    before = np.zeros_like(phases)
    for _ in range(iterations):
        possible = stft(istft(magnitudes * phases))
        pushed = possible + np.float32(MOMENTUM) * (possible - before)
        phases = pushed / np.maximum(np.abs(pushed), QUIETEST)
        before = possible
    return istft(magnitudes * phases)
