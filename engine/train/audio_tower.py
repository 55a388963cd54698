"""Training of the audio tower: single stems are drawn to the embeddings of the prompts that name them."""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from stemwright.engine.models.audio_tower import AudioTower, AudioTowerConfig
from stemwright.engine.spectral import HOP
from stemwright.engine.train.codec import read_codec
from stemwright.engine.train.features import Tables, encode, random_tilts, spectrum
from stemwright.engine.train.mixing import LEVEL, room
from stemwright.engine.train.pool import Recordings, Samples, SongPool, read_recordings
from stemwright.engine.train.prompt_bank import Bank, Program, item_key, read_bank
from stemwright.engine.train.sitting import begin, descend, keep_on

Wave = NDArray[np.float32]

SHORTEST, LONGEST = 40, 80  # latent frames: 5 to 10 s
PER_CLASS = 3  # prompts of every class in a step
TEMPERATURE = 0.07
REFRESHED = 100  # steps between looks for new songs


@dataclass(frozen=True)
class AudioTowerSettings:
    """One training run; it stands beside its checkpoints as settings.json."""

    run: str  # folder of checkpoints and log
    pool: str  # folder of rendered songs
    recordings: str  # folder of recordings by class
    bank: str  # prompts with embeddings
    codec: str  # JSON with the codec's tables
    width: int = 192
    depth: int = 3
    minutes: float = 6.0  # processor time of the whole run, over all its sittings
    batch: int = 32
    rate: float = 2e-3
    warmup: int = 50  # steps
    memory: float = 0.99  # of the weights' running mean, a step
    seed: int = 0
    checkpoint_minutes: float = 1.0


@dataclass(frozen=True)
class Clip:
    """One stem on its own; wave (N,)"""

    wave: Wave
    label: str
    program: Program


class Clips:
    """Draws stems, every class as often as the others."""

    def __init__(self, songs: SongPool, recordings: Recordings) -> None:
        self.songs, self.recordings = songs, recordings
        self.refresh()

    def refresh(self) -> None:
        self.songs.refresh()
        self.stems: dict[str, list[tuple[Samples, Program]]] = defaultdict(list)
        for song in self.songs.songs:
            for stem, label, program in zip(song.stems, song.labels, song.programs, strict=True):
                self.stems[label].append((stem, program))
        self.labels = sorted({*self.stems, *self.recordings.phrases})

    def draw(self, frames: int, rng: np.random.Generator) -> Clip:
        """A clip near the level the model hears mixtures at, in another room, something faint behind it."""
        clip = self._audible(frames, rng)
        wave = room(clip.wave, rng) if rng.random() < 0.3 else clip.wave
        if rng.random() < 0.6:
            behind = self._audible(frames, rng).wave
            wave = wave + behind * np.float32(rms(wave) / rms(behind) * 10 ** (rng.uniform(-30, -12) / 20))
        gain = LEVEL * 10 ** (rng.uniform(-6, 6) / 20) / rms(wave)
        return Clip(wave * np.float32(gain), clip.label, clip.program)

    def _audible(self, frames: int, rng: np.random.Generator) -> Clip:
        while rms((clip := self._any(frames, rng)).wave) < 2e-3:
            pass
        return clip

    def _any(self, frames: int, rng: np.random.Generator) -> Clip:
        label = self.labels[int(rng.integers(len(self.labels)))]
        rendered = self.stems.get(label, [])
        if label in self.recordings.phrases and (not rendered or rng.random() < 0.3):
            return Clip(self.recordings.stretch(label, frames, rng), label, None)
        stem, program = rendered[int(rng.integers(len(rendered)))]
        start = int(rng.integers(max(1, len(stem) - frames)))
        wave = stem[start : start + frames].astype(np.float32) / np.float32(32768)
        return Clip(wave, label, program)


def rms(wave: Wave) -> float:
    return max(float(np.sqrt(np.mean(np.square(wave)))), 1e-6)


def latents_of(waves: Tensor, tables: Tables, generator: torch.Generator | None = None) -> Tensor:
    """(B, N) → (B, C, T); through a random equaliser where there is a generator"""
    bins = spectrum(waves, tables)
    if generator is not None:
        bins = bins * random_tilts(len(waves), generator)
    powers = tables.weights @ (bins.real.square() + bins.imag.square())
    means = powers / tables.weights.sum(dim=1, keepdim=True)
    return encode(torch.log(means.sqrt() + tables.floor), tables)


@dataclass(frozen=True)
class Texts:
    """The prompts of a step.

    embeddings   (P, D)
    is_positive  (B, P) names the clip: its class, or its very program
    is_negative  (B, P) names another class; prompts of another program of the class are neither
    wanted       (B, D) unit length: mean of the class's and the program's prompts
    """

    embeddings: Tensor
    is_positive: Tensor
    is_negative: Tensor
    wanted: Tensor


class Prompts:
    """Draws prompts for clips."""

    def __init__(self, bank: Bank) -> None:
        self.bank = bank
        self.labels = [key.removesuffix("|-") for key in bank.index if key.endswith("|-")]
        self.centres = {key: self._centre(rows) for key, rows in bank.index.items() if rows}

    def _centre(self, rows: list[int]) -> Wave:
        centre: Wave = self.bank.embeddings[rows].astype(np.float32).mean(axis=0)
        return centre / np.linalg.norm(centre)

    def wanted(self, clip: Clip) -> Wave:
        whole = self.centres[item_key(clip.label)]
        return whole + self.centres.get(item_key(clip.label, clip.program), whole)

    def draw(self, clips: list[Clip], rng: np.random.Generator) -> Texts:
        asked: list[tuple[str, Program]] = [(label, None) for label in self.labels for _ in range(PER_CLASS)]
        asked += [(clip.label, clip.program) for clip in clips if self.bank.index.get(_key(clip))]
        rows = [self.bank.rows(label, program) for label, program in asked]
        chosen = [group[int(rng.integers(len(group)))] for group in rows]
        same = np.array([[clip.label == label for label, _ in asked] for clip in clips])
        fits = np.array([[program in (None, clip.program) for _, program in asked] for clip in clips])
        return Texts(
            embeddings=torch.from_numpy(self.bank.embeddings[chosen].astype(np.float32)),
            is_positive=torch.from_numpy(same & fits),
            is_negative=torch.from_numpy(~same),
            wanted=F.normalize(torch.from_numpy(np.stack([self.wanted(clip) for clip in clips])), dim=-1),
        )


def _key(clip: Clip) -> str:
    return item_key(clip.label, clip.program)


def losses(found: Tensor, texts: Texts) -> dict[str, Tensor]:
    """found (B, D).

    contrast  InfoNCE with several positives: how much of the softmax over prompts names the clip
    distance  1 - cosine to the prompts' own place, so that the denoiser cannot tell sound from words
    """
    scores = found @ texts.embeddings.T / TEMPERATURE
    named = scores.masked_fill(~texts.is_positive, -torch.inf).logsumexp(dim=1)
    every = scores.masked_fill(~(texts.is_positive | texts.is_negative), -torch.inf).logsumexp(dim=1)
    return {"contrast": (every - named).mean(), "distance": (1 - (found * texts.wanted).sum(dim=1)).mean()}


def step_once(
    network: AudioTower, optimiser: torch.optim.Optimizer, latents: Tensor, texts: Texts
) -> dict[str, float]:
    """One step on these clips; the losses before it."""
    parts = losses(network(latents), texts)
    descend(network, optimiser, parts["contrast"] + 2 * parts["distance"])
    return {name: float(part.detach()) for name, part in parts.items()}


def make_audio_tower(settings: AudioTowerSettings) -> AudioTower:
    torch.manual_seed(settings.seed)
    return AudioTower(AudioTowerConfig(width=settings.width, depth=settings.depth))


def read_audio_tower(folder: Path) -> AudioTower:
    """The running mean of a run's weights, ready to use."""
    stored = json.loads((folder / "settings.json").read_text("utf-8"))
    network = make_audio_tower(AudioTowerSettings(**stored))
    network.load_state_dict(load_file(folder / "mean.safetensors"))
    return network.eval().requires_grad_(False)


def train(settings: AudioTowerSettings) -> None:
    """Start a run, or go on with the one in its folder."""
    torch.set_num_threads(1)
    run = Path(settings.run)
    sitting = begin(run, make_audio_tower(settings), settings.rate)
    (run / "settings.json").write_text(json.dumps(asdict(settings), indent=1), "utf-8")
    tables, prompts = Tables.of(read_codec(settings.codec)), Prompts(read_bank(Path(settings.bank)))
    clips = Clips(SongPool(Path(settings.pool)), read_recordings(Path(settings.recordings)))
    random = np.random.default_rng([settings.seed, sitting.step])
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))

    def one_step() -> dict[str, float]:
        if sitting.step % REFRESHED == 0:
            clips.refresh()
        frames = int(random.integers(SHORTEST, LONGEST + 1)) * HOP
        drawn = [clips.draw(frames, random) for _ in range(settings.batch)]
        latents = latents_of(torch.from_numpy(np.stack([clip.wave for clip in drawn])), tables, generator)
        return step_once(sitting.network, sitting.optimiser, latents, prompts.draw(drawn, random))

    keep_on(
        sitting,
        one_step,
        minutes=settings.minutes,
        rate=settings.rate,
        warmup=settings.warmup,
        memory=settings.memory,
        checkpoint_minutes=settings.checkpoint_minutes,
    )
