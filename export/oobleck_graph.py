"""The official autoencoder as two graphs of any length: waves in, and waves out.

Weight norm is folded before (`fold_weight_norm`); names are those of the folded network's state.
B batch · K audio channels · C latent channels · T latent frames
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stemwright.engine.models.oobleck import DILATIONS, OobleckConfig
from stemwright.export.drawing import Drawing
from stemwright.export.spec import GraphSpec

if TYPE_CHECKING:
    from onnx import ModelProto


def encoder_graph(sizes: OobleckConfig, spec: GraphSpec, weights: Path) -> ModelProto:
    """waves (B, K, T, hop) → mean and deviation (B, C, T), as `Oobleck.encode_stats`"""
    draw, last = Drawing(weights), len(sizes.strides) + 1
    x = draw.reshaped("waves", 0, sizes.audio_channels, -1)
    x = convolved(draw, x, "encoder.layers.0")
    for block, stride in enumerate(sizes.strides, start=1):
        name = f"encoder.layers.{block}.layers"
        x = units(draw, x, name, first=0)
        x = snake(draw, x, f"{name}.3")
        x = convolved(draw, x, f"{name}.4", stride=stride)
    x = convolved(draw, snake(draw, x, f"encoder.layers.{last}"), f"encoder.layers.{last + 1}")
    mean, scale = draw.node("Split", x, outputs=2, axis=1, num_outputs=2)
    draw.named(mean, "mean")
    draw.named(draw.node("Add", draw.node("Softplus", scale), draw.constant(1e-4)), "deviation")
    return draw.finished(spec.name, spec.inputs, spec.outputs)


def decoder_graph(sizes: OobleckConfig, spec: GraphSpec, weights: Path) -> ModelProto:
    """latents (B, C, T) → waves (B, K, T, hop), as `Oobleck.decode`"""
    draw, last = Drawing(weights), len(sizes.strides) + 1
    x = convolved(draw, "latents", "decoder.layers.0")
    for block, stride in enumerate(reversed(sizes.strides), start=1):
        name = f"decoder.layers.{block}.layers"
        x = raised(draw, snake(draw, x, f"{name}.0"), f"{name}.1", stride)
        x = units(draw, x, name, first=2)
    x = snake(draw, x, f"decoder.layers.{last}")
    x = convolved(draw, x, f"decoder.layers.{last + 1}", has_bias=False)
    draw.named(draw.reshaped(x, 0, sizes.audio_channels, -1, sizes.hop), "waves")
    return draw.finished(spec.name, spec.inputs, spec.outputs)


def units(draw: Drawing, x: str, name: str, *, first: int) -> str:
    """The three residual units of a block, `Residual`."""
    for place, dilation in enumerate(DILATIONS, start=first):
        unit = f"{name}.{place}.layers"
        y = convolved(draw, snake(draw, x, f"{unit}.0"), f"{unit}.1", dilation=dilation)
        x = draw.node("Add", x, convolved(draw, snake(draw, y, f"{unit}.2"), f"{unit}.3"))
    return x


def snake(draw: Drawing, x: str, name: str) -> str:
    """x + sin²(αx) / β"""
    frequency = draw.node("Exp", draw.reshaped(draw.stored(f"{name}.alpha"), -1, 1))
    divisor = draw.node("Exp", draw.reshaped(draw.stored(f"{name}.beta"), -1, 1))
    share = draw.node("Reciprocal", draw.node("Add", divisor, draw.constant(1e-9)))
    wave = draw.node("Sin", draw.node("Mul", x, frequency))
    return str(draw.node("Add", x, draw.node("Mul", draw.node("Mul", wave, wave), share)))


def convolved(
    draw: Drawing, x: str, name: str, *, stride: int = 1, dilation: int = 1, has_bias: bool = True
) -> str:
    """A convolution that gives as many frames as it gets, over its stride."""
    kernel = draw.shape(f"{name}.weight")[2]
    pad = stride // 2 if stride > 1 else dilation * (kernel // 2)
    bias = [draw.stored(f"{name}.bias")] if has_bias else []
    made = draw.node(
        "Conv",
        x,
        draw.stored(f"{name}.weight", x),
        *bias,
        strides=[stride],
        dilations=[dilation],
        pads=[pad, pad],
        kernel_shape=[kernel],
    )
    return str(made)


def raised(draw: Drawing, x: str, name: str, stride: int) -> str:
    """A transposed convolution: `stride` times as many frames"""
    pads, kernel = [stride // 2, stride // 2], draw.shape(f"{name}.weight")[2]
    weights = draw.stored(f"{name}.weight", x), draw.stored(f"{name}.bias")
    return str(draw.node("ConvTranspose", x, *weights, strides=[stride], pads=pads, kernel_shape=[kernel]))
