"""Chords: blocks, arpeggios, strums, stabs, power chords, pads, and the piano's left hand."""

from __future__ import annotations

import numpy as np

from stemwright.engine.train.score import Grid, Note, folded, key_above

Chord = list[int]


def voiced(grid: Grid, bar: int, step: float, centre: int, shape: str = "close") -> Chord:
    """Keys of the chord at a step, lowest first, its middle near `centre`.

    shape  close, open (second voice an octave up), shell (root, third, seventh), power (root, fifth, octave)
    """
    classes = grid.chord(bar, step)
    if shape == "power":
        base = key_above(classes[0], centre - 10)
        return [base, base + 7, base + 12]
    if shape == "shell" and len(classes) > 3:
        classes = (classes[0], classes[1], classes[3])
    keys = sorted(key_above(each, centre - 6) for each in classes)
    if shape == "open" and len(keys) > 2:
        keys[1] += 12
    return sorted(keys)


def struck(
    grid: Grid, bar: int, step: float, chord: Chord, length: float, velocity: int, spread: float = 0.0
) -> list[Note]:
    """All keys of a chord. length in steps; spread in s between neighbours, negative strums downward."""
    order = chord if spread >= 0 else chord[::-1]
    start = grid.at(bar, step)
    return [
        Note(start + place * abs(spread), key, velocity - 2 * place, length * grid.step)
        for place, key in enumerate(order)
    ]


def rhythm(grid: Grid, rng: np.random.Generator) -> list[tuple[int, float]]:
    """A bar of chord strokes as (step, length in steps): a known comping figure or a random one."""
    figures: tuple[list[tuple[int, float]], ...] = (
        [(0, 4), (4, 4), (8, 4), (12, 4)],
        [(0, 6), (6, 10)],
        [(0, 3), (3, 3), (6, 2), (8, 3), (11, 3), (14, 2)],
        [(2, 2), (6, 2), (10, 2), (14, 2)],
        [(4, 2), (12, 2)],
        [(0, 2), (3, 1), (6, 2), (10, 1), (12, 3)],
        [(0, 8), (8, 8)],
        [(step, 2) for step in range(0, 16, 2)],
        [(0, 3), (3, 3), (6, 4), (10, 6)],
        [(step, 1) for step in range(16)],
    )
    if rng.random() < 0.7:
        figure = figures[rng.integers(len(figures))]
    else:
        hits = [0, *sorted(rng.choice(range(1, 16), rng.integers(1, 7), replace=False))]
        figure = [(int(step), float(after - step)) for step, after in zip(hits, [*hits[1:], 16], strict=True)]
    return [(step, length) for step, length in figure if step < grid.steps]


def blocks(
    grid: Grid, centre: int, rng: np.random.Generator, *, shape: str = "close", spread: float = 0.004
) -> list[Note]:
    """Chords on a repeating rhythm."""
    figure, gate = rhythm(grid, rng), rng.uniform(0.35, 1.0)
    missing = rng.uniform(0, 0.15)
    return [
        note
        for bar in range(grid.bars)
        for step, length in figure
        if rng.random() >= missing
        for note in struck(
            grid,
            bar,
            step,
            voiced(grid, bar, step, centre, shape),
            length * gate,
            84 + 8 * (step % 8 == 0),
            spread,
        )
    ]


def strums(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """Guitar strokes down and up over four to six strings, the up-strokes lighter and of fewer strings."""
    marks = (
        "D---D---D-U-D-U-",
        "D-D-DUDUD-D-DUDU",
        "D---D-U---U-D-U-",
        "D--D--D-D--D--D-",
        "DUDUDUDUDUDUDUDU",
        "D-DU-UDUD-DU-UDU",
    )
    line = marks[rng.integers(len(marks))][: grid.steps]
    spread, gate = rng.uniform(0.006, 0.03), rng.uniform(0.7, 1.3)
    notes: list[Note] = []
    for bar in range(grid.bars):
        hits = [step for step, mark in enumerate(line) if mark != "-" and rng.random() < 0.94]
        for step, after in zip(hits, [*hits[1:], grid.steps], strict=True):
            chord = voiced(grid, bar, step, centre, "open")
            chord = sorted({key_above(chord[0], 40), *chord, chord[0] + 12})
            down = line[step] == "D"
            played = chord if down else chord[-3:]
            notes += struck(
                grid,
                bar,
                step,
                played,
                (after - step) * gate,
                92 if down else 76,
                spread if down else -spread,
            )
    return notes


def arpeggios(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """Broken chords: up, down, there and back, Alberti, or a fixed random order; sixteenths to quarters."""
    rate = int(rng.choice((1, 2, 2, 2, 4)))
    octave = rng.random() < 0.5
    orders = ([0, 1, 2, 3], [3, 2, 1, 0], [0, 1, 2, 3, 2, 1], [0, 2, 1, 2], list(rng.integers(0, 5, 8)))
    order = orders[rng.integers(len(orders))]
    ring, accent = rng.choice((0.5, 0.9, 1.0, 3.0)), rng.integers(0, 14)
    notes = []
    for bar in range(grid.bars):
        for place, step in enumerate(range(0, grid.steps, rate)):
            chord = voiced(grid, bar, step, centre)
            chord = [*chord, chord[0] + 12, chord[1] + 12] if octave else chord
            key = chord[int(order[place % len(order)]) % len(chord)]
            notes.append(
                Note(grid.at(bar, step), key, 78 + int(accent) * (step % 4 == 0), rate * grid.step * ring)
            )
    return notes


def chugs(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """Power chords: eighths, gallops or held, as rock and metal guitars play them."""
    lines = (
        "x-x-x-x-x-x-x-x-",
        "x-xxx-xxx-xxx-xx",
        "xxxxxxxxxxxxxxxx",
        "x---------------",
        "x-----x-----x---",
        "x-x-x---x-x-x-xx",
    )
    line = lines[rng.integers(len(lines))][: grid.steps]
    hits = [step for step, mark in enumerate(line) if mark == "x"]
    gate, centre = rng.uniform(0.5, 1.0), int(rng.integers(46, 54))
    return [
        note
        for bar in range(grid.bars)
        for step, after in zip(hits, [*hits[1:], grid.steps], strict=True)
        for note in struck(
            grid, bar, step, voiced(grid, bar, step, centre, "power"), (after - step) * gate, 98, 0.003
        )
    ]


def offbeats(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """Short chords between the beats: reggae skank, house stab, polka."""
    steps = ([4, 12], [2, 6, 10, 14], [4, 6, 12, 14], [2, 3, 6, 7, 10, 11, 14, 15])[rng.integers(4)]
    length = float(rng.uniform(0.6, 1.8))
    return [
        note
        for bar in range(grid.bars)
        for step in steps
        if step < grid.steps
        for note in struck(grid, bar, step, voiced(grid, bar, step, centre), length, 88, 0.003)
    ]


def stabs(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """Sparse accents on a two-bar rhythm, as horn sections play."""
    hits = np.flatnonzero(rng.random(2 * grid.steps) < rng.uniform(0.06, 0.22))
    hits = hits if len(hits) else np.array([0])
    lengths = rng.choice((0.8, 1.6, 3.0, 6.0), len(hits))
    shape = ("close", "open", "shell")[rng.integers(3)]
    notes: list[Note] = []
    for bar in range(grid.bars):
        for hit, length in zip(hits, lengths, strict=True):
            if hit // grid.steps == bar % 2:
                step = int(hit % grid.steps)
                notes += struck(grid, bar, step, voiced(grid, bar, step, centre, shape), float(length), 100)
    return notes


def pad(grid: Grid, centre: int, rng: np.random.Generator, *, voices: int = 4) -> list[Note]:
    """Held chords that change with the harmony; common tones may sound on."""
    shape = ("close", "open")[rng.integers(2)]
    doubled, gate = rng.random() < 0.3, rng.uniform(0.85, 1.02)
    notes: list[Note] = []
    for bar in range(grid.bars):
        halves = (0, grid.steps // 2) if grid.changes(bar) else (0,)
        for step in halves:
            chord = voiced(grid, bar, step, centre, shape)[:voices]
            chord = [*chord, chord[0] - 12] if doubled else chord
            notes += struck(grid, bar, step, chord, gate * grid.steps / len(halves), 78)
    return notes


def ostinato(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """A short figure of chord tones repeated on eighths or sixteenths."""
    rate, figure = int(rng.choice((1, 2, 2))), rng.integers(0, 4, int(rng.choice((3, 4, 6, 8))))
    gate, rests = rng.uniform(0.35, 0.95), rng.random(len(figure)) < 0.12
    notes = []
    for bar in range(grid.bars):
        for place, step in enumerate(range(0, grid.steps, rate)):
            chord = voiced(grid, bar, step, centre)
            if not rests[place % len(figure)]:
                key = chord[int(figure[place % len(figure)]) % len(chord)]
                notes.append(Note(grid.at(bar, step), key, 82 + 8 * (step % 4 == 0), rate * grid.step * gate))
    return notes


def montuno(grid: Grid, centre: int, rng: np.random.Generator) -> list[Note]:
    """The syncopated octaves of a Latin piano."""
    hits = (0, 3, 6, 8, 11, 14) if rng.random() < 0.5 else (2, 4, 6, 10, 12, 14)
    notes: list[Note] = []
    for bar in range(grid.bars):
        for place, step in enumerate(each for each in hits if each < grid.steps):
            chord = voiced(grid, bar, step, centre)
            key = chord[place % len(chord)]
            notes += struck(grid, bar, step, [key, key + 12], 1.8, 92)
    return notes


def left_hand(grid: Grid, rng: np.random.Generator) -> list[Note]:
    """Bass notes under a piano's chords: held roots, octaves, or stride."""
    way = int(rng.integers(3))
    notes: list[Note] = []
    for bar in range(grid.bars):
        for step in range(0, grid.steps, 8 if way else grid.steps):
            base = key_above(grid.chord(bar, step)[0], 31)
            keys = [base, base + 12] if way == 1 else [base]
            notes += struck(grid, bar, step, keys, 3.5 if way == 2 else 7.5, 82)
            if way == 2 and step + 4 < grid.steps:
                notes += struck(grid, bar, step + 4, voiced(grid, bar, step + 4, 52), 2.5, 72)
    return notes


def within(notes: list[Note], low: int, high: int) -> list[Note]:
    """Every key folded by octaves into a register."""
    return [Note(note.start, folded(note.key, low, high), note.velocity, note.duration) for note in notes]
