"""A procedural composer: short windows of many-voiced songs, as training data for separation.

Nothing here sounds like a record; what it must have is variety in rhythm, register, density and
who plays at the same time, so that a network cannot learn the composer instead of the instruments.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from stemwright.engine.train import comping, melodies
from stemwright.engine.train.basslines import bass_notes
from stemwright.engine.train.classes import CLASSES, class_named, register_of
from stemwright.engine.train.drumming import Beat, beat, drum_notes
from stemwright.engine.train.groove import Groove
from stemwright.engine.train.score import Grid, Note, Part, Song, humanised, inside
from stemwright.engine.train.styles import SCALES, STYLES, Style, style_named

PARTS = (2, 7)  # fewest and most parts of a song


def compose(
    rng: np.random.Generator, *, seconds: float = 10.24, groove: Groove | None = None, sings: bool = False
) -> Song:
    """A song window of `seconds`.

    groove  a recorded drum performance that sets tempo and style and is the drum part
    sings   whether a part labelled vocals is added, program 0: no soundfont can play it
    """
    style = STYLES[rng.integers(len(STYLES))]
    tempo = float(rng.uniform(*style.tempo))
    if groove is not None:
        style, tempo = style_named(groove.style), groove.tempo * float(rng.uniform(0.92, 1.08))
    steps = 12 if groove is None and rng.random() < 0.06 else 16
    bar_beat = beat(style, steps, rng)
    grid = gridded(style, tempo, steps, seconds, bar_beat, rng)
    parts: list[Part] = []
    for label in cast(style, rng, needs_drums=groove is not None):
        parts.append(written(label, grid, style, bar_beat, parts, groove, rng))
    if sings:
        parts.append(written("vocals", grid, style, bar_beat, parts, None, rng))
    return Song(tempo, grid.key, style.name, tuple(part for part in parts if part.notes))


def gridded(
    style: Style, tempo: float, steps: int, seconds: float, bar_beat: Beat, rng: np.random.Generator
) -> Grid:
    """Bars and chords of a window that opens anywhere in a bar and anywhere in the form."""
    bar = steps * 15.0 / tempo
    first = -float(rng.uniform(0, bar))
    bars = int(np.ceil((seconds - first) / bar)) + 1
    key, scale = int(rng.integers(12)), SCALES[style.scales[rng.integers(len(style.scales))]]
    start = int(rng.integers(8))
    return Grid(
        seconds=seconds,
        tempo=tempo,
        style=style.name,
        first=first,
        bars=bars,
        steps=steps,
        swing=float(rng.uniform(0.1, 0.34)) if rng.random() < style.swing else 0.0,
        looseness=float(rng.uniform(0.0, 0.013)),
        key=key,
        scale=scale,
        chords=harmony(style, key, scale, bars, start, rng),
        kicks=bar_beat.kicks,
        bar_in_form=start,
        half_time=bool(rng.random() < 0.1),
    )


def harmony(
    style: Style, key: int, scale: tuple[int, ...], bars: int, start: int, rng: np.random.Generator
) -> tuple[tuple[int, ...], ...]:
    """Chords for every half bar, from the style's progressions, a borrowed one, or a chance walk."""
    degrees = style.progressions[rng.integers(len(style.progressions))]
    draw = rng.random()
    if draw < 0.1:
        other = STYLES[rng.integers(len(STYLES))]
        degrees = other.progressions[rng.integers(len(other.progressions))]
    elif draw < 0.22:
        degrees = tuple(int(each) for each in rng.integers(0, 7, 4))
    per_chord = int(rng.choice((1, 2, 2, 2, 4)))
    voices = 4 if rng.random() < style.sevenths else 3
    chords = {degree: stacked(degree, key, scale, voices, rng) for degree in set(degrees)}
    return tuple(chords[degrees[(2 * start + half) // per_chord % len(degrees)]] for half in range(2 * bars))


def stacked(
    degree: int, key: int, scale: tuple[int, ...], voices: int, rng: np.random.Generator
) -> tuple[int, ...]:
    """Thirds stacked on a degree; now and then suspended, with a ninth, or with a raised third."""
    tones = [key + scale[(degree + 2 * voice) % 7] for voice in range(voices)]
    draw = rng.random()
    if draw < 0.06:
        tones[1] = key + scale[(degree + 3) % 7]
    elif draw < 0.1:
        tones[1] = key + scale[(degree + 1) % 7]
    elif draw < 0.16:
        tones.append(key + scale[(degree + 8) % 7])
    elif draw < 0.2:
        tones[1] = tones[0] + 4
    return tuple(tone % 12 for tone in tones)


def cast(style: Style, rng: np.random.Generator, *, needs_drums: bool = False) -> list[str]:
    """Class labels of the parts, drums first; some classes play twice."""
    labels: list[str] = []
    while len(labels) < PARTS[0]:
        labels = [
            each.label
            for each in CLASSES
            if rng.random() < min(0.95, each.chance * style.weights.get(each.label, 1.0))
        ]
        if needs_drums and "drums" not in labels:
            labels.insert(0, "drums")
    while len(labels) > PARTS[1] - 1:
        labels.pop(int(rng.integers(1 if needs_drums else 0, len(labels))))
    twice = [
        each for each in ("guitar", "strings", "synth lead", "piano", "brass", "organ") if each in labels
    ]
    if twice and rng.random() < 0.25:
        labels.append(twice[rng.integers(len(twice))])
    return labels


def written(
    label: str,
    grid: Grid,
    style: Style,
    bar_beat: Beat,
    parts: list[Part],
    groove: Groove | None,
    rng: np.random.Generator,
) -> Part:
    """One part: a program, its notes, a player's timing, and the bars in which it is silent."""
    choices = style.kits if label == "drums" and rng.random() < 0.75 else class_named(label).programs or (0,)
    program = int(choices[rng.integers(len(choices))])
    if label == "drums":
        notes = groove.window(grid, rng) if groove is not None else drum_notes(grid, bar_beat, rng)
    else:
        notes = doubled(parts, rng) or pitched(label, program, grid, rng)
        notes = comping.within(notes, *register_of(label, program))
        if grid.half_time and label in ("piano", "organ", "strings", "synth pad"):
            notes = [replace(note, duration=note.duration * 1.3) for note in notes]
    if groove is None or label != "drums":
        notes = humanised(notes, grid.looseness, rng)
    return Part(label, program, inside(present(notes, grid, label, rng), grid.seconds))


def doubled(parts: list[Part], rng: np.random.Generator) -> list[Note]:
    """Sometimes a part plays another part's line; the octave follows from its register."""
    lines = [part for part in parts if part.label not in ("drums", "bass")]
    if not lines or rng.random() >= 0.07:
        return []
    return list(lines[rng.integers(len(lines))].notes)


def present(notes: list[Note], grid: Grid, label: str, rng: np.random.Generator) -> list[Note]:
    """The notes without those of bars in which the part rests: a late entry, an early end, gaps, a break."""
    draw, bars = rng.random(), grid.bars
    playing = np.ones(bars + 1, bool)
    if draw < 0.08:
        playing[: rng.integers(1, bars)] = False
    elif draw < 0.14:
        playing[rng.integers(1, bars) :] = False
    elif draw < 0.22 and label not in ("drums", "bass"):
        playing = (np.arange(bars + 1) // int(rng.choice((1, 2)))) % 2 == int(rng.integers(2))
    elif draw < 0.26:
        playing[rng.integers(bars)] = False
    return [note for note in notes if playing[int(np.clip((note.start - grid.first) / grid.bar, 0, bars))]]


def pitched(label: str, program: int, grid: Grid, rng: np.random.Generator) -> list[Note]:
    """Notes of one pitched part in the way its class plays."""
    low, high = register_of(label, program)
    lowest, highest = max(low + 6, 48), min(high - 6, 72)
    middle = int(rng.integers(lowest, highest + 1)) if lowest <= highest else (low + high) // 2
    if label == "bass":
        return bass_notes(grid, rng)
    if label == "vocals":
        low = int(rng.integers(50, 62))
        return melodies.melody(grid, low, low + 18, rng, legato=float(rng.uniform(0.8, 1.0)))
    if label == "guitar":
        return guitar(program, grid, middle, rng)
    if label == "piano":
        return piano(grid, middle, rng)
    if label in ("organ", "synth pad", "choir"):
        return sustaining(label, grid, (low, high), middle, rng)
    if label == "strings":
        return strings(program, grid, (low, high), middle, rng)
    return soloing(label, grid, (low, high), middle, rng)


def guitar(program: int, grid: Grid, middle: int, rng: np.random.Generator) -> list[Note]:
    """Strums, picking, chugs, skanks or a lead."""
    draw = rng.random()
    if draw < 0.26:
        low = int(rng.integers(48, 60))
        return melodies.melody(grid, low, low + 24, rng)
    if program in (29, 30) or grid.style == "metal":
        return (comping.chugs if draw < 0.75 else comping.ostinato)(grid, middle, rng)
    if grid.style == "reggae" and draw < 0.8:
        return comping.offbeats(grid, max(middle, 56), rng)
    if draw < 0.5:
        return comping.strums(grid, middle, rng)
    if draw < 0.72:
        return comping.arpeggios(grid, middle, rng)
    if draw < 0.86:
        return comping.blocks(grid, middle, rng, spread=0.01)
    return (comping.ostinato, comping.offbeats, comping.chugs)[rng.integers(3)](grid, middle, rng)


def piano(grid: Grid, middle: int, rng: np.random.Generator) -> list[Note]:
    """Chords or figures of the right hand, a tune at times, with or without a left hand."""
    draw = rng.random()
    if draw < 0.2:
        notes = melodies.melody(grid, 55, 88, rng)
    elif draw < 0.25:
        notes = melodies.run(grid, 55, 92, rng)
    elif grid.style == "latin" and draw < 0.6:
        notes = comping.montuno(grid, middle, rng)
    elif draw < 0.5:
        notes = comping.arpeggios(grid, middle, rng)
    elif draw < 0.6:
        notes = comping.pad(grid, middle, rng)
    elif draw < 0.68:
        notes = comping.offbeats(grid, middle, rng)
    else:
        shape = ("close", "close", "open", "shell")[rng.integers(4)]
        notes = comping.blocks(grid, middle, rng, shape=shape)
    return notes + comping.left_hand(grid, rng) if rng.random() < 0.4 else notes


def sustaining(
    label: str, grid: Grid, register: tuple[int, int], middle: int, rng: np.random.Generator
) -> list[Note]:
    """Organs, pads and choirs: mostly held chords."""
    draw = rng.random()
    held = {"organ": 0.4, "synth pad": 0.78, "choir": 0.5}[label]
    if label == "organ" and grid.style == "reggae" and draw < 0.7:
        return comping.offbeats(grid, middle, rng)
    if draw < held:
        return comping.pad(grid, middle, rng, voices=int(rng.integers(2, 6)))
    if draw < held + 0.18:
        return melodies.melody(grid, max(register[0], 52), min(register[1], 82), rng, legato=0.98)
    if draw < held + 0.28:
        return melodies.counter_melody(grid, max(register[0], 52), min(register[1], 79), rng)
    return (comping.blocks, comping.arpeggios, comping.stabs)[rng.integers(3)](grid, middle, rng)


def strings(
    program: int, grid: Grid, register: tuple[int, int], middle: int, rng: np.random.Generator
) -> list[Note]:
    """Solo strings sing; plucked ones break chords; sections hold, sing or repeat."""
    draw = rng.random()
    if program in (40, 41, 42, 43):
        return (melodies.melody if draw < 0.7 else melodies.counter_melody)(grid, *register, rng)
    if program in (45, 46):
        return (comping.ostinato if draw < 0.4 else comping.arpeggios)(grid, middle, rng)
    if draw < 0.5:
        return comping.pad(grid, middle, rng)
    if draw < 0.72:
        return melodies.melody(grid, 55, 86, rng, legato=0.98)
    if draw < 0.84:
        return melodies.counter_melody(grid, 50, 84, rng)
    return (comping.ostinato, comping.stabs, comping.blocks)[rng.integers(3)](grid, middle, rng)


def soloing(
    label: str, grid: Grid, register: tuple[int, int], middle: int, rng: np.random.Generator
) -> list[Note]:
    """Brass, reeds, pipes, mallets and leads: a tune unless the class has another habit."""
    draw = rng.random()
    habits = {
        "brass": (comping.stabs, comping.stabs, comping.pad),
        "chromatic percussion": (comping.arpeggios, comping.ostinato, comping.arpeggios),
        "synth lead": (comping.arpeggios, comping.ostinato, comping.offbeats),
        "reed": (comping.pad, comping.stabs, comping.ostinato),
        "pipe": (comping.arpeggios, comping.ostinato, comping.pad),
    }[label]
    if draw < {"brass": 0.45, "chromatic percussion": 0.5, "synth lead": 0.4}.get(label, 0.12):
        return habits[rng.integers(3)](grid, middle, rng)
    if draw > 0.95:
        return melodies.run(grid, *register, rng)
    if draw > 0.85:
        return melodies.counter_melody(grid, *register, rng)
    low = int(rng.integers(register[0], max(register[0] + 1, register[1] - 20)))
    return melodies.melody(grid, low, min(low + 24, register[1]), rng)
