"""A composed song: notes in seconds, parts, and the bar grid with its chords that all parts share."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Note:
    """One note or drum hit.

    start     s from the window's start; below 0 where the note began earlier
    key       MIDI key, 60 is middle C; for drums a General MIDI drum key
    velocity  1-127
    duration  s
    """

    start: float
    key: int
    velocity: int
    duration: float


@dataclass(frozen=True)
class Part:
    """What one instrument plays: class label, General MIDI program (or kit), notes in order of start."""

    label: str
    program: int
    notes: tuple[Note, ...]


@dataclass(frozen=True)
class Song:
    """A window of a song. tempo in beats per minute; key is a pitch class, 0 is C."""

    tempo: float
    key: int
    style: str
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Grid:
    """Bars, steps and chords of one window; all parts are written on it.

    first   s at which bar 0 begins, at or below 0, so that windows open anywhere in a bar
    steps   sixteenths in a bar: 16, or 12 in three-four time
    swing   0-0.34, by what part of an eighth the off-beat is late
    chords  pitch classes from the root up, one tuple for every half bar
    kicks   steps on which the bass drum plays, for basses that lock to it
    """

    seconds: float
    tempo: float
    style: str
    first: float
    bars: int
    steps: int
    swing: float
    looseness: float
    key: int
    scale: tuple[int, ...]
    chords: tuple[tuple[int, ...], ...]
    kicks: tuple[int, ...]
    bar_in_form: int
    half_time: bool

    @property
    def step(self) -> float:
        """Length of a sixteenth in s."""
        return 15.0 / self.tempo

    @property
    def bar(self) -> float:
        """Length of a bar in s."""
        return self.step * self.steps

    def at(self, bar: int, step: float) -> float:
        """Time in s of a step, swing included."""
        late = 0.0
        if step % 4 == 2:
            late = self.swing * 2.0 * self.step
        elif step % 2 == 1:
            late = self.swing * self.step
        return self.first + bar * self.bar + step * self.step + late

    def chord(self, bar: int, step: float = 0) -> tuple[int, ...]:
        """Pitch classes sounding at a step, root first."""
        half = 2 * bar + int(step >= self.steps / 2)
        return self.chords[min(half, len(self.chords) - 1)]

    def changes(self, bar: int) -> bool:
        """Whether the chord changes in the middle of a bar."""
        return self.chord(bar) != self.chord(bar, self.steps / 2)


def key_above(pitch_class: int, low: int) -> int:
    """Lowest key at or above `low` with this pitch class."""
    return low + (pitch_class - low) % 12


def key_near(pitch_classes: tuple[int, ...], key: int) -> int:
    """Key closest to `key` whose pitch class is among these."""
    wanted = {each % 12 for each in pitch_classes}
    return next(key + move for size in range(12) for move in (-size, size) if (key + move) % 12 in wanted)


def folded(key: int, low: int, high: int) -> int:
    """The key moved by octaves into low..high, or as near above `low` as octaves allow."""
    while key > high:
        key -= 12
    while key < low:
        key += 12
    return key


def humanised(notes: list[Note], looseness: float, rng: np.random.Generator) -> list[Note]:
    """Notes with a player's timing and touch.

    looseness  standard deviation of the start in s; a steady lag of the whole part comes on top
    """
    if not notes:
        return []
    count = len(notes)
    shifts = rng.normal(0.0, looseness, count) + rng.normal(0.0, looseness)
    touches = rng.normal(0.0, 1.0, count) * rng.uniform(2.0, 9.0) + rng.uniform(-18.0, 10.0)
    return [
        replace(note, start=note.start + float(shift), velocity=int(min(127, max(8, note.velocity + touch))))
        for note, shift, touch in zip(notes, shifts, touches, strict=True)
    ]


def inside(notes: list[Note], seconds: float) -> tuple[Note, ...]:
    """Notes of which something sounds in the window, in order of start."""
    heard = [note for note in notes if note.start < seconds and note.start + note.duration > 0.02]
    return tuple(sorted(heard, key=lambda note: (note.start, note.key)))
