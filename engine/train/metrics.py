"""What a separated stem is scored with: Log-Mel L1, SI-SDR, levels, and how sure we are.

Log-Mel L1 hears how the stem sounds but not its phase, and quiet bins weigh as much as loud ones; SI-SDR
hears the waveform but not its level. Read them together.
"""

from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from stemwright.engine.contracts import Array

RATE = 16000  # Hz; Log-Mel is defined at this rate only
WINDOW = 1024  # audio frames under one analysis window
STRIDE = 160  # audio frames between windows
BANDS = 64  # mel bands from 0 to 8000 Hz
FLOOR = 1e-5  # MSG-LD's clamp: -100 dB, far below hearing
SECOND_FLOOR = 1e-3  # -60 dB: the same distance without the inaudible bins
EPSILON = 1e-8
CLEAN = 20.0  # dB; a mixture this near to its stem leaves nothing to separate
NOTHING = -60.0  # dB; the SI-SDR of an estimate of zeros, whose formula would say 1e-8 over 1e-8
QUIETEST = -120.0  # dB; what a level of digital silence is called
DRAWS = 1000  # resampled song lists of a confidence interval

Scores = NDArray[np.float64]


def mel_hertz(mels: Scores) -> Scores:
    """Frequencies on Slaney's mel scale: 200/3 Hz a mel up to 1000 Hz, 27 mels a factor of 6.4 above."""
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * np.log(6.4) / 27))


@lru_cache(maxsize=1)
def mel_weights() -> Array:
    """(64, 513) triangles of unit area over frequency in Hz (Slaney's normalisation)."""
    top = 15 + 27 * np.log(RATE / 2 / 1000) / np.log(6.4)
    edges = mel_hertz(np.linspace(0, top, BANDS + 2))
    hertz = np.arange(WINDOW // 2 + 1) * RATE / WINDOW
    low, middle, high = (edges[start : start + BANDS, None] for start in range(3))
    triangles = np.maximum(0, np.minimum((hertz - low) / (middle - low), (high - hertz) / (high - middle)))
    return (triangles * 2 / (high - low)).astype(np.float32)


def mel(wave: Array) -> Array:
    """Mel spectrogram of a mono wave at 16 kHz, as amplitudes.

    wave     (N,), N > 512; clipped to full scale
    returns  (64, N // 160)

    Front end of MSG-LD (arXiv 2409.12346): 1024-frame periodic Hann, stride 160, both ends reflected.
    """
    padded = np.pad(np.clip(wave, -1, 1).astype(np.float32), WINDOW // 2, mode="reflect")
    hann = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(WINDOW) / WINDOW)).astype(np.float32)
    frames = np.lib.stride_tricks.sliding_window_view(padded, WINDOW)[::STRIDE][: len(wave) // STRIDE]
    amplitudes: Array = mel_weights() @ np.abs(fft.rfft(frames * hann, axis=1)).T
    return amplitudes


def mel_distance(one: Array, other: Array, floor: float = FLOOR) -> float:
    """Mean absolute difference of two mel spectrograms' natural logarithms, clamped at `floor`."""
    difference = np.log(np.maximum(one, floor)) - np.log(np.maximum(other, floor))
    return float(np.abs(difference).mean(dtype=np.float64))


def log_mel_l1(estimate: Array, target: Array, floor: float = FLOOR) -> float:
    """Log-Mel L1 distance of two mono waves (N,) at 16 kHz; 1.0 is a mean deviation of 8.69 dB.

    MGE-LDM (arXiv 2505.23305) Table 3 names it and MSG-LD gives its front end; neither publishes the code.
    """
    return mel_distance(mel(estimate), mel(target), floor)


def si_sdr(estimate: Array, target: Array) -> float:
    """Scale-invariant signal-to-distortion ratio in dB, no mean removed; all channels count as one signal.

    estimate, target  any one shape

    Le Roux et al. 2019 (arXiv 1811.02508), with 1e-8 added as torchmetrics does.
    """
    heard, true = estimate.astype(np.float64).ravel(), target.astype(np.float64).ravel()
    scaled = (heard @ true + EPSILON) / (true @ true + EPSILON) * true
    error = scaled - heard
    return float(10 * np.log10((scaled @ scaled + EPSILON) / (error @ error + EPSILON)))


def si_sdr_improvement(estimate: Array, mixture: Array, target: Array) -> float | None:
    """How many dB nearer to the target than the mixture was.

    None where the figure would mean nothing: a silent target, or a mixture within 20 dB of it already.
    Silence in place of a stem that is there counts as -60 dB, so that giving up is never rewarded.
    """
    before = si_sdr(mixture, target)
    if is_silent(target) or before > CLEAN:
        return None
    return (si_sdr(estimate, target) if np.any(estimate) else NOTHING) - before


def rms(wave: Array) -> float:
    """Root mean square over every sample of every channel."""
    return float(np.sqrt(np.mean(np.square(wave, dtype=np.float64))))


def is_silent(wave: Array) -> bool:
    """True under -47 dB of full scale: GMSDI's 1.5e-5 on norm / N for its windows of 4 s at 22.05 kHz."""
    return rms(wave) < 1.5e-5 * float(np.sqrt(4 * 22050))


def relative_level(stem: Array, mixture: Array) -> float:
    """Level of a stem relative to its mixture in dB: 0 is as loud, -20 a tenth; never below -120."""
    ratio = rms(stem) / max(rms(mixture), EPSILON)
    return max(QUIETEST, float(20 * np.log10(max(ratio, EPSILON))))


def confidence(
    values: Scores,
    songs: list[str],
    statistic: Literal["median", "mean"] = "median",
    *,
    draws: int = DRAWS,
    seed: int = 0,
) -> tuple[float, float] | None:
    """95 % bootstrap interval, whole songs drawn with replacement: clips of a song are not independent.

    values   (n,)
    songs    the song of each value
    returns  lower and upper end; None for fewer than two songs
    """
    names, song = np.unique(songs, return_inverse=True)
    if len(names) < 2:
        return None
    drawn = np.random.default_rng(seed).integers(len(names), size=(draws, len(names)))
    places = drawn + len(names) * np.arange(draws)[:, None]
    copies = np.bincount(places.ravel(), minlength=drawn.size).reshape(drawn.shape)
    spread = (
        _weighted_medians(values, copies[:, song])
        if statistic == "median"
        else _means(values, copies[:, song])
    )
    low, high = np.quantile(spread, [0.025, 0.975])
    return float(low), float(high)


def _means(values: Scores, weights: NDArray[np.int64]) -> Scores:
    """(n,), (draws, n) → (draws,) means with each value taken `weights` times."""
    means: Scores = weights @ values / weights.sum(axis=1)
    return means


def _weighted_medians(values: Scores, weights: NDArray[np.int64]) -> Scores:
    """(n,), (draws, n) → (draws,) medians with each value taken `weights` times."""
    order = np.argsort(values, kind="stable")
    counts = weights[:, order].cumsum(axis=1)
    total = counts[:, -1:]
    lower = np.argmax(2 * counts >= total, axis=1)
    upper = np.argmax(2 * counts > total, axis=1)
    medians: Scores = (values[order][lower] + values[order][upper]) / 2
    return medians
