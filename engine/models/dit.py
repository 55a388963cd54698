"""The denoiser of the official MGE-LDM: one transformer over the latent frames of all tracks at once.

Tracks meet only in the dense layers (attention, feed-forward, in and out); norms, level, condition and FiLM
stay per track. The noise levels enter as one extra token in front of the T latent frames. Group norms take
their statistics over all of time, that token included, so an output frame depends on the length: never pad to
make a batch.

W width · L depth · everything else as in `contracts`. Attribute names follow the checkpoint's keys.

MGE-LDM (arXiv 2505.23305) and the code its authors published.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from einops.layers.torch import Rearrange
from torch import Tensor, nn

MODULATIONS = 6  # scale, shift and gate, for attention and then for the feed-forward


@dataclass(frozen=True)
class DitConfig:
    """Sizes of a `Dit`; the defaults are the published checkpoint, 1,023,040,640 parameters."""

    tracks: int = 3
    latent_channels: int = 64  # C, of one track
    condition_width: int = 512  # D
    width: int = 1536  # all tracks together; a multiple of tracks and of heads
    depth: int = 24
    heads: int = 48
    feedforward_multiple: int = 4
    level_features: int = 256  # Fourier features of one noise level, an even number

    @property
    def head_width(self) -> int:
        """Channels of one attention head, all of them rotated."""
        return self.width // self.heads

    @property
    def track_width(self) -> int:
        """The share of the width that belongs to one track."""
        return self.width // self.tracks


def per_track(config: DitConfig, inputs: int, outputs: int, *, bias: bool) -> nn.Conv1d:
    """A linear map for each track, `inputs` → `outputs` channels of that track; on (B, S × inputs, 1)."""
    tracks = config.tracks
    return nn.Conv1d(tracks * inputs, tracks * outputs, 1, groups=tracks, bias=bias)


class LevelFeatures(nn.Module):
    """Fourier features of noise levels: (B, S) → (B, S, features), cosines then sines."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(features // 2, 1))

    def forward(self, levels: Tensor) -> Tensor:
        angles = (2 * math.pi * levels)[..., None] * self.weight[:, 0]
        return torch.cat([angles.cos(), angles.sin()], dim=-1)


class Rotation(nn.Module):
    """Rotary positions: cosines and sines of shape (length, head width), base 10000, the first position 0."""

    inv_freq: Tensor

    def __init__(self, head_width: int) -> None:
        super().__init__()
        exponents = torch.arange(0, head_width, 2).float() / head_width
        self.register_buffer("inv_freq", 10000.0**-exponents)

    def forward(self, length: int) -> tuple[Tensor, Tensor]:
        positions = torch.arange(length, device=self.inv_freq.device, dtype=self.inv_freq.dtype)
        angles = positions[:, None] * self.inv_freq
        angles = torch.cat([angles, angles], dim=-1)
        return angles.cos(), angles.sin()


def rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """Turn channel i together with channel i + half a head: (B, heads, length, head width) → same."""
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat([-second, first], dim=-1) * sines


class Tokenwise(nn.Linear):
    """A linear layer on every token: (B, T, inputs) → (B, T, outputs).

    Its product has two axes, so that a graph multiplies by the weight as it lies in the file (Gemm).
    """

    def forward(self, x: Tensor) -> Tensor:
        tokens = F.linear(rearrange(x, "b t w -> (b t) w"), self.weight, self.bias)
        return rearrange(tokens, "(b t) w -> b t w", t=x.shape[1])


class TrackNorm(nn.Module):
    """Normalise each track over its channels and all of time: (B, T, W) → same.

    The offset is stored but never trained.
    """

    beta: Tensor

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.tracks = config.tracks
        self.gamma = nn.Parameter(torch.ones(config.width))
        self.register_buffer("beta", torch.zeros(config.width))

    def forward(self, x: Tensor) -> Tensor:
        channels_first = rearrange(x, "b t w -> b w t")
        normed = F.group_norm(channels_first, self.tracks, self.gamma, self.beta, eps=1e-5)
        return rearrange(normed, "b w t -> b t w")


class Attention(nn.Module):
    """Every token looks at every token, without a mask: (B, T, W) → same."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.to_qkv = Tokenwise(config.width, 3 * config.width, bias=False)
        self.to_out = Tokenwise(config.width, config.width, bias=False)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        heads = rearrange(self.to_qkv(x), "b t (three h d) -> three b h t d", three=3, h=self.heads)
        queries, keys, values = heads.unbind(0)
        mixed = F.scaled_dot_product_attention(rotate(queries, *rotation), rotate(keys, *rotation), values)
        out: Tensor = self.to_out(rearrange(mixed, "b h t d -> b t (h d)"))
        return out


class SwiGlu(nn.Module):
    """A linear layer of twice the outputs, its second half gating the first."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.proj = Tokenwise(inputs, 2 * outputs)

    def forward(self, x: Tensor) -> Tensor:
        halves: Tensor = self.proj(x)
        value, gate = halves.chunk(2, dim=-1)
        return value * F.silu(gate)


class FeedForward(nn.Module):
    """SwiGLU and back: (B, T, W) → same."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        inner = config.feedforward_multiple * config.width
        self.ff = nn.Sequential(SwiGlu(config.width, inner), nn.Identity(), Tokenwise(inner, config.width))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.ff(x)
        return out


class Block(nn.Module):
    """Attention and feed-forward, each normed, modulated, gated and added: (B, T, W) → same."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.pre_norm = TrackNorm(config)
        self.self_attn = Attention(config)
        self.ff_norm = TrackNorm(config)
        self.ff = FeedForward(config)
        self.to_scale_shift_gate = nn.Sequential(
            Rearrange("b s c -> b (s c) 1"),
            nn.SiLU(),
            per_track(config, config.track_width, MODULATIONS * config.track_width, bias=False),
            Rearrange("b (s six c) 1 -> b six (s c)", s=config.tracks, six=MODULATIONS),
        )

    def forward(self, x: Tensor, modulation: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """x (B, T, W), modulation (B, 6, W)

        All zeros modulate nothing, but each branch is then still weighted by sigmoid(1).
        """
        scale, shift, gate, ff_scale, ff_shift, ff_gate = rearrange(
            modulation, "b six w -> six b 1 w"
        ).unbind(0)
        attended = self.self_attn(self.pre_norm(x) * (1 + scale) + shift, rotation)
        x = x + attended * torch.sigmoid(1 - gate)
        out: Tensor = self.ff(self.ff_norm(x) * (1 + ff_scale) + ff_shift)
        return x + out * torch.sigmoid(1 - ff_gate)


class Transformer(nn.Module):
    """The stack of blocks between two linear layers: (B, T, S × C) → same; no norm at the end."""

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        channels = config.tracks * config.latent_channels
        self.project_in = Tokenwise(channels, config.width, bias=False)
        self.project_out = Tokenwise(config.width, channels, bias=False)
        self.rotary_pos_emb = Rotation(config.head_width)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.depth))

    def blocks(self) -> list[Block]:
        """The layers, first to last."""
        return [layer for layer in self.layers if isinstance(layer, Block)]

    def forward(self, x: Tensor, token: Tensor, modulation: Tensor) -> Tensor:
        """x (B, T, S × C), the levels' token (B, W), modulation (B, L, 6, W)"""
        x = torch.cat([rearrange(token, "b w -> b 1 w"), self.project_in(x)], dim=1)
        rotation = self.rotary_pos_emb(x.shape[1])
        for index, block in enumerate(self.blocks()):
            x = block(x, modulation[:, index], rotation)
        out: Tensor = self.project_out(x[:, 1:])
        return out


class Dit(nn.Module):
    """The denoiser; keys and shapes of its state are those of the published `model_dit.*`.

    Keep the weights in float32: noise levels and positions lose what they mean in half precision.
    """

    def __init__(self, config: DitConfig) -> None:
        super().__init__()
        self.config = config
        channels = config.tracks * config.latent_channels
        self.timestep_features = LevelFeatures(config.level_features)
        self.to_timestep_embed = nn.Sequential(
            Rearrange("b s f -> b (s f) 1"),
            per_track(config, config.level_features, config.track_width, bias=True),
            nn.SiLU(),
            per_track(config, config.track_width, config.track_width, bias=True),
            Rearrange("b w 1 -> b w"),
        )
        self.to_global_embed = nn.Sequential(
            Rearrange("b s d -> b (s d) 1"),
            per_track(config, config.condition_width, config.condition_width, bias=False),
            nn.SiLU(),
            per_track(config, config.condition_width, config.track_width, bias=False),
            Rearrange("b (s c) 1 -> b s c", s=config.tracks),
        )
        self.transformer = Transformer(config)
        self.preprocess_conv = nn.Conv1d(channels, channels, 1, bias=False)
        self.postprocess_conv = nn.Conv1d(channels, channels, 1, bias=False)

    def forward(self, latents: Tensor, levels: Tensor, conditions: Tensor) -> Tensor:
        """The v-objective's prediction; a track whose condition is zeros is not conditioned.

        latents (B, S, C, T), levels τ in [0, 1] (B, S), conditions (B, S, D)
        returns (B, S, C, T)
        """
        return self.denoise(latents, levels, self.modulation(conditions))

    def modulation(self, conditions: Tensor) -> Tensor:
        """What the blocks do with the conditions: (B, S, D) → (B, L, 6, W).

        Independent of latents and levels: one call serves every step of a job.
        """
        embedded = self.to_global_embed(conditions)
        blocks = self.transformer.blocks()
        return torch.stack([block.to_scale_shift_gate(embedded) for block in blocks], dim=1)

    def denoise(self, latents: Tensor, levels: Tensor, modulation: Tensor) -> Tensor:
        """`forward` with the conditions' `modulation` (B, L, 6, W) already at hand."""
        x = rearrange(latents, "b s c t -> b (s c) t")
        x = self.preprocess_conv(x) + x
        token = self.to_timestep_embed(self.timestep_features(levels))
        x = self.transformer(rearrange(x, "b c t -> b t c"), token, modulation)
        x = rearrange(x, "b t c -> b c t")
        x = self.postprocess_conv(x) + x
        velocity: Tensor = rearrange(x, "b (s c) t -> b s c t", s=self.config.tracks)
        return velocity


@torch.no_grad()
def start_training(dit: Dit) -> None:
    """Put the weights where the authors' training starts: every branch adds nothing, the rest is halved."""
    branches: list[nn.Module] = [dit.preprocess_conv, dit.postprocess_conv]
    for block in dit.transformer.blocks():
        branches += [block.self_attn.to_out, block.ff.ff[2], block.to_scale_shift_gate[2]]
    for branch in branches:
        for parameter in branch.parameters():
            parameter.zero_()
    for parameter in dit.parameters():
        parameter.mul_(0.5)
