"""The text side of CLAP: RoBERTa-base, then two dense layers into the space it shares with sounds.

Attribute names follow the keys of laion-clap's checkpoints, so that their tensors load as they are.

Liu et al., "RoBERTa" (arXiv 1907.11692); Wu et al., "Large-scale contrastive language-audio pretraining"
(arXiv 2211.06687).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

PAD = 1  # the token id of padding; positions count from the one after it
EPSILON = 1e-5


@dataclass(frozen=True)
class ClapTextConfig:
    """Sizes of a `ClapText`; the defaults are roberta-base and the 512 dimensions of the shared space."""

    words: int = 50265
    positions: int = 514
    width: int = 768
    layers: int = 12
    heads: int = 12
    inner: int = 3072
    joint: int = 512  # D

    @property
    def longest(self) -> int:
        """Tokens of a prompt there are positions for."""
        return self.positions - PAD - 1


class Embeddings(nn.Module):
    """Token, place and kind, of which there is one, added and normalised: (B, L) → (B, L, width)."""

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.words, config.width)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        self.token_type_embeddings = nn.Embedding(1, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=EPSILON)

    def forward(self, ids: Tensor) -> Tensor:
        places = torch.arange(ids.shape[1], device=ids.device) + (PAD + 1)
        kind = self.token_type_embeddings(torch.zeros_like(ids[:, :1]))
        out: Tensor = self.LayerNorm(self.word_embeddings(ids) + self.position_embeddings(places) + kind)
        return out


class DenseNorm(nn.Module):
    """A dense layer, added to what it corrects and normalised after."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, width)
        self.LayerNorm = nn.LayerNorm(width, eps=EPSILON)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        out: Tensor = self.LayerNorm(self.dense(x) + skip)
        return out


class Layer(nn.Module):
    """Self-attention and two dense layers."""

    def __init__(self, config: ClapTextConfig) -> None:
        super().__init__()
        self.heads, width = config.heads, config.width
        views = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.attention = nn.ModuleDict({"self": views, "output": DenseNorm(width, width)})
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, config.inner)})
        self.output = DenseNorm(config.inner, width)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, L, width), bias (B, 1, 1, L) added to the attention's scores → (B, L, width)"""
        query, key, value = (
            rearrange(view(x), "b l (h d) -> b h l d", h=self.heads)
            for view in self.attention["self"].values()  # type: ignore[operator]
        )
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias
        mixed = rearrange(scores.softmax(-1) @ value, "b h l d -> b l (h d)")
        x = self.attention["output"](mixed, x)
        out: Tensor = self.output(F.gelu(self.intermediate["dense"](x)), x)
        return out


class ClapText(nn.Module):
    """Token ids → one unit vector per prompt, read off its first token."""

    def __init__(self, config: ClapTextConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or ClapTextConfig()
        layers = nn.ModuleList(Layer(config) for _ in range(config.layers))
        self.text_branch = nn.ModuleDict(
            {
                "embeddings": Embeddings(config),
                "encoder": nn.ModuleDict({"layer": layers}),
                "pooler": nn.ModuleDict({"dense": nn.Linear(config.width, config.width)}),
            }
        )
        self.text_projection = projection(config.width, config.joint)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (B, L) int64, mask (B, L) 1 on tokens and 0 on padding behind them → (B, D), unit length"""
        x = self.text_branch["embeddings"](ids)
        bias = (1.0 - rearrange(mask.to(x.dtype), "b l -> b 1 1 l")) * -1e9
        for layer in self.text_branch["encoder"]["layer"]:  # type: ignore[index]
            x = layer(x, bias)
        pooled = torch.tanh(self.text_branch["pooler"]["dense"](x[:, 0]))  # type: ignore[index]
        return F.normalize(self.text_projection(pooled), dim=-1)


def projection(width: int, joint: int) -> nn.Sequential:
    """Into the shared space: two dense layers with a rectifier between them."""
    return nn.Sequential(nn.Linear(width, joint), nn.ReLU(), nn.Linear(joint, joint))
