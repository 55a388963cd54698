"""The text side of the default model: MiniLM-L6, a sentence encoder.

Six BERT layers of width 384, mean pooling over the tokens, unit length.
Wang et al., "MiniLM", 2020; the weights are sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional


@dataclass(frozen=True)
class TowerShape:
    """Sizes of the encoder; the defaults are MiniLM-L6's."""

    words: int = 30522
    positions: int = 512
    width: int = 384
    layers: int = 6
    heads: int = 12
    inner: int = 1536


class TextLayer(nn.Module):
    """Self-attention, then two dense layers; each added to its input and normalised after (post-norm)."""

    def __init__(self, shape: TowerShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.query = nn.Linear(shape.width, shape.width)
        self.key = nn.Linear(shape.width, shape.width)
        self.value = nn.Linear(shape.width, shape.width)
        self.merge = nn.Linear(shape.width, shape.width)
        self.merge_norm = nn.LayerNorm(shape.width, eps=1e-12)
        self.widen = nn.Linear(shape.width, shape.inner)
        self.narrow = nn.Linear(shape.inner, shape.width)
        self.narrow_norm = nn.LayerNorm(shape.width, eps=1e-12)

    def forward(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (B, L, D), bias (B, 1, 1, L) added to the attention scores → (B, L, D)"""
        query, key, value = (self._split(part(x)) for part in (self.query, self.key, self.value))
        scores = query @ key.transpose(-1, -2) * query.shape[-1] ** -0.5 + bias
        mixed = rearrange(scores.softmax(-1) @ value, "b h l d -> b l (h d)")
        x = self.merge_norm(x + self.merge(mixed))
        return self.narrow_norm(x + self.narrow(functional.gelu(self.widen(x))))  # type: ignore[no-any-return]

    def _split(self, x: Tensor) -> Tensor:
        return rearrange(x, "b l (h d) -> b h l d", h=self.heads)


class TextTower(nn.Module):
    """Token ids → one unit vector per prompt."""

    def __init__(self, shape: TowerShape | None = None) -> None:
        super().__init__()
        self.shape = shape or TowerShape()
        self.words = nn.Embedding(self.shape.words, self.shape.width)
        self.positions = nn.Embedding(self.shape.positions, self.shape.width)
        self.norm = nn.LayerNorm(self.shape.width, eps=1e-12)
        self.layers = nn.ModuleList(TextLayer(self.shape) for _ in range(self.shape.layers))

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids (B, L) int64, mask (B, L) 1 on tokens and 0 on padding → (B, D), unit length"""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.norm(self.words(ids) + self.positions(places))
        mask = mask.to(x.dtype)
        bias = (1.0 - rearrange(mask, "b l -> b 1 1 l")) * -1e9
        for layer in self.layers:
            x = layer(x, bias)
        weight = rearrange(mask, "b l -> b l 1")
        mean = (x * weight).sum(1) / weight.sum(1)
        return functional.normalize(mean, dim=-1)


LAYER_NAMES = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "merge": "attention.output.dense",
    "merge_norm": "attention.output.LayerNorm",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
    "narrow_norm": "output.LayerNorm",
}


def published_names(shape: TowerShape) -> dict[str, str]:
    """Our parameter name → its name in the published checkpoint."""
    names = {
        "words.weight": "embeddings.word_embeddings.weight",
        "positions.weight": "embeddings.position_embeddings.weight",
        "norm.weight": "embeddings.LayerNorm.weight",
        "norm.bias": "embeddings.LayerNorm.bias",
    }
    for layer in range(shape.layers):
        for ours, theirs in LAYER_NAMES.items():
            for part in ("weight", "bias"):
                names[f"layers.{layer}.{ours}.{part}"] = f"encoder.layer.{layer}.{theirs}.{part}"
    return names


def tower_from(published: Mapping[str, Tensor]) -> TextTower:
    """The tower with the published weights.

    The token-type embedding is the same row for every token of a single
    sentence, so it is added to the positions once.
    """
    words, width = published["embeddings.word_embeddings.weight"].shape
    shape = TowerShape(words=words, width=width)
    tower = TextTower(shape)
    state = {ours: published[theirs].float() for ours, theirs in published_names(shape).items()}
    kind = published["embeddings.token_type_embeddings.weight"][0].float()
    state["positions.weight"] = state["positions.weight"] + kind
    tower.load_state_dict(state)
    return tower.eval().requires_grad_(False)


def read_tower(path: Path) -> TextTower:
    """The tower from a published `model.safetensors`."""
    from safetensors.torch import load_file

    return tower_from(load_file(str(path)))


BLOCK = 64  # weights of a row that share a scale
CLIPS = tuple(0.8 + 0.02 * step for step in range(11))  # shares of the largest weight tried as full scale


class SmallLinear(nn.Module):
    """A dense layer whose weight is kept in 8 bits, one scale per output and block of 64 inputs.

    Kept inputs first, as a matrix product wants it: turning it round on
    loading costs more than all else.
    """

    rows: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        rows, scale = eight_bits(rearrange(linear.weight, "o (g i) -> g i o", i=BLOCK), axis=1)
        self.register_buffer("rows", rows.contiguous())
        self.register_buffer("scale", scale)
        self.register_buffer("bias", linear.bias.detach())

    def forward(self, x: Tensor) -> Tensor:
        weight = self.rows.to(x.dtype) * self.scale.to(x.dtype)
        return x @ rearrange(weight, "g i o -> (g i) o") + self.bias


class SmallEmbedding(nn.Module):
    """A table kept in 8 bits with one scale per row; only the rows looked up become floats."""

    rows: Tensor
    scale: Tensor

    def __init__(self, table: nn.Embedding) -> None:
        super().__init__()
        rows, scale = eight_bits(table.weight, axis=1)
        self.register_buffer("rows", rows)
        self.register_buffer("scale", scale)

    def forward(self, ids: Tensor) -> Tensor:
        rows = functional.embedding(ids, self.rows).to(torch.float32)
        return rows * functional.embedding(ids, self.scale).to(torch.float32)


def eight_bits(weight: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """weight → int8 of its shape, and float16 scales, of size 1 on `axis`, of least squared error."""
    weight = weight.detach()
    largest = weight.abs().amax(axis, keepdim=True).clamp_min(1e-6) / 127.0
    scales = torch.stack([(largest * clip).half() for clip in CLIPS])
    errors = torch.stack(
        [(_rounded(weight, s) * s.float() - weight).square().sum(axis, keepdim=True) for s in scales]
    )
    scale = scales.gather(0, errors.argmin(0, keepdim=True))[0]
    return _rounded(weight, scale).to(torch.int8), scale


def _rounded(weight: Tensor, scale: Tensor) -> Tensor:
    return torch.round(weight / scale.float()).clamp(-127.0, 127.0)


def in_eight_bits(tower: TextTower) -> TextTower:
    """A copy of the tower with every table and dense weight in 8 bits."""
    small = copy.deepcopy(tower)
    for owner in list(small.modules()):
        for name, part in list(owner.named_children()):
            if isinstance(part, nn.Linear):
                setattr(owner, name, SmallLinear(part))
            elif isinstance(part, nn.Embedding):
                setattr(owner, name, SmallEmbedding(part))
    return small


def with_words(tower: TextTower, kept: list[int], positions: int) -> TextTower:
    """The tower with only these rows of its vocabulary, in this order, and its first positions."""
    small = TextTower(replace(tower.shape, words=len(kept), positions=positions))
    state = dict(tower.state_dict())
    state["words.weight"] = state["words.weight"][kept]
    state["positions.weight"] = state["positions.weight"][:positions]
    small.load_state_dict(state)
    return small.eval().requires_grad_(False)
