"""The audio side of the joint embedding: codec latents of a clip → a point of the text tower's space."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stemwright.engine.models.frameconv import FrameBlock


@dataclass(frozen=True)
class AudioTowerConfig:
    """Sizes of the network; the defaults are the shipped model's."""

    channels: int = 192  # C
    width: int = 192
    depth: int = 3
    kernel: int = 5  # latent frames
    expansion: int = 2
    views: int = 4  # weighted means over time that are listened to
    conditioning: int = 384  # D


class AudioTower(nn.Module):
    """(B, C, T) → (B, D), unit length. Frames are weighed before they are averaged: rests say nothing."""

    def __init__(self, config: AudioTowerConfig | None = None) -> None:
        super().__init__()
        self.config = config or AudioTowerConfig()
        width, depth = self.config.width, self.config.depth
        self.enter = nn.Linear(self.config.channels, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(
            FrameBlock(width, self.config.kernel, self.config.expansion, 1 / depth) for _ in range(depth)
        )
        self.last_norm = nn.LayerNorm(width)
        self.weigh = nn.Linear(width, self.config.views)
        self.leave = nn.Linear(self.config.views * width, self.config.conditioning)

    def forward(self, latents: Tensor) -> Tensor:
        x = self.norm(self.enter(rearrange(latents, "b c t -> b t c")))
        for block in self.blocks:
            x = block(x)
        x = self.last_norm(x)
        weights = torch.softmax(self.weigh(x), dim=1)
        views = rearrange(rearrange(weights, "b t v -> b v t") @ x, "b v w -> b (v w)")
        return F.normalize(self.leave(views), dim=-1)
