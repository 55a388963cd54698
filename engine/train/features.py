"""Audio → latents and band powers, in torch, for a whole training batch at once."""

from dataclasses import dataclass

import torch
from einops import rearrange
from torch import Tensor

from stemwright.engine import spectral
from stemwright.engine.spectral import SpectralCodec


@dataclass(frozen=True)
class Tables:
    """The codec's numbers as tensors."""

    window: Tensor  # (1024,)
    weights: Tensor  # (96, 513), columns sum to 1
    means: Tensor  # (96, 1)
    analysis: Tensor  # (64, kept)
    synthesis: Tensor  # (kept, 64)
    floor: float

    @classmethod
    def of(cls, codec: SpectralCodec) -> "Tables":
        return cls(
            window=torch.from_numpy(spectral.analysis_window()),
            weights=torch.from_numpy(spectral.band_weights()),
            means=torch.tensor(codec.means)[:, None],
            analysis=torch.from_numpy(codec.analysis),
            synthesis=torch.from_numpy(codec.synthesis),
            floor=codec.floor,
        )

    def to(self, device: torch.device) -> "Tables":
        return Tables(
            window=self.window.to(device),
            weights=self.weights.to(device),
            means=self.means.to(device),
            analysis=self.analysis.to(device),
            synthesis=self.synthesis.to(device),
            floor=self.floor,
        )


@dataclass(frozen=True)
class Batch:
    """latents (B, 3, C, T) of mix, submix, source; their band powers (B, 3, 96, M), summed over bins."""

    latents: Tensor
    powers: Tensor


def spectrum(waves: Tensor, tables: Tables) -> Tensor:
    """(B, N) → (B, 513, N / 256) complex"""
    framed = torch.stft(
        waves, spectral.FFT, spectral.STRIDE, window=tables.window, center=True, return_complex=True
    )
    return framed[..., : waves.shape[-1] // spectral.STRIDE]


def random_tilts(count: int, generator: torch.Generator) -> Tensor:
    """(count, 513, 1) smooth random amplitude curves of a few dB: another room, microphone or equaliser.

    On the generator's device.
    """
    knots = torch.randn(count, 1, 10, generator=generator, device=generator.device) * 4  # dB
    curve = torch.nn.functional.interpolate(knots, spectral.BINS, mode="linear", align_corners=True)
    return 10 ** (rearrange(curve, "b 1 f -> b f 1") / 20)


def encode(logs: Tensor, tables: Tables) -> Tensor:
    """(…, 96, M) log(amplitude + floor) → (…, C, T)"""
    patches = rearrange(
        logs - tables.means, "... (g i) (t j) -> ... g t (i j)", i=spectral.PATCH, j=spectral.PATCH
    )
    return rearrange(patches @ tables.analysis, "... g t k -> ... (g k) t")


def decode(latents: Tensor, tables: Tables) -> Tensor:
    """(…, C, T) → (…, 96, M), without the band means: differences of latents decode to differences of logs"""
    grouped = rearrange(latents, "... (g k) t -> ... g t k", g=spectral.GROUPS)
    patches = grouped @ tables.synthesis
    return rearrange(patches, "... g t (i j) -> ... (g i) (t j)", i=spectral.PATCH)


def batch_of(
    rest: Tensor, source: Tensor, tables: Tables, tilts: tuple[Tensor, Tensor] | None = None
) -> Batch:
    """(B, N) waveforms of the rest and of the source, whose sum is the mixture → what a step needs."""
    submix, wanted = spectrum(rest, tables), spectrum(source, tables)
    if tilts is not None:
        submix, wanted = submix * tilts[0], wanted * tilts[1]
    bins = [part.real.square() + part.imag.square() for part in (submix + wanted, submix, wanted)]
    powers = tables.weights @ torch.stack(bins, dim=1)
    means = powers / tables.weights.sum(dim=1, keepdim=True)
    return Batch(encode(torch.log(means.sqrt() + tables.floor), tables), powers)
