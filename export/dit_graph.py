"""The official denoiser as two graphs: what the prompts do, once per prompt, and one step of the sampler.

B batch · S tracks · C latent channels · T latent frames · D conditioning width · W width · L depth
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemwright.engine.models.dit import MODULATIONS, DitConfig
from stemwright.export.drawing import Drawing
from stemwright.export.spec import GraphSpec, Port

if TYPE_CHECKING:
    from onnx import ModelProto

EPSILON = 1e-5  # of the norms


def modulation_graph(sizes: DitConfig, spec: GraphSpec, weights: Path) -> ModelProto:
    """conditions (B, S, D) → modulation (B, L, 6, W), as `Dit.modulation`"""
    draw = Drawing(weights)
    joined = draw.reshaped("conditions", 0, sizes.tracks * sizes.condition_width, 1)
    hidden = silu(draw, grouped(draw, joined, "to_global_embed.1", sizes.tracks))
    embedded = silu(draw, grouped(draw, hidden, "to_global_embed.3", sizes.tracks))
    blocks = []
    for block in range(sizes.depth):
        name = f"transformer.layers.{block}.to_scale_shift_gate.2"
        found = grouped(draw, embedded, name, sizes.tracks)
        found = draw.reshaped(found, 0, sizes.tracks, MODULATIONS, sizes.track_width)
        found = draw.node("Transpose", found, perm=[0, 2, 1, 3])
        blocks.append(draw.reshaped(found, 0, 1, MODULATIONS, sizes.width))
    draw.named(draw.node("Concat", *blocks, axis=1), "modulation")
    return draw.finished(spec.name, spec.inputs, spec.outputs)


def step_graph(sizes: DitConfig, spec: GraphSpec, weights: Path) -> ModelProto:
    """latents (B, S, C, T), levels (B, S), modulation (B, L, 6, W) → velocity, as `Dit.denoise`"""
    draw, frames = Drawing(weights), frames_of(spec.inputs[0])
    channels = sizes.tracks * sizes.latent_channels
    x = draw.reshaped("latents", 0, channels, frames)
    x = draw.node("Add", draw.node("Conv", x, draw.stored("preprocess_conv.weight", x)), x)
    x = draw.node("Transpose", x, perm=[0, 2, 1])
    x = tokenwise(draw, x, "transformer.project_in", frames)
    x = draw.node("Concat", level_token(draw, sizes), x, axis=1)
    course = Course(draw, sizes, frames + 1, rotation_tables(draw, sizes, frames + 1))
    for block in range(sizes.depth):
        x = block_of(course, x, block)
    whole = draw.constant([1]), draw.constant([frames + 1]), draw.constant([1])
    x = tokenwise(draw, draw.node("Slice", x, *whole), "transformer.project_out", frames)
    x = draw.node("Transpose", x, perm=[0, 2, 1])
    x = draw.node("Add", draw.node("Conv", x, draw.stored("postprocess_conv.weight", x)), x)
    draw.named(draw.reshaped(x, 0, sizes.tracks, sizes.latent_channels, frames), "velocity")
    return draw.finished(spec.name, spec.inputs, spec.outputs)


def frames_of(latents: Port) -> int:
    frames = latents.axes[-1]
    assert isinstance(frames, int), "the norms span all of time: the number of latent frames is fixed"
    return frames


def grouped(draw: Drawing, x: str, name: str, tracks: int, *, has_bias: bool = False) -> str:
    """A linear map for each track: (B, S × inputs, 1) → (B, S × outputs, 1)"""
    bias = [draw.stored(f"{name}.bias")] if has_bias else []
    return str(draw.node("Conv", x, draw.stored(f"{name}.weight", x), *bias, group=tracks))


def silu(draw: Drawing, x: str) -> str:
    return str(draw.node("Mul", x, draw.node("Sigmoid", x)))


def tokenwise(draw: Drawing, x: str, name: str, length: int, *, has_bias: bool = False) -> str:
    """(B, length, inputs) → (B, length, outputs), by the weight as it lies in the file"""
    outputs, inputs = draw.shape(f"{name}.weight")
    flat = draw.reshaped(x, -1, inputs)
    bias = [draw.stored(f"{name}.bias")] if has_bias else []
    product = draw.node("Gemm", flat, draw.stored(f"{name}.weight", x), *bias, transB=1)
    return draw.reshaped(product, -1, length, outputs)


def level_token(draw: Drawing, sizes: DitConfig) -> str:
    """(B, 1, W), as `Dit.to_timestep_embed`"""
    turns = draw.node("Mul", "levels", draw.constant(2 * np.pi))
    turns = draw.node("Unsqueeze", turns, draw.constant([2]))
    frequencies = draw.reshaped(draw.stored("timestep_features.weight"), 1, 1, -1)
    angles = draw.node("Mul", turns, frequencies)
    features = draw.node("Concat", draw.node("Cos", angles), draw.node("Sin", angles), axis=2)
    joined = draw.reshaped(features, 0, sizes.tracks * sizes.level_features, 1)
    hidden = silu(draw, grouped(draw, joined, "to_timestep_embed.1", sizes.tracks, has_bias=True))
    token = grouped(draw, hidden, "to_timestep_embed.3", sizes.tracks, has_bias=True)
    return draw.reshaped(token, 0, 1, sizes.width)


@dataclass(frozen=True)
class Course:
    """What every block of a step needs.

    length    tokens: the level's, and one per latent frame
    rotation  (2, 1, length, 1, head width) cosines and signed sines, of queries and of keys
    """

    draw: Drawing
    sizes: DitConfig
    length: int
    rotation: tuple[str, str]


def rotation_tables(draw: Drawing, sizes: DitConfig, length: int) -> tuple[str, str]:
    """Cosines and signed sines; the queries' are scaled, so that their products with the keys need not be."""
    positions = draw.constant(np.arange(length, dtype=np.float32)[:, None])
    angles = draw.node("Mul", positions, draw.stored("transformer.rotary_pos_emb.inv_freq"))
    signs = np.repeat([-1.0, 1.0], sizes.head_width // 2)
    scales = np.array([sizes.head_width**-0.5, 1.0]).reshape(2, 1, 1, 1, 1)
    tables = []
    for kind, factors in (("Cos", scales), ("Sin", scales * signs)):
        half = draw.node(kind, angles)
        table = draw.reshaped(draw.node("Concat", half, half, axis=1), 1, 1, length, 1, sizes.head_width)
        tables.append(str(draw.node("Mul", table, draw.constant(factors))))
    return tables[0], tables[1]


def block_of(course: Course, x: str, block: int) -> str:
    """(B, length, W) → same, as `Block`"""
    draw, name = course.draw, f"transformer.layers.{block}"
    own = draw.node("Gather", "modulation", draw.constant([block]), axis=1)
    own = draw.reshaped(own, 0, MODULATIONS, course.sizes.width)
    scale, shift, gate, ff_scale, ff_shift, ff_gate = draw.node(
        "Split", own, outputs=MODULATIONS, axis=1, num_outputs=MODULATIONS
    )
    y = attended(course, modulated(course, x, f"{name}.pre_norm", scale, shift), f"{name}.self_attn")
    x = draw.node("Add", x, gated(draw, y, gate))
    y = fed_forward(course, modulated(course, x, f"{name}.ff_norm", ff_scale, ff_shift), f"{name}.ff.ff")
    return str(draw.node("Add", x, gated(draw, y, ff_gate)))


def modulated(course: Course, x: str, norm: str, scale: str, shift: str) -> str:
    """`TrackNorm`, then × (1 + scale) + shift; the norm's own scale and offset are merged into these."""
    draw, sizes, length = course.draw, course.sizes, course.length
    by_track = draw.reshaped(draw.node("Transpose", x, perm=[0, 2, 1]), 0, sizes.tracks, -1)
    ones, zeros = draw.constant(np.ones(sizes.tracks)), draw.constant(np.zeros(sizes.tracks))
    normed = draw.node("InstanceNormalization", by_track, ones, zeros, epsilon=EPSILON)
    normed = draw.reshaped(normed, 0, sizes.width, length)
    normed = draw.node("Transpose", normed, perm=[0, 2, 1])
    kept = draw.node("Add", scale, draw.constant(1.0))
    factor = draw.node("Mul", kept, draw.stored(f"{norm}.gamma"))
    offset = draw.node("Add", draw.node("Mul", kept, draw.stored(f"{norm}.beta")), shift)
    return str(draw.node("Add", draw.node("Mul", normed, factor), offset))


def gated(draw: Drawing, x: str, gate: str) -> str:
    """x × sigmoid(1 − gate)"""
    return str(draw.node("Mul", x, draw.node("Sigmoid", draw.node("Sub", draw.constant(1.0), gate))))


def attended(course: Course, x: str, name: str) -> str:
    """`Attention`: queries and keys are turned together."""
    draw, sizes, length = course.draw, course.sizes, course.length
    heads = tokenwise(draw, x, f"{name}.to_qkv", length)
    heads = draw.reshaped(heads, 0, length, 3, sizes.heads, sizes.head_width)
    heads = draw.node("Transpose", heads, perm=[2, 0, 1, 3, 4])  # (3, B, length, heads, head width)
    pair, values = draw.node("Split", heads, draw.constant([2, 1]), outputs=2, axis=0)
    queries, keys = draw.node("Split", turned(course, pair), outputs=2, axis=0, num_outputs=2)
    shape = (-1, length, sizes.heads, sizes.head_width)
    queries, keys, values = (draw.reshaped(one, *shape) for one in (queries, keys, values))
    scores = draw.node(
        "MatMul",
        draw.node("Transpose", queries, perm=[0, 2, 1, 3]),
        draw.node("Transpose", keys, perm=[0, 2, 3, 1]),
    )
    weights = draw.node("Softmax", scores, axis=-1)
    mixed = draw.node("MatMul", weights, draw.node("Transpose", values, perm=[0, 2, 1, 3]))
    mixed = draw.reshaped(draw.node("Transpose", mixed, perm=[0, 2, 1, 3]), 0, length, sizes.width)
    return tokenwise(draw, mixed, f"{name}.to_out", length)


def turned(course: Course, pair: str) -> str:
    """Rotary positions of queries and keys (2, B, length, heads, head width)"""
    draw, (cosines, sines) = course.draw, course.rotation
    first, second = draw.node("Split", pair, outputs=2, axis=4, num_outputs=2)
    swapped = draw.node("Concat", second, first, axis=4)
    return str(draw.node("Add", draw.node("Mul", pair, cosines), draw.node("Mul", swapped, sines)))


def fed_forward(course: Course, x: str, name: str) -> str:
    """`FeedForward`: the second half gates the first."""
    draw = course.draw
    halves = tokenwise(draw, x, f"{name}.0.proj", course.length, has_bias=True)
    value, gate = draw.node("Split", halves, outputs=2, axis=2, num_outputs=2)
    return tokenwise(
        draw, draw.node("Mul", value, silu(draw, gate)), f"{name}.2", course.length, has_bias=True
    )
