"""The audio side of CLAP: a log-mel picture of ten seconds, seen by a Swin transformer (HTSAT-base).

The picture is 256 × 256: 64 bands, with the quarters of the clip stacked above each other. The transformer
looks through windows of 8 × 8 patches, shifted by half a window in every second block, and halves the picture
between its stages. Attribute names follow the keys of laion-clap's checkpoints, so that their tensors load as
they are.

Chen et al., "HTS-AT" (arXiv 2202.00874); Liu et al., "Swin Transformer" (arXiv 2103.14030); Wu et al.,
"Large-scale contrastive language-audio pretraining" (arXiv 2211.06687).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from stemwright.engine.models.clap_text import projection

FLOOR = 1e-10  # power below which the logarithm sees silence
APART = -100.0  # added to the scores of patches that only the shift has made neighbours


@dataclass(frozen=True)
class ClapAudioConfig:
    """Sizes of a `ClapAudio`; the defaults are HTSAT-base and 512 dimensions."""

    bins: int = 513  # of a 1024-point spectrum at 48 kHz
    frames: int = 1001  # ten seconds, hop 480
    bands: int = 64
    picture: int = 256  # edge
    patch: int = 4
    window: int = 8  # patches
    width: int = 128  # of the first stage; each stage doubles it
    depths: tuple[int, ...] = (2, 2, 12, 2)
    heads: tuple[int, ...] = (4, 8, 16, 32)
    widening: int = 4
    joint: int = 512  # D

    @property
    def rows(self) -> int:
        """Pieces of the clip that are stacked in the picture."""
        return self.picture // self.bands


@dataclass(frozen=True)
class Stage:
    """One stage of the transformer: its width, heads, and how many patches its picture has along an edge."""

    width: int
    heads: int
    edge: int
    window: int
    depth: int


def stages(config: ClapAudioConfig) -> list[Stage]:
    """A picture no larger than a window is looked at whole."""
    edges = [config.picture // config.patch // 2**stage for stage in range(len(config.depths))]
    return [
        Stage(config.width * 2**stage, heads, edge, min(edge, config.window), depth)
        for stage, (depth, heads, edge) in enumerate(zip(config.depths, config.heads, edges, strict=True))
    ]


class BandNorm(nn.Module):
    """Each band by its mean and deviation over the training data: (B, bands, M) → same."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(bands))
        self.bias = nn.Parameter(torch.zeros(bands))
        self.register_buffer("running_mean", torch.zeros(bands))
        self.register_buffer("running_var", torch.ones(bands))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias)


class WindowAttention(nn.Module):
    """Attention inside each window, with a learned bias for every distance: (B, W, L, width) → same."""

    def __init__(self, stage: Stage, shift: int) -> None:
        super().__init__()
        self.heads = stage.heads
        distances = (2 * stage.window - 1) ** 2
        self.relative_position_bias_table = nn.Parameter(torch.zeros(distances, stage.heads))
        self.qkv = nn.Linear(stage.width, 3 * stage.width)
        self.proj = nn.Linear(stage.width, stage.width)
        self.place, self.mask = distance_places(stage.window), shift_mask(stage.edge, stage.window, shift)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = rearrange(self.qkv(x), "b w l (n h d) -> n b w h l d", n=3, h=self.heads)
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5
        bias = self.relative_position_bias_table[self.place.to(x.device)]
        scores = scores + rearrange(bias, "i j h -> h i j")
        if self.mask is not None:
            scores = scores + rearrange(self.mask.to(x.device), "w i j -> w 1 i j")
        out: Tensor = self.proj(rearrange(scores.softmax(-1) @ value, "b w h l d -> b w l (h d)"))
        return out


class Mlp(nn.Module):
    """Two dense layers."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(width, inner), nn.Linear(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x)))
        return out


class Block(nn.Module):
    """Attention through windows that lie `shift` patches further, then two dense layers, both added."""

    def __init__(self, stage: Stage, widening: int, *, is_shifted: bool) -> None:
        super().__init__()
        self.window, self.shift = stage.window, stage.window // 2 if is_shifted else 0
        self.norm1, self.norm2 = nn.LayerNorm(stage.width), nn.LayerNorm(stage.width)
        self.attn = WindowAttention(stage, self.shift)
        self.mlp = Mlp(stage.width, widening * stage.width)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, H, W, width) → same"""
        seen = torch.roll(self.norm1(x), (-self.shift, -self.shift), (1, 2))
        across = x.shape[1] // self.window
        sizes = {"h": across, "p": self.window, "q": self.window}
        seen = self.attn(rearrange(seen, "b (h p) (w q) c -> b (h w) (p q) c", **sizes))
        seen = rearrange(seen, "b (h w) (p q) c -> b (h p) (w q) c", **sizes)
        x = x + torch.roll(seen, (self.shift, self.shift), (1, 2))
        out: Tensor = x + self.mlp(self.norm2(x))
        return out


class Halving(nn.Module):
    """Four neighbouring patches become one of twice the width: (B, H, W, width) → (B, H/2, W/2, 2 width)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm, self.reduction = nn.LayerNorm(4 * width), nn.Linear(4 * width, 2 * width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        four = rearrange(x, "b (h p) (w q) c -> b h w (q p c)", p=2, q=2)
        out: Tensor = self.reduction(self.norm(four))
        return out


class Layer(nn.Module):
    """The blocks of a stage, and the halving after it, if there is a next."""

    def __init__(self, stage: Stage, widening: int, *, is_last: bool) -> None:
        super().__init__()
        is_whole = stage.edge <= stage.window
        self.blocks = nn.ModuleList(
            Block(stage, widening, is_shifted=bool(place % 2) and not is_whole)
            for place in range(stage.depth)
        )
        self.downsample = None if is_last else Halving(stage.width)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x if self.downsample is None else self.downsample(x)


class Tower(nn.Module):
    """Power spectra (B, M, F) → (B, width of the last stage), the mean over its patches."""

    def __init__(self, config: ClapAudioConfig) -> None:
        super().__init__()
        self.rows, self.columns = config.rows, config.picture
        mel = nn.Parameter(torch.zeros(config.bins, config.bands))
        self.logmel_extractor = nn.ParameterDict({"melW": mel})
        self.bn0 = BandNorm(config.bands)
        self.patch_embed = nn.ModuleDict(
            {
                "proj": nn.Conv2d(1, config.width, config.patch, config.patch),
                "norm": nn.LayerNorm(config.width),
            }
        )
        found = stages(config)
        self.layers = nn.ModuleList(
            Layer(stage, config.widening, is_last=stage is found[-1]) for stage in found
        )
        self.norm = nn.LayerNorm(found[-1].width)

    def forward(self, power: Tensor) -> Tensor:
        patches = self.patch_embed["proj"](self.picture(power))
        x = self.patch_embed["norm"](rearrange(patches, "b c h w -> b h w c"))
        for layer in self.layers:
            x = layer(x)
        return self.norm(x).mean((1, 2))  # type: ignore[no-any-return]

    def picture(self, power: Tensor) -> Tensor:
        """(B, M, F) → (B, 1, edge, edge): log bands, stretched in time to fill the picture's rows."""
        bands = 10 * (power @ self.logmel_extractor["melW"]).clamp(min=FLOOR).log10()
        bands = self.bn0(rearrange(bands, "b m f -> b f m"))
        size = (bands.shape[1], self.rows * self.columns)
        bands = F.interpolate(bands[:, None], size, mode="bicubic", align_corners=True)
        return rearrange(bands, "b 1 f (r t) -> b 1 (r f) t", r=self.rows)


class ClapAudio(nn.Module):
    """Power spectra of a clip → one unit vector."""

    def __init__(self, config: ClapAudioConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ClapAudioConfig()
        self.audio_branch = Tower(config)
        self.audio_projection = projection(stages(config)[-1].width, config.joint)

    def forward(self, power: Tensor) -> Tensor:
        """(B, M, F): squared magnitudes, full scale at ±1 → (B, D), unit length"""
        return F.normalize(self.audio_projection(self.audio_branch(power)), dim=-1)


def distance_places(window: int) -> Tensor:
    """(L, L) int64: for each pair of a window's patches, the row of the bias table for their distance."""
    places = torch.arange(window, device="cpu")
    apart = places[:, None] - places + window - 1
    both = apart[:, None, :, None] * (2 * window - 1) + apart[None, :, None, :]
    return rearrange(both, "i j k l -> (i j) (k l)")


def shift_mask(edge: int, window: int, shift: int) -> Tensor | None:
    """(W, L, L) added to the scores: patches that were not neighbours before the shift stay apart."""
    if not shift:
        return None
    place = torch.arange(edge, device="cpu")
    side = (place >= edge - window).long() + (place >= edge - shift).long()
    region = 3 * side[:, None] + side
    windows = rearrange(region, "(h p) (w q) -> (h w) (p q)", p=window, q=window)
    is_apart = windows[:, :, None] != windows[:, None, :]
    return torch.zeros(is_apart.shape, device="cpu").masked_fill(is_apart, APART)
