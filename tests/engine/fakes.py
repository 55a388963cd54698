"""A model whose answers are known: a codec that loses nothing, and a denoiser that knows the clean tracks."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stemwright.engine import schedule
from stemwright.engine.contracts import Array
from stemwright.engine.manifest import Manifest, parse
from stemwright.engine.modelfolder import Model
from stemwright.engine.spectral import stft

RATE, HOP, WINDOW, WIDTH = 16000, 2048, 16, 4


class FakeCodec:
    """Latents are the wave itself, folded: C = hop."""

    rate, hop, channels = RATE, HOP, HOP

    def __init__(self) -> None:
        self.encoded = 0  # windows

    def encode(self, waves: Array) -> Array:
        self.encoded += len(waves)
        padded = np.pad(waves, ((0, 0), (0, -waves.shape[1] % HOP)))
        return np.ascontiguousarray(padded.reshape(len(waves), -1, HOP).transpose(0, 2, 1))

    def decode(self, latents: Array) -> Array:
        return np.ascontiguousarray(latents.transpose(0, 2, 1).reshape(len(latents), -1))

    def spectrum(self, latents: Array) -> Array:
        return np.log(np.abs(stft(self.decode(latents))) + np.float32(1e-3))


class FakeConditioner:
    """A prompt is its place in `words`; a reference sound is its first sample."""

    width = WIDTH

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    def text(self, prompts: list[str]) -> Array:
        return np.stack([np.full(WIDTH, self.words.index(prompt) + 1, np.float32) for prompt in prompts])

    def audio(self, waves: Array) -> Array:
        return np.repeat(waves[:, :1], WIDTH, axis=1)


Clean = Callable[[Array, Array], Array]  # whole (S, C, T), conditions (S, D) → clean (S, C, T)


@dataclass
class FakeDenoiser:
    """The exact v towards the tracks that `clean` makes of the given ones; keeps the rows of its calls."""

    clean: Clean
    batches: list[int] = field(default_factory=list)

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        self.batches.append(len(latents))
        return np.stack([self._one(*row) for row in zip(latents, levels, conditions, strict=True)])

    def _one(self, latents: Array, levels: Array, conditions: Array) -> Array:
        clean = self.clean(latents, conditions)
        velocity = np.zeros_like(latents)
        for track, level in enumerate(map(float, levels)):
            if level > 0:
                alpha, sigma = schedule.signal(level), schedule.noise(level)
                velocity[track] = (np.float32(alpha) * latents[track] - clean[track]) / np.float32(sigma)
        return velocity


def manifest(**changes: Any) -> Manifest:
    """Of the fake model, by way of JSON."""
    content = {
        "format": 1,
        "name": "fake",
        "family": "fake",
        "tracks": ["mix", "submix", "source"],
        "rate": RATE,
        "hop": HOP,
        "window": WINDOW,
        "level": -20,
        "codec": {"kind": "spectral"},
        "conditioning": {"kind": "text", "scale": 2},
        "denoiser": {"kind": "bandconv"},
        "defaults": {
            task: {"steps": 1, "overlap": 2} for task in ("extract", "add", "accompany", "generate")
        },
        "files": {},
    }
    return parse({**content, **changes}, Path("manifest.json"))


def model(clean: Clean, words: tuple[str, ...] = ("bass", "hat"), **changes: Any) -> Model:
    return Model(
        folder=Path(),
        manifest=manifest(**changes),
        codec=FakeCodec(),
        conditioner=FakeConditioner(words),
        denoiser=FakeDenoiser(clean),
    )
