"""A run of one process that can be left and taken up again: weights, their running mean, moments, a log."""

from __future__ import annotations

import copy
import json
import math
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stemwright.engine.train.checkpoints import restore_moments, save_moments, save_whole

Network = TypeVar("Network", bound=nn.Module)
Losses = dict[str, float]
LOGGED = 50  # steps under one line of the log


@dataclass
class Sitting(Generic[Network]):
    """What a run carries from checkpoint to checkpoint."""

    run: Path
    network: Network
    mean: Network
    optimiser: torch.optim.AdamW
    elapsed: float = 0.0  # seconds of processor time, over all sittings
    step: int = 0
    recent: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def optimiser_of(network: nn.Module, rate: float) -> torch.optim.AdamW:
    """AdamW; what is no matrix does not decay."""
    matrices = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    vectors = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups = [{"params": matrices, "weight_decay": 0.02}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, rate, betas=(0.9, 0.98))


def begin(run: Path, network: Network, rate: float) -> Sitting[Network]:
    """A new run, or the one in the folder."""
    run.mkdir(parents=True, exist_ok=True)
    mean = copy.deepcopy(network).requires_grad_(False)
    sitting = Sitting(run, network, mean, optimiser_of(network, rate))
    if (run / "state.json").exists():
        network.load_state_dict(load_file(run / "weights.safetensors"))
        mean.load_state_dict(load_file(run / "mean.safetensors"))
        restore_moments([sitting.optimiser], network, run / "moments.safetensors")
        state = json.loads((run / "state.json").read_text("utf-8"))
        sitting.elapsed, sitting.step = state["elapsed"], state["step"]
    return sitting


def checkpoint(sitting: Sitting[Network]) -> None:
    """Write everything a later sitting needs, each file whole or not at all."""
    save_whole(sitting.network.state_dict(), sitting.run / "weights.safetensors")
    save_whole(sitting.mean.state_dict(), sitting.run / "mean.safetensors")
    save_moments([sitting.optimiser], sitting.network, sitting.run / "moments.safetensors")
    state = json.dumps({"elapsed": sitting.elapsed, "step": sitting.step})
    (sitting.run / "state.json").write_text(state, "utf-8")


def keep_on(
    sitting: Sitting[Network],
    one_step: Callable[[], Losses],
    *,
    minutes: float,
    rate: float,
    warmup: int,
    memory: float,
    checkpoint_minutes: float,
) -> None:
    """Step until the run has had its processor time.

    rate    of learning, after `warmup` steps of each sitting; it falls along a cosine over the run
    memory  of the running mean: how much of it a step keeps
    """
    before, clock, here, saved = sitting.elapsed, time.process_time(), 0, sitting.elapsed
    while (done := sitting.elapsed / (60 * minutes)) < 1:
        for group in sitting.optimiser.param_groups:
            group["lr"] = (
                rate * min(1.0, (here + 1) / warmup) * max(0.01, 0.5 * (1 + math.cos(math.pi * done)))
            )
        found = one_step()
        here, sitting.step = here + 1, sitting.step + 1
        follow(sitting.mean, sitting.network, min(memory, sitting.step / (sitting.step + 10)))
        sitting.elapsed = before + time.process_time() - clock
        note(sitting, found)
        if sitting.elapsed - saved > 60 * checkpoint_minutes:
            saved = sitting.elapsed
            checkpoint(sitting)
    checkpoint(sitting)


def descend(network: nn.Module, optimiser: torch.optim.Optimizer, total: Tensor) -> None:
    """One step of the optimiser down this loss, its gradient's norm at most 1."""
    optimiser.zero_grad()
    total.backward()
    torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    optimiser.step()


def follow(mean: nn.Module, network: nn.Module, share: float) -> None:
    """The running mean keeps this share of itself and takes the rest from the network."""
    with torch.no_grad():
        for slow, fast in zip(mean.parameters(), network.parameters(), strict=True):
            slow.lerp_(fast, 1 - share)


def note(sitting: Sitting[Network], found: Losses) -> None:
    """Gather losses; every 50 steps their means become a line of log.jsonl."""
    for name, value in found.items():
        sitting.recent[name].append(value)
    if sitting.step % LOGGED == 0:
        means = {name: round(float(np.mean(values)), 4) for name, values in sitting.recent.items()}
        line = {"step": sitting.step, "seconds": round(sitting.elapsed), **means}
        with (sitting.run / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(line) + "\n")
        sitting.recent.clear()
