"""Melodies: phrases with rests made of a motif that returns, doubled or ornamented at times."""

from __future__ import annotations

import numpy as np

from stemwright.engine.train.score import Grid, Note, folded, key_near


def scale_key(grid: Grid, degree: int) -> int:
    """MIDI key of a scale degree; degree 35 lies around middle C."""
    octave, step = divmod(degree, len(grid.scale))
    return grid.key + 12 * octave + grid.scale[step]


def motif(grid: Grid, rng: np.random.Generator) -> list[tuple[int, int, int]]:
    """Two bars of melody as (step, move in scale degrees, length in steps)."""
    rate, density = int(rng.choice((1, 2, 2, 2, 4))), rng.uniform(0.25, 0.85)
    places = [step for step in range(0, 2 * grid.steps, rate) if rng.random() < density]
    if rng.random() < 0.4:
        places = [step for step in places if step < 1.5 * grid.steps]
    places = places or [0]
    spread = rng.uniform(0.8, 2.6)
    moves = np.clip(np.rint(rng.normal(0, spread, len(places))), -5, 5).astype(int)
    after = [*places[1:], 2 * grid.steps]
    longest = int(rng.choice((2, 4, 8, 16)))
    return [
        (step, int(move), min(end - step, longest))
        for step, move, end in zip(places, moves, after, strict=True)
    ]


def melody(
    grid: Grid, low: int, high: int, rng: np.random.Generator, *, legato: float | None = None
) -> list[Note]:
    """A tune in low..high. Phrases of two bars: the motif, its variation, or silence."""
    first, second = motif(grid, rng), motif(grid, rng)
    gate = float(rng.uniform(0.45, 1.03)) if legato is None else legato
    silence, variation = rng.uniform(0, 0.3), rng.uniform(0, 0.5)
    drawn = int(rng.integers(low, high + 1)), int(rng.integers(low, high + 1))
    home = sum(drawn) // 2
    notes: list[Note] = []
    for phrase in range((grid.bars + 1) // 2):
        if rng.random() < silence:
            continue
        figure = second if (phrase + grid.bar_in_form) % 4 == 2 else first
        notes += sung(grid, 2 * phrase, figure, home, (low, high), gate, variation, rng)
    return decorated(grid, notes, low, high, rng)


def sung(
    grid: Grid,
    bar: int,
    figure: list[tuple[int, int, int]],
    home: int,
    register: tuple[int, int],
    gate: float,
    variation: float,
    rng: np.random.Generator,
) -> list[Note]:
    """One statement of a motif: degrees wander from `home`, strong beats land on chord tones."""
    notes = []
    degree = 7 * (home // 12)
    while scale_key(grid, degree) < home:
        degree += 1
    for step, move, length in figure:
        varied = move + int(rng.integers(-2, 3)) if rng.random() < variation else move
        degree += varied
        where, offset = bar + step // grid.steps, step % grid.steps
        key = scale_key(grid, degree)
        if offset % 4 == 0 and rng.random() < 0.75:
            key = key_near(grid.chord(where, offset), key)
        if abs(key - home) > 11:
            degree -= 2 * varied
        key = folded(key, *register)
        notes.append(Note(grid.at(where, offset), key, 88 + 8 * (offset % 4 == 0), length * grid.step * gate))
    return notes


def decorated(grid: Grid, notes: list[Note], low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Perhaps doubled in octaves, thirds or sixths, perhaps with grace notes or repeated sixteenths."""
    draw = rng.random()
    if draw < 0.12:
        move = int(rng.choice((-12, 12)))
        return notes + [
            Note(each.start, folded(each.key + move, low, high), each.velocity - 8, each.duration)
            for each in notes
        ]
    if draw < 0.22:
        scale = tuple(grid.key + tone for tone in grid.scale)
        return notes + [
            Note(each.start, key_near(scale, each.key - 4), each.velocity - 8, each.duration)
            for each in notes
        ]
    if draw < 0.32:
        return notes + [
            Note(each.start - 0.06, each.key + int(rng.choice((-2, -1, 1))), each.velocity - 12, 0.06)
            for each in notes
            if rng.random() < 0.25
        ]
    return notes


def counter_melody(grid: Grid, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Long notes that move by step between chord tones, one or two a bar."""
    key = int(rng.integers(low, high + 1))
    each, gate = grid.steps // int(rng.choice((1, 2))), rng.uniform(0.8, 1.02)
    notes = []
    for bar in range(grid.bars):
        for step in range(0, grid.steps, each):
            key = folded(key_near(grid.chord(bar, step), key + int(rng.integers(-3, 4))), low, high)
            notes.append(Note(grid.at(bar, step), key, 82, each * grid.step * gate))
    return notes


def run(grid: Grid, low: int, high: int, rng: np.random.Generator) -> list[Note]:
    """Fast scale work: sixteenths up and down, with breaks."""
    degree, way = 7 * (int(rng.integers(low, high)) // 12), 1
    gate, turn = rng.uniform(0.5, 1.0), rng.uniform(0.05, 0.3)
    notes = []
    for bar in range(grid.bars):
        stop = int(rng.choice((grid.steps, grid.steps // 2, grid.steps - 4)))
        for step in range(0, stop, int(rng.choice((1, 1, 2)))):
            way = -way if rng.random() < turn else way
            degree += way
            key = scale_key(grid, degree)
            if not low <= key <= high:
                way, degree = -way, degree - 2 * way
            notes.append(Note(grid.at(bar, step), folded(key, low, high), 84, grid.step * gate))
    return notes
