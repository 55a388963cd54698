"""The compact spectral codec: a fixed, linear map between a log spectrogram and 192 latents a frame.

wave 16 kHz → STFT 1024/256 → 96 bands → log(amplitude + floor) → patches of 8 bands × 8 frames
→ two-dimensional DCT, 16 of 64 coefficients kept → 12 groups × 16 = 192 channels at 7.8125 Hz

Nothing of it is learned but three short tables (which coefficients, their scales, the mean of each band),
which stand in the model's manifest. Its mask ceiling on true stems is 14.8 dB SI-SDR improvement.
"""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array

RATE = 16000  # Hz
FFT = 1024  # audio frames under one analysis window
STRIDE = 256  # audio frames between windows: one spectrum frame
BINS = FFT // 2 + 1
BANDS = 96
PATCH = 8  # bands, and spectrum frames, on a side of a DCT patch
GROUPS = BANDS // PATCH
HOP = STRIDE * PATCH  # audio frames per latent frame


def erb_number(hertz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    """Position on the ear's frequency scale (Glasberg and Moore 1990)."""
    return np.asarray(21.4 * np.log10(1 + 0.00437 * np.asarray(hertz)))


def band_centres() -> NDArray[np.float64]:
    """(96,) centres in STFT bins: evenly spaced by ear from 20 Hz, but never closer than one bin."""
    marks = np.linspace(erb_number(20.0), erb_number(RATE / 2), BANDS)
    by_ear = (10 ** (marks / 21.4) - 1) / 0.00437 * FFT / RATE
    centres = by_ear.copy()
    for band in range(1, BANDS):
        centres[band] = max(centres[band], centres[band - 1] + 1)
    first_wide = int(np.argmax(np.diff(centres) > 1.0001))
    stretch = (BINS - 1 - centres[first_wide]) / (centres[-1] - centres[first_wide])
    centres[first_wide:] = centres[first_wide] + (centres[first_wide:] - centres[first_wide]) * stretch
    return centres


@lru_cache(maxsize=1)
def band_weights() -> Array:
    """(96, 513) triangles that sum to 1 in every bin, so that bands can be spread back over bins."""
    centres, bins = band_centres(), np.arange(BINS)
    columns = [np.interp(bins, centres, np.eye(BANDS)[band]) for band in range(BANDS)]
    weights: Array = np.stack(columns).astype(np.float32)
    return weights


@lru_cache(maxsize=1)
def dct_basis() -> Array:
    """(64, 64) orthonormal two-dimensional DCT-II of a patch, flattened bands first."""
    k = np.arange(PATCH)
    one = np.sqrt(2 / PATCH) * np.cos(np.pi * (k[None] + 0.5) * k[:, None] / PATCH)
    one[0] /= np.sqrt(2)
    basis: Array = np.einsum("ai,bj->abij", one, one).reshape(PATCH**2, PATCH**2).astype(np.float32)
    return basis


@lru_cache(maxsize=1)
def analysis_window() -> Array:
    """(1024,) periodic Hann."""
    window: Array = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)).astype(np.float32)
    return window


def stft(waves: Array) -> NDArray[np.complex64]:
    """(B, N) with N a multiple of 256 → (B, 513, N / 256); window m is centred on audio frame m × 256."""
    padded = np.pad(
        waves, ((0, 0), (FFT // 2, FFT // 2)), mode="reflect" if waves.shape[1] > FFT // 2 else "constant"
    )
    frames = np.lib.stride_tricks.sliding_window_view(padded, FFT, axis=1)[:, : waves.shape[1] : STRIDE]
    spectrum: NDArray[np.complex64] = np.fft.rfft(frames * analysis_window(), axis=2).astype(np.complex64)
    return spectrum.transpose(0, 2, 1)


@dataclass(frozen=True)
class SpectralCodec:
    """Codec on the tables of a manifest. `spectrum` is what a mask is made from; `decode` gives a phase by
    Griffin-Lim, for models that bring no vocoder.

    kept    (16,) which of the 64 DCT coefficients are latents
    scales  (16,) what one unit of each latent is worth
    means   (96,) mean log amplitude of each band
    floor   added to the amplitude before the logarithm; quieter is inaudible at the model's level
    """

    kept: tuple[int, ...]
    scales: tuple[float, ...]
    means: tuple[float, ...]
    floor: float = 0.27
    rate: int = field(default=RATE, init=False)
    hop: int = field(default=HOP, init=False)

    @property
    def channels(self) -> int:
        return GROUPS * len(self.kept)

    @cached_property
    def analysis(self) -> Array:
        """(64, kept): a flattened patch times this is its latents."""
        basis = dct_basis()[list(self.kept)].T
        return np.ascontiguousarray(basis / np.asarray(self.scales, np.float32))

    @cached_property
    def synthesis(self) -> Array:
        """(kept, 64): latents times this are a flattened patch."""
        return np.ascontiguousarray(
            dct_basis()[list(self.kept)] * np.asarray(self.scales, np.float32)[:, None]
        )

    def log_bands(self, power: Array) -> Array:
        """(B, 513, M) power → (B, 96, M) log(amplitude + floor)"""
        weights = band_weights() / band_weights().sum(axis=1, keepdims=True)
        logs: Array = np.log(np.sqrt(weights @ power) + np.float32(self.floor))
        return logs

    def encode(self, waves: Array) -> Array:
        """(B, N) → (B, C, T), the tail padded with silence to whole latent frames."""
        waves = np.pad(waves, ((0, 0), (0, -waves.shape[1] % HOP)))
        spectrum = stft(waves)
        logs = self.log_bands(spectrum.real**2 + spectrum.imag**2)
        centred = logs - np.asarray(self.means, np.float32)[:, None]
        patches = centred.reshape(len(waves), GROUPS, PATCH, -1, PATCH).transpose(0, 1, 3, 2, 4)
        latents = patches.reshape(*patches.shape[:3], PATCH**2) @ self.analysis  # (B, G, T, kept)
        return np.ascontiguousarray(latents.transpose(0, 1, 3, 2).reshape(len(waves), self.channels, -1))

    def bands(self, latents: Array) -> Array:
        """(B, C, T) → (B, 96, M) log(amplitude + floor) of each band"""
        batch, _, frames = latents.shape
        grouped = latents.reshape(batch, GROUPS, len(self.kept), frames).transpose(0, 1, 3, 2)
        patches = (grouped @ self.synthesis).reshape(batch, GROUPS, frames, PATCH, PATCH)
        logs = patches.transpose(0, 1, 3, 2, 4).reshape(batch, BANDS, frames * PATCH)
        return np.ascontiguousarray(logs + np.asarray(self.means, np.float32)[:, None])

    def spectrum(self, latents: Array) -> Array:
        """(B, C, T) → (B, 513, M): the bands' log amplitude, floor included, spread over the bins"""
        spread: Array = band_weights().T @ self.bands(latents)
        return spread

    def decode(self, latents: Array) -> Array:
        """(B, C, T) → (B, T × 2048) waveforms whose phase is guessed by Griffin-Lim."""
        from stemwright.engine.phase import griffin_lim

        return griffin_lim(np.maximum(np.exp(self.spectrum(latents)) - np.float32(self.floor), 0))
