"""Drum parts: pattern lines with ghosts, fills, crashes, percussion and machine rolls."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stemwright.engine.train.score import Grid, Note
from stemwright.engine.train.styles import STYLES, Style

KICKS, SNARES = (36, 35), (38, 40, 38, 37, 39)
TIMEKEEPERS = (42, 42, 42, 44, 51, 51, 46, 54, 70, 59, 53)
TOMS = (50, 48, 47, 45, 43, 41)
PERCUSSION = (54, 56, 60, 61, 62, 63, 64, 65, 66, 67, 68, 69, 70, 73, 75, 76, 77, 81)


@dataclass(frozen=True)
class Beat:
    """A bar of drums. lines: (key, steps with a velocity); the first line is the kick."""

    lines: tuple[tuple[int, tuple[tuple[int, int], ...]], ...]

    @property
    def kicks(self) -> tuple[int, ...]:
        """Steps of the bass drum."""
        return tuple(step for step, _ in self.lines[0][1])


def beat(style: Style, steps: int, rng: np.random.Generator) -> Beat:
    """A bar in this style; one in five borrows another style's pattern, some are mutated or invented."""
    if rng.random() < 0.2:
        style = STYLES[rng.integers(len(STYLES))]
    kick, snare, time = style.drums[rng.integers(len(style.drums))]
    if rng.random() < 0.12:
        kick, snare, time = invented(rng)
    if rng.random() < 0.3:
        kick, time = mutated(kick, rng), mutated(time, rng)
    if steps == 12:
        kick, snare = waltz(rng)
    lines = [
        (int(rng.choice(KICKS)), accents(kick[:steps], 106, 66)),
        (int(rng.choice(SNARES)), accents(snare[:steps], 104, 42)),
        (int(rng.choice(TIMEKEEPERS)), accents(time[:steps], 84, 56)),
    ]
    if rng.random() < 0.3:
        lines += percussion(steps, rng)
    return Beat(tuple(thinned(lines, rng)))


def accents(line: str, hit: int, soft: int) -> tuple[tuple[int, int], ...]:
    """Steps and velocities of a pattern line; quarters are a little louder."""
    loud = {"x": hit, "o": soft}
    return tuple((step, loud[mark] + 6 * (step % 4 == 0)) for step, mark in enumerate(line) if mark in loud)


def invented(rng: np.random.Generator) -> tuple[str, str, str]:
    """Three lines of evenly spread hits, each with its own count and turn."""
    hits = [int(rng.integers(*span)) for span in ((2, 8), (1, 5), (4, 17))]
    return even(hits[0], 0), even(hits[1], 4), even(hits[2], int(rng.integers(4)))


def even(hits: int, turn: int) -> str:
    """A bar with `hits` strokes spread as evenly as sixteenths allow."""
    marks = ["x" if (step * hits) % 16 < hits else "-" for step in range(16)]
    return "".join(marks[(step - turn) % 16] for step in range(16))


def mutated(line: str, rng: np.random.Generator) -> str:
    """The line with one to three steps changed."""
    marks = list(line)
    for step in rng.integers(1, 16, rng.integers(1, 4)):
        marks[step] = "xo-"[rng.integers(3)]
    return "".join(marks)


def waltz(rng: np.random.Generator) -> tuple[str, str]:
    """Kick and snare for three-four time."""
    kick = ("x-----------", "x-------x---", "x-----x-----")[rng.integers(3)]
    return kick, ("----x---x---", "------x-----", "--------x---")[rng.integers(3)]


def percussion(steps: int, rng: np.random.Generator) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
    """One to three hand-percussion lines with a repeating random rhythm."""
    lines = []
    for key in rng.choice(PERCUSSION, rng.integers(1, 4), replace=False):
        hits = np.flatnonzero(rng.random(steps) < rng.uniform(0.12, 0.6))
        lines.append((int(key), tuple((int(step), int(rng.integers(52, 96))) for step in hits)))
    return lines


def thinned(
    lines: list[tuple[int, tuple[tuple[int, int], ...]]], rng: np.random.Generator
) -> list[tuple[int, tuple[tuple[int, int], ...]]]:
    """Now and then a line is silent: no cymbals, no snare, or cymbals alone."""
    draw = rng.random()
    silent = {2} if draw < 0.09 else {1} if draw < 0.13 else {0, 1} if draw < 0.18 else set()
    return [(key, () if row in silent else hits) for row, (key, hits) in enumerate(lines)]


def drum_notes(grid: Grid, bar_beat: Beat, rng: np.random.Generator) -> list[Note]:
    """The beat over all bars, with fills, crashes, dropped strokes and opened hats."""
    fills, crashes, rolls = rng.random() < 0.6, rng.random() < 0.65, rng.random() < rolling(grid)
    kept, opened = rng.uniform(0.86, 1.0), rng.uniform(0.0, 0.35)
    other = beat_after_change(grid, bar_beat, rng)
    notes: list[Note] = []
    for bar in range(grid.bars):
        last = (grid.bar_in_form + bar) % 4 == 3
        here = other if (grid.bar_in_form + bar) % 8 >= 4 else bar_beat
        stop = grid.steps // 2 if fills and last else grid.steps
        notes += [
            Note(grid.at(bar, step), opening(key, step, opened, rng), velocity, 0.15)
            for row, (key, hits) in enumerate(here.lines)
            for step, velocity in hits
            if rng.random() < kept and (step < stop or row == 0)
        ]
        if fills and last:
            notes += fill(grid, bar, rng)
        if rolls:
            notes += roll(grid, bar, here.lines[2][0], rng)
        if crashes and (grid.bar_in_form + bar) % 4 == 0:
            notes.append(Note(grid.at(bar, 0), int(rng.choice((49, 57, 49, 55, 52))), 104, 0.8))
    return notes


def rolling(grid: Grid) -> float:
    """Chance of machine-like hat rolls."""
    return {"trap": 0.75, "electronic": 0.25, "drum and bass": 0.15}.get(grid.style, 0.02)


def beat_after_change(grid: Grid, first: Beat, rng: np.random.Generator) -> Beat:
    """The beat of the form's second half: usually the same, sometimes with another cymbal or another kick."""
    draw = rng.random()
    if draw < 0.6:
        return first
    lines = list(first.lines)
    if draw < 0.85:
        lines[2] = (int(rng.choice(TIMEKEEPERS)), lines[2][1])
    else:
        hits = np.flatnonzero(rng.random(grid.steps) < 0.25)
        lines[0] = (lines[0][0], tuple((int(step), 104) for step in hits))
    return Beat(tuple(lines))


def opening(key: int, step: int, chance: float, rng: np.random.Generator) -> int:
    """A closed hat on an off-beat may be open."""
    return 46 if key == 42 and step % 4 == 2 and rng.random() < chance else key


def fill(grid: Grid, bar: int, rng: np.random.Generator) -> list[Note]:
    """A fill over the second half of a bar: falling toms, snare roll, or both mixed."""
    first = grid.steps // 2
    keys = {0: TOMS, 1: (38,), 2: (38, *TOMS)}[int(rng.integers(3))]
    density, rise = rng.uniform(0.45, 1.0), rng.uniform(-10, 25)
    places = np.linspace(0, len(keys) - 1e-3, grid.steps - first).astype(int)
    return [
        Note(
            grid.at(bar, step),
            keys[place] if rng.random() < 0.85 else int(rng.choice(keys)),
            int(np.clip(84 + rise * (step - first) / 8 + rng.normal(0, 8), 30, 127)),
            0.15,
        )
        for step, place in zip(range(first, grid.steps), places, strict=True)
        if rng.random() < density
    ]


def roll(grid: Grid, bar: int, key: int, rng: np.random.Generator) -> list[Note]:
    """A burst of thirty-seconds or triplets on the time-keeping cymbal."""
    if rng.random() < 0.4:
        return []
    start, length = int(rng.integers(grid.steps - 3)), int(rng.choice((1, 2, 4)))
    count = length * int(rng.choice((2, 3, 4)))
    return [
        Note(
            grid.at(bar, start) + index * length * grid.step / count, key, int(60 + 40 * index / count), 0.05
        )
        for index in range(count)
    ]
