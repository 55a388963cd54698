"""The autoencoder of the official MGE-LDM (Oobleck): waveform ↔ latents with a variational bottleneck.

Convolutions throughout, so a frame depends on its neighbourhood only, and one call's memory grows with the
audio's length. Audio must be whole latent frames long (N = T × hop). Attribute names follow the checkpoint's
keys.

Stable Audio Open (arXiv 2407.14358) describes the network, MGE-LDM (arXiv 2505.23305) this size of it.
"""

import math
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

DILATIONS = (1, 3, 9)


@dataclass(frozen=True)
class OobleckConfig:
    """Sizes of an `Oobleck`; the defaults are the published checkpoint, 156,110,721 parameters."""

    rate: int = 16000  # Hz
    audio_channels: int = 1  # K
    latent_channels: int = 64  # C
    channels: int = 128  # at the audio's own rate
    multiples: tuple[int, ...] = (1, 2, 4, 8, 16)  # of `channels`, after each stride
    strides: tuple[int, ...] = (2, 4, 4, 8, 8)  # even numbers, fastest rate first

    @property
    def hop(self) -> int:
        """Audio frames per latent frame."""
        return math.prod(self.strides)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels before the first stride and after each."""
        return tuple(self.channels * multiple for multiple in (1, *self.multiples))


class Snake(nn.Module):
    """x + sin²(αx) / β with α and β per channel, both stored as logarithms: (B, channels, N) → same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        frequency, divisor = self.alpha[:, None].exp(), self.beta[:, None].exp()
        return x + (x * frequency).sin().square() / (divisor + 1e-9)


class NormedConv(nn.Module):
    """A convolution whose weight is stored as length g and direction v along its first axis.

    For a transposed convolution that axis holds its inputs.
    """

    def __init__(self, convolution: nn.Conv1d | nn.ConvTranspose1d) -> None:
        """convolution: gives sizes and first weights"""
        super().__init__()
        assert not isinstance(convolution.padding, str)
        self.transposed = isinstance(convolution, nn.ConvTranspose1d)
        self.stride, self.padding = convolution.stride[0], convolution.padding[0]
        self.dilation = convolution.dilation[0]
        start = convolution.weight.detach()
        self.weight_g = nn.Parameter(lengths(start))
        self.weight_v = nn.Parameter(start.clone())
        self.bias = convolution.bias

    def weight(self) -> Tensor:
        """The weight of the plain convolution."""
        return plain_weight(self.weight_g, self.weight_v)

    def forward(self, x: Tensor) -> Tensor:
        if self.transposed:
            return F.conv_transpose1d(x, self.weight(), self.bias, self.stride, self.padding)
        return F.conv1d(x, self.weight(), self.bias, self.stride, self.padding, self.dilation)

    def folded(self) -> nn.Module:
        """The plain convolution that computes the same."""
        weight, has_bias = self.weight().detach(), self.bias is not None
        first, second, kernel = weight.shape
        sizes = (kernel, self.stride, self.padding)
        plain: nn.Conv1d | nn.ConvTranspose1d
        with torch.device("meta"):
            if self.transposed:
                plain = nn.ConvTranspose1d(first, second, *sizes, bias=has_bias)
            else:
                plain = nn.Conv1d(second, first, *sizes, dilation=self.dilation, bias=has_bias)
        plain.weight, plain.bias = nn.Parameter(weight), self.bias
        return plain


def plain_weight(length: Tensor, direction: Tensor) -> Tensor:
    """A convolution's weight of what it is stored as: g v / |v|."""
    return direction * (length / lengths(direction))


def lengths(weight: Tensor) -> Tensor:
    """Euclidean length of each slice of the first axis: (a, b, kernel) → (a, 1, 1)."""
    norms: Tensor = torch.linalg.vector_norm(weight, dim=(1, 2), keepdim=True)
    return norms


def fold_weight_norm(module: nn.Module) -> nn.Module:
    """Replace, inside `module` itself, every NormedConv by its plain convolution: for inference and export.

    The state's keys change with it; load a checkpoint first.
    """
    for name, child in list(module.named_children()):
        if isinstance(child, NormedConv):
            setattr(module, name, child.folded())
        else:
            fold_weight_norm(child)
    return module


def same_length(
    inputs: int, outputs: int, kernel: int, *, dilation: int = 1, bias: bool = True
) -> NormedConv:
    """A convolution that keeps the number of frames; `kernel` is odd."""
    padding = dilation * (kernel // 2)
    return NormedConv(nn.Conv1d(inputs, outputs, kernel, dilation=dilation, padding=padding, bias=bias))


class Residual(nn.Module):
    """A wide and a pointwise convolution beside a skip: (B, channels, N) → same."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Snake(channels),
            same_length(channels, channels, 7, dilation=dilation),
            Snake(channels),
            same_length(channels, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x + self.layers(x)
        return out


class Layers(nn.Module):
    """Layers in a row, under the name the checkpoint gives them."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def residuals(channels: int) -> list[nn.Module]:
    """Residual units that see farther and farther."""
    return [Residual(channels, dilation) for dilation in DILATIONS]


def down(inputs: int, outputs: int, stride: int) -> Layers:
    """(B, inputs, N) → (B, outputs, N / stride)"""
    convolution = nn.Conv1d(inputs, outputs, 2 * stride, stride=stride, padding=stride // 2)
    return Layers(*residuals(inputs), Snake(inputs), NormedConv(convolution))


def up(inputs: int, outputs: int, stride: int) -> Layers:
    """(B, inputs, N) → (B, outputs, N × stride)"""
    convolution = nn.ConvTranspose1d(inputs, outputs, 2 * stride, stride=stride, padding=stride // 2)
    return Layers(Snake(inputs), NormedConv(convolution), *residuals(outputs))


def encoder(config: OobleckConfig) -> Layers:
    """(B, K, N) → (B, 2C, T): the posterior's mean, then what gives its deviation."""
    widths = config.widths
    blocks = [
        down(low, high, stride) for (low, high), stride in zip(pairwise(widths), config.strides, strict=True)
    ]
    return Layers(
        same_length(config.audio_channels, widths[0], 7),
        *blocks,
        Snake(widths[-1]),
        same_length(widths[-1], 2 * config.latent_channels, 3),
    )


def decoder(config: OobleckConfig) -> Layers:
    """(B, C, T) → (B, K, N), not limited to ±1."""
    widths = config.widths
    blocks = [
        up(high, low, stride) for (low, high), stride in zip(pairwise(widths), config.strides, strict=True)
    ]
    return Layers(
        same_length(config.latent_channels, widths[-1], 7),
        *reversed(blocks),
        Snake(widths[0]),
        same_length(widths[0], config.audio_channels, 7, bias=False),
    )


class Oobleck(nn.Module):
    """The autoencoder; keys and shapes of its state are those of the published `pretransform.model.*`."""

    def __init__(self, config: OobleckConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = encoder(config)
        self.decoder = decoder(config)

    def encode_stats(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of the posterior: (B, K, N) → twice (B, C, T)."""
        mean, scale = self.encoder(waves).chunk(2, dim=1)
        return mean, F.softplus(scale) + 1e-4

    def encode_mean(self, waves: Tensor) -> Tensor:
        """The latents the denoiser was trained on, the same at every call: (B, K, N) → (B, C, T)."""
        mean, _ = self.encode_stats(waves)
        return mean

    def decode(self, latents: Tensor) -> Tensor:
        """(B, C, T) → (B, K, N) with N = T × hop; peaks may pass ±1."""
        waves: Tensor = self.decoder(latents)
        return waves

    def forward(self, waves: Tensor) -> Tensor:
        """There and back through the mean: (B, K, N) → same."""
        return self.decode(self.encode_mean(waves))
