"""The trained vocoder as a graph: bands (B, 96, M) → waves (B, M × 256) and their amplitudes (B, 513, M)."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from stemwright.engine.models.vocoder import Vocoder
from stemwright.engine.spectral import BANDS, BINS, FFT
from stemwright.engine.train.packed_graph import Packed, export_graph, save_halves
from stemwright.engine.train.vocoder import read_vocoder


class PackedVocoder(Packed):
    """The inverse STFT's basis, 4 MB, is made of 1024 cosines when the graph is loaded."""

    cosines: Tensor
    window: Tensor

    def __init__(self, network: Vocoder) -> None:
        super().__init__(network)
        self.register_buffer(
            "cosines", torch.cos(torch.arange(FFT, dtype=torch.float64) * 2 * torch.pi / FFT).float()
        )
        self.register_buffer("window", network.squares.sqrt())

    def basis(self) -> Tensor:
        """(1026, 1024), as models.vocoder.inverse_basis"""
        bins, frames = torch.arange(BINS)[:, None], torch.arange(FFT)[None] - FFT // 2
        places = torch.remainder(bins * frames, FFT)
        is_outer = (bins == 0) | (bins == BINS - 1)
        shares = torch.where(is_outer, 1.0, 2.0) / FFT * self.window
        quarter = torch.remainder(places + FFT // 4, FFT)  # -sine is the cosine a quarter turn on
        return torch.cat([shares * self.cosines[places], shares * self.cosines[quarter]])

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        replaced = {**self.widened(), "inverse": self.basis()}
        made: tuple[Tensor, Tensor] = functional_call(self.held[0], replaced, (bands,))
        return made


def export_vocoder(weights: Path, folder: Path) -> Path:
    """From a run's folder: `vocoder.onnx` and `vocoder.safetensors`, both with weights in half precision."""
    network = read_vocoder(weights)
    folder.mkdir(parents=True, exist_ok=True)
    save_halves(network, folder / "vocoder.safetensors")
    path = folder / "vocoder.onnx"
    axes = {0: "batch", 2: "frames"}
    export_graph(
        PackedVocoder(network),
        torch.zeros(2, BANDS, 24),
        path,
        inputs={"bands": axes},
        outputs=["waves", "amplitudes"],
    )
    return path
