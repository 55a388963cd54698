"""Layers of a convolutional network on the processor, time first, in memory and cache that are bounded.

Layers near the audio's rate, whose arrays are large, go through stretch by stretch, each with the rows that
its own can hear: the numbers are those of one call for the whole, but for the order of sums.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from threading import local

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.filters import Bench, Filter, Overlapping, Windowed
from stemwright.engine.runtimes.products import Products

FEW = 256  # rows a product needs for its matrix to be worth fetching
BLOCK = 1 << 17  # numbers computed at once within a layer
WAVE = 1 << 15  # numbers whose sine is taken at once
LONG = 1 << 11  # numbers along which one operation goes
Span = tuple[int, int]


@dataclass(frozen=True)
class Snake:
    """x + sin²(αx) / β"""

    frequency: Array  # α
    share: Array  # 1 / β

    def into(self, out: Array, rows: Array, bench: Bench) -> None:
        """out may be `rows` itself"""
        width = rows.shape[1]
        begin, several = 0, self._several
        while several:  # rows of a few channels are taken together: short ones are slow to walk along
            end = begin + (len(rows) - begin) // several * several
            self._waves(out[begin:end], rows[begin:end], several * width, bench)
            begin, several = end, 1 if end < len(rows) else 0

    def _waves(self, out: Array, rows: Array, width: int, bench: Bench) -> None:
        out, rows, most = out.reshape(-1, width), rows.reshape(-1, width), max(1, WAVE // width)
        (frequency, share), wave = self._tiled, bench.room("wave", most, width)
        for begin in range(0, len(rows), most):
            part = slice(begin, begin + most)
            some = wave[: len(rows[part])]
            np.multiply(rows[part], frequency[:width], out=some)
            np.sin(some, out=some)
            np.multiply(some, some, out=some)
            np.multiply(some, share[:width], out=some)
            np.add(rows[part], some, out=out[part])

    @property
    def _several(self) -> int:
        return max(1, LONG // len(self.share))

    @cached_property
    def _tiled(self) -> tuple[Array, Array]:
        return np.tile(self.frequency, self._several), np.tile(self.share, self._several)


@dataclass(frozen=True)
class Pointwise:
    """The second half of a residual unit: a snake, and a convolution of one tap."""

    snake: Snake
    weight: Array  # (1, O, I)
    bias: Array


@dataclass(frozen=True)
class Rows:
    """Part of a signal: rows `first` to `end` of `length`. Beyond the signal there is silence."""

    values: Array  # (end − first, channels)
    first: int
    length: int

    @property
    def end(self) -> int:
        return self.first + len(self.values)


@dataclass(frozen=True)
class Layer:
    """A convolution with what stands before and after it.

    left     rows of the filter's past
    grouped  rows taken as one before the filter: its stride
    parted   rows made of one after it: the stride of a transposed convolution
    point    where it is a residual unit
    """

    filter: Filter | Overlapping | Windowed
    left: int
    snake: Snake | None = None
    point: Pointwise | None = None
    grouped: int = 1
    parted: int = 1

    def length(self, rows: int) -> int:
        """Rows made of that many."""
        return rows * self.parted // self.grouped

    def heard(self, made: Span, length: int) -> Span:
        """Rows of a signal of this length that those are made of."""
        first, end = self._needed(self._filtered(made))
        return max(0, first), min(length, end)

    def run(self, given: Rows, made: Span, bench: Bench) -> Rows:
        """Rows `made` of the result, of which those are given that are heard."""
        out = np.empty((made[1] - made[0], self.filter.outputs // self.parted), np.float32)
        first, end = self._filtered(made)
        step = self.filter.tile * self.filter.dilation
        tiles = -(-(end - first) // step)
        for some in pieces(tiles, self._tiles_at_once):
            self._some(given, (first + some[0] * step, first + some[1] * step), made, out, bench)
        return Rows(out, made[0], self.length(given.length))

    @property
    def _tiles_at_once(self) -> int:
        widest = max(self.filter.inputs, self.filter.outputs) * self.filter.tile * self.filter.dilation
        return max(BLOCK // widest, -(-FEW // self.filter.dilation))

    def _filtered(self, made: Span) -> Span:
        """Rows of the filter's output that hold those."""
        pad = self.parted // 2
        return (made[0] + pad) // self.parted, (made[1] - 1 + pad) // self.parted + 1

    def _needed(self, filtered: Span) -> Span:
        """Rows those are made of, also outside the signal."""
        first = filtered[0] - self.left * self.filter.dilation
        end = filtered[1] + (self.filter.taps - 1 - self.left) * self.filter.dilation
        pad = self.grouped // 2
        return first * self.grouped - pad, end * self.grouped - pad

    def _some(self, given: Rows, filtered: Span, made: Span, out: Array, bench: Bench) -> None:
        """Those rows of the filter's output, as far as they are wanted, into their place."""
        tiles = (filtered[1] - filtered[0]) // (self.filter.tile * self.filter.dilation)
        rows = self.filter.run(self._padded(given, filtered, bench), tiles, bench)
        rows = rows.reshape(len(rows) * self.parted, -1)
        origin = filtered[0] * self.parted - self.parted // 2
        first, end = max(made[0], origin), min(made[1], origin + len(rows))
        rows, place = rows[first - origin : end - origin], out[first - made[0] : end - made[0]]
        if self.point is None:
            np.copyto(place, rows)
        else:
            self._added(self.point, given.values[first - given.first : end - given.first], rows, place, bench)

    def _padded(self, given: Rows, filtered: Span, bench: Bench) -> Array:
        """What the filter takes, after the snake, with silence beyond the signal."""
        first, end = self._needed(filtered)
        padded = bench.room("padded", end - first, given.values.shape[1])
        begin, stop = max(first, given.first), min(end, given.end)
        padded[: begin - first], padded[stop - first :] = 0, 0
        rows, place = (
            given.values[begin - given.first : stop - given.first],
            padded[begin - first : stop - first],
        )
        if self.snake:
            self.snake.into(place, rows, bench)
        else:
            np.copyto(place, rows)
        return padded.reshape(-1, self.filter.inputs)

    @staticmethod
    def _added(point: Pointwise, given: Array, rows: Array, out: Array, bench: Bench) -> None:
        point.snake.into(rows, rows, bench)
        bench.products.turned(rows[None], point.weight, out[None])
        np.add(out, point.bias, out=out)
        np.add(out, given, out=out)


Make = Callable[[Bench], Layer]  # its weights are read, and made into a filter, when it is called


class Chain:
    """Layers one after the other, in two parts: those of few rows, each over the whole signal; the others
    together over a stretch. The weights of the first are made into filters and left again one by one."""

    def __init__(self, layers: Sequence[Make], slow: slice, stretch: int, threads: int) -> None:
        """slow: which are of few rows, the first or the last; stretch: rows the others make at once"""
        self._slow, self._is_slow_first = layers[slow], not slow.start
        self._fast = layers[slow.stop :] if self._is_slow_first else layers[: slow.start]
        self._stretch, self._threads = stretch, threads

    def run(self, signals: Sequence[Array]) -> list[Array]:
        """(N, channels) each → the same of the last layer"""
        parts = [self._through_slow, self._through_fast]
        for part in parts if self._is_slow_first else reversed(parts):
            signals = part(signals)
        return list(signals)

    def _through_slow(self, signals: Sequence[Array]) -> list[Array]:
        bench = Bench(self._together)
        for make in self._slow:
            layer = make(bench)
            signals = [
                layer.run(Rows(one, 0, len(one)), (0, layer.length(len(one))), bench).values
                for one in signals
            ]
        return list(signals)

    def _through_fast(self, signals: Sequence[Array]) -> list[Array]:
        layers = [make(Bench(self._together)) for make in self._fast]
        return [self._stretches(layers, one) for one in signals]

    def _stretches(self, layers: Sequence[Layer], signal: Array) -> Array:
        lengths = [len(signal)]
        for layer in layers:
            lengths.append(layer.length(lengths[-1]))
        out = np.empty((lengths[-1], layers[-1].filter.outputs), np.float32)
        benches = local()

        def one(made: Span) -> None:
            if not hasattr(benches, "own"):
                benches.own = Bench(self._alone)
            out[slice(*made)] = through(layers, signal, lengths, made, benches.own)

        spans = pieces(lengths[-1], self._stretch)
        if self._threads == 1:
            for made in spans:
                one(made)
        else:
            with ThreadPoolExecutor(self._threads) as pool:
                list(pool.map(one, spans))
        return out

    @cached_property
    def _together(self) -> Products:
        """For one call at a time."""
        return Products(self._threads)

    @cached_property
    def _alone(self) -> Products:
        """For a thread among others."""
        return self._together if self._threads == 1 else Products(1)


def through(
    layers: Sequence[Layer], signal: Array, lengths: Sequence[int], made: Span, bench: Bench
) -> Array:
    """Rows `made` of what the last layer makes of a signal. lengths: of the signal, and after each layer"""
    spans = [made]
    for layer, length in zip(reversed(layers), reversed(lengths[:-1]), strict=True):
        spans.append(layer.heard(spans[-1], length))
    spans.reverse()
    rows = Rows(signal[slice(*spans[0])], spans[0][0], lengths[0])
    for layer, span in zip(layers, spans[1:], strict=True):
        rows = layer.run(rows, span, bench)
    return rows.values


def pieces(length: int, most: int) -> list[Span]:
    """0 to `length` in parts about equally long, none longer than `most`."""
    parts = -(-length // most)
    return [(part * length // parts, (part + 1) * length // parts) for part in range(parts)]
