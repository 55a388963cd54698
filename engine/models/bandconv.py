"""The compact denoiser: a two-dimensional convolutional network over band groups × latent frames.

It learns several times faster than a transformer at a few million parameters, because neighbouring bands
and frames explain each other. Blocks are ConvNeXt-like (Liu et al. 2022) with AdaLN-zero modulation (Peebles
and Xie 2023). Between them, attention finds the same sound elsewhere in time. Nothing counts latent frames,
so any number of them goes.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange, repeat
from torch import Tensor, nn

Depthwise = Callable[[Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class BandConvConfig:
    """Sizes of the network; the defaults are the shipped model's."""

    tracks: int = 3
    groups: int = 12  # band groups: the frequency axis of the convolutions
    coefficients: int = 16  # latents per group and frame
    width: int = 128
    depth: int = 12
    kernel: tuple[int, int] = (11, 5)  # groups × frames
    expansion: int = 4
    attend_every: int = 3  # blocks between attentions over time; 0: none
    heads: int = 4
    conditioning: int = 384  # D
    hidden: int = 384  # width of the condition's own layers
    octaves: int = 16  # Fourier features of a noise level


def depthwise(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Each channel of (B, width, groups, T) convolved on its own, same size out."""
    height, length = weight.shape[2:]
    return F.conv2d(x, weight, bias, padding=(height // 2, length // 2), groups=len(weight))


class Block(nn.Module):
    """Depthwise convolution, then two layers on each cell; the condition scales, shifts and gates."""

    def __init__(self, config: BandConvConfig, convolve: Depthwise) -> None:
        super().__init__()
        width = config.width
        self.convolve = convolve
        self.kernel = nn.Parameter(torch.randn(width, 1, *config.kernel) * 0.05)
        self.bias = nn.Parameter(torch.zeros(width))
        self.modulation = nn.Linear(config.hidden, 3 * width)
        self.up = nn.Linear(width, config.expansion * width)
        self.down = nn.Linear(config.expansion * width, width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, groups, T, width), condition (B, hidden) → as x"""
        scale, shift, gate = self.modulation(condition)[:, None, None].chunk(3, dim=-1)
        mixed = self.convolve(x.permute(0, 3, 1, 2), self.kernel, self.bias).permute(0, 2, 3, 1)
        normed = F.layer_norm(mixed, (x.shape[-1],)) * (1 + scale) + shift
        out: Tensor = x + gate * self.down(F.silu(self.up(normed)))
        return out


class Attention(nn.Module):
    """Attention over time within each band group; the condition scales, shifts and gates, as in Block.

    Queries and keys are normalised, which keeps their products small at high learning rates. Places in time
    are told apart by the convolutions around it.
    """

    def __init__(self, config: BandConvConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.modulation = nn.Linear(config.hidden, 3 * config.width)
        self.seek = nn.Linear(config.width, 3 * config.width)
        self.gather = nn.Linear(config.width, config.width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """x (B, groups, T, width), condition (B, hidden) → as x"""
        scale, shift, gate = self.modulation(condition)[:, None, None].chunk(3, dim=-1)
        normed = F.layer_norm(x, (x.shape[-1],)) * (1 + scale) + shift
        parts = rearrange(self.seek(normed), "b g t (n h d) -> n b g h t d", n=3, h=self.heads)
        query, key = (F.layer_norm(part, (part.shape[-1],)) for part in parts[:2])
        weights = (query @ key.transpose(-1, -2) * key.shape[-1] ** -0.5).softmax(dim=-1)
        found = rearrange(weights.to(parts.dtype) @ parts[2], "b g h t d -> b g t (h d)")
        out: Tensor = x + gate * self.gather(found)
        return out


class BandConv(nn.Module):
    """The Denoiser contract in torch: (B, S, C, T) latents, (B, S) levels, (B, S, D) conditions → v."""

    def __init__(self, config: BandConvConfig, convolve: Depthwise = depthwise) -> None:
        super().__init__()
        self.config = config
        tracks, width, hidden = config.tracks, config.width, config.hidden
        cell = tracks * config.coefficients
        self.enter = nn.Linear(cell + tracks, width)
        self.place = nn.Parameter(torch.randn(config.groups, 1, width) * 0.1)
        self.prompts = nn.ModuleList(nn.Linear(config.conditioning, hidden) for _ in range(tracks))
        self.unprompted = nn.Parameter(torch.zeros(tracks, config.conditioning))
        self.noise = nn.Sequential(
            nn.Linear(2 * tracks * config.octaves, hidden), nn.SiLU(), nn.Linear(hidden, hidden)
        )
        self.join = nn.Sequential(nn.SiLU(), nn.Linear(hidden, hidden), nn.SiLU())
        self.colours = nn.ModuleList(nn.Linear(hidden, config.groups * width) for _ in range(2))
        self.blocks = nn.ModuleList(Block(config, convolve) for _ in range(config.depth))
        every = config.attend_every or config.depth
        attending = range(every, config.depth, every)  # counted in blocks that came before
        self.attentions = nn.ModuleDict({str(count): Attention(config) for count in attending})
        self.leave = nn.Linear(width, cell)
        self.skips = nn.Linear(hidden, tracks * tracks * config.groups * config.coefficients)
        for layer in (*self.colours, self.leave, self.skips):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def condition(self, levels: Tensor, conditions: Tensor) -> Tensor:
        """(B, S), (B, S, D) → (B, hidden); a row of zeros is replaced by the learned unprompted one"""
        octaves = torch.pi / 4 * 2 ** torch.arange(self.config.octaves, device=levels.device)
        angles = levels[..., None] * octaves
        waves = rearrange([angles.sin(), angles.cos()], "two b s o -> b (s two o)")
        is_prompted = conditions.abs().amax(dim=-1, keepdim=True) > 0
        filled = torch.where(is_prompted, conditions, self.unprompted)
        summed: Tensor = self.noise(waves)
        for track, layer in enumerate(self.prompts):
            summed = summed + layer(filled[:, track])
        joined: Tensor = self.join(summed)
        return joined

    def forward(self, latents: Tensor, levels: Tensor, conditions: Tensor) -> Tensor:
        groups, tracks = self.config.groups, self.config.tracks
        condition = self.condition(levels, conditions)
        cells = rearrange(latents, "b s (g k) t -> b g t (s k)", g=groups)
        marks = repeat(levels, "b s -> b g t s", g=groups, t=latents.shape[-1])
        x = self.enter(torch.cat([cells, marks], dim=-1)) + self.place
        for count, block in enumerate(self.blocks):
            if count in (0, len(self.blocks) // 2):
                colour = self.colours[0 if count == 0 else 1](condition)
                x = x + rearrange(colour, "b (g w) -> b g 1 w", g=groups)
            if str(count) in self.attentions:
                x = self.attentions[str(count)](x, condition)
            x = block(x, condition)
        out: Tensor = self.leave(F.layer_norm(x, (x.shape[-1],)))
        gates = rearrange(self.skips(condition), "b (o i c) -> b o i c 1", o=tracks, i=tracks)
        carried: Tensor = (gates.float() * latents[:, None]).sum(dim=2)
        return rearrange(out.float(), "b g t (s k) -> b s (g k) t", s=tracks) + carried
