"""Training of the denoiser: on a CPU by several processes of one thread each, tied to a shared centre; on a
GPU by one process that others feed.

Elastic averaging (Zhang, Choromanska and LeCun 2015): every few steps a worker and the centre move half-way
towards each other, so no worker waits for another. The centre's running mean is what ships.
"""

from __future__ import annotations

import copy
import json
import math
import os
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stemwright.engine.errors import BadJob, Cancelled
from stemwright.engine.models.bandconv import BandConv, BandConvConfig, depthwise
from stemwright.engine.train.checkpoints import (
    parameters_of,
    restore_moments,
    save_moments,
    save_whole,
    set_parameters,
)
from stemwright.engine.train.codec import read_codec
from stemwright.engine.train.depthwise import sparse_gradient_depthwise
from stemwright.engine.train.features import Tables
from stemwright.engine.train.feeding import feeding, stack
from stemwright.engine.train.mixing import Chances, Mixer
from stemwright.engine.train.pool import SongPool, read_recordings
from stemwright.engine.train.probe import Probe
from stemwright.engine.train.prompt_bank import read_bank
from stemwright.engine.train.stepping import Journal, collate, optimisers_of, set_rate, step_once
from stemwright.engine.train.stopping import heeding, held_back, listen

TOLD = 3.0  # seconds between two lines of progress


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
    depth: int = 12
    width: int = 128
    attend_every: int = 3  # blocks between attentions; 0: none
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
    device: str = "cpu"  # or cuda: one trainer, and feeders in place of workers
    feeders: int = 0  # processes that mix examples for one trainer; 0: on a GPU, two fewer than cores
    compile: bool | None = None  # the network, by torch.compile; None: on a GPU


def learning_rate(settings: Settings, step: int, done: float) -> float:
    """`step` counts this sitting's steps, `done` is the share of the run's time."""
    late = max(0.0, (done - settings.decay_from) / (1 - settings.decay_from))
    fall = 0.5 * (1 + math.cos(math.pi * min(1.0, late)))
    return settings.rate * min(1.0, (step + 1) / settings.warmup) * max(0.02, fall)


def make_network(settings: Settings) -> BandConv:
    """On the CPU, whatever the device."""
    torch.manual_seed(settings.seed)
    convolve = depthwise if on_gpu(settings) else sparse_gradient_depthwise
    sizes = BandConvConfig(width=settings.width, depth=settings.depth, attend_every=settings.attend_every)
    return BandConv(sizes, convolve)


def on_gpu(settings: Settings) -> bool:
    return settings.device != "cpu"


def remember(mean: Tensor, centre: Tensor, meetings: float, settings: Settings) -> None:
    """The running mean moves towards the centre, by more while it is young."""
    mean.lerp_(centre, 1 - min(settings.mean, (1 + meetings) / (10 + meetings)))


def meet(network: nn.Module, centre: Tensor, lock: Any) -> None:
    """The worker and the centre move half-way towards each other."""
    own = parameters_of(network)
    with lock:
        step = 0.5 * (own - centre)
        centre += step
    set_parameters(network, own - step)


def work(
    rank: int, settings: Settings, centre: Tensor, mean: Tensor, lock: Any, elapsed: float, stopped: Tensor
) -> None:
    """One worker until the run's time is over; the first also keeps the mean, the log and the checkpoints."""
    with heeding(stopped, (signal.SIGINT,)):
        listen()
        _work(rank, settings, centre, mean, lock, elapsed, stopped)


def _work(
    rank: int, settings: Settings, centre: Tensor, mean: Tensor, lock: Any, elapsed: float, stopped: Tensor
) -> None:
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
    probe = make_probe(settings, tables) if rank == 0 else None
    begin, saved, step = time.monotonic(), time.monotonic(), 0
    while (done := (elapsed + time.monotonic() - begin) / (60 * settings.minutes)) < 1 and not stopped[0]:
        set_rate(optimisers, learning_rate(settings, step, done))
        stacked = stack([mixer.draw(random) for _ in range(settings.batch)])
        batch, conditions = collate(stacked, tables, generator)
        journal.add(step_once(network, optimisers, batch, conditions, tables, generator))
        step += 1
        if step % settings.tie == 0:
            meet(network, centre, lock)
            if rank == 0:
                remember(mean, centre, step / settings.tie, settings)
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
    if stopped[0]:
        save_moments(optimisers, network, moments)
    if probe is not None:
        checkpoint(settings, centre, mean, elapsed + time.monotonic() - begin)
        if not stopped[0]:
            probe.write(mean, run / "probe.jsonl", round(elapsed + time.monotonic() - begin))


def make_mixer(settings: Settings) -> Mixer:
    recordings = read_recordings(Path(settings.recordings))
    return Mixer(
        SongPool(Path(settings.pool)), recordings, read_bank(Path(settings.bank)), settings.frames, Chances()
    )


def make_probe(settings: Settings, tables: Tables) -> Probe:
    bank, pool = read_bank(Path(settings.bank)), SongPool(Path(settings.test_pool))
    return Probe(make_network(settings), tables, bank, pool, settings.frames)


def checkpoint(settings: Settings, centre: Tensor, mean: Tensor, elapsed: float) -> None:
    """Write the centre and its mean, part-file first, then the time spent."""
    network = make_network(settings)
    for name, flat in (("centre", centre), ("mean", mean)):
        set_parameters(network, flat)
        save_whole(network.state_dict(), Path(settings.run) / f"{name}.safetensors")
    (Path(settings.run) / "state.json").write_text(json.dumps({"elapsed": elapsed}), "utf-8")


def train(settings: Settings, tell: Callable[[str], None] | None = None) -> None:
    """Start a run, or go on with the one in its folder. Ctrl-C and SIGTERM end it in order, as Cancelled.

    tell  is given a line about how things stand every few seconds
    """
    check_device(settings)
    run = Path(settings.run)
    stopped = torch.zeros(1, dtype=torch.uint8).share_memory_()
    with heeding(stopped):
        run.mkdir(parents=True, exist_ok=True)
        (run / "settings.json").write_text(json.dumps(asdict(settings), indent=1), "utf-8")
        trainer = train_fed if on_gpu(settings) or settings.feeders else train_tied
        trainer(settings, *taken_up(settings), stopped, tell)
    if stopped[0]:
        spent = json.loads((run / "state.json").read_text("utf-8"))["elapsed"] / 60
        raise Cancelled(f"stopped after {spent:.1f} of {settings.minutes:g} min; the same command goes on")


def taken_up(settings: Settings) -> tuple[Tensor, Tensor, float]:
    """Centre and mean in shared memory, and the seconds spent so far: of the run in the folder, or new."""
    run, network, elapsed = Path(settings.run), make_network(settings), 0.0
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
    return centre, mean, elapsed


def check_device(settings: Settings) -> None:
    if on_gpu(settings) and not (settings.device.startswith("cuda") and torch.cuda.is_available()):
        raise BadJob(
            f"no device {settings.device!r} for training: torch {torch.__version__} sees "
            f"{torch.cuda.device_count()} GPUs. Give --device cpu, or install a torch with CUDA"
        )


def train_tied(
    settings: Settings, centre: Tensor, mean: Tensor, elapsed: float, stopped: Tensor,
    tell: Callable[[str], None] | None,
) -> None:  # fmt: skip
    """Workers on the CPU."""
    begin = time.monotonic()
    lock = torch.multiprocessing.get_context("spawn").Lock()
    with held_back():
        workers = torch.multiprocessing.spawn(  # type: ignore[attr-defined, no-untyped-call]
            work,
            (replace(settings), centre, mean, lock, elapsed, stopped),
            nprocs=settings.workers,
            join=False,
        )
    while not workers.join(timeout=TOLD):
        if tell:
            tell(standing(settings, elapsed + time.monotonic() - begin))


def train_fed(
    settings: Settings, centre: Tensor, mean: Tensor, elapsed: float, stopped: Tensor,
    tell: Callable[[str], None] | None,
) -> None:  # fmt: skip
    """One trainer on the device. Its own weights are the centre; the mean follows them every `tie` steps."""
    run, device, start = Path(settings.run), torch.device(settings.device), time.monotonic() - elapsed
    network, mean = place(settings, centre), mean.to(device)
    optimisers = optimisers_of(network, settings.rate)
    moments = run / "moments0.safetensors"
    if moments.exists():
        restore_moments(optimisers, network, moments)
    tables = Tables.of(read_codec(settings.codec)).to(device)
    generator = torch.Generator(device).manual_seed(settings.seed + 1 + int(elapsed))
    journal = Journal(run / "log0.jsonl")
    is_compiled = on_gpu(settings) if settings.compile is None else settings.compile
    stepped: Any = torch.compile(network) if is_compiled else network

    def save() -> None:
        save_moments(optimisers, network, moments)
        checkpoint(settings, parameters_of(network), mean, time.monotonic() - start)

    words = (partial(make_mixer, settings), settings.batch, feeders_of(settings))
    with feeding(*words, seed=[settings.seed, int(elapsed)]) as feeders:
        probe = make_probe(settings, tables)
        step, waited, saved, told = 0, 0.0, time.monotonic(), 0.0
        try:
            while (done := (time.monotonic() - start) / (60 * settings.minutes)) < 1:
                asked = time.monotonic()
                stacked = feeders.take(stopped)
                if stacked is None:
                    break
                waited += time.monotonic() - asked
                set_rate(optimisers, learning_rate(settings, step, done))
                batch, conditions = collate(stacked.to(device), tables, generator)
                journal.add(step_once(stepped, optimisers, batch, conditions, tables, generator))
                step += 1
                if step % settings.tie == 0:
                    remember(mean, parameters_of(network), step / settings.tie, settings)
                now = time.monotonic()
                if step % 50 == 0:
                    facts = {"waited": round(waited), "feeders": feeders.living()}
                    journal.write(step=step, seconds=round(now - start), **facts)
                if now - saved > 60 * settings.checkpoint_minutes:
                    saved = now
                    save()
                    probe.write(mean, run / "probe.jsonl", round(now - start))
                if tell and now - told > TOLD:
                    told = now
                    tell(standing(settings, now - start))
        finally:
            save()
        if not stopped[0]:
            probe.write(mean, run / "probe.jsonl", round(time.monotonic() - start))


def place(settings: Settings, weights: Tensor) -> BandConv:
    """The network on its device; a GPU convolves fastest with the channels last."""
    network = make_network(settings)
    set_parameters(network, weights)
    kind = torch.channels_last if on_gpu(settings) else torch.contiguous_format
    return network.to(device=settings.device, memory_format=kind)  # type: ignore[call-overload, no-any-return]


def feeders_of(settings: Settings) -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return settings.feeders or max(1, cores - 2)


def standing(settings: Settings, elapsed: float) -> str:
    """How long it still takes, and the newest losses of the log."""
    left = f"{max(0.0, settings.minutes - elapsed / 60):.1f} of {settings.minutes:g} min left"
    log = Path(settings.run) / "log0.jsonl"
    lines = log.read_text("utf-8").splitlines(keepends=True) if log.exists() else []
    whole = [line for line in lines[-2:] if line.endswith("\n")]
    if not whole:
        return left
    last = json.loads(whole[-1])
    return f"{left}, step {last['step']}, mask loss {last['mask']:.4f}, error {last['error']:.1f} dB"
