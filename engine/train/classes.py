"""The instrument classes of the training data, and the names General MIDI gives its programs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class InstrumentClass:
    """One class of stems.

    label     what metadata and prompts call it
    programs  General MIDI programs 0-127; for drums the kits of bank 128; none for vocals
    level     usual RMS of a stem while it plays, dB of full scale
    chance    share of songs that have it, before a style has its say
    low, high register in MIDI keys, both included
    """

    label: str
    programs: tuple[int, ...]
    level: float
    chance: float
    low: int
    high: int


CLASSES = (
    InstrumentClass("drums", (0, 0, 0, 8, 16, 24, 25, 32, 40, 48), -20.0, 0.74, 35, 81),
    InstrumentClass("bass", tuple(range(32, 40)), -22.0, 0.74, 26, 55),
    InstrumentClass("guitar", (*range(24, 32), *range(24, 32), *range(104, 108)), -24.0, 0.58, 40, 84),
    InstrumentClass("piano", tuple(range(8)), -24.0, 0.52, 30, 96),
    InstrumentClass("organ", tuple(range(16, 24)), -25.0, 0.26, 36, 88),
    InstrumentClass(
        "strings", (40, 40, 41, 42, 42, 43, 44, 45, 46, 48, 48, 48, 49, 49, 50, 51, 110), -25.0, 0.32, 36, 94
    ),
    InstrumentClass("brass", tuple(range(56, 64)), -24.0, 0.24, 34, 82),
    InstrumentClass("reed", (*range(64, 72), *range(64, 72), 109, 111), -24.0, 0.24, 38, 86),
    InstrumentClass("pipe", tuple(range(72, 80)), -25.0, 0.2, 58, 98),
    InstrumentClass(
        "chromatic percussion", (*range(8, 16), *range(8, 16), 108, 112, 114), -26.0, 0.22, 52, 98
    ),
    InstrumentClass("synth lead", tuple(range(80, 88)), -24.0, 0.25, 48, 92),
    InstrumentClass("synth pad", (*range(88, 96), *range(88, 96), *range(96, 103)), -26.0, 0.22, 40, 84),
    InstrumentClass("choir", (52, 53, 54), -25.0, 0.22, 45, 82),
    InstrumentClass("vocals", (), -22.0, 0.0, 40, 84),
)

KIT_NAMES = {
    0: "standard drum kit",
    8: "room drum kit",
    16: "power rock drum kit",
    24: "electronic drum kit",
    25: "808 drum machine",
    32: "jazz drum kit",
    40: "brush drum kit",
    48: "orchestral drum kit",
}

PROGRAM_NAMES = (
    *("acoustic grand piano", "bright acoustic piano", "electric grand piano", "honky-tonk piano"),
    *("electric piano", "FM electric piano", "harpsichord", "clavinet"),
    *("celesta", "glockenspiel", "music box", "vibraphone"),
    *("marimba", "xylophone", "tubular bells", "dulcimer"),
    *("drawbar organ", "percussive organ", "rock organ", "church organ"),
    *("reed organ", "accordion", "harmonica", "bandoneon"),
    *("nylon string guitar", "steel string acoustic guitar", "jazz electric guitar", "clean electric guitar"),
    *("muted electric guitar", "overdriven guitar", "distorted guitar", "guitar harmonics"),
    *("acoustic bass", "fingered electric bass", "picked electric bass", "fretless bass"),
    *("slap bass", "slap bass", "synth bass", "synth bass"),
    *("violin", "viola", "cello", "contrabass"),
    *("tremolo strings", "pizzicato strings", "harp", "timpani"),
    *("string ensemble", "slow string ensemble", "synth strings", "synth strings"),
    *("choir aahs", "voice oohs", "synth voice", "orchestra hit"),
    *("trumpet", "trombone", "tuba", "muted trumpet"),
    *("french horn", "brass section", "synth brass", "synth brass"),
    *("soprano saxophone", "alto saxophone", "tenor saxophone", "baritone saxophone"),
    *("oboe", "english horn", "bassoon", "clarinet"),
    *("piccolo", "flute", "recorder", "pan flute"),
    *("blown bottle", "shakuhachi", "whistle", "ocarina"),
    *("square wave synth lead", "sawtooth synth lead", "calliope synth lead", "chiff synth lead"),
    *("charang synth lead", "voice synth lead", "fifths synth lead", "bass and lead synth"),
    *("new age pad", "warm pad", "polysynth pad", "choir pad"),
    *("bowed pad", "metallic pad", "halo pad", "sweep pad"),
    *("rain synth effect", "soundtrack synth effect", "crystal synth effect", "atmosphere synth effect"),
    *("brightness synth effect", "goblins synth effect", "echoes synth effect", "sci-fi synth effect"),
    *("sitar", "banjo", "shamisen", "koto"),
    *("kalimba", "bagpipe", "fiddle", "shanai"),
    *("tinkle bell", "agogo", "steel drums", "woodblock"),
    *("taiko drum", "melodic tom", "synth drum", "reverse cymbal"),
    *("guitar fret noise", "breath noise", "seashore", "bird tweet"),
    *("telephone ring", "helicopter", "applause", "gunshot"),
)

# Keys within which a program sounds like itself; programs not here use their class's register.
PROGRAM_REGISTERS = {
    8: (60, 96),
    9: (72, 100),
    10: (60, 96),
    11: (53, 89),
    12: (48, 90),
    13: (65, 98),
    14: (60, 77),
    15: (55, 86),
    21: (50, 88),
    22: (58, 86),
    23: (48, 84),
    40: (55, 94),
    41: (48, 84),
    42: (36, 74),
    43: (28, 55),
    44: (43, 88),
    45: (40, 84),
    46: (36, 96),
    56: (54, 82),
    57: (40, 70),
    58: (28, 56),
    59: (54, 82),
    60: (41, 74),
    61: (43, 80),
    64: (56, 86),
    65: (49, 80),
    66: (44, 75),
    67: (36, 66),
    68: (58, 88),
    69: (52, 80),
    70: (34, 66),
    71: (50, 86),
    72: (74, 100),
    73: (60, 93),
    74: (65, 94),
    75: (60, 90),
    78: (62, 92),
}


def class_named(label: str) -> InstrumentClass:
    """The class with this label; a label that does not exist is a bug of ours."""
    return next(each for each in CLASSES if each.label == label)


def register_of(label: str, program: int) -> tuple[int, int]:
    """Lowest and highest MIDI key in which a program is played."""
    kind = class_named(label)
    if label == "drums":
        return kind.low, kind.high
    return PROGRAM_REGISTERS.get(program, (kind.low, kind.high))


def name_of(label: str, program: int) -> str:
    """What a listener would call a program, such as "slap bass" or "jazz drum kit"."""
    return KIT_NAMES.get(program, "drum kit") if label == "drums" else PROGRAM_NAMES[program]
