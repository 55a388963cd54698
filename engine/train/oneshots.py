"""Instruments made of recorded single notes and hits, played by resampling them to the note asked for.

A file is <source>__<name>[__m<MIDI>].ogg in the folder of its class; m is the key that sounds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.train.score import Note, Part

Wave = NDArray[np.float32]
Samples = NDArray[np.int16]
Place = tuple[str, int | str, str]  # label, program, family

RATE = 16000
FARTHEST = 7  # semitones a sample may be shifted
FEWEST_KEYS = 5  # distinct pitches an instrument must have

# Text in a family's name, in order of trial: its class and the nearest General MIDI program.
PITCHED: dict[str, tuple[tuple[str, str, int | str], ...]] = {
    "bass": (("pizz", "bass", 32), ("growly", "bass", 33), ("", "bass", 34)),
    "brass": (("trumpet", "brass", 56), ("trombone", "brass", 57), ("tuba", "brass", 58)),
    "guitar": (("acoustic", "guitar", 25), ("karoryfer", "guitar", 27)),
    "mallet": (
        *(("vibraphone", "chromatic percussion", 11), ("marimba", "chromatic percussion", 12)),
        *(("xylo", "chromatic percussion", 13), ("glock", "chromatic percussion", 9)),
        ("box", "chromatic percussion", 10),
    ),
    "piano": (("", "piano", 0),),
    "strings": (
        *(("harp", "strings", 46), ("violins", "strings", 48), ("violin", "strings", 40)),
        *(
            ("cellos", "strings", 48),
            ("cello", "strings", 42),
            ("bass", "strings", 43),
            ("arco", "strings", 43),
        ),
    ),
    "vocals": (("voices", "choir", 52), ("femalevoice", "vocals", "female"), ("malevoice", "vocals", "male")),
    "wind": (("sax", "reed", 66), ("oboe", "reed", 68), ("clarinet", "reed", 71), ("flute", "pipe", 73)),
}

# General MIDI drum keys to roles, and the text by which a role is known in file names.
ROLE_OF = {
    **dict.fromkeys((35, 36), "kick"),
    **dict.fromkeys((37,), "rim"),
    **dict.fromkeys((38, 40), "snare"),
    **dict.fromkeys((39,), "clap"),
    **dict.fromkeys((41, 43, 45, 47, 48, 50), "tom"),
    **dict.fromkeys((42, 44), "hat"),
    **dict.fromkeys((46,), "open hat"),
    **dict.fromkeys((49, 52, 55, 57), "crash"),
    **dict.fromkeys((51, 53, 59), "ride"),
    **dict.fromkeys((54, 69, 70, 82), "shaker"),
    **dict.fromkeys((56, 75, 76, 77, 67, 68, 81), "block"),
    **dict.fromkeys((60, 61, 62, 63, 64, 65, 66, 78, 79), "hand"),
}
ROLE_WORDS = (
    ("open hat", ("hat-open", "hihat-open", "808-open", "909-open", "min-open", "nord-open", "cymbal-open")),
    ("kick", ("kick", "__bd-", "drum-bass", "bassdrum")),
    ("rim", ("rim", "stick", "clave")),
    ("clap", ("clap", "perc-snap")),
    ("snare", ("snare", "__sn-")),
    ("tom", ("tom", "drum-low", "war-drum")),
    ("hat", ("hat", "cymbal-closed", "cymbal-pedal")),
    ("ride", ("ride",)),
    ("crash", ("crash", "cymbal", "splash", "cymball")),
    ("shaker", ("shaker", "tamb", "aracas", "cabasa", "sleigh")),
    ("block", ("block", "cowb", "wood", "guiro", "triangle", "elec-blip", "elec-tick")),
    ("hand", ("conga", "bongo", "tabla", "darbuka", "hand-drum", "timbal", "bendir")),
)
INSTEAD = {
    "open hat": ("crash", "hat"),
    "rim": ("snare",),
    "clap": ("snare",),
    "tom": ("hand", "kick"),
    "ride": ("hat", "crash"),
    "crash": ("ride", "open hat"),
    "shaker": ("hat",),
    "block": ("rim", "hat"),
    "hand": ("tom",),
    "hat": ("shaker", "ride"),
}
KIT_OF = {"oramics": 24, "mercury": 25, "pearl": 0, "sonicpi": 24, "berklee": 0, "versilian": 0}


@dataclass(frozen=True)
class Instrument:
    """Samples of one source that play one part: by MIDI key, or for drums by role.

    program  General MIDI program or kit, or a kind of singer
    samples  int16 mono at 16 kHz; several per key or role take turns by chance
    """

    label: str
    program: int | str
    family: str
    samples: dict[int | str, tuple[Samples, ...]]

    def play(self, part: Part, seconds: float, rng: np.random.Generator) -> Wave | None:
        """The part as mono float32 (seconds * 16000,); None if a fifth of its notes is out of reach."""
        frames = round(seconds * RATE)
        if self.label == "drums":
            return _drums(self, part, frames, rng)
        reach = [note for note in part.notes if self.nearest(note.key) is not None]
        if len(reach) < 0.8 * len(part.notes) or not reach:
            return None
        out = np.zeros(frames + RATE, np.float32)
        release = rng.uniform(0.03, 0.3)
        for note in reach:
            _add(out, _pitched(self, note, release, rng), note.start)
        return out[:frames]

    def nearest(self, key: int) -> int | None:
        """The sampled key closest to `key`, or None beyond FARTHEST semitones."""
        best = min((each for each in self.samples if isinstance(each, int)), key=lambda each: abs(each - key))
        return best if abs(best - key) <= FARTHEST else None


def read_oneshots(folder: Path, *, without: Sequence[str] = ()) -> tuple[Instrument, ...]:
    """All instruments that the one-shots in `folder` can make, held in memory.

    without  sources to leave out, such as those kept for evaluation
    """
    cache: dict[Path, Samples] = {}
    instruments = []
    for place, files in grouped(folder, without=without).items():
        for path in (path for paths in files.values() for path in paths):
            if path not in cache:
                cache[path] = _read(path)
        instruments.append(
            Instrument(*place, {key: tuple(cache[path] for path in paths) for key, paths in files.items()})
        )
    return tuple(instruments)


def grouped(folder: Path, *, without: Sequence[str] = ()) -> dict[Place, dict[int | str, list[Path]]]:
    """Files of every complete instrument by key or role, from their names alone."""
    groups: dict[Place, dict[int | str, list[Path]]] = {}
    for path in sorted(folder.glob("*/*.ogg")):
        if path.name.partition("__")[0] not in without:
            for place, key in _places(path):
                groups.setdefault(place, {}).setdefault(key, []).append(path)
    return {place: files for place, files in groups.items() if _complete(place[0], files)}


def _complete(label: str, files: dict[int | str, list[Path]]) -> bool:
    """Whether files make an instrument: kick and snare at least for drums, else enough pitches."""
    return {"kick", "snare"} <= files.keys() if label == "drums" else len(files) >= FEWEST_KEYS


def _read(path: Path) -> Samples:
    import soundfile

    wave: Samples
    wave, rate = soundfile.read(path, dtype="int16")
    assert rate == RATE and wave.ndim == 1, path
    return wave


def _places(path: Path) -> list[tuple[Place, int | str]]:
    """Instruments a file belongs to, as ((label, program, family), key or role)."""
    name, folder = path.stem, path.parent.name
    source = name.partition("__")[0]
    if folder == "drums":
        role = next((role for role, words in ROLE_WORDS if any(word in name for word in words)), None)
        if role is None or "loop" in name or "roll" in name:
            return []
        kit = next((number for word, number in KIT_OF.items() if source.startswith(word)), 0)
        return [(("drums", kit, source), role), (("drums", 24, "all drums"), role)]
    found = re.fullmatch(r"(.+)__m(\d+)", name)
    kinds = PITCHED.get(folder, ())
    family = _family(found[1]) if found else ""
    kind = next((each for each in kinds if each[0] in family), None)
    if found is None or kind is None:
        return []
    return [((kind[1], kind[2], family), int(found[2]))]


def _family(name: str) -> str:
    """A sample's name up to the note, so that all notes of an instrument share it."""
    if "-" not in name:
        return name.partition("__")[0]
    return re.split(r"-[a-g](?:s|b|sharp|flat|is|es)?-?\d", name, maxsplit=1)[0].rstrip("-_")


def _pitched(instrument: Instrument, note: Note, release: float, rng: np.random.Generator) -> Wave:
    """One note: the nearest sample resampled, cut at the note's end with a fade, scaled by velocity."""
    key = instrument.nearest(note.key)
    assert key is not None
    waves = instrument.samples[key]
    ratio = 2.0 ** ((note.key - key) / 12.0)
    frames = int((note.duration + release) * RATE)
    wave = _resampled(waves[rng.integers(len(waves))], ratio, frames)
    fade = min(len(wave), int(release * RATE))
    if len(wave) == frames and fade:
        wave[-fade:] *= np.linspace(1.0, 0.0, fade, dtype=np.float32) ** 2
    return wave * np.float32((note.velocity / 127.0) ** 1.5)


def _resampled(wave: Samples, ratio: float, frames: int) -> Wave:
    """At most `frames` of a sample read `ratio` times as fast. float32"""
    count = max(1, min(frames, int((len(wave) - 1) / ratio)))
    if ratio == 1.0:
        return wave[:count].astype(np.float32) / 32768.0
    places = np.arange(count, dtype=np.float32) * np.float32(ratio)
    below = places.astype(np.int64)
    part = places - below
    read = wave[below] * (1 - part) + wave[below + 1] * part
    return (read / 32768.0).astype(np.float32)


def _add(out: Wave, wave: Wave, start: float) -> None:
    """Mix a note into a part at `start` s; what lies before 0 is cut, with a short fade-in."""
    frame = round(start * RATE)
    if frame < 0:
        wave = wave[-frame:] * np.minimum(1.0, np.arange(max(0, len(wave) + frame), dtype=np.float32) / 64)
        frame = 0
    wave = wave[: max(0, len(out) - frame)]
    out[frame : frame + len(wave)] += wave


def _drums(instrument: Instrument, part: Part, frames: int, rng: np.random.Generator) -> Wave | None:
    """Drum hits by role; one sample per key for the whole part, toms spread in pitch, open hats choked."""
    out = np.zeros(frames + RATE, np.float32)
    chosen: dict[int, tuple[Samples, float] | None] = {}
    shift = float(2.0 ** rng.uniform(-0.2, 0.2))
    closed = np.array([note.start for note in part.notes if note.key in (42, 44)])
    played = 0
    for note in part.notes:
        if note.key not in chosen:
            chosen[note.key] = _hit(instrument, note.key, rng)
        hit = chosen[note.key]
        if hit is None:
            continue
        length = _choked(note, closed) if note.key == 46 else 3.0
        wave = _resampled(hit[0], hit[1] * shift, int(length * RATE))
        _add(out, wave * np.float32((note.velocity / 127.0) ** 1.5), note.start)
        played += 1
    return out[:frames] if played >= 0.7 * len(part.notes) else None


def _hit(instrument: Instrument, key: int, rng: np.random.Generator) -> tuple[Samples, float] | None:
    """A sample and its playing speed for a drum key, from the key's role or one that can stand in."""
    role = ROLE_OF.get(key, "block")
    roles = [each for each in (role, *INSTEAD.get(role, ())) if each in instrument.samples]
    if not roles:
        return None
    waves = instrument.samples[roles[0]]
    speed = 2.0 ** ((key - 45) / 24.0) if roles[0] == "tom" else 1.0
    return waves[rng.integers(len(waves))], float(speed)


def _choked(note: Note, closed: NDArray[np.float64]) -> float:
    """Length in s of an open hat: to the next closed one."""
    later = closed[closed > note.start + 0.01]
    return float(min(3.0, later[0] - note.start)) if len(later) else 3.0
