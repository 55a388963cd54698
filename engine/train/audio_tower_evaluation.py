"""How often the audio tower's nearest class is the right one, on rendered and on recorded stems."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch

from stemwright.engine.contracts import Array
from stemwright.engine.models.audio_tower import AudioTower
from stemwright.engine.spectral import RATE
from stemwright.engine.train.audio_tower import latents_of, rms
from stemwright.engine.train.features import Tables
from stemwright.engine.train.mixing import LEVEL
from stemwright.engine.train.pool import SongPool
from stemwright.engine.train.prompt_bank import LABELS, Bank, canonical

FRAMES = 163840  # 10.24 s
QUIET = 3e-3  # RMS of full scale under which a clip is left out
FILED = {  # file prefix → classes that are right
    "drums": {"drums"},
    "bass": {"bass"},
    "vocals": {"vocals"},
    "guitar": {"guitar"},
    "piano": {"piano"},
    "keys": {"piano"},
    "brass": {"brass"},
    "synth": {"synth lead", "synth pad"},
    "mallet": {"chromatic percussion"},
}

Clip = tuple[Array, set[str]]


def rendered_clips(pool: Path) -> Iterator[Clip]:
    """(N,) of every stem of a pool, with its class."""
    for song in SongPool(pool).songs:
        for stem, label in zip(song.stems, song.labels, strict=True):
            yield stem[:FRAMES].astype(np.float32) / 32768, {label}


def recorded_clips(folder: Path) -> Iterator[Clip]:
    """The loudest clip of every stem of a song whose files are named by class."""
    for path in sorted(folder.glob("*.flac")):
        prefix = path.stem.split("__")[0]
        if prefix in FILED:
            wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
            mono = soxr.resample(wave.mean(axis=1), rate, RATE) if rate != RATE else wave[:, 0]
            cut = [
                mono[start : start + FRAMES] for start in range(0, max(1, len(mono) - FRAMES // 2), FRAMES)
            ]
            yield max(cut, key=rms), FILED[prefix]


@torch.no_grad()
def ranks(tower: AudioTower, tables: Tables, bank: Bank, clips: Iterable[Clip]) -> dict[str, list[int]]:
    """Class → places of its prompt "the sound of the {label}" among all classes', 0 the nearest."""
    rows = {text: row for row, text in enumerate(bank.texts)}
    words = torch.from_numpy(bank.embeddings[[rows[canonical(label)] for label in LABELS]].astype(np.float32))
    found: dict[str, list[int]] = defaultdict(list)
    for wave, labels in clips:
        if rms(wave) < QUIET:
            continue
        scaled = torch.from_numpy(wave * np.float32(LEVEL / rms(wave)))[None]
        padded = torch.nn.functional.pad(scaled, (0, -scaled.shape[1] % 2048))
        order = (tower(latents_of(padded, tables)) @ words.T)[0].argsort(descending=True).tolist()
        places = [order.index(LABELS.index(label)) for label in labels]
        found["/".join(sorted(labels))].append(min(places))
    return found


def summary(found: dict[str, list[int]]) -> dict[str, tuple[int, float, float]]:
    """Class, and "all" → clips, share right at once, share right among three"""
    table = {label: _shares(places) for label, places in sorted(found.items())}
    return {"all": _shares([place for places in found.values() for place in places]), **table}


def _shares(places: list[int]) -> tuple[int, float, float]:
    ranked = np.array(places)
    return len(ranked), round(float(np.mean(ranked < 1)), 3), round(float(np.mean(ranked < 3)), 3)
