"""Human drum performances (Groove MIDI Dataset, CC-BY 4.0) as note lists."""

from __future__ import annotations

import csv
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.train.score import Grid, Note

# The dataset's styles in the composer's words; styles not here are left out.
STYLE_OF = {
    "rock": "rock",
    "funk": "funk",
    "jazz": "jazz",
    "latin": "latin",
    "pop": "pop",
    "blues": "blues",
    "hiphop": "trap",
    "soul": "funk",
    "country": "country",
    "reggae": "reggae",
    "punk": "rock",
    "afrocuban": "latin",
    "afrobeat": "funk",
    "neworleans": "funk",
    "gospel": "pop",
    "dance": "house",
    "highlife": "latin",
}
# Keys an electronic kit sends beside General MIDI's.
GENERAL_KEYS = {22: 42, 26: 46, 58: 43}


@dataclass(frozen=True)
class Groove:
    """One performance. beats: start in quarters and key and velocity of each hit, shape (hits, 3)."""

    style: str
    tempo: float
    beats: NDArray[np.float64]

    def window(self, grid: Grid, rng: np.random.Generator) -> list[Note]:
        """Hits laid on the grid's bars from a random bar of the performance; a short one is repeated."""
        length = max(4.0, float(np.ceil(self.beats[-1, 0] / 4 - 0.05)) * 4)
        start = 4.0 * int(rng.integers(max(1, int(length / 4) - grid.bars + 1)))
        quarter = 4 * grid.step
        needed = grid.bars * 4
        notes: list[Note] = []
        for turn in range(int(np.ceil((start + needed) / length))):
            for beat, key, velocity in self.beats:
                place = beat + turn * length - start
                if -0.1 <= place < needed:
                    notes.append(Note(grid.first + place * quarter, int(key), int(velocity), 0.15))
        return notes


def read_grooves(archive: Path, table: Path) -> tuple[Groove, ...]:
    """All four-four performances of known style.

    archive  groove-midi.tar.xz
    table    its info.csv: style, bpm, beat_type, time_signature, midi_filename per row
    """
    with table.open(newline="", encoding="utf-8") as rows:
        wanted = {
            Path(row["midi_filename"]).name: row
            for row in csv.DictReader(rows)
            if row["time_signature"] == "4-4"
        }
    grooves = []
    with tarfile.open(archive) as tar:
        for member in tar:
            row = wanted.get(Path(member.name).name)
            style = STYLE_OF.get(row["style"].split("/")[0]) if row else None
            file = tar.extractfile(member) if row and style else None
            if row and style and file:
                beats = hits(file.read())
                if len(beats) > 12:
                    grooves.append(Groove(style, float(row["bpm"]), beats))
    return tuple(grooves)


def hits(data: bytes) -> NDArray[np.float64]:
    """Start in quarters, General MIDI key and velocity of every hit of a MIDI file. shape (hits, 3)

    Read here, because a general reader takes thirty times as long for the thousand files.
    Source: Standard MIDI Files 1.0, as these files use it (metrical time, no system exclusives inside hits).
    """
    per_quarter = int.from_bytes(data[12:14], "big")
    rows: list[tuple[float, int, int]] = []
    place = 14
    while data[place : place + 4] == b"MTrk":
        end = place + 8 + int.from_bytes(data[place + 4 : place + 8], "big")
        rows += track_hits(data[place + 8 : end], per_quarter)
        place = end
    return np.array(sorted(rows), np.float64).reshape(-1, 3)


def track_hits(data: bytes, per_quarter: int) -> list[tuple[float, int, int]]:
    """Hits of one track chunk's content as (quarters, key, velocity)."""
    rows, place, ticks, status = [], 0, 0, 0
    while place < len(data):
        delta, place = variable_length(data, place)
        ticks += delta
        if data[place] >= 0x80:
            status = data[place]
            place += 1
        kind = status >> 4
        if status >= 0xF0:
            length, place = variable_length(data, place + (status == 0xFF))
            place += length
            continue
        if kind == 0x9 and data[place + 1]:
            key = data[place]
            rows.append((ticks / per_quarter, GENERAL_KEYS.get(key, key), data[place + 1]))
        place += 1 if kind in (0xC, 0xD) else 2
    return rows


def variable_length(data: bytes, place: int) -> tuple[int, int]:
    """A number of seven bits a byte, most significant first, and the place after it."""
    value = 0
    while True:
        byte = data[place]
        place += 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place
