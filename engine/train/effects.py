"""Cheap effects that make one synthesised stem many: filters, drive, dynamics, movement, echo, room, noise.

All take and return mono float32 of any level and keep its length; levels are relative to the RMS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

Wave = NDArray[np.floating[Any]]
Sections = NDArray[np.float64]
DRIVEN = {"guitar": 0.4, "bass": 0.3, "drums": 0.3, "synth lead": 0.35, "organ": 0.25}
ROOMY = {"bass": 0.15, "drums": 0.4, "strings": 0.65, "choir": 0.7, "pipe": 0.6, "brass": 0.6, "reed": 0.6}


def random_effects(x: Wave, label: str, rng: np.random.Generator, rate: int, *, tempo: float = 120.0) -> Wave:
    """A stem through a random chain, in a studio's order: tone, drive, dynamics, movement, echo, room."""
    chain: list[tuple[float, Callable[[Wave], Wave]]] = [
        (0.65, lambda y: equalised(y, rate, rng)),
        (DRIVEN.get(label, 0.1), lambda y: driven(y, rate, rng)),
        (0.3, lambda y: compressed(y, rate, rng)),
        (0.18 if label not in ("drums", "bass") else 0.03, lambda y: moved(y, rate, rng)),
        (0.12 if label not in ("drums", "bass") else 0.04, lambda y: echoed(y, rate, tempo, rng)),
        (ROOMY.get(label, 0.5), lambda y: roomed(y, rate, rng)),
        (0.22, lambda y: banded(y, rate, rng)),
        (0.1, lambda y: y + rng.normal(0, rms(y) * ratio_of(rng.uniform(-60, -36)), len(y))),
    ]
    for chance, effect in chain:
        if rng.random() < chance:
            x = effect(x).astype(np.float32)
    return x


def rms(x: Wave) -> float:
    """Root of the mean square, never 0."""
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64)))) + 1e-9


def ratio_of(decibels: float) -> float:
    """Amplitude ratio of a level in dB."""
    return float(10.0 ** (decibels / 20))


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """A number between two positive ones, each octave equally likely."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))


def peak_section(frequency: float, gain: float, width: float, rate: int) -> Sections:
    """A bell filter as one second-order section. gain in dB; width is Q. (R. Bristow-Johnson's cookbook.)"""
    amplitude, turn = ratio_of(gain / 2), 2 * np.pi * frequency / rate
    slope = float(np.sin(turn)) / (2 * width)
    top = [1 + slope * amplitude, -2 * np.cos(turn), 1 - slope * amplitude]
    bottom = [1 + slope / amplitude, -2 * np.cos(turn), 1 - slope / amplitude]
    return np.array([*top, *bottom], np.float64) / float(bottom[0])


def shelf_section(frequency: float, gain: float, rate: int, *, high: bool) -> Sections:
    """A first-order shelf as one section: `gain` dB above (high) or below the frequency."""
    ratio, turn = ratio_of(gain), float(np.tan(np.pi * frequency / rate))
    if high:
        top, bottom = [turn + ratio, turn - ratio], [turn + 1, turn - 1]
    else:
        top, bottom = [turn * ratio + 1, turn * ratio - 1], [turn + 1, turn - 1]
    return np.array([*top, 0.0, *bottom, 0.0], np.float64) / bottom[0]


def equalised(x: Wave, rate: int, rng: np.random.Generator) -> Wave:
    """One to three bells and perhaps shelves, up to 9 dB each."""
    sections = [
        peak_section(log_uniform(80, 0.42 * rate, rng), rng.uniform(-9, 9), rng.uniform(0.4, 2.5), rate)
        for _ in range(int(rng.integers(1, 4)))
    ]
    if rng.random() < 0.5:
        sections.append(shelf_section(log_uniform(1200, 6000, rng), rng.uniform(-9, 7), rate, high=True))
    if rng.random() < 0.3:
        sections.append(shelf_section(log_uniform(80, 400, rng), rng.uniform(-9, 6), rate, high=False))
    return np.asarray(signal.sosfilt(np.array(sections), x))


def driven(x: Wave, rate: int, rng: np.random.Generator) -> Wave:
    """Soft or hard clipping, blended with the dry sound, perhaps through a loudspeaker's low-pass."""
    pushed = x / rms(x) * ratio_of(rng.uniform(-14, 12)) + rng.uniform(-0.1, 0.1)
    shaped = np.tanh(pushed) if rng.random() < 0.7 else np.clip(pushed, -0.8, 0.8)
    shaped = shaped - shaped.mean()
    if rng.random() < 0.5:
        shaped = signal.sosfilt(signal.butter(4, rng.uniform(2800, 5500), fs=rate, output="sos"), shaped)
    blend = 1.0 if rng.random() < 0.6 else rng.uniform(0.3, 0.9)
    return np.asarray(blend * shaped / rms(shaped) * rms(x) + (1 - blend) * x)


def compressed(x: Wave, rate: int, rng: np.random.Generator) -> Wave:
    """Gain that falls where the envelope rises above a quantile of itself."""
    keep = float(np.exp(-1 / (rate * rng.uniform(0.004, 0.08))))
    envelope = np.sqrt(signal.lfilter([1 - keep], [1, -keep], np.square(x)) + 1e-10)
    threshold = np.quantile(envelope[::64], rng.uniform(0.3, 0.8)) + 1e-6
    return np.asarray(x * np.minimum(1.0, (envelope / threshold) ** -rng.uniform(0.3, 0.85)))


def moved(x: Wave, rate: int, rng: np.random.Generator) -> Wave:
    """Tremolo, or a delay that wanders: chorus, flanger, vibrato."""
    speed, time = rng.uniform(0.3, 7.0), np.arange(len(x)) / rate
    wave = np.sin(2 * np.pi * (speed * time + rng.random()))
    if rng.random() < 0.35:
        return x * (1 - rng.uniform(0.15, 0.8) * 0.5 * (1 + wave))
    centre, depth = log_uniform(0.001, 0.022, rng), rng.uniform(0.1, 0.9)
    depth = min(depth, 0.0012 / (centre * speed))
    places = np.arange(len(x)) - rate * centre * (1 + depth * wave)
    wet = np.interp(places, np.arange(len(x)), x, left=0.0)
    mix = 1.0 if rng.random() < 0.1 else rng.uniform(0.25, 0.6)
    sign = 1.0 if rng.random() < 0.5 else -1.0
    return np.asarray((1 - mix) * x + mix * sign * wet)


def echoed(x: Wave, rate: int, tempo: float, rng: np.random.Generator) -> Wave:
    """Repeats in time with the song, each darker and softer than the one before."""
    delay = int(rate * 60 / tempo * rng.choice((0.25, 0.5, 0.75, 1.0, 2 / 3)))
    gain, dark, out = rng.uniform(0.15, 0.55), rng.uniform(0.1, 0.7), x.copy()
    repeat = x
    for turn in range(1, 5):
        if turn * delay >= len(x):
            break
        repeat = gain * signal.lfilter([1 - dark], [1, -dark], repeat)
        out[turn * delay :] += repeat[: len(x) - turn * delay].astype(out.dtype)
    return out


def room(rate: int, rng: np.random.Generator) -> Wave:
    """An impulse response of unit energy: early reflections and a tail whose treble dies sooner."""
    seconds = log_uniform(0.12, 2.6, rng)
    frames = int(rate * min(seconds, 1.6))
    time = np.arange(frames) / rate
    tail = rng.normal(size=frames) * 10 ** (-3 * time / seconds)
    dark = rng.uniform(0.0, 0.75)
    dull = signal.lfilter([1 - dark], [1, -dark], tail)
    mix = np.exp(-time / (seconds * rng.uniform(0.1, 0.6)))
    response = mix * tail + (1 - mix) * dull
    response[: int(rate * rng.uniform(0.0, 0.03))] = 0.0
    response[rng.integers(1, min(frames, int(0.05 * rate)), 5)] += rng.normal(0, 2.0, 5)
    return np.asarray(response / np.sqrt(np.sum(response**2) + 1e-9), np.float32)


def roomed(x: Wave, rate: int, rng: np.random.Generator) -> Wave:
    """The stem in a random room."""
    wet = signal.fftconvolve(x, room(rate, rng))[: len(x)]
    mix = rng.uniform(0.03, 0.4)
    return np.asarray((1 - mix) * x + mix * wet)


def banded(x: Wave, rate: int, rng: np.random.Generator) -> Wave:
    """A low-pass, a high-pass, or both, as of old records, phones and distant rooms."""
    sections = []
    draw = rng.random()
    if draw < 0.65:
        sections.append(signal.butter(2, log_uniform(1500, 7000, rng), fs=rate, output="sos"))
    if draw > 0.5:
        sections.append(signal.butter(2, log_uniform(40, 500, rng), "highpass", fs=rate, output="sos"))
    return np.asarray(signal.sosfilt(np.concatenate(sections), x))
