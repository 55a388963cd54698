"""What separation is evaluated on: three sets the model never heard, as iterators of cases.

soundfont    songs rendered through a soundfont that no training song uses; 10.24 s, mono, 16 kHz
recordings   the six songs of the multitrack folder, by one artist, held out entirely; 10.24 s, mono, 16 kHz
demo         the demo song whole, as a user gets it: 20 s, stereo, 44.1 kHz

Every class heard in a clip is asked for as "the sound of the {label}". Beside them, two classes that are not
in the clip at all: they should come out near silent.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import soundfile

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadInput
from stemwright.engine.train.classes import CLASSES
from stemwright.engine.train.metrics import relative_level, rms
from stemwright.engine.train.pool import read_shard

RATE = 16000  # Hz of the soundfont and recordings sets
FRAMES = 163840  # 10.24 s at 16 kHz
ACTIVE = -40.0  # dB relative to the mixture; a class at or above it is heard
ABSENT = -60.0  # dB relative to the mixture; a class under it is not there at all
QUIET = -50.0  # dB of full scale; a clip whose mixture is under it is left out
CLIPS = 16  # at most this many clips of a song of the recordings
ABSENT_ASKED = 2  # absent classes asked for in each clip

RECORDING_LABELS = {  # file prefix → label; fx stays in the mixture and is never asked for
    "drums": "drums",
    "bass": "bass",
    "vocals": "vocals",
    "guitar": "guitar",
    "piano": "piano",
    "keys": "clavinet",
    "brass": "brass",
    "synth": "synthesizer",
    "mallet": "mallets",
}
RELABELLED = {
    "francium/bass__sine.flac": "synth"
}  # a melody: 80 % of its energy lies between 516 and 1652 Hz
# Asked for as absent in recordings unless the clip has a label from the list: a stem named "synth" may well
# play a bass line or a synth brass, "brass" may hold a saxophone. Rendered songs say exactly what they hold.
RECORDING_ABSENT = {
    "drums": ("drums",),
    "bass": ("bass", "synthesizer"),
    "vocals": ("vocals",),
    "guitar": ("guitar",),
    "piano": ("piano", "clavinet"),
    "brass": ("brass", "synthesizer"),
    "saxophone": ("brass",),
    "flute": (),
    "violin": (),
    "mallets": ("mallets", "synthesizer"),
}


@dataclass(frozen=True)
class Case:
    """One question: this prompt on this mixture, and the true answer.

    group    "soundfont" | "recordings" | "demo"
    song     unique in its set; clips of a song share it
    mixture  (K, N)
    target   (K, N); None where the label is absent from the mixture
    """

    group: str
    song: str
    label: str
    prompt: str
    rate: int
    mixture: Array
    target: Array | None


def canonical(label: str) -> str:
    """The template of MGE-LDM, section 4."""
    return f"the sound of the {label}"


def soundfont_cases(pool: Path, limit: int | None = None) -> Iterator[Case]:
    """Every class of every song in a folder of rendered songs, the first `limit` songs only."""
    tables = sorted(pool.glob("*.json"))
    if not tables:
        raise BadInput(
            f"{pool} holds no rendered songs (*.npy, *.json). Render some: stemwright train --help"
        )
    songs = (song for table in tables for song in _rendered_songs(table))
    for name, stems in islice(songs, limit):
        absent = [kind.label for kind in CLASSES if kind.label not in stems]
        if "choir" in stems:
            absent.remove("vocals")
        yield from _clip_cases("soundfont", name, stems, asked=list(stems), absent=absent)


def _rendered_songs(table: Path) -> Iterator[tuple[str, dict[str, Array]]]:
    """Song names with their stems by label, (1, N) each; stems of one class are one stem."""
    for number, song in enumerate(read_shard(table)):
        merged: dict[str, Array] = {}
        for label, samples in zip(song.labels, song.stems, strict=True):
            merged[label] = merged.get(label, 0) + samples[None].astype(np.float32) / 32768
        yield f"{table.stem}/{number}", merged


def recordings_cases(multitrack: Path, limit: int | None = None) -> Iterator[Case]:
    """Up to sixteen clips of each song, and every class heard in each, the first `limit` songs only.

    A song is cut every 10.24 s from its start. Clips count whose mixture is not quiet and in which two or
    more classes with a label are heard; of these, sixteen evenly spread ones are taken.
    """
    folders = sorted(folder for folder in multitrack.glob("*") if any(folder.glob("*__*.flac")))
    if not folders:
        raise BadInput(
            f"{multitrack} holds no songs. Expected: <song>/<class>__<stem>.flac, aligned, at {RATE} Hz"
        )
    for folder in folders[:limit]:
        for start in _spread(list(_usable_starts(folder)), CLIPS):
            stems = _stems_at(folder, start)
            yield from _recording_clip("recordings", folder.name, stems)


def _usable_starts(folder: Path) -> Iterator[int]:
    """Starts in audio frames of the clips of a song that say something."""
    length = min(soundfile.info(path).frames for path in folder.glob("*.flac"))
    for start in range(0, length - FRAMES + 1, FRAMES):
        stems = _stems_at(folder, start)
        mixture = _sum(stems)
        heard = [name for name, stem in stems.items() if relative_level(stem, mixture) >= ACTIVE]
        if 20 * np.log10(rms(mixture) + 1e-9) > QUIET and len(RECORDING_LABELS.keys() & heard) >= 2:
            yield start


def _stems_at(folder: Path, start: int) -> dict[str, Array]:
    """(1, FRAMES) of each class from frame `start` on, by file prefix, the class's stems added up."""
    stems: dict[str, Array] = {}
    for path in sorted(folder.glob("*__*.flac")):
        wave, rate = soundfile.read(path, frames=FRAMES, start=start, dtype="float32")
        if rate != RATE:
            raise BadInput(
                f"{path} is at {rate} Hz; stems of the recordings set must be at {RATE} Hz: resample it"
            )
        name = RELABELLED.get(f"{folder.name}/{path.name}", path.name.split("__")[0])
        stems[name] = stems.get(name, 0) + wave[None]
    return stems


def demo_cases(folder: Path) -> Iterator[Case]:
    """Every class of the demo song, whole, at its own rate and channels; the mixture is the stems' sum."""
    read = {
        name: _read_whole(folder / f"{name}.flac") for name in ("drums", "bass", "guitar", "brass", "keys")
    }
    stems = {name: wave for name, (wave, _) in read.items()}
    yield from _recording_clip("demo", folder.name, stems, rate=read["drums"][1])


def _read_whole(path: Path) -> tuple[Array, int]:
    """((K, N), Hz) of a file"""
    try:
        waves, rate = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}). The demo set needs the song's stems in that folder"
        ) from error
    return np.ascontiguousarray(waves.T), rate


def _recording_clip(group: str, song: str, stems: dict[str, Array], rate: int = RATE) -> Iterator[Case]:
    """Cases of a clip whose stems are named by file prefix."""
    mixture = _sum(stems)
    there = {
        RECORDING_LABELS[name]
        for name, stem in stems.items()
        if name in RECORDING_LABELS and relative_level(stem, mixture) > ABSENT
    }
    absent = [label for label, unless in RECORDING_ABSENT.items() if not there.intersection(unless)]
    labelled = {RECORDING_LABELS.get(name, name): stem for name, stem in stems.items()}
    asked = [label for label in labelled if label in RECORDING_LABELS.values()]
    yield from _clip_cases(group, song, labelled, asked=asked, absent=absent, rate=rate)


def _clip_cases(
    group: str, song: str, stems: dict[str, Array], *, asked: list[str], absent: list[str], rate: int = RATE
) -> Iterator[Case]:
    """One case for each asked label that is heard, then one for each of two absent labels.

    Which two is drawn from the song's and the clip's content, so that it never depends on what came before.
    """
    mixture = _sum(stems)
    for label in asked:
        if relative_level(stems[label], mixture) >= ACTIVE:
            yield Case(group, song, label, canonical(label), rate, mixture, stems[label])
    drawn = np.random.default_rng([ord(letter) for letter in song] + [int(1e6 * rms(mixture))])
    for index in drawn.permutation(len(absent))[:ABSENT_ASKED]:
        yield Case(group, song, absent[index], canonical(absent[index]), rate, mixture, None)


def _sum(stems: dict[str, Array]) -> Array:
    total: Array = np.sum(list(stems.values()), axis=0, dtype=np.float32)
    return total


def _spread(items: list[int], count: int) -> list[int]:
    """At most `count` of the items, evenly spread, both ends included."""
    if len(items) <= count:
        return items
    return [items[int(index)] for index in np.linspace(0, len(items) - 1, count).round()]
