"""The autoencoder Oobleck on the processor: what its two graphs compute, in about half of their time.

Convolutions are minimal filters (`filters`), layers go through piece by piece (`chain`), and sines are
NumPy's, which take a quarter of ONNX Runtime's time. Weights are those of the graph's file, mapped; names are
those in `export.oobleck_graph`.
"""

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.errors import ModelDamaged
from stemwright.engine.runtimes.chain import Chain, Layer, Make, Pointwise, Snake
from stemwright.engine.runtimes.filters import (
    Bench,
    Overlapping,
    Windowed,
    filter_by_taps,
    filter_of,
    tile_for,
)
from stemwright.engine.runtimes.onnxfile import read

DILATIONS = (1, 3, 9)
SLOW = 64  # rows per latent frame; layers of more go through stretch by stretch
STRETCH = 1 << 14  # audio frames of a stretch
LARGE = 1 << 24  # numbers of a weight that it is not worth to transform for few rows
Weights = Mapping[str, NDArray[Any]]


class Decoder:
    """A Runtime: latents (B, C, T) → waves (B, K, T, hop), as the graph of that name computes them."""

    inputs: tuple[str, ...] = ("latents",)
    outputs: tuple[str, ...] = ("waves",)

    def __init__(self, graph: Path, threads: int = 1) -> None:
        self.name, weights = graph.name, read(graph).constants
        blocks = blocks_of(weights, "decoder", "1.weight")
        layers: list[Make] = [plain(weights, "decoder.layers.0")]
        rate, slow = 1, 1
        for block in range(1, blocks + 1):
            name = f"decoder.layers.{block}.layers"
            layers += [raised(weights, f"{name}.1", f"{name}.0"), *units(weights, name, first=2)]
            rate *= stored(weights, f"{name}.1.weight").shape[2] // 2
            slow = len(layers) if rate <= SLOW else slow
        self._hop = rate
        layers.append(plain(weights, f"decoder.layers.{blocks + 2}", f"decoder.layers.{blocks + 1}"))
        self._chain = Chain(layers, slice(0, slow), STRETCH, threads)

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        latents = arrays["latents"]
        rows = self._chain.run([np.ascontiguousarray(one.T) for one in latents])
        waves = np.stack([one.T for one in rows])
        return (waves.reshape(*waves.shape[:2], latents.shape[2], self._hop),)


class Encoder:
    """A Runtime: waves (B, K, T, hop) → mean and deviation (B, C, T), as the graph of that name does."""

    inputs: tuple[str, ...] = ("waves",)
    outputs: tuple[str, ...] = ("mean", "deviation")

    def __init__(self, graph: Path, threads: int = 1) -> None:
        self.name, weights = graph.name, read(graph).constants
        blocks = blocks_of(weights, "encoder", "4.weight")
        layers: list[Make] = [plain(weights, "encoder.layers.0")]
        strides, ends = [], []
        for block in range(1, blocks + 1):
            name = f"encoder.layers.{block}.layers"
            layers += [*units(weights, name, first=0), lowered(weights, f"{name}.4", f"{name}.3")]
            strides.append(stored(weights, f"{name}.4.weight").shape[2] // 2)
            ends.append(len(layers))
        layers.append(plain(weights, f"encoder.layers.{blocks + 2}", f"encoder.layers.{blocks + 1}"))
        rates = [int(np.prod(strides[block:])) for block in range(1, blocks + 1)]  # after each block
        slow = next(block for block, rate in enumerate(rates) if rate <= SLOW)
        stretch = max(1, STRETCH // int(np.prod(strides[: slow + 1])))
        self._chain = Chain(layers, slice(ends[slow], len(layers)), stretch, threads)

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        waves = arrays["waves"]
        signals = [np.ascontiguousarray(one.reshape(len(one), -1).T) for one in waves]
        found = np.stack([one.T for one in self._chain.run(signals)])
        mean, scale = np.split(found, 2, axis=1)
        return np.ascontiguousarray(mean), np.logaddexp(scale, np.float32(0)) + np.float32(1e-4)


def blocks_of(weights: Weights, part: str, first: str) -> int:
    """How many blocks the decoder or the encoder has. first: of a block's layers, one that others lack"""
    return next(block for block in count() if f"{part}.layers.{block + 1}.layers.{first}" not in weights)


def stored(weights: Weights, name: str) -> NDArray[Any]:
    try:
        return weights[name]
    except KeyError as error:
        raise ModelDamaged(f"the autoencoder has no weight {name}. Import the model again.") from error


def single(weights: Weights, name: str) -> Array:
    return np.asarray(stored(weights, name), np.float32)


def snake(weights: Weights, name: str) -> Snake:
    frequency, divisor = (np.exp(single(weights, f"{name}.{kind}")) for kind in ("alpha", "beta"))
    return Snake(frequency, np.reciprocal(divisor + np.float32(1e-9)))


def plain(weights: Weights, name: str, before: str = "", dilation: int = 1) -> Make:
    """A convolution that keeps the number of rows, after the snake `before`."""

    def make(bench: Bench) -> Layer:
        weight = single(weights, f"{name}.weight")
        bias = (
            single(weights, f"{name}.bias")
            if f"{name}.bias" in weights
            else np.zeros(len(weight), np.float32)
        )
        taps = weight.shape[2]
        filter = filter_of(weight, bias, bench, dilation=dilation)
        return Layer(filter, taps // 2, snake(weights, before) if before else None)

    return make


def units(weights: Weights, name: str, *, first: int) -> list[Make]:
    """The three residual units of a block."""
    return [
        unit(weights, f"{name}.{place}.layers", dilation) for place, dilation in enumerate(DILATIONS, first)
    ]


def unit(weights: Weights, name: str, dilation: int) -> Make:
    def make(bench: Bench) -> Layer:
        wide = plain(weights, f"{name}.1", f"{name}.0", dilation)(bench)
        weight = single(weights, f"{name}.3.weight").reshape(1, wide.filter.outputs, -1)
        point = Pointwise(snake(weights, f"{name}.2"), weight, single(weights, f"{name}.3.bias"))
        return Layer(wide.filter, wide.left, wide.snake, point)

    return make


def raised(weights: Weights, name: str, before: str) -> Make:
    """A transposed convolution: a filter of two taps at the lower rate, with the rows between as channels."""

    def make(bench: Bench) -> Layer:
        weight = single(weights, f"{name}.weight")
        inputs, outputs, kernel = weight.shape
        bias, wave = np.tile(single(weights, f"{name}.bias"), kernel // 2), snake(weights, before)
        if weight.size >= LARGE:
            return Layer(Overlapping(weight, bias), left=1, snake=wave, parted=kernel // 2)
        taps = np.empty((2, inputs, kernel // 2, outputs), np.float32)
        for row, part in zip(taps.transpose(1, 0, 2, 3), weight, strict=True):  # each stays in the cache
            row[...] = part.reshape(outputs, 2, -1).transpose(1, 2, 0)[::-1]
        taps = taps.reshape(2, inputs, -1)
        filter = filter_by_taps(taps, bias, tile_for(2), bench, is_turned=True)
        return Layer(filter, left=1, snake=wave, parted=kernel // 2)

    return make


def lowered(weights: Weights, name: str, before: str) -> Make:
    """A convolution of stride: a filter of two taps, over rows taken together."""

    def make(bench: Bench) -> Layer:
        weight = single(weights, f"{name}.weight")
        outputs, inputs, kernel = weight.shape
        bias, wave = single(weights, f"{name}.bias"), snake(weights, before)
        if weight.size >= LARGE:
            return Layer(Windowed(weight, bias), left=0, snake=wave, grouped=kernel // 2)
        taps = np.empty((2, outputs, kernel // 2, inputs), np.float32)
        for row, part in zip(taps.transpose(1, 0, 2, 3), weight, strict=True):
            row[...] = part.reshape(inputs, 2, -1).transpose(1, 2, 0)
        filter = filter_by_taps(taps.reshape(2, outputs, -1), bias, tile_for(2), bench)
        return Layer(filter, left=0, snake=wave, grouped=kernel // 2)

    return make
