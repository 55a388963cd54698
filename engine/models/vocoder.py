"""The vocoder: log bands → waveform, with a phase.

A ConvNeXt trunk over spectrum frames and an inverse STFT as its head, in the way of Vocos (Siuzdak 2023). It
does not predict absolute phases: a steady tone looks the same in every frame, so its phase cannot be seen
there. It predicts how fast each bin turns; turns are summed over time; then neighbouring bins are locked to
the strongest of them, as in Puckette's phase-locked vocoder (1995): the bins of one partial share a phase.
All of it is ordinary tensor work, the inverse STFT too, so the graph runs wherever matrices do.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stemwright.engine.models.frameconv import FrameBlock
from stemwright.engine.spectral import BANDS, BINS, FFT, STRIDE, analysis_window, band_weights

SHIFTS = FFT // STRIDE
LOUDEST = 8.0  # log amplitude; a full-scale sine has 5.5
QUIETEST = 1e-6


@dataclass(frozen=True)
class VocoderConfig:
    """Sizes of the network; the defaults are the shipped model's."""

    width: int = 192
    depth: int = 6
    kernel: int = 7  # spectrum frames
    expansion: int = 3
    floor: float = 0.27  # of the codec's logarithm
    lock: int = 2  # bins on each side that a strong bin pulls to its phase

    @property
    def hush(self) -> float:
        """Added to amplitudes before a logarithm; a tenth of the codec's floor"""
        return 0.1 * self.floor


@dataclass(frozen=True)
class Spectrum:
    """What the network says of each frame and bin, all (B, M, 513).

    logs    log(amplitude + hush), hush a tenth of the codec's floor
    turns   how far the phase has turned since the frame before, beyond the bin's own frequency; quarter turns
    cosine  real and
    sine    imaginary part of a unit phasor; phases are those of the window's centre
    """

    logs: Tensor
    turns: Tensor
    cosine: Tensor
    sine: Tensor


class Vocoder(nn.Module):
    """Log bands (B, 96, M), those of `SpectralCodec.bands`, → waves (B, M × 256) and their amplitudes."""

    spread: Tensor
    inverse: Tensor
    squares: Tensor

    def __init__(self, config: VocoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or VocoderConfig()
        width, depth = self.config.width, self.config.depth
        kernel, expansion = self.config.kernel, self.config.expansion
        self.enter = nn.Conv1d(BANDS, width, kernel, padding=kernel // 2)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(FrameBlock(width, kernel, expansion, 1 / depth) for _ in range(depth))
        self.last_norm = nn.LayerNorm(width)
        self.loudness = nn.Linear(width, BINS)
        self.speed = nn.Linear(width, BINS)
        self.set_phase = nn.Linear(width, 2 * BINS)
        for layer in (self.loudness, self.speed, self.set_phase):
            nn.init.normal_(layer.weight, std=0.005)
            nn.init.zeros_(layer.bias)
        self.register_buffer("spread", torch.from_numpy(band_weights()), persistent=False)
        self.register_buffer("inverse", inverse_basis(), persistent=False)
        self.register_buffer("squares", torch.from_numpy(analysis_window()) ** 2, persistent=False)

    def forward(self, bands: Tensor) -> tuple[Tensor, Tensor]:
        """The waves, and the amplitudes (B, 513, M) that they were made with"""
        found = self.spectrum(bands)
        return self.waves(found), rearrange(self.amplitudes(found), "b m f -> b f m")

    def trunk(self, bands: Tensor) -> Tensor:
        """(B, 96, M) → (B, M, width)"""
        silence = float(np.log(self.config.floor))
        x = self.norm(rearrange(self.enter((bands - silence) / 2), "b w m -> b m w"))
        for block in self.blocks:
            x = block(x)
        return self.last_norm(x)  # type: ignore[no-any-return]

    def heads(self, bands: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What the network learns, each (B, M, …): change of log amplitude, turns, phases that are set"""
        x = self.trunk(bands)
        return self.loudness(x), self.speed(x), self.set_phase(x)

    def spectrum(self, bands: Tensor) -> Spectrum:
        return self.resolved(bands, *self.heads(bands))

    def resolved(self, bands: Tensor, louder: Tensor, turns: Tensor, settled: Tensor) -> Spectrum:
        """The heads' outputs made a spectrum, in full precision"""
        logs = LOUDEST - F.softplus(LOUDEST - self.start(bands) - louder)
        real, imaginary = settled.chunk(2, dim=-1)
        phase = self.turned(turns.detach())  # a sum over time: gradients through it would drown all others
        power = torch.exp(2 * logs.detach())  # phases have no say in amplitudes
        cosine = self.pulled(power * (phase.cos() + real))
        sine = self.pulled(power * (phase.sin() + imaginary))
        length = torch.sqrt(cosine * cosine + sine * sine + QUIETEST**2)
        return Spectrum(logs, turns, cosine / length, sine / length)

    def start(self, bands: Tensor) -> Tensor:
        """The bands spread over the bins, the codec's floor taken off, (B, M, 513) log(amplitude + hush)"""
        floor = self.config.floor
        spread = rearrange(bands, "b k m -> b m k") @ self.spread
        return torch.log(F.relu(torch.exp(spread) - floor) + self.config.hush)

    def turned(self, turns: Tensor) -> Tensor:
        """(B, M, 513) quarter turns → phases, 0 in the first frame; a bin's own turn is its number mod 4"""
        frames = torch.arange(turns.shape[1], device=turns.device)[:, None]
        own = torch.remainder(frames * torch.arange(BINS, device=turns.device), SHIFTS)
        return (torch.cumsum(turns, dim=1) - turns[:, :1] + own) * (torch.pi / 2)

    def pulled(self, parts: Tensor) -> Tensor:
        """(B, M, 513): every bin takes the phase of what is strong near it, the nearest counting most"""
        reach, bins = self.config.lock, parts.shape[-1]
        padded = F.pad(parts, (reach, reach))
        total = (reach + 1) * parts
        for side in range(1, reach + 1):
            below, above = padded[..., reach - side :][..., :bins], padded[..., reach + side :][..., :bins]
            total = total + (reach + 1 - side) * (below + above)
        return total

    def amplitudes(self, spectrum: Spectrum) -> Tensor:
        """(B, M, 513), what is quiet enough exactly zero"""
        return F.relu(torch.exp(spectrum.logs) - self.config.hush)

    def waves(self, spectrum: Spectrum) -> Tensor:
        """Inverse STFT, (B, M × 256)"""
        amplitudes = self.amplitudes(spectrum)
        return self.inverted(amplitudes * spectrum.cosine, amplitudes * spectrum.sine)

    def basis(self) -> Tensor:
        """(1026, 1024), `inverse_basis`"""
        return self.inverse

    def inverted(self, real: Tensor, imaginary: Tensor) -> Tensor:
        """(B, M, 513) twice, phases at the window's centre → (B, M × 256)"""
        frames = torch.cat([real, imaginary], dim=-1) @ self.basis()
        envelope = self.squares.expand(1, real.shape[1], FFT)
        return overlap_added(frames) / overlap_added(envelope).clamp_min(QUIETEST)


def overlap_added(frames: Tensor) -> Tensor:
    """(B, M, 1024) → (B, M × 256), frame m centred on audio frame m × 256; by padding and sums alone"""
    parts = rearrange(frames, "b m (s h) -> b m s h", s=SHIFTS)
    shifted = [F.pad(parts[:, :, shift], (0, 0, shift, SHIFTS - 1 - shift)) for shift in range(SHIFTS)]
    total = shifted[0] + shifted[1] + shifted[2] + shifted[3]
    return rearrange(total[:, SHIFTS // 2 : 1 - SHIFTS // 2], "b m h -> b (m h)")


def inverse_basis() -> Tensor:
    """(1026, 1024): 513 real then 513 imaginary parts times this are a windowed frame"""
    bins, frames = np.arange(BINS)[:, None], np.arange(FFT)[None]
    angles = 2 * np.pi * bins * (frames - FFT // 2) / FFT
    shares = np.where((bins == 0) | (bins == BINS - 1), 1.0, 2.0) / FFT  # the outer bins have no mirror image
    basis = np.concatenate([shares * np.cos(angles), -shares * np.sin(angles)]) * analysis_window()
    return torch.from_numpy(basis.astype(np.float32))
