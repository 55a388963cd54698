"""A pool of two rendered songs, a bank of prompts and a codec's tables, small enough for a test."""

import json
from pathlib import Path

import numpy as np

from stemwright.engine.train.prompt_bank import embed_bank, write_bank

SECONDS = 12


def tones(hertz: float, rng: np.random.Generator) -> np.ndarray:
    time = np.arange(SECONDS * 16000) / 16000
    beat = np.exp(-4 * (time % 0.5))
    wave = sum(np.sin(2 * np.pi * hertz * part * time) / part for part in (1, 2, 3)) * beat * 0.2
    return (32767 * (wave + 0.002 * rng.standard_normal(len(time)))).astype(np.int16)


def write_pool(folder: Path) -> None:
    rng = np.random.default_rng(0)
    labels = [[["bass", 33], ["guitar", 24]], [["bass", 32], ["pipe", 73]]]
    pitches = [55, 330, 70, 880]
    folder.mkdir()
    np.save(folder / "a.npy", np.stack([tones(pitch, rng) for pitch in pitches]))
    (folder / "a.json").write_text(json.dumps(labels))


def write_codec(path: Path) -> None:
    table = {"kept": list(range(16)), "scales": [1.0] * 16, "means": [0.0] * 96, "floor": 0.27}
    path.write_text(json.dumps(table))


def write_small_bank(path: Path) -> None:
    """A bank whose sentences lie at random: each has its own place."""

    def embed(texts: object) -> np.ndarray:
        rows = np.random.default_rng(0).standard_normal((len(list(texts)), 384)).astype(np.float32)  # type: ignore[call-overload]
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    write_bank(embed_bank(embed, each=1), path)
