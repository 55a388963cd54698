"""What an extraction has to beat, and what it cannot: the floor and ceiling rows of every extraction table.

mixture                 the mixture handed back
mixture × oracle gain   the mixture at the stem's true level: nothing was extracted
mixture × least-L1 gain the mixture at the level with the least Log-Mel L1: what that metric lets pass
silence                 zeros
DSP                     textbook separation without learning, several methods for each class
ideal ratio mask        |S| / (|S| + |U|) of the true stem S and rest U: what a mask on the mixture can reach
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage, signal

from stemwright.engine.contracts import Array
from stemwright.engine.train import metrics

Spectrum = NDArray[np.complex64]

WINDOW = 0.064  # s; 1024 audio frames at 16 kHz, the nearest power of two at other rates
MEDIAN_SPAN = (0.5, 484.0)  # s along time and Hz along frequency: 31 × 31 at 16 kHz, librosa's default shape
REPEAT_DISTANCE = 1.0  # s between two frames that count as a repetition
REPEATS = 10  # most similar frames a repeating background is the median of
FOREGROUND_LOWEST = 100.0  # Hz; below it REPET gives everything to the background
TINY = 1e-10

# Where a class has most of its energy, in Hz. Longest matching word wins; anything else gets the last row.
REGISTERS = (
    ("chromatic percussion", (250, 6000)),
    ("synth lead", (200, 5000)),
    ("synth pad", (120, 3000)),
    ("synthesizer", (100, 5000)),
    ("mallets", (250, 6000)),
    ("clavinet", (80, 4000)),
    ("strings", (180, 4000)),
    ("guitar", (80, 2500)),
    ("vocals", (120, 5000)),
    ("piano", (80, 2500)),
    ("organ", (100, 2500)),
    ("brass", (120, 3500)),
    ("choir", (150, 3500)),
    ("reed", (150, 3500)),
    ("pipe", (250, 4000)),
    ("keys", (80, 2500)),
    ("bass", (30, 250)),
    ("", (150, 4000)),
)
BASS_CUTS = (200.0, 250.0, 300.0)  # Hz


def window_frames(rate: int) -> int:
    """Length of the analysis window in audio frames."""
    return int(2 ** np.round(np.log2(WINDOW * rate)))


def hann(size: int) -> Array:
    """(size,) periodic Hann, used on both sides: at a hop of a quarter its squares sum to 1.5."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(size) / size)).astype(np.float32)


def stft(waves: Array, size: int) -> Spectrum:
    """(K, N) → (K, M, size / 2 + 1) at a hop of size / 4; a window of silence is added at both ends."""
    tail = size + -waves.shape[1] % (size // 4)
    padded = np.pad(waves, ((0, 0), (size, tail)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, size, axis=1)[:, :: size // 4]
    return np.asarray(fft.rfft(frames * hann(size), axis=2), np.complex64)


def istft(spectrum: Spectrum, frames: int) -> Array:
    """Inverse of `stft`: (K, M, F) → (K, frames)."""
    size = 2 * (spectrum.shape[2] - 1)
    channels, count, hop = len(spectrum), spectrum.shape[1], size // 4
    pieces = (fft.irfft(spectrum, n=size, axis=2) * (hann(size) / np.float32(1.5))).reshape(
        channels, count, 4, hop
    )
    summed = np.zeros((channels, count + 3, hop), np.float32)
    for quarter in range(4):
        summed[:, quarter : quarter + count] += pieces[:, :, quarter]
    return summed.reshape(channels, -1)[:, size : size + frames]


def running_median(amplitudes: Array, span: int) -> Array:
    """Median of `span` neighbours along the last axis, mirrored at the ends. (…, n) → (…, n)"""
    rows = amplitudes.reshape(
        -1, amplitudes.shape[-1]
    )  # one row at a time: scipy is seven times faster on vectors
    return np.stack([ndimage.median_filter(row, size=span, mode="reflect") for row in rows]).reshape(
        amplitudes.shape
    )


def odd(count: float) -> int:
    """The odd number nearest to `count`, at least 3."""
    return max(3, 2 * round((count - 1) / 2) + 1)


@dataclass(frozen=True)
class Mixture:
    """A mixture (K, N) and what classical methods make of it, each computed once. Channels stand alone."""

    waves: Array
    rate: int

    @cached_property
    def spectrum(self) -> Spectrum:
        return stft(self.waves, window_frames(self.rate))

    @cached_property
    def percussive_mask(self) -> Array:
        """(K, M, F) share of each bin that is a click: Wiener mask of two medians (Fitzgerald 2010)."""
        size = window_frames(self.rate)
        seconds, hertz = MEDIAN_SPAN
        amplitudes = np.abs(self.spectrum)
        across = running_median(amplitudes, odd(hertz * size / self.rate)) ** 2
        along = (
            np.swapaxes(
                running_median(np.swapaxes(amplitudes, 1, 2), odd(seconds * self.rate / (size // 4))), 1, 2
            )
            ** 2
        )
        mask: Array = across / (across + along + TINY)
        return mask

    @cached_property
    def percussive(self) -> Array:
        return self.masked(self.percussive_mask)

    @cached_property
    def harmonic(self) -> Array:
        return self.masked(1 - self.percussive_mask)

    @cached_property
    def foreground(self) -> Array:
        """(K, N) what does not repeat, by REPET-SIM (Rafii and Pardo 2012)."""
        amplitudes = np.abs(self.spectrum)
        distance = round(REPEAT_DISTANCE * self.rate / (window_frames(self.rate) // 4))
        background = np.stack([repeating(channel, distance) for channel in amplitudes])
        mask = 1 - np.minimum(background, amplitudes) / (amplitudes + TINY)
        lowest = np.ceil(FOREGROUND_LOWEST * window_frames(self.rate) / self.rate)
        mask[:, :, : int(lowest)] = 0
        return self.masked(mask.astype(np.float32))

    def masked(self, mask: Array) -> Array:
        """(K, M, F) mask → (K, N) what it lets through"""
        return istft(self.spectrum * mask, self.waves.shape[1])


def repeating(amplitudes: Array, distance: int) -> Array:
    """Median of each frame's most similar frames, itself among them, no two nearer than `distance`.

    amplitudes  (M, F)
    returns     (M, F)
    """
    unit = amplitudes / (np.linalg.norm(amplitudes, axis=1, keepdims=True) + TINY)
    likeness = unit @ unit.T
    rows, offsets = np.arange(len(unit))[:, None], np.arange(-distance + 1, distance)[None]
    found = []
    for _ in range(min(REPEATS, max(1, len(unit) // distance))):
        best = likeness.argmax(axis=1)
        exhausted = likeness[rows[:, 0], best] < 0  # every frame is near one found before: take itself again
        found.append(np.where(exhausted, rows[:, 0], best))
        likeness[rows, np.clip(best[:, None] + offsets, 0, len(unit) - 1)] = -1
    middle: Array = np.median(amplitudes[np.stack(found)], axis=0).astype(np.float32)
    return middle


def band_pass(waves: Array, rate: int, low: float, high: float) -> Array:
    """(K, N) → (K, N) fourth-order Butterworth run both ways; `low` 0 makes it a low-pass."""
    high = min(high, 0.45 * rate)
    sections = signal.butter(
        4, [low, high] if low else high, "bandpass" if low else "lowpass", fs=rate, output="sos"
    )
    filtered: Array = signal.sosfiltfilt(sections, waves, axis=1).astype(np.float32)
    return filtered


def register(label: str) -> tuple[float, float]:
    """Lowest and highest frequency in Hz where a class has most of its energy."""
    return next(band for word, band in REGISTERS if word in label)


def classical(mixture: Mixture, label: str) -> dict[str, Array]:
    """Estimates (K, N) of one class by every classical method that suits it, by method."""
    waves, rate, harmonic, foreground = mixture.waves, mixture.rate, mixture.harmonic, mixture.foreground
    if label == "drums":
        repeated = {"REPET-SIM foreground": foreground, "REPET-SIM background": waves - foreground}
        return {"HPSS percussive": mixture.percussive, **repeated}
    low, high = register(label)
    estimates = {
        "HPSS harmonic": harmonic,
        "REPET-SIM foreground": foreground,
        "band-pass": band_pass(waves, rate, low, high),
        "HPSS harmonic + band-pass": band_pass(harmonic, rate, low, high),
        "REPET-SIM foreground + band-pass": band_pass(foreground, rate, low, high),
    }
    for cut in BASS_CUTS if label == "bass" else ():
        estimates[f"HPSS harmonic + low-pass {cut:.0f} Hz"] = band_pass(harmonic, rate, 0, cut)
    return estimates


def ideal_ratio_mask(mixture: Mixture, target: Array) -> Array:
    """(K, N) the mixture under |S| / (|S| + |U|), where S is the true stem and U the rest."""
    size = window_frames(mixture.rate)
    stem, rest = np.abs(stft(target, size)), np.abs(stft(mixture.waves - target, size))
    return mixture.masked((stem / (stem + rest + TINY)).astype(np.float32))


def oracle_gain(mixture: Array, target: Array) -> float:
    """The factor that gives a mixture (K, N) its stem's true level."""
    return metrics.rms(target) / max(metrics.rms(mixture), TINY)


def least_l1_gain(mixture: Array, target: Array) -> float:
    """The factor on a mono mixture (N,) at 16 kHz with the least Log-Mel L1, in steps of 1 dB.

    Far below the stem's level as a rule (-30 dB on rendered songs, where the true level is -8): the bins in
    which the stem is silent outweigh the others. No listener would take it for the stem.
    """
    loud, wanted = metrics.mel(mixture), metrics.mel(target)
    gains = 10 ** (np.arange(-120, 7) / 20)
    distances = [metrics.mel_distance(loud * np.float32(gain), wanted) for gain in gains]
    return float(gains[int(np.argmin(distances))])
