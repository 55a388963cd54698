"""Bass lines: a dozen ways to go from root to root."""

from __future__ import annotations

import numpy as np

from stemwright.engine.train.score import Grid, Note, key_above, key_near

# Factors on the chance of a way of playing; every way can occur in every style.
WAYS = (
    "eighths",
    "octaves",
    "walking",
    "held",
    "locked",
    "riff",
    "tumbao",
    "two beat",
    "gallop",
    "sixteenths",
    "arpeggio",
)
USUAL = {
    "jazz": {"walking": 14, "two beat": 3},
    "blues": {"walking": 5, "riff": 4, "arpeggio": 3},
    "metal": {"gallop": 5, "sixteenths": 4, "eighths": 4},
    "house": {"octaves": 5, "riff": 4, "sixteenths": 2},
    "techno": {"sixteenths": 5, "riff": 4, "octaves": 2},
    "trap": {"held": 7, "locked": 5},
    "drum and bass": {"held": 5, "riff": 5, "locked": 3},
    "latin": {"tumbao": 8, "riff": 2},
    "country": {"two beat": 10, "walking": 2},
    "folk": {"two beat": 6, "held": 3},
    "reggae": {"riff": 9, "locked": 3},
    "funk": {"riff": 6, "locked": 6, "octaves": 2},
    "ballad": {"held": 8, "locked": 2, "two beat": 2},
    "orchestral": {"held": 8, "two beat": 2},
    "rock": {"eighths": 7, "locked": 4, "riff": 2},
}


def bass_notes(grid: Grid, rng: np.random.Generator) -> list[Note]:
    """One bass line for the whole window, with its own register, length of notes and habits."""
    usual = USUAL.get(grid.style, {})
    weights = np.array([usual.get(way, 1.0) for way in WAYS])
    way = WAYS[rng.choice(len(WAYS), p=weights / weights.sum())]
    low = int(rng.integers(26, 36))
    if way == "walking":
        return walking(grid, low, rng)
    if way == "held":
        return held(grid, low, rng)
    if way in ("riff", "locked"):
        return riff(grid, low, rng, locked=way == "locked")
    return patterned(grid, low, PATTERNS[way], rng)


# (step, semitones above the root, length in steps) of a bar; 7 is read as the chord's fifth.
PATTERNS: dict[str, tuple[tuple[tuple[int, int, int], ...], ...]] = {
    "eighths": (tuple((step, 0, 2) for step in range(0, 16, 2)),),
    "octaves": (
        tuple((step, 12 * (step % 4 == 2), 2) for step in range(0, 16, 2)),
        tuple((step, 12 * (step % 4 == 2), 1) for step in (0, 2, 3, 4, 6, 7, 8, 10, 11, 12, 14, 15)),
        tuple((step, 0, 2) for step in (2, 6, 10, 14)),
    ),
    "tumbao": (
        ((0, 0, 6), (6, 7, 6), (12, 12, 4)),
        ((3, 7, 3), (6, 12, 6), (12, 0, 4)),
        ((0, 0, 3), (3, 7, 5), (8, 0, 8)),
    ),
    "two beat": (
        ((0, 0, 6), (8, 7, 6)),
        ((0, 0, 4), (8, -5, 4)),
        ((0, 0, 4), (4, 7, 4), (8, 0, 4), (12, -5, 4)),
    ),
    "gallop": (
        tuple((step, 0, 1) for step in range(16) if step % 4 != 1),
        tuple((step, 0, 1) for step in range(16) if step % 4 != 3),
    ),
    "sixteenths": (
        tuple((step, 0, 1) for step in range(16)),
        tuple((step, 0, 1) for step in range(16) if step % 4),
        tuple((step, (0, 0, 12, 0, 0, 10, 12, 0)[step % 8], 1) for step in range(16)),
    ),
    "arpeggio": (
        ((0, 0, 2), (2, 7, 2), (4, 12, 2), (6, 7, 2), (8, 0, 2), (10, 7, 2), (12, 12, 2), (14, 7, 2)),
        ((0, 0, 4), (4, 4, 4), (8, 7, 4), (12, 9, 4)),
        ((0, 0, 3), (3, 0, 3), (6, 7, 2), (8, 12, 3), (11, 7, 3), (14, 0, 2)),
    ),
}


def root(grid: Grid, bar: int, step: float, low: int) -> int:
    """Root of the chord at a step, in the line's octave."""
    return key_above(grid.chord(bar, step)[0], low)


def interval(grid: Grid, bar: int, step: int, low: int, semitones: int) -> int:
    """Key this far above the root, moved to a tone of the chord unless root or octave."""
    base = root(grid, bar, step, low)
    return base + semitones if semitones % 12 == 0 else key_near(grid.chord(bar, step), base + semitones)


def patterned(
    grid: Grid, low: int, patterns: tuple[tuple[tuple[int, int, int], ...], ...], rng: np.random.Generator
) -> list[Note]:
    """A fixed pattern bar after bar, with a stroke left out or moved to the fifth here and there."""
    pattern = patterns[rng.integers(len(patterns))]
    gate, strays, kept = rng.uniform(0.45, 1.0), rng.uniform(0, 0.12), rng.uniform(0.9, 1.0)
    notes = []
    for bar in range(grid.bars):
        for step, semitones, length in pattern:
            if step >= grid.steps or rng.random() > kept:
                continue
            move = 7 if rng.random() < strays else semitones
            key = interval(grid, bar, step, low, move)
            notes.append(Note(grid.at(bar, step), key, 94 + 6 * (step % 4 == 0), length * grid.step * gate))
    return notes


def held(grid: Grid, low: int, rng: np.random.Generator) -> list[Note]:
    """Long roots, one per chord, with a push into the next bar now and then."""
    pushes, gate = rng.uniform(0, 0.4), rng.uniform(0.7, 1.0)
    notes = []
    for bar in range(grid.bars):
        halves = (0, grid.steps // 2) if grid.changes(bar) else (0,)
        for step in halves:
            length = grid.bar / len(halves)
            notes.append(Note(grid.at(bar, step), root(grid, bar, step, low), 92, length * gate))
        if rng.random() < pushes:
            step = grid.steps - 2
            notes.append(
                Note(grid.at(bar, step), interval(grid, bar, step, low, 7), 82, 2 * grid.step * gate)
            )
    return notes


def walking(grid: Grid, low: int, rng: np.random.Generator) -> list[Note]:
    """Quarters: the root, tones on the way, and a half-step approach to the next root."""
    gate, skips = rng.uniform(0.75, 1.0), rng.uniform(0, 0.15)
    notes: list[Note] = []
    key = root(grid, 0, 0, low)
    for bar in range(grid.bars):
        for step in range(0, grid.steps, 4):
            ahead = root(grid, *((bar, step + 4) if step + 4 < grid.steps else (bar + 1, 0)), low)
            if step in (0, grid.steps // 2):
                key = root(grid, bar, step, low)
            elif step + 4 in (grid.steps // 2, grid.steps) and rng.random() < 0.6:
                key = ahead + int(rng.choice((-1, 1, 2, -2)))
            else:
                key = key_near(grid.chord(bar, step), key + int(rng.choice((-4, -3, 3, 4, 5))))
            notes.append(Note(grid.at(bar, step), key, 92 + 5 * (step % 8 == 4), 4 * grid.step * gate))
            if rng.random() < skips:
                notes.append(Note(grid.at(bar, step + 3), key, 72, grid.step * 0.7))
    return notes


def riff(grid: Grid, low: int, rng: np.random.Generator, *, locked: bool) -> list[Note]:
    """A repeating syncopated figure of one or two bars; `locked` puts it on the bass drum's steps."""
    length = grid.steps * int(rng.choice((1, 2)))
    hits = rng.random(length) < rng.uniform(0.2, 0.5)
    hits[0] = rng.random() < 0.9
    if locked and grid.kicks:
        hits[:] = [step % grid.steps in grid.kicks or rng.random() < 0.06 for step in range(length)]
    moves = rng.choice((0, 0, 0, 7, 12, 10, -5, 3, 5), length)
    lengths = rng.choice((1, 1, 2, 2, 3, 4), length)
    gate, ghosts = rng.uniform(0.5, 1.0), rng.uniform(0, 0.15)
    notes = []
    for bar in range(grid.bars):
        for step in range(grid.steps):
            place = (bar * grid.steps + step) % length
            if hits[place]:
                key = interval(grid, bar, step, low, int(moves[place]) if step else 0)
                notes.append(Note(grid.at(bar, step), key, 96, float(lengths[place]) * grid.step * gate))
            elif rng.random() < ghosts:
                notes.append(Note(grid.at(bar, step), root(grid, bar, step, low), 48, 0.04))
    return notes
