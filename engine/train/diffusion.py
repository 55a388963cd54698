"""Training of the denoiser: several processes of one thread each, tied to a shared centre.

Elastic averaging (Zhang, Choromanska and LeCun 2015): every few steps a worker and the centre move half-way
towards each other, so no worker waits for another. The centre's running mean is what ships.
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stemwright.engine.conditioner import SCALE
from stemwright.engine.models.bandconv import BandConv, BandConvConfig
from stemwright.engine.train.codec import read_codec
from stemwright.engine.train.depthwise import sparse_gradient_depthwise
from stemwright.engine.train.features import Batch, Tables, batch_of, random_tilts
from stemwright.engine.train.mixing import Chances, Example, Mixer
from stemwright.engine.train.objective import Losses, Weights, add_noise, likeness, losses, predicted_mask
from stemwright.engine.train.pool import SongPool, read_recordings
from stemwright.engine.train.prompt_bank import canonical, read_bank

DROPPED = torch.tensor([0.5, 0.5, 0.1])  # how often the prompts of mix, submix, source stay away


@dataclass(frozen=True)
class Settings:
    """One training run; it stands beside its checkpoints as settings.json."""

    run: str  # folder of checkpoints and log
    pool: str  # folder of rendered songs
    recordings: str  # folder of recordings by class
    bank: str  # prompts with embeddings
    test_pool: str  # rendered with the soundfont that is held out
    codec: str  # JSON with the codec's tables
    start: str = ""  # safetensors to start from
    depth: int = 8
    width: int = 128
    minutes: float = 60.0  # wall time of the whole run, over all its sittings
    workers: int = 2
    batch: int = 16
    frames: int = 40 * 2048  # 5.12 s
    rate: float = 1e-3
    warmup: int = 100  # steps
    decay_from: float = 0.5  # share of the run after which the rate falls along a cosine
    tie: int = 8  # steps between meetings with the centre
    mean: float = 0.99  # of the centre's running mean, a meeting
    seed: int = 0
    checkpoint_minutes: float = 3.0


def learning_rate(settings: Settings, step: int, done: float) -> float:
    """`step` counts this sitting's steps, `done` is the share of the run's time."""
    late = max(0.0, (done - settings.decay_from) / (1 - settings.decay_from))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, late)))
    return settings.rate * min(1.0, (step + 1) / settings.warmup) * max(0.02, fall)


def make_network(settings: Settings) -> BandConv:
    torch.manual_seed(settings.seed)
    return BandConv(BandConvConfig(width=settings.width, depth=settings.depth), sparse_gradient_depthwise)


def collate(examples: list[Example], tables: Tables, generator: torch.Generator) -> tuple[Batch, Tensor]:
    """Examples → a batch and its conditions (B, 3, D), some of them dropped to zeros."""
    rest = torch.from_numpy(np.stack([example.rest for example in examples]))
    source = torch.from_numpy(np.stack([example.source for example in examples]))
    tilts = (random_tilts(len(rest), generator), random_tilts(len(rest), generator))
    conditions = torch.from_numpy(np.stack([example.conditions for example in examples])) * SCALE
    is_absent = torch.tensor([not example.source.any() for example in examples])
    dropped = torch.rand(len(rest), 3, generator=generator) < DROPPED
    dropped[:, 2] &= ~is_absent
    return batch_of(rest, source, tables, tilts), torch.where(dropped[..., None], 0.0, conditions)


def parameters_of(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def set_parameters(network: nn.Module, flat: Tensor) -> None:
    first = 0
    for parameter in network.parameters():
        last = first + parameter.numel()
        parameter.data.copy_(flat[first:last].view_as(parameter))
        first = last


def meet(network: nn.Module, centre: Tensor, lock: Any) -> None:
    """The worker and the centre move half-way towards each other."""
    own = parameters_of(network)
    with lock:
        step = 0.5 * (own - centre)
        centre += step
    set_parameters(network, own - step)


def optimisers_of(network: nn.Module, rate: float) -> list[torch.optim.Optimizer]:
    """Muon (Jordan et al. 2024) for the blocks' matrices, AdamW for the rest, at one rate.

    Side by side on the same examples, Muon's mask loss was 2.5 % lower after 200 steps.
    """
    named = dict(network.named_parameters())
    hidden = [tensor for name, tensor in named.items() if name.endswith(("up.weight", "down.weight"))]
    others = [tensor for name, tensor in named.items() if not name.endswith(("up.weight", "down.weight"))]
    groups = [
        {"params": [tensor for tensor in others if tensor.ndim > 1], "weight_decay": 0.02},
        {"params": [tensor for tensor in others if tensor.ndim <= 1], "weight_decay": 0.0},
    ]
    muon = torch.optim.Muon(hidden, rate, weight_decay=0.02, momentum=0.95, adjust_lr_fn="match_rms_adamw")
    return [muon, torch.optim.AdamW(groups, rate, betas=(0.9, 0.98))]


def step_once(
    network: nn.Module, optimisers: list[torch.optim.Optimizer], batch: Batch, conditions: Tensor,
    tables: Tables, generator: torch.Generator,
) -> Losses:  # fmt: skip
    weights = Weights()
    noised = add_noise(batch.latents, weights, generator)
    with torch.autocast("cpu", torch.bfloat16):
        predicted = network(noised.latents, noised.levels, conditions)
    found = losses(predicted.float(), noised, batch, tables, weights)
    network.zero_grad()
    found.total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimiser in optimisers:
        optimiser.step()
    return found


class Journal:
    """Running means of the losses, a line of JSON every so many steps."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.values: dict[str, list[float]] = defaultdict(list)

    def add(self, found: Losses) -> None:
        self.values["mask"].append(found.mask)
        self.values["error"].append(found.error)
        for kind, values in found.by_pattern.items():
            self.values[f"pattern {kind}"].extend(values)

    def write(self, **facts: float) -> None:
        means = {name: round(float(np.mean(values)), 4) for name, values in self.values.items() if values}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({**facts, **means}) + "\n")
        self.values.clear()


def work(rank: int, settings: Settings, centre: Tensor, mean: Tensor, lock: Any, elapsed: float) -> None:
    """One worker until the run's time is over; the first also keeps the mean, the log and the checkpoints."""
    torch.set_num_threads(1)
    os.nice(5)
    network = make_network(settings)
    set_parameters(network, centre)
    optimisers = optimisers_of(network, settings.rate)
    run = Path(settings.run)
    moments = run / f"moments{rank}.safetensors"
    if moments.exists():
        restore_moments(optimisers, network, moments)
    tables = Tables.of(read_codec(settings.codec))
    random = np.random.default_rng([settings.seed, rank, int(elapsed)])
    generator = torch.Generator().manual_seed(int(random.integers(2**62)))
    mixer = make_mixer(settings)
    journal = Journal(run / f"log{rank}.jsonl")
    probe = Probe(settings, tables) if rank == 0 else None
    begin, saved, step = time.monotonic(), time.monotonic(), 0
    while (done := (elapsed + time.monotonic() - begin) / (60 * settings.minutes)) < 1:
        for group in (group for optimiser in optimisers for group in optimiser.param_groups):
            group["lr"] = learning_rate(settings, step, done)
        examples = [mixer.draw(random) for _ in range(settings.batch)]
        batch, conditions = collate(examples, tables, generator)
        journal.add(step_once(network, optimisers, batch, conditions, tables, generator))
        step += 1
        if step % settings.tie == 0:
            meet(network, centre, lock)
            if rank == 0:
                mean.lerp_(
                    centre, 1 - min(settings.mean, (1 + step / settings.tie) / (10 + step / settings.tie))
                )
        if step % 50 == 0:
            journal.write(
                step=step, seconds=round(elapsed + time.monotonic() - begin), songs=len(mixer.songs.songs)
            )
            mixer.songs.refresh()
        if time.monotonic() - saved > 60 * settings.checkpoint_minutes:
            saved = time.monotonic()
            save_moments(optimisers, network, moments)
            if probe is not None:
                checkpoint(settings, centre, mean, elapsed + saved - begin)
                probe.write(mean, run / "probe.jsonl", round(elapsed + saved - begin))
    if probe is not None:
        checkpoint(settings, centre, mean, elapsed + time.monotonic() - begin)
        probe.write(mean, run / "probe.jsonl", round(elapsed + time.monotonic() - begin))


def make_mixer(settings: Settings) -> Mixer:
    recordings = read_recordings(Path(settings.recordings))
    return Mixer(
        SongPool(Path(settings.pool)), recordings, read_bank(Path(settings.bank)), settings.frames, Chances()
    )


class Probe:
    """A quick look at the held-out soundfont during training: every stem of a few songs, one step, 5.12 s."""

    def __init__(self, settings: Settings, tables: Tables, songs: int = 24) -> None:
        bank = read_bank(Path(settings.bank))
        self.network, self.tables = make_network(settings).eval(), tables
        rows = {text: row for row, text in enumerate(bank.texts)}
        self.cases = [
            self._case(song, label, bank.embeddings[rows[canonical(label)]], settings.frames)
            for song in SongPool(Path(settings.test_pool)).songs[:songs]
            for label in sorted(set(song.labels))
            if len(set(song.labels)) > 1
        ]

    def _case(self, song: Any, label: str, embedding: Any, frames: int) -> tuple[str, Batch, Tensor]:
        waves = song.stems[:, 32768 : 32768 + frames].astype(np.float32) / 32768
        is_wanted = np.array([other == label for other in song.labels])
        source, rest = waves[is_wanted].sum(0), waves[~is_wanted].sum(0)
        gain = 0.1 / max(float(np.sqrt(np.mean((source + rest) ** 2))), 1e-5)
        batch = batch_of(
            torch.from_numpy(rest * gain)[None], torch.from_numpy(source * gain)[None], self.tables
        )
        condition = torch.zeros(1, 3, len(embedding))
        condition[0, 2] = torch.from_numpy(embedding.astype(np.float32)) * SCALE
        return label, batch, condition

    @torch.no_grad()
    def measure(self, flat: Tensor) -> dict[str, float]:
        """Median SI-SDR improvement in dB, in all and by class, from band powers."""
        set_parameters(self.network, flat)
        gains: dict[str, list[float]] = defaultdict(list)
        generator = torch.Generator().manual_seed(1)
        for label, batch, condition in self.cases:
            noise = torch.randn(batch.latents.shape, generator=generator)
            noise[:, 0] = batch.latents[:, 0]
            levels = torch.tensor([[0.0, 1.0, 1.0]])
            with torch.autocast("cpu", torch.bfloat16):
                velocity = self.network(noise, levels, condition).float()
            mask = predicted_mask(-velocity, self.tables)
            if batch.powers[:, 2].sum() > 1e-3 * batch.powers[:, 0].sum():
                gain = likeness(mask, batch.powers) - likeness(torch.ones_like(mask), batch.powers)
                gains[label].append(float(gain))
        found = {label: round(float(np.median(values)), 2) for label, values in sorted(gains.items())}
        return {"all": round(float(np.median(np.concatenate(list(gains.values())))), 2), **found}

    def write(self, flat: Tensor, path: Path, seconds: int) -> None:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"seconds": seconds, **self.measure(flat)}) + "\n")


def checkpoint(settings: Settings, centre: Tensor, mean: Tensor, elapsed: float) -> None:
    """Write the centre and its mean, part-file first, then the time spent."""
    network = make_network(settings)
    for name, flat in (("centre", centre), ("mean", mean)):
        set_parameters(network, flat)
        save_whole(network.state_dict(), Path(settings.run) / f"{name}.safetensors")
    (Path(settings.run) / "state.json").write_text(json.dumps({"elapsed": elapsed}), "utf-8")


def save_whole(tensors: dict[str, Tensor], path: Path) -> None:
    part = path.with_suffix(".part")
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, part)
    part.replace(path)


def save_moments(optimisers: list[torch.optim.Optimizer], network: nn.Module, path: Path) -> None:
    """What the optimisers remember of each parameter."""
    named = {
        f"{name}/{key}": value
        for name, parameter in network.named_parameters()
        for optimiser in optimisers
        for key, value in optimiser.state.get(parameter, {}).items()
    }
    save_whole(named, path)


def restore_moments(optimisers: list[torch.optim.Optimizer], network: nn.Module, path: Path) -> None:
    stored = load_file(path)
    for name, parameter in network.named_parameters():
        found = {key.rpartition("/")[2]: value for key, value in stored.items() if key.startswith(f"{name}/")}
        for optimiser in optimisers:
            if any(parameter is own for group in optimiser.param_groups for own in group["params"]):
                optimiser.state[parameter] = dict(found)


def train(settings: Settings) -> None:
    """Start a run, or go on with the one in its folder."""
    run = Path(settings.run)
    run.mkdir(parents=True, exist_ok=True)
    (run / "settings.json").write_text(json.dumps(asdict(settings), indent=1), "utf-8")
    network, elapsed = make_network(settings), 0.0
    if (run / "state.json").exists():
        elapsed = json.loads((run / "state.json").read_text("utf-8"))["elapsed"]
        network.load_state_dict(load_file(run / "centre.safetensors"))
    elif settings.start:
        network.load_state_dict(load_file(settings.start))
    centre = parameters_of(network).share_memory_()
    mean = copy.deepcopy(centre).share_memory_()
    if (run / "state.json").exists():
        network.load_state_dict(load_file(run / "mean.safetensors"))
        mean.copy_(parameters_of(network))
    context = torch.multiprocessing.get_context("spawn")
    lock = context.Lock()
    torch.multiprocessing.spawn(  # type: ignore[attr-defined, no-untyped-call]
        work, (replace(settings), centre, mean, lock, elapsed), nprocs=settings.workers
    )
