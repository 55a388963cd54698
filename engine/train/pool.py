"""What training examples are cut from: shards of rendered songs, and recordings by class."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

Samples = NDArray[np.int16]


@dataclass(frozen=True)
class PooledSong:
    """stems (S, N) int16 at 16 kHz, a view into a shard; one label and program for each"""

    stems: Samples
    labels: tuple[str, ...]
    programs: tuple[int | str | None, ...]


class SongPool:
    """Rendered songs in a folder of shards; `refresh` finds those that a renderer has added since."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.songs: list[PooledSong] = []
        self._seen: set[Path] = set()
        self.refresh()

    def refresh(self) -> None:
        for table in sorted(self.folder.glob("*.json")):
            if table not in self._seen and table.with_suffix(".npy").exists():
                self._seen.add(table)
                self.songs.extend(read_shard(table))

    def draw(self, rng: np.random.Generator) -> PooledSong:
        return self.songs[int(rng.integers(len(self.songs)))]


def read_shard(table: Path) -> list[PooledSong]:
    """The songs of one shard, memory-mapped."""
    stems = np.load(table.with_suffix(".npy"), mmap_mode="r")
    songs, first = [], 0
    for rows in json.loads(table.read_text("utf-8")):
        last = first + len(rows)
        songs.append(
            PooledSong(stems[first:last], tuple(row[0] for row in rows), tuple(row[1] for row in rows))
        )
        first = last
    return songs


@dataclass(frozen=True)
class Recordings:
    """Phrases and loops by class, int16 at 16 kHz. The multitrack songs are held out, so not among them."""

    phrases: dict[str, list[Samples]]

    def labels(self) -> list[str]:
        return list(self.phrases)

    def stretch(self, label: str, frames: int, rng: np.random.Generator) -> NDArray[np.float32]:
        """(frames,) of phrases one after another from a random point, with rests between."""
        pieces: list[NDArray[np.float32]] = []
        filled = 0
        while filled < frames:
            phrase = self.phrases[label][int(rng.integers(len(self.phrases[label])))]
            start = int(rng.integers(max(1, len(phrase) - 8000))) if not pieces and rng.random() < 0.7 else 0
            rest = int(16000 * rng.exponential(0.35)) if rng.random() < 0.6 else 0
            piece = np.concatenate([phrase[start:].astype(np.float32) / 32768, np.zeros(rest, np.float32)])
            pieces.append(piece)
            filled += len(piece)
        return np.concatenate(pieces)[:frames]


RECORDED = {
    "vocals": ("vocals", "oneshots/vocals-shouts"),
    "guitar": ("guitar",),
    "drums": ("drums",),
    "strings": ("strings",),
}


def read_recordings(folder: Path) -> Recordings:
    """Every phrase of `RECORDED` under the folder, longest first half a second at least."""
    phrases: dict[str, list[Samples]] = {}
    for label, places in RECORDED.items():
        files = [path for place in places for path in sorted((folder / place).glob("*.*"))]
        read = [
            soundfile.read(path, dtype="int16", always_2d=True)
            for path in files
            if path.suffix in {".flac", ".ogg"}
        ]
        usable = [samples[:, 0] for samples, rate in read if rate == 16000 and len(samples) >= 8000]
        if usable:
            phrases[label] = usable
    return Recordings(phrases)
