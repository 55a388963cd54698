"""What training minimises: the paper's v-objective on the noised tracks, and three losses on the mask
that the predicted tracks make, because a mask on the mixture is what a user hears."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from stemwright.engine.train.features import Batch, Tables, decode

# mix, submix, source: 1 where a track is noised. Extract, generate, add, accompany (MGE-LDM section 3.2)
PATTERNS = torch.tensor([[0, 1, 1], [1, 1, 1], [1, 0, 1], [1, 1, 0]], dtype=torch.float32)
EXTRACT = 0
SHARPNESS = 1.0  # exponent of the mask; of uncertain log amplitudes, 2 makes one that is too sure of itself
QUIETEST = 3e-4  # errors below −35 dB of the mixture do not count


@dataclass(frozen=True)
class Weights:
    """Shares of patterns, of pure-noise starts, and of the losses."""

    patterns: tuple[float, float, float, float] = (0.78, 0.08, 0.08, 0.06)
    pure_noise: float = 0.65  # extraction examples at τ = 1, where one step decides
    mask: float = 6.0
    level: float = 0.2
    shape: float = 0.5


@dataclass(frozen=True)
class Noised:
    """A batch with noise: `pattern` (B,), `levels` (B, S), noised `latents` and the `velocity` to predict."""

    pattern: Tensor
    levels: Tensor
    latents: Tensor
    velocity: Tensor


@dataclass(frozen=True)
class Losses:
    """Means over the batch; `total` has the gradient."""

    total: Tensor
    by_pattern: dict[int, list[float]]
    mask: float
    error: float  # dB below the mixture


def add_noise(latents: Tensor, weights: Weights, generator: torch.Generator) -> Noised:
    """Draw a pattern and a level for each example; z_τ = cos(πτ/2) z + sin(πτ/2) ε.

    The generator is on the device of the latents.
    """
    size, device = len(latents), generator.device
    chances = torch.tensor(weights.patterns, device=device)
    pattern = torch.multinomial(chances, size, replacement=True, generator=generator)
    level = torch.rand(size, generator=generator, device=device) * 0.98 + 0.02
    share = torch.where(pattern == EXTRACT, weights.pure_noise, 0.1)
    level = torch.where(torch.rand(size, generator=generator, device=device) < share, 1.0, level)
    levels = PATTERNS.to(device)[pattern] * level[:, None]
    signal, noise = rates(levels)
    epsilon = torch.randn(latents.shape, generator=generator, device=device)
    return Noised(pattern, levels, signal * latents + noise * epsilon, signal * epsilon - noise * latents)


def rates(levels: Tensor) -> tuple[Tensor, Tensor]:
    """(α, σ) of levels (B, S), each (B, S, 1, 1)"""
    angle = (levels * torch.pi / 2)[..., None, None]
    return angle.cos(), angle.sin()


def losses(predicted: Tensor, noised: Noised, batch: Batch, tables: Tables, weights: Weights) -> Losses:
    """predicted (B, S, C, T) v. Only noised tracks count."""
    counted = PATTERNS.to(predicted.device)[noised.pattern]
    each = ((predicted - noised.velocity).square().mean(dim=(2, 3)) * counted).sum(1) / counted.sum(1)
    total = each.mean()
    rows = noised.pattern == EXTRACT
    mask_loss = error = torch.zeros(())
    if bool(rows.any()):
        signal, noise = rates(noised.levels[rows])
        clean = signal * noised.latents[rows] - noise * predicted[rows]
        mask = predicted_mask(clean, tables)
        with torch.no_grad():
            ideal = predicted_mask(batch.latents[rows], tables)
        mask_loss = amplitude_weighted(mask, ideal, batch.powers[rows, 0])
        error = relative_error(mask, batch.powers[rows]).log()
        shape = unlikeness(mask, batch.powers[rows], error)
        total = total + weights.mask * mask_loss + weights.level * error.mean() + weights.shape * shape.mean()
        error = error.mean()
    by_pattern = {kind: each[noised.pattern == kind].tolist() for kind in range(len(PATTERNS))}
    return Losses(total, by_pattern, float(mask_loss.detach()), float(error.detach()) * 4.343)


def predicted_mask(latents: Tensor, tables: Tables) -> Tensor:
    """(B, 3, C, T) → (B, 96, M): the source's share of the mixture, band by band"""
    return torch.sigmoid(SHARPNESS * decode(latents[:, 2] - latents[:, 1], tables))


def amplitude_weighted(mask: Tensor, ideal: Tensor, mixture_power: Tensor) -> Tensor:
    """Mean squared error of the mask, where the mixture is loud."""
    loud = mixture_power.sqrt()
    loud = loud / loud.mean(dim=(1, 2), keepdim=True).clamp_min(1e-6)
    return (loud * (mask - ideal).square()).mean()


def relative_error(mask: Tensor, powers: Tensor) -> Tensor:
    """(B,) energy of (mask × mixture − source) over the mixture's, exact for a mask constant within a band.

    |MX − S|² = M²|X|² − 2M Re(XS*) + |S|², and 2 Re(XS*) = |X|² + |S|² − |X − S|².
    """
    mixture, rest, source = powers.unbind(dim=1)
    error = mask.square() * mixture - mask * (mixture + source - rest) + source
    whole = mixture.sum(dim=(1, 2)).clamp_min(1e-3)
    return error.sum(dim=(1, 2)).clamp_min(0) / whole + QUIETEST


def unlikeness(mask: Tensor, powers: Tensor, error: Tensor) -> Tensor:
    """(B,) minus the SI-SDR in nepers of power, or, of a source that is silent, the logarithm of its error.

    An uncertain mask lowers its error by vanishing; here it must still point the right way.
    """
    is_silent = powers[:, 2].sum(dim=(1, 2)) < 1e-4 * powers[:, 0].sum(dim=(1, 2))
    return torch.where(is_silent, error, -likeness(mask, powers) * math.log(10) / 10)


def likeness(mask: Tensor, powers: Tensor) -> Tensor:
    """(B,) SI-SDR in dB of mask × mixture against the source, from band powers; phase errors are counted."""
    mixture, rest, source = powers.unbind(dim=1)
    inner = (mask * (mixture + source - rest) / 2).sum(dim=(1, 2))
    outer = (mask.square() * mixture).sum(dim=(1, 2)) * source.sum(dim=(1, 2))
    explained = (inner.square() / outer.clamp_min(1e-9)).clamp(1e-4, 1 - 1e-4)  # −40 to 40 dB
    return 10 * torch.log10(explained / (1 - explained))
