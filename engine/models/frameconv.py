"""A ConvNeXt block over time (Liu et al. 2022): what the vocoder and the audio tower are stacked from."""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn


class FrameBlock(nn.Module):
    """Depthwise convolution over time, then a two-layer perceptron on each frame.

    kernel     frames, odd
    expansion  width of the perceptron's inside over the block's
    gain       what the block's share in its output begins with
    """

    def __init__(self, width: int, kernel: int, expansion: int, gain: float) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(width, 1, kernel) * 0.1)
        self.bias = nn.Parameter(torch.zeros(width))
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, expansion * width)
        self.down = nn.Linear(expansion * width, width)
        self.gain = nn.Parameter(torch.full((width,), gain))

    def forward(self, x: Tensor) -> Tensor:
        """(B, M, width) → as x"""
        near, width = self.kernel.shape[-1] // 2, x.shape[-1]
        columns = rearrange(x, "b m w -> b w m")
        mixed = F.conv1d(columns, self.kernel, self.bias, padding=near, groups=width)
        hidden = self.up(self.norm(rearrange(mixed, "b w m -> b m w")))
        out: Tensor = x + self.gain * self.down(F.gelu(hidden, approximate="tanh"))
        return out
