"""The trained audio tower as a graph: latents (B, C, T) → embedding (B, D), unit length."""

from __future__ import annotations

from pathlib import Path

import torch

from stemwright.engine.train.audio_tower import read_audio_tower
from stemwright.engine.train.packed_graph import Packed, export_graph, save_halves


def export_audio_tower(weights: Path, folder: Path) -> Path:
    """From a run's folder: `audio.onnx` and `audio.safetensors`, both with weights in half precision."""
    network = read_audio_tower(weights)
    folder.mkdir(parents=True, exist_ok=True)
    save_halves(network, folder / "audio.safetensors")
    path = folder / "audio.onnx"
    example = torch.zeros(2, network.config.channels, 24)
    inputs = {"latents": {0: "batch", 2: "frames"}}
    export_graph(Packed(network), example, path, inputs=inputs, outputs=["embedding"])
    return path
