"""What a checkpoint may be: the published model, or another of its kind by a file that gives its sizes.

A file of sizes is JSON, every field optional, those of the published model where it is silent:

    {"name": "wide", "window": 108, "tracks": ["mix", "submix", "source"],
     "denoiser": {"latent_channels": 64, "width": 1536, …},
     "autoencoder": {"rate": 44100, "audio_channels": 2, "strides": [2, 4, 4, 8, 8], …}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from stemwright.engine.errors import BadInput
from stemwright.engine.models.dit import DitConfig
from stemwright.engine.models.oobleck import OobleckConfig
from stemwright.engine.spectral import STRIDE
from stemwright.engine.tracks import TrackSet

Sizes = TypeVar("Sizes", DitConfig, OobleckConfig)
LARGEST_WINDOW = 4096  # latent frames


@dataclass(frozen=True)
class Family:
    """A model as its configuration has it.

    window  latent frames it was trained at
    """

    name: str = "mge-ldm"
    window: int = 100
    tracks: tuple[str, ...] = ("mix", "submix", "source")
    denoiser: DitConfig = field(default_factory=DitConfig)
    autoencoder: OobleckConfig = field(default_factory=OobleckConfig)


FAMILIES = {"mge-ldm": Family()}


def family(named: str) -> Family:
    """By its name, or by the path of a file with its sizes."""
    if named in FAMILIES:
        return FAMILIES[named]
    path = Path(named)
    if not path.is_file():
        raise BadInput(
            f"--as {named}: neither a known model ({', '.join(FAMILIES)}) nor a file with sizes. "
            "Choose one of these, or give the path of a JSON file."
        )
    try:
        content = json.loads(path.read_text("utf-8"))
        return checked(read(content), path)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(f"--as {named}: its sizes cannot be used ({error}). Correct the file.") from error


def read(content: dict[str, Any]) -> Family:
    plain = {name: value for name, value in content.items() if name not in ("denoiser", "autoencoder")}
    refuse_strangers(plain, Family)
    if "tracks" in plain:
        plain["tracks"] = TrackSet(tuple(map(str, plain["tracks"]))).names
    return Family(
        **plain,
        denoiser=sized(DitConfig(), content.get("denoiser", {})),
        autoencoder=sized(OobleckConfig(), content.get("autoencoder", {})),
    )


def sized(plain: Sizes, content: dict[str, Any]) -> Sizes:
    """The published sizes with those of the file."""
    refuse_strangers(content, type(plain))
    tuples: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in content.items()
    }
    return replace(plain, **tuples)


def refuse_strangers(content: dict[str, Any], kind: type) -> None:
    strangers = sorted(set(content) - {one.name for one in fields(kind)})
    if strangers:
        raise ValueError(f"unknown: {', '.join(strangers)}")


def checked(found: Family, path: Path) -> Family:
    """Sizes that contradict each other, or that no part of ours can run, are refused here."""
    denoiser, autoencoder = found.denoiser, found.autoencoder
    strides, multiples = autoencoder.strides, autoencoder.multiples
    told = {
        f"the denoiser is of {denoiser.tracks} tracks, and {len(found.tracks)} are named": denoiser.tracks
        != len(found.tracks),
        f"the denoiser's latents have {denoiser.latent_channels} channels, the autoencoder's "
        f"{autoencoder.latent_channels}": denoiser.latent_channels != autoencoder.latent_channels,
        f"the width {denoiser.width} is no multiple of the tracks, or of two channels a head": denoiser.width
        % denoiser.tracks
        != 0
        or denoiser.width % (2 * denoiser.heads) != 0,
        "strides are even numbers": any(stride % 2 for stride in strides),
        f"there are {len(strides)} strides and {len(multiples)} multiples": len(strides) != len(multiples),
        f"a latent frame is {autoencoder.hop} frames; it takes a multiple of {STRIDE}": autoencoder.hop
        % STRIDE
        != 0,
        f"a window is 1 to {LARGEST_WINDOW} latent frames": not 1 <= found.window <= LARGEST_WINDOW,
        "a name is letters, digits, '-', '_' or '.'": not plain_name(found.name),
    }
    wrong = [why for why, is_wrong in told.items() if is_wrong]
    if wrong:
        raise BadInput(f"--as {path}: {'; '.join(wrong)}. Correct the file.")
    return found


def plain_name(name: str) -> bool:
    """Whether a name can be a folder's everywhere."""
    return 0 < len(name) <= 64 and name[0].isalnum() and all(one.isalnum() or one in "-_." for one in name)
