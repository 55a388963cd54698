"""The official model's parts beside torch eager: CPU seconds of either, in turns, in one process."""

import os
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import torch

from stemwright.engine.models.dit import DitConfig
from stemwright.engine.models.oobleck import OobleckConfig
from stemwright.export.official_graphs import AUTOENCODER, DENOISER, opened_autoencoder, opened_denoiser

FRAMES = 100  # latent ones of the window
BATCHES = {"forward": 1, "guided": 2}
Figures = dict[str, dict[str, float]]
Opened = Callable[[int, str], Any]  # threads, profile → the model


def compared(folder: Path, opened: Opened, parts: Sequence[str], runs: int) -> Figures:
    """Of each part {"ours", "torch"}; those of the denoiser in the fast profile, too."""
    threads = int(os.environ["OMP_NUM_THREADS"])
    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    return {
        **denoisers(folder / DENOISER, opened, [name for name in BATCHES if name in parts], threads, runs),
        **codecs(
            folder / AUTOENCODER, opened, [one for one in ("encode", "decode") if one in parts], threads, runs
        ),
    }


def denoisers(weights: Path, opened: Opened, parts: Sequence[str], threads: int, runs: int) -> Figures:
    """The two profiles one after the other, each with torch in turns: both at once are much memory."""
    found: Figures = {}
    if not parts:
        return found
    dit = opened_denoiser(DitConfig(), weights)
    for profile, words in (("best", ""), ("fast", ", fast")):
        denoiser = opened(threads, profile).denoiser
        for name in parts:
            given = step(BATCHES[name])
            ours = partial(denoiser, *(part.numpy() for part in given))
            found[name + words] = in_turns(ours, partial(dit, *given), runs)
            del ours
        del denoiser
    return found


def codecs(weights: Path, opened: Opened, parts: Sequence[str], threads: int, runs: int) -> Figures:
    if not parts:
        return {}
    oobleck, codec = opened_autoencoder(OobleckConfig(), weights), opened(threads, "best").codec
    noise = torch.Generator().manual_seed(0)
    waves = torch.randn(1, 1, FRAMES * codec.hop, generator=noise)
    latents = torch.randn(1, 64, FRAMES, generator=noise)
    calls = {
        "encode": (partial(codec.encode, waves[0].numpy()), partial(oobleck.encode_mean, waves)),
        "decode": (partial(codec.decode, latents.numpy()), partial(oobleck.decode, latents)),
    }
    return {name: in_turns(*calls[name], runs) for name in parts}


def step(batch: int) -> tuple[torch.Tensor, ...]:
    """Latents, levels and conditions of a batch."""
    conditions = torch.nn.functional.normalize(torch.randn(batch, 3, 512), dim=2)
    return torch.randn(batch, 3, 64, FRAMES), torch.rand(batch, 3), conditions


def in_turns(ours: Callable[[], Any], theirs: Callable[[], Any], runs: int) -> dict[str, float]:
    """Medians; the first of either is not counted."""
    rounds = [(timed(ours), timed(theirs)) for _ in range(runs + 1)][1:]
    return {"ours": median(a for a, _ in rounds), "torch": median(b for _, b in rounds)}


def timed(call: Callable[[], Any]) -> float:
    """CPU seconds."""
    begin = time.process_time()
    call()
    return time.process_time() - begin
