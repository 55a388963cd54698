"""Musical styles as one table: tempo, harmony, feel, drum patterns and who usually plays."""

from __future__ import annotations

from dataclasses import dataclass, field

SCALES = {
    "major": (0, 2, 4, 5, 7, 9, 11),
    "minor": (0, 2, 3, 5, 7, 8, 10),
    "dorian": (0, 2, 3, 5, 7, 9, 10),
    "mixolydian": (0, 2, 4, 5, 7, 9, 10),
    "harmonic minor": (0, 2, 3, 5, 7, 8, 11),
    "phrygian": (0, 1, 3, 5, 7, 8, 10),
    "lydian": (0, 2, 4, 6, 7, 9, 11),
}


@dataclass(frozen=True)
class Style:
    """How a kind of music is written.

    tempo         lowest and highest beats per minute
    progressions  scale degrees, 0 is the tonic, one per bar
    drums         kick, snare and hat lines of a bar of sixteenths: x hit, o soft, - rest
    swing         chance that off-beats are late
    sevenths      chance of four-note chords
    weights       factors on the classes' chances; 1 where absent
    kits          likely drum kits
    """

    name: str
    tempo: tuple[float, float]
    progressions: tuple[tuple[int, ...], ...]
    drums: tuple[tuple[str, str, str], ...]
    swing: float = 0.05
    sevenths: float = 0.2
    weights: dict[str, float] = field(default_factory=dict)
    kits: tuple[int, ...] = (0, 8, 16)
    scales: tuple[str, ...] = ("major", "major", "minor", "minor", "dorian", "mixolydian")


STYLES = (
    Style(
        "rock",
        (92, 165),
        ((0, 3, 4, 3), (0, 6, 3, 0), (5, 3, 0, 4), (0, 4, 3, 3), (0, 0, 3, 4), (0, 2, 5, 3)),
        (
            ("x-----x-x-x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x---x-x-----x-", "----x-------x---", "x---x---x---x---"),
            ("x-------x-------", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-----x-x--x--", "----x-------x-o-", "x-o-x-o-x-o-x-o-"),
            ("x-----x---x-x---", "----x-------x---", "x---x---x---x---"),
        ),
        weights={"guitar": 1.6, "organ": 1.2, "synth pad": 0.5, "pipe": 0.4, "choir": 0.6},
        kits=(0, 8, 16, 16),
    ),
    Style(
        "pop",
        (84, 132),
        ((0, 4, 5, 3), (5, 3, 0, 4), (0, 5, 3, 4), (0, 3, 5, 4), (3, 4, 0, 5), (3, 0, 4, 5)),
        (
            ("x-----x-x-------", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-------x-x-----", "----x-------x--o", "xoxoxoxoxoxoxoxo"),
            ("x--x--x---x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x---x---x---x---", "----x-------x---", "--x---x---x---x-"),
        ),
        weights={"piano": 1.3, "strings": 1.2, "synth pad": 1.3},
        kits=(0, 0, 8, 24),
    ),
    Style(
        "funk",
        (86, 122),
        ((0, 0, 3, 0), (0, 3, 0, 4), (1, 4, 1, 4), (0, 0, 0, 0), (0, 6, 3, 0)),
        (
            ("x--x--x---x--x--", "----x--o-o--x--o", "xoxoxoxoxoxoxoxo"),
            ("x-x---o---xx----", "o---x--o-o-ox---", "xxxxxxxxxxxxxxxx"),
            ("x-----x--x------", "----x--o-o-ox--o", "x-xxx-xxx-xxx-xx"),
            ("x--o--x-o-x---x-", "-o--x--o----x-o-", "x-x-x-x-x-x-x-xo"),
        ),
        swing=0.25,
        sevenths=0.8,
        weights={"brass": 2.0, "organ": 1.4, "bass": 1.3, "drums": 1.2, "choir": 0.4, "pipe": 0.5},
        scales=("dorian", "mixolydian", "dorian", "minor"),
    ),
    Style(
        "jazz",
        (80, 210),
        ((1, 4, 0, 5), (0, 5, 1, 4), (2, 5, 1, 4), (0, 3, 2, 5), (1, 4, 0, 0), (0, 1, 2, 1)),
        (
            ("o-------o-------", "------o-------o-", "x---x--xx---x--x"),
            ("x---------o-----", "----o--o----o--o", "x---x--xx---x--x"),
            ("o---o---o---o---", "---------o----o-", "x---x-x-x---x-x-"),
            ("-------o------o-", "----x-------x---", "x---x--xx---x--x"),
        ),
        swing=0.9,
        sevenths=0.95,
        weights={"reed": 2.2, "brass": 1.6, "piano": 1.4, "synth lead": 0.2, "synth pad": 0.2, "choir": 0.3},
        kits=(32, 40, 0, 8),
        scales=("major", "dorian", "minor", "mixolydian", "lydian"),
    ),
    Style(
        "house",
        (116, 130),
        ((5, 3, 0, 4), (0, 0, 5, 5), (0, 2, 3, 3), (0, 6, 5, 6), (0, 0, 3, 3)),
        (
            ("x---x---x---x---", "----x-------x---", "--x---x---x---x-"),
            ("x---x---x---x---", "------------x---", "xoxoxoxoxoxoxoxo"),
            ("x---x---x---x-o-", "----x--o----x---", "x-xxx-xxx-xxx-xx"),
        ),
        sevenths=0.5,
        weights={"synth lead": 2.0, "synth pad": 2.0, "guitar": 0.5, "reed": 0.5, "brass": 0.6},
        kits=(24, 25, 25, 0),
        scales=("minor", "dorian", "minor", "major"),
    ),
    Style(
        "techno",
        (122, 148),
        ((0, 0, 0, 0), (0, 0, 5, 5), (0, 1, 0, 1), (0, 0, 6, 6)),
        (
            ("x---x---x---x---", "----------------", "--x---x---x---x-"),
            ("x---x---x---x---", "----x-------x---", "xxxxxxxxxxxxxxxx"),
            ("x--x--x-x---x---", "------------x---", "o-x-o-x-o-x-o-xx"),
        ),
        weights={
            "synth lead": 2.4,
            "synth pad": 1.8,
            "guitar": 0.25,
            "piano": 0.5,
            "reed": 0.2,
            "brass": 0.3,
        },
        kits=(24, 25),
        scales=("minor", "phrygian", "harmonic minor"),
    ),
    Style(
        "trap",
        (120, 160),
        ((0, 0, 5, 5), (0, 0, 0, 0), (0, 5, 3, 4), (0, 0, 1, 0)),
        (
            ("x-----x---------", "--------x-------", "x-x-x-x-x-x-x-x-"),
            ("x---------x--x--", "--------x-------", "xoxoxoxoxoxxxoxo"),
            ("x--x-----x------", "--------x-----o-", "x-x-xxx-x-x-xxxx"),
        ),
        weights={"chromatic percussion": 2.0, "pipe": 1.5, "choir": 1.5, "brass": 1.2, "organ": 0.5},
        kits=(25, 25, 24),
        scales=("minor", "harmonic minor", "phrygian"),
    ),
    Style(
        "drum and bass",
        (160, 178),
        ((0, 0, 5, 5), (0, 0, 3, 3), (0, 6, 5, 4)),
        (
            ("x---------x-----", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-------xx----", "----x--o-o--x--o", "x-x-x-x-x-x-x-x-"),
            ("x--------xx-----", "----x--o----x-o-", "xoxoxoxoxoxoxoxo"),
        ),
        weights={"synth lead": 1.6, "synth pad": 2.0, "bass": 1.3, "drums": 1.3, "guitar": 0.4},
        kits=(0, 24, 16, 8),
        scales=("minor", "dorian", "phrygian"),
    ),
    Style(
        "ballad",
        (56, 90),
        ((0, 4, 5, 2, 3, 0, 3, 4), (0, 2, 3, 4), (0, 5, 1, 4), (3, 4, 2, 5), (0, 4, 3, 4)),
        (
            ("x-------x-------", "--------x-------", "x-x-x-x-x-x-x-x-"),
            ("x-----------x---", "----x-------x---", "x---x---x---x---"),
            ("x-------x-x-----", "----x-------x---", "xoxoxoxoxoxoxoxo"),
        ),
        sevenths=0.5,
        weights={"piano": 1.6, "strings": 1.8, "choir": 1.4, "synth pad": 1.3, "drums": 0.8},
        kits=(0, 8, 40, 32),
    ),
    Style(
        "latin",
        (84, 132),
        ((0, 3, 4, 3), (1, 4, 0, 0), (5, 4, 3, 2), (0, 4, 4, 0), (0, 6, 5, 4)),
        (
            ("x--xx--xx--xx--x", "--x--x----x--x--", "xoxxxoxxxoxxxoxx"),
            ("x-----x-x-----x-", "---x--x----x--x-", "x-x-x-x-x-x-x-x-"),
            ("x--x--x-x--x--x-", "---x--x---x-x---", "x-xxx-xxx-xxx-xx"),
        ),
        sevenths=0.6,
        weights={"brass": 1.7, "pipe": 1.5, "piano": 1.4, "guitar": 1.3, "synth pad": 0.5},
        scales=("minor", "harmonic minor", "major", "dorian"),
    ),
    Style(
        "blues",
        (66, 132),
        ((0, 0, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4), (0, 3, 0, 0, 3, 3, 0, 0, 4, 3, 0, 4)),
        (
            ("x-----x-x-------", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-------x-----x-", "----x-------x---", "x--xx--xx--xx--x"),
        ),
        swing=0.85,
        sevenths=0.8,
        weights={"guitar": 1.6, "organ": 1.8, "reed": 1.2, "piano": 1.3, "synth pad": 0.2, "synth lead": 0.3},
        scales=("mixolydian", "dorian", "mixolydian"),
    ),
    Style(
        "folk",
        (76, 138),
        ((0, 3, 0, 4), (0, 4, 5, 3), (0, 6, 0, 4), (0, 0, 3, 4), (5, 3, 0, 4)),
        (
            ("x-------x-------", "----o-------o---", "o-o-o-o-o-o-o-o-"),
            ("x---x---x---x---", "--o---o---o---o-", "----------------"),
        ),
        weights={"guitar": 1.7, "drums": 0.55, "pipe": 1.8, "synth lead": 0.15, "organ": 1.3, "brass": 0.5},
        kits=(40, 0, 32),
        scales=("major", "major", "mixolydian", "dorian", "minor"),
    ),
    Style(
        "orchestral",
        (60, 150),
        ((0, 4, 5, 3), (0, 3, 4, 0), (0, 5, 3, 4), (0, 2, 3, 4), (0, 6, 5, 4), (0, 1, 4, 0)),
        (
            ("x---------------", "------------x---", "----------------"),
            ("x-----x-x---x---", "x--xx--xx--xx-x-", "----------------"),
            ("x---x---x---x---", "----------------", "----------------"),
        ),
        weights={
            "strings": 3.0,
            "brass": 2.2,
            "pipe": 2.2,
            "reed": 2.0,
            "choir": 2.0,
            "guitar": 0.25,
            "synth lead": 0.15,
            "drums": 0.55,
            "bass": 0.45,
            "organ": 0.5,
            "chromatic percussion": 1.4,
        },
        kits=(48, 48, 0),
        scales=("major", "minor", "minor", "harmonic minor", "dorian", "lydian"),
    ),
    Style(
        "reggae",
        (62, 92),
        ((0, 4, 0, 4), (0, 3, 0, 3), (0, 4, 5, 3), (0, 1, 0, 1)),
        (
            ("--------x-------", "--------x-------", "x-x-x-x-x-x-x-x-"),
            ("x-------x-------", "--------x-------", "x-xox-xox-xox-xo"),
            ("x---x---x---x---", "--------x-----o-", "x-x-x-x-x-x-x-x-"),
        ),
        swing=0.4,
        weights={"organ": 2.4, "guitar": 1.3, "bass": 1.3, "brass": 1.3, "strings": 0.4},
    ),
    Style(
        "metal",
        (100, 190),
        ((0, 0, 1, 0), (0, 5, 6, 0), (0, 0, 5, 6), (0, 3, 1, 0), (0, 2, 6, 5)),
        (
            ("xxxxxxxxxxxxxxxx", "----x-------x---", "x---x---x---x---"),
            ("x-xxx-xxx-xxx-xx", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x-x-x-x-x-x-x-x-", "-x-x-x-x-x-x-x-x", "x-x-x-x-x-x-x-x-"),
            ("x--x--x-x--x--x-", "--------x-------", "x---x---x---x---"),
        ),
        weights={
            "guitar": 1.75,
            "bass": 1.2,
            "drums": 1.25,
            "piano": 0.3,
            "reed": 0.1,
            "pipe": 0.2,
            "organ": 0.4,
        },
        kits=(16, 16, 0, 8),
        scales=("minor", "phrygian", "harmonic minor"),
    ),
    Style(
        "electronic",
        (90, 150),
        ((5, 3, 0, 4), (0, 0, 5, 5), (0, 2, 3, 3), (3, 4, 5, 0), (0, 4, 1, 3)),
        (
            ("x-----x-----x---", "--------x-------", "xoxoxoxoxoxxxoxo"),
            ("x---x---x---x---", "----x-------x---", "x-x-x-xxx-x-x-xx"),
            ("x--x--x--x--x---", "----x-------x---", "x-x-x-x-x-x-x-x-"),
        ),
        swing=0.15,
        weights={
            "synth lead": 2.0,
            "synth pad": 2.0,
            "chromatic percussion": 1.3,
            "guitar": 0.5,
            "reed": 0.4,
        },
        kits=(24, 25, 0),
        scales=("minor", "major", "dorian", "lydian"),
    ),
    Style(
        "country",
        (84, 150),
        ((0, 0, 3, 0), (0, 3, 0, 4), (0, 4, 4, 0), (0, 3, 4, 0)),
        (
            ("x-------x-------", "----x-------x---", "x-x-x-x-x-x-x-x-"),
            ("x---x---x---x---", "--x---x---x---x-", "oooooooooooooooo"),
        ),
        swing=0.3,
        weights={
            "guitar": 1.75,
            "strings": 1.1,
            "organ": 1.1,
            "synth lead": 0.15,
            "synth pad": 0.3,
            "brass": 0.3,
        },
        kits=(0, 8, 40),
        scales=("major", "major", "mixolydian"),
    ),
)


def style_named(name: str) -> Style:
    """The style of this name; a name that does not exist is a bug of ours."""
    return next(each for each in STYLES if each.name == name)
