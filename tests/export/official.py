"""A small model of the official kind, as the checkpoint files it may come in."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stemwright.engine.models.dit import Dit, DitConfig
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig
from stemwright.export.family import Family

State = dict[str, Tensor]

DIT = DitConfig(latent_channels=4, condition_width=8, width=48, depth=2, heads=6, level_features=16)
OOBLECK = OobleckConfig(rate=16000, channels=4, latent_channels=4, multiples=(1, 2, 2), strides=(4, 8, 8))
SMALL = Family(name="small", window=12, denoiser=DIT, autoencoder=OOBLECK)
STEREO = Family(
    name="stereo",
    window=9,
    denoiser=DIT,
    autoencoder=OobleckConfig(
        rate=44100,
        audio_channels=2,
        channels=4,
        latent_channels=4,
        multiples=(1, 2, 2, 3),
        strides=(2, 4, 8, 8),
    ),
)


def sizes_of(family: Family) -> dict[str, Any]:
    """What a file of sizes says of it."""
    found = asdict(family)
    return {**found, "tracks": list(family.tracks)}


def checkpoint(family: Family = SMALL, seed: int = 1) -> State:
    """Random weights under the keys of an unwrapped checkpoint."""
    torch.manual_seed(seed)
    dit, autoencoder = shaken(Dit(family.denoiser)), shaken(Oobleck(family.autoencoder))
    return {f"model_dit.{key}": tensor for key, tensor in dit.items()} | {
        f"pretransform.model.{key}": tensor for key, tensor in autoencoder.items()
    }


def shaken(module: torch.nn.Module) -> State:
    """Its state; no weight is left at zero or one, so that no layer goes unheard."""
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.05)
    return module.state_dict()


def saved(state: State, path: Path) -> Path:
    """As the authors' unwrap_model.py saves it."""
    torch.save({"state_dict": state}, path)
    return path
