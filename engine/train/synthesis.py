"""A wavetable synthesiser with random patches: General MIDI has few synths, records have many."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from stemwright.engine.train.score import Note, Part

Wave = NDArray[np.float32]

RATE = 16000
TABLE = 2048  # points of one cycle
HIGHEST = 7200.0  # Hz; no harmonic above it
LABELS = ("bass", "synth lead", "synth pad")


@dataclass(frozen=True)
class Patch:
    """One sound.

    shape    saw, square, pulse, hollow or random harmonics
    tilt     dB per octave by which the dark end of the sweep is duller than the bright one
    sweep    s in which brightness falls after a note's start; amount 0-1 of it left at the end
    voices   oscillators per note, detuned by up to `detune` cents
    phase_modulation  (ratio, depth in cycles) of a sine on the phase; depth 0 is off
    attack, decay, sustain, release  of the loudness: s, s, 0-1, s
    vibrato  (Hz, cents)
    glide    s from the note before, 0 is off
    """

    shape: str
    tilt: float
    sweep: float
    left: float
    voices: int
    detune: float
    phase_modulation: tuple[float, float]
    attack: float
    decay: float
    sustain: float
    release: float
    vibrato: tuple[float, float]
    glide: float


def random_patch(label: str, rng: np.random.Generator) -> Patch:
    """A sound that could pass for this class's."""
    pad = label == "synth pad"
    modulated = rng.random() < 0.3
    return Patch(
        shape=str(rng.choice(("saw", "saw", "square", "pulse", "hollow", "random"))),
        tilt=float(rng.uniform(2, 14)),
        sweep=float(np.exp(rng.uniform(np.log(0.03), np.log(2.0)))),
        left=float(rng.uniform(0, 0.8)),
        voices=int(rng.choice((2, 3) if pad else (1, 1, 2))),
        detune=float(rng.uniform(3, 25)),
        phase_modulation=(float(rng.choice((0.5, 1, 2, 3, 1.41))), float(rng.uniform(0.05, 0.8)) * modulated),
        attack=float(rng.uniform(0.1, 0.8) if pad else rng.uniform(0.002, 0.04)),
        decay=float(rng.uniform(0.08, 1.5)),
        sustain=float(rng.uniform(0.5, 1.0) if pad or rng.random() < 0.6 else rng.uniform(0.0, 0.5)),
        release=float(rng.uniform(0.2, 1.2) if pad else rng.uniform(0.02, 0.25)),
        vibrato=(float(rng.uniform(3, 7)), float(rng.uniform(0, 30)) * (rng.random() < 0.4)),
        glide=float(rng.uniform(0.02, 0.15)) * (not pad and rng.random() < 0.3),
    )


def synthesise(part: Part, seconds: float, rng: np.random.Generator) -> Wave:
    """The part in a random sound. mono float32 (seconds * 16000,)"""
    patch = random_patch(part.label, rng)
    harmonics = rng.random(256) ** 2
    frames = round(seconds * RATE)
    out = np.zeros(frames, np.float32)
    before: int | None = None
    for note in part.notes:
        start = max(0, round(note.start * RATE))
        length = min(frames - start, int((min(note.start, 0.0) + note.duration + patch.release) * RATE))
        if length > 0:
            out[start : start + length] += sounded(note, before, patch, harmonics, length, rng)
        before = note.key
    if rng.random() < 0.5:
        low_pass = signal.butter(
            2, float(np.exp(rng.uniform(np.log(500), np.log(6500)))), fs=RATE, output="sos"
        )
        out = np.asarray(signal.sosfilt(low_pass, out), np.float32)
    return out


def sounded(
    note: Note,
    before: int | None,
    patch: Patch,
    harmonics: NDArray[np.float64],
    length: int,
    rng: np.random.Generator,
) -> Wave:
    """One note of a patch."""
    time = np.arange(length, dtype=np.float32) / np.float32(RATE)
    pitch = 440.0 * 2.0 ** ((note.key - 69) / 12)
    bright, dark = tables(patch, pitch, harmonics)
    sweep = np.float32(patch.left) + np.float32(1 - patch.left) * np.exp(-time / np.float32(patch.sweep))
    bend = bent(note, before, patch, time)
    out = np.zeros(length, np.float32)
    for _ in range(patch.voices):
        cents = rng.uniform(-patch.detune, patch.detune) if patch.voices > 1 else 0.0
        cycles = np.float32(pitch * 2 ** (cents / 1200)) * bend + np.float32(rng.random())
        ratio, depth = patch.phase_modulation
        if depth:
            cycles = cycles + np.float32(depth) * sweep * np.sin(np.float32(2 * np.pi * ratio * pitch) * time)
        place = ((cycles % 1.0) * TABLE).astype(np.int32) % TABLE
        out += dark[place] + sweep * (bright[place] - dark[place])
    return np.asarray(out * loudness(note, patch, time) * (note.velocity / 127.0), np.float32)


def bent(note: Note, before: int | None, patch: Patch, time: Wave) -> Wave:
    """Time as the oscillators feel it: s, stretched by vibrato and the glide from the note before."""
    speed, cents = patch.vibrato
    felt = time
    if cents:
        swing = 2 ** (cents / 1200) - 1
        felt = felt - np.float32(swing / (2 * np.pi * speed)) * np.cos(np.float32(2 * np.pi * speed) * time)
    if patch.glide and before is not None and before != note.key:
        away = min(2.0, 2 ** ((before - note.key) / 12)) - 1
        felt = felt + np.float32(away * patch.glide) * (1 - np.exp(-time / np.float32(patch.glide)))
    return felt


def loudness(note: Note, patch: Patch, time: Wave) -> Wave:
    """Attack, decay to the sustained level, release after the note's end."""
    rise = np.minimum(1.0, time / np.float32(patch.attack))
    fall = np.float32(patch.sustain) + np.float32(1 - patch.sustain) * np.exp(-time / np.float32(patch.decay))
    over = np.maximum(0.0, time - np.float32(note.duration + min(note.start, 0.0)))
    return np.asarray(rise * fall * np.exp(-5 * over / np.float32(patch.release)), np.float32)


def tables(patch: Patch, pitch: float, harmonics: NDArray[np.float64]) -> tuple[Wave, Wave]:
    """One cycle at the bright and one at the dark end of the sweep, free of harmonics above HIGHEST."""
    number = np.arange(1, max(2, min(255, int(HIGHEST / pitch))) + 1, dtype=np.float64)
    strength = {
        "saw": 1 / number,
        "square": (number % 2) / number,
        "pulse": np.sin(np.pi * number * 0.2) / number,
        "hollow": (number % 2) / number**2,
        "random": harmonics[: len(number)] / number**0.8,
    }[patch.shape]
    return cycle(strength), cycle(strength * number ** (-patch.tilt / 6.02))


def cycle(strength: NDArray[np.float64]) -> Wave:
    """A cycle of sines with these strengths, the first the fundamental, at an RMS of 0.25."""
    spectrum = np.zeros(TABLE // 2 + 1, np.complex128)
    spectrum[1 : len(strength) + 1] = -1j * strength
    wave = np.fft.irfft(spectrum)
    return np.asarray(wave / (4 * np.sqrt(np.mean(wave**2)) + 1e-12), np.float32)
