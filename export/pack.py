"""Trained parts → a model folder that opens, verified."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemwright.engine.errors import BadInput
from stemwright.engine.manifest import Manifest
from stemwright.engine.modelfiles import write_manifest
from stemwright.engine.modelfolder import open_model
from stemwright.engine.models.bandconv import BandConv, BandConvConfig
from stemwright.engine.rivals import names_and_words
from stemwright.engine.spectral import HOP, RATE
from stemwright.export.graph import export_graph
from stemwright.export.networks import WINDOW, denoiser

RIVALS = "rivals.npy"


@dataclass(frozen=True)
class Parts:
    """Where the trained parts lie.

    run      folder of a diffusion run: mean.safetensors and settings.json
    codec    JSON with the codec's tables
    others   folders whose files are taken over as they are (text tower, audio tower, vocoder)
    about    JSON: name, licence, defaults, provenance, quality, and the manifest's parts of `others`
    """

    run: Path
    codec: Path
    others: tuple[Path, ...]
    about: Path


def pack(parts: Parts, folder: Path) -> Manifest:
    """Write the model folder, next to its place first, so that no half-made one is ever there."""
    if folder.exists():
        raise BadInput(f"{folder}: is there already. Choose another folder, or remove it first.")
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        for other in parts.others:
            copy_files(other, part)
        config = export_denoiser(parts.run, part)
        names = [path.relative_to(part).as_posix() for path in sorted(part.rglob("*")) if path.is_file()]
        made = write_manifest(part, content(parts, config), names)
        if made.rivals is not None:
            made = with_rival_points(part, content(parts, config), names)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return made


def with_rival_points(folder: Path, content: dict[str, Any], names: list[str]) -> Manifest:
    """Embed the rivals' words once, so that no start of the engine has to."""
    model = open_model(folder, threads=1)
    assert model.manifest.rivals is not None
    _, texts = names_and_words(model.manifest.rivals.prompts)
    np.save(folder / RIVALS, model.conditioner.text(texts).astype(np.float16))
    content["rivals"] = {**content["rivals"], "points": RIVALS}
    return write_manifest(folder, content, [*names, RIVALS])


def copy_files(source: Path, folder: Path) -> None:
    for path in sorted(source.iterdir()):
        if path.is_file():
            shutil.copyfile(path, folder / path.name)


def export_denoiser(run: Path, folder: Path) -> BandConvConfig:
    ((network, spec),) = denoiser(run)
    assert isinstance(network, BandConv)
    export_graph(network, spec, folder)
    return network.config


def content(parts: Parts, config: BandConvConfig) -> dict[str, Any]:
    """The manifest without its hashes."""
    codec = json.loads(parts.codec.read_text("utf-8"))
    network = {"kind": "bandconv", "graph": "denoiser.onnx", "weights": "denoiser.safetensors"}
    return {
        "family": "bandconv",
        "tracks": ["mix", "submix", "source"],
        "rate": RATE,
        "hop": HOP,
        "window": WINDOW,
        "level": -20.0,
        "codec": {"kind": "spectral", **codec},
        "denoiser": {**network, "network": asdict(config)},
        **json.loads(parts.about.read_text("utf-8")),
    }
