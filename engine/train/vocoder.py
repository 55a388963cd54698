"""Training of the vocoder: short crops of stems, mixtures and recordings, through the codec and back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from einops import rearrange
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from stemwright.engine.models.vocoder import Spectrum, Vocoder, VocoderConfig
from stemwright.engine.spectral import HOP
from stemwright.engine.train.codec import read_codec
from stemwright.engine.train.features import Tables, decode, encode, spectrum
from stemwright.engine.train.pool import Recordings, SongPool, read_recordings
from stemwright.engine.train.sitting import begin, descend, keep_on

Wave = NDArray[np.float32]

SIZES = (256, 512, 1024, 2048, 4096)  # windows of the multi-resolution loss; hops are a quarter
HUSH = 0.03  # added to amplitudes before the logarithms of the multi-resolution loss
REFRESHED = 200  # steps between looks for new songs
NOISIEST = 0.3  # standard deviation of the noise added to latents, as sampled ones have it


@dataclass(frozen=True)
class VocoderSettings:
    """One training run; it stands beside its checkpoints as settings.json."""

    run: str  # folder of checkpoints and log
    pool: str  # folder of rendered songs
    recordings: str  # folder of recordings by class
    codec: str  # JSON with the codec's tables
    width: int = 192
    depth: int = 6
    minutes: float = 20.0  # processor time of the whole run, over all its sittings
    batch: int = 12
    frames: int = 11 * HOP  # 1.4 s
    rate: float = 1.5e-3
    warmup: int = 100  # steps
    memory: float = 0.999  # of the weights' running mean, a step
    seed: int = 0
    checkpoint_minutes: float = 3.0


@dataclass(frozen=True)
class Shares:
    """What each loss counts."""

    loudness: float = 1.0
    turns: float = 1.0
    time: float = 0.5
    frequency: float = 0.5
    waves: float = 1.5


class Crops:
    """Draws waves (frames,): a stem, a whole mixture, or a recording, never near silence."""

    def __init__(self, songs: SongPool, recordings: Recordings, frames: int) -> None:
        self.songs, self.recordings, self.frames = songs, recordings, frames

    def draw(self, rng: np.random.Generator) -> Wave:
        wave = self._draw(rng)
        while np.sqrt(np.mean(wave**2)) < 2e-3:
            wave = self._draw(rng)
        level = 10 ** ((-20 + rng.uniform(-6, 6)) / 20)
        return wave * np.float32(level / np.sqrt(np.mean(wave**2)))

    def batch(self, count: int, rng: np.random.Generator) -> Tensor:
        return torch.from_numpy(np.stack([self.draw(rng) for _ in range(count)]))

    def _draw(self, rng: np.random.Generator) -> Wave:
        if self.recordings.phrases and rng.random() < 0.2:
            labels = self.recordings.labels()
            return self.recordings.stretch(labels[int(rng.integers(len(labels)))], self.frames, rng)
        song = self.songs.draw(rng)
        start = int(rng.integers(song.stems.shape[1] - self.frames))
        stems = song.stems[:, start : start + self.frames].astype(np.float32) / np.float32(32768)
        wave: Wave = stems.sum(axis=0) if rng.random() < 0.3 else stems[int(rng.integers(len(stems)))]
        return wave


def blurred(waves: Tensor, tables: Tables, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """(B, N) → the true spectrum (B, 513, M), and the log bands (B, 96, M) that latents leave of it.

    Half of the latents carry noise, as those of a sampler do.
    """
    true = spectrum(waves, tables)
    powers = tables.weights @ (true.real.square() + true.imag.square())
    means = powers / tables.weights.sum(dim=1, keepdim=True)
    latents = encode(torch.log(means.sqrt() + tables.floor), tables)
    amounts = NOISIEST * torch.rand(len(waves), 1, 1, generator=generator)
    amounts = amounts * (torch.rand(len(waves), 1, 1, generator=generator) < 0.5)
    noised = latents + amounts * torch.randn(latents.shape, generator=generator)
    return true, decode(noised, tables) + tables.means


@dataclass(frozen=True)
class Goal:
    """A true spectrum: amplitudes and unit phasors (B, M, 513), phases at the window's centre; how far they
    turn from frame to frame, (B, M - 1, 513).
    """

    amplitudes: Tensor
    cosine: Tensor
    sine: Tensor
    turn_cosine: Tensor
    turn_sine: Tensor


def goal_of(true: Tensor) -> Goal:
    """(B, 513, M) complex, phases at the window's start"""
    signs = 1 - 2 * (torch.arange(true.shape[1]) % 2)  # half a window later, every other bin changes its sign
    moved = rearrange(true, "b f m -> b m f") * signs
    amplitudes = moved.abs()
    unit = moved / amplitudes.clamp_min(1e-6)
    turn = unit[:, 1:] * unit[:, :-1].conj()
    return Goal(amplitudes, unit.real.contiguous(), unit.imag.contiguous(), turn.real, turn.imag)


def phase_losses(found: Spectrum, goal: Goal, hush: float) -> dict[str, Tensor]:
    """Losses on the spectrum itself, by name; each of the last three is 0 in agreement and 1 by chance.

    loudness   log amplitudes
    turns      how far each bin turns in a frame (instantaneous frequency), before bins are locked together
    time       the same, of the phases that result
    frequency  phase differences of neighbouring bins (group delay)

    Only differences of phase are asked for: a phase may be wrong, if its neighbours are wrong by as much.
    """
    real = found.cosine * goal.cosine + found.sine * goal.sine
    imaginary = found.sine * goal.cosine - found.cosine * goal.sine
    over_time = real[:, 1:] * real[:, :-1] + imaginary[:, 1:] * imaginary[:, :-1]
    over_bins = real[..., 1:] * real[..., :-1] + imaginary[..., 1:] * imaginary[..., :-1]
    own = torch.arange(found.turns.shape[-1]) % 4
    turned = (found.turns[:, 1:] + own) * (torch.pi / 2)
    weights = goal.amplitudes.sqrt()
    both_frames = weights[:, 1:] * weights[:, :-1]
    return {
        "loudness": (found.logs - torch.log(goal.amplitudes + hush)).abs().mean(),
        "turns": apart(turned.cos() * goal.turn_cosine + turned.sin() * goal.turn_sine, both_frames),
        "time": apart(over_time, both_frames),
        "frequency": apart(over_bins, weights[..., 1:] * weights[..., :-1]),
    }


def apart(agreement: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean of 1 - cosine"""
    return (weights * (1 - agreement)).sum() / weights.sum().clamp_min(1e-6)


def one_resolution(made: Tensor, waves: Tensor, size: int) -> Tensor:
    window = torch.hann_window(size)
    both = torch.stft(torch.cat([made, waves]), size, size // 4, window=window, return_complex=True)
    power = both.real.square() + both.imag.square()
    heard, true = torch.sqrt(power + 1e-7).chunk(2)
    hush = HUSH * (size / 1024) ** 0.5  # noise grows with the root of the window
    logs = (torch.log(heard + hush) - torch.log(true + hush)).abs().mean()
    energy = true.square().sum(dim=(1, 2)).clamp_min(1e-6)
    return logs + torch.sqrt((heard - true).square().sum(dim=(1, 2)) / energy).mean()


def step_once(
    network: Vocoder,
    optimiser: torch.optim.Optimizer,
    waves: Tensor,
    tables: Tables,
    generator: torch.Generator,
) -> dict[str, float]:
    """One step on these waves; the losses before it. The wave is made and judged in one step of three."""
    true, bands = blurred(waves, tables, generator)
    with torch.autocast("cpu", torch.bfloat16):
        louder, turns, settled = network.heads(bands)
    found = network.resolved(bands, louder.float(), turns.float(), settled.float())
    parts = phase_losses(found, goal_of(true), network.config.hush)
    drawn = torch.randperm(3 * len(SIZES), generator=generator)[0]
    if drawn < len(SIZES):
        parts["waves"] = one_resolution(network.waves(found), waves, SIZES[int(drawn)])
    shares = asdict(Shares())
    total = torch.stack([shares[name] * part for name, part in parts.items()]).sum()
    descend(network, optimiser, total)
    return {name: float(part.detach()) for name, part in parts.items()}


def make_vocoder(settings: VocoderSettings) -> Vocoder:
    torch.manual_seed(settings.seed)
    return Vocoder(VocoderConfig(settings.width, settings.depth, floor=read_codec(settings.codec).floor))


def read_vocoder(folder: Path) -> Vocoder:
    """The running mean of a run's weights, ready to use."""
    stored = json.loads((folder / "settings.json").read_text("utf-8"))
    network = make_vocoder(VocoderSettings(**stored))
    network.load_state_dict(load_file(folder / "mean.safetensors"))
    return network.eval().requires_grad_(False)


def train(settings: VocoderSettings) -> None:
    """Start a run, or go on with the one in its folder."""
    torch.set_num_threads(1)
    run = Path(settings.run)
    sitting = begin(run, make_vocoder(settings), settings.rate)
    (run / "settings.json").write_text(json.dumps(asdict(settings), indent=1), "utf-8")
    tables = Tables.of(read_codec(settings.codec))
    crops = Crops(SongPool(Path(settings.pool)), read_recordings(Path(settings.recordings)), settings.frames)
    random = np.random.default_rng([settings.seed, sitting.step])
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))

    def one_step() -> dict[str, float]:
        if sitting.step % REFRESHED == 0:
            crops.songs.refresh()
        waves = crops.batch(settings.batch, random)
        return step_once(sitting.network, sitting.optimiser, waves, tables, generator)

    keep_on(
        sitting,
        one_step,
        minutes=settings.minutes,
        rate=settings.rate,
        warmup=settings.warmup,
        memory=settings.memory,
        checkpoint_minutes=settings.checkpoint_minutes,
    )
