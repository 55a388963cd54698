"""A wordless singer made of a glottal source and formants, for the class no soundfont has.

It sings vowels with portamento, vibrato, breath and the noise of consonants. It does not replace
recorded singing; it adds pitches, tunes and tempi that the recordings lack.
Formant frequencies: Peterson and Barney 1952, rounded; the upper two are common values.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from stemwright.engine.train.score import Note, Part, folded
from stemwright.engine.train.synthesis import TABLE, Wave, cycle

RATE = 16000
CONTROL = 64  # frames per point of the pitch and loudness curves
VOWELS = {
    "a": (730, 1090, 2440, 3400, 4500),
    "ae": (660, 1720, 2410, 3400, 4500),
    "e": (530, 1840, 2480, 3500, 4500),
    "i": (270, 2290, 3010, 3600, 4500),
    "o": (570, 840, 2410, 3300, 4400),
    "u": (300, 870, 2240, 3300, 4400),
    "er": (490, 1350, 1690, 3300, 4500),
}
RANGES = {"male": (41, 66, 1.0), "female": (54, 80, 1.17)}  # lowest and highest key, scale of the formants

Curve = NDArray[np.float64]


def sing(part: Part, seconds: float, rng: np.random.Generator) -> tuple[Wave, str]:
    """The part's top line sung, and by whom: "male" or "female". mono float32 (seconds * 16000,)"""
    kind = "female" if rng.random() < 0.5 else "male"
    low, high, scale = RANGES[kind]
    frames = round(seconds * RATE)
    line = top_line([replace(note, key=folded(note.key, low, high)) for note in part.notes])
    if not line:
        return np.zeros(frames, np.float32), kind
    points = frames // CONTROL + 2
    pitch, loud = pitch_curve(line, points, rng), loudness_curve(line, points, rng)
    source = voiced(pitch, frames, rng) * spread(loud, frames)
    breath = rng.uniform(0.01, 0.12) * np.sqrt(np.mean(source**2)) * 4
    source = source + breath * rng.standard_normal(frames) * spread(loud, frames)
    out = mouth(source, line, scale * rng.uniform(0.93, 1.08), frames, rng)
    noise = consonants(line, frames, rng) * np.sqrt(np.mean(out**2)) * rng.uniform(0.3, 1.6)
    return np.asarray(out + noise, np.float32), kind


def top_line(notes: list[Note]) -> list[Note]:
    """One note at a time: the highest of those that begin together, each cut at the next."""
    line: list[Note] = []
    for note in notes:
        if line and note.start - line[-1].start < 0.09:
            line[-1] = max(line[-1], note, key=lambda each: each.key)
        else:
            line.append(note)
    ends = [note.start for note in line[1:]] + [np.inf]
    return [
        replace(note, duration=float(min(note.duration, end - note.start)))
        for note, end in zip(line, ends, strict=True)
    ]


def pitch_curve(line: list[Note], points: int, rng: np.random.Generator) -> Curve:
    """MIDI pitch at every control point: slides into notes, late vibrato, a little drift."""
    step = CONTROL / RATE
    time = np.arange(points) * step
    targets = np.full(points, float(line[0].key))
    since = np.zeros(points)
    scoop = rng.uniform(0, 2.5)
    for note in line:
        first = max(0, int(note.start / step))
        targets[first:] = note.key
        targets[first : first + 12] -= scoop * (rng.random() < 0.4)
        since[first:] = time[: points - first]
    slow = float(np.exp(-step / rng.uniform(0.012, 0.06)))
    start = targets[:1] * slow
    slid = np.asarray(signal.lfilter([1 - slow], [1, -slow], targets, zi=start)[0])
    depth = rng.uniform(0.0, 0.7) * np.clip((since - rng.uniform(0.1, 0.4)) / 0.3, 0, 1)
    speed = rng.uniform(4.6, 6.6)
    drift = signal.lfilter([0.02], [1, -0.98], rng.standard_normal(points)) * 0.5
    return np.asarray(slid + depth * np.sin(2 * np.pi * speed * time) + drift)


def loudness_curve(line: list[Note], points: int, rng: np.random.Generator) -> Curve:
    """0-1 at every control point: open during notes, a dip before each syllable, soft edges."""
    step = CONTROL / RATE
    loud = np.zeros(points)
    legato = rng.uniform(0.0, 0.6)
    for note in line:
        first, last = max(0, int(note.start / step)), int((note.start + note.duration) / step)
        loud[first : max(last, first + 12)] = (note.velocity / 127.0) ** 0.7
        if rng.random() > legato:
            loud[max(0, first - 8) : first + 3] *= rng.uniform(0.0, 0.5)
    edge = np.hanning(int(rng.integers(9, 23)))
    return np.convolve(loud, edge / edge.sum(), mode="same")


def voiced(pitch: Curve, frames: int, rng: np.random.Generator) -> Curve:
    """The glottal buzz along a pitch curve; its cycle is rounder the higher the note, so nothing aliases."""
    hertz = 440.0 * 2.0 ** ((spread(pitch, frames) - 69) / 12)
    tilt = rng.uniform(0.8, 1.5)
    lowest = float(hertz.min())
    counts = [max(3, min(255, int(7600 / (lowest * 2.0 ** (0.5 * (band + 1)))))) for band in range(6)]
    tables = np.stack([cycle(1 / np.arange(1, count + 1, dtype=np.float64) ** tilt) for count in counts])
    band = np.clip((2 * np.log2(hertz / lowest)).astype(np.int32), 0, 5)
    place = ((np.cumsum(hertz / RATE) % 1.0) * TABLE).astype(np.int32) % TABLE
    return np.asarray(tables[band, place], np.float64)


def mouth(source: Curve, line: list[Note], scale: float, frames: int, rng: np.random.Generator) -> Curve:
    """The source through the vowels of three shapes of the mouth, one per note, gliding between them."""
    chosen = rng.choice(list(VOWELS), 3, replace=False)
    points = frames // CONTROL + 2
    shares = np.zeros((3, points))
    for note in line:
        first = max(0, int(note.start * RATE / CONTROL))
        shares[:, first:] = 0.0
        shares[rng.integers(3), first:] = 1.0
    glide = np.hanning(17) / np.hanning(17).sum()
    out = np.zeros(frames)
    for vowel, share in zip(chosen, shares, strict=True):
        weights = spread(np.convolve(share, glide, mode="same"), frames)
        if weights.max() > 0:
            out += formed(source * weights, VOWELS[str(vowel)], scale)
    return out


def formed(x: Curve, formants: tuple[int, ...], scale: float) -> Curve:
    """A wave through resonances in parallel, each weaker than the one below; the fundamental stays."""
    out = 0.12 * x
    for place, centre in enumerate(formants):
        frequency, width = min(centre * scale, 7400.0), 60.0 + 0.06 * centre
        low, high = max(frequency - width, 40.0), min(frequency + width, 7900.0)
        section = signal.butter(1, (low, high), "bandpass", fs=RATE, output="sos")
        out = out + (1.0, 0.7, 0.35, 0.25, 0.12)[place] * (-1) ** place * signal.sosfilt(section, x)
    return np.asarray(out)


def consonants(line: list[Note], frames: int, rng: np.random.Generator) -> Curve:
    """Hisses and pops before some notes, relative to an RMS of 1."""
    out = np.zeros(frames)
    often = rng.uniform(0.1, 0.8)
    for note in line:
        if rng.random() > often:
            continue
        length = int(RATE * (rng.uniform(0.05, 0.16) if rng.random() < 0.6 else rng.uniform(0.008, 0.025)))
        start = round(note.start * RATE) - length
        if 0 <= start < frames - length:
            centre = rng.uniform(2200, 6500)
            band = signal.butter(
                1, (0.7 * centre, min(1.3 * centre, 7800)), "bandpass", fs=RATE, output="sos"
            )
            out[start : start + length] += signal.sosfilt(band, rng.standard_normal(length)) * np.hanning(
                length
            )
    return out


def spread(curve: Curve, frames: int) -> Curve:
    """A control curve at every frame, straight between its points."""
    return np.interp(np.arange(frames) / CONTROL, np.arange(len(curve)), curve)
