"""Convolutions along time with fewer products than they have taps: minimal filtering after Toom and Cook.

A tile of m outputs of a filter of r taps is a product of polynomials. Its values at m + r − 1 points,
infinity among them, take one product each, where sums over taps take m × r: 12 for 42 where r is 7.
A rounding counts some thirty times as much as in the sum; the points are about those where it counts least.

Winograd, Arithmetic Complexity of Computations (1980).
"""

from dataclasses import dataclass
from fractions import Fraction
from functools import cache, cached_property
from itertools import cycle

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.products import Products

PAIRS = (Fraction(1), Fraction(7, 5), Fraction(5, 7), Fraction(8, 3), Fraction(3, 8))
POINTS = {  # by taps; beside infinity
    2: tuple(map(Fraction, (0, 1, -1, 2))),
    7: (Fraction(0), *PAIRS, *(-point for point in PAIRS)),
}
Polynomial = list[Fraction]  # coefficients, the constant first


def tile_for(taps: int) -> int:
    """Outputs computed together, where it is worth it; 1 is the plain sum over taps."""
    return len(POINTS[taps]) + 2 - taps if taps in POINTS else 1


@dataclass(frozen=True)
class Transforms:
    """What turns samples, taps and products at P points into each other, as matrices.

    samples (P, P), taps (P, r), outputs (m, P): y = outputs · ((taps · g) × (samples · x))
    """

    samples: Array
    taps: Array
    outputs: Array


@cache
def transforms(outputs: int, taps: int) -> Transforms:
    """Of `outputs` neighbouring results of a filter, y_i = Σ_j g_j x_(i+j). One is a sum."""
    if outputs == 1:
        same = np.eye(taps, dtype=np.float32)
        return Transforms(same, same, np.ones((1, taps), np.float32))
    finite = POINTS[taps]
    assert len(finite) == outputs + taps - 2, (outputs, taps)
    others = [[other for other in finite if other != point] for point in finite]
    samples = np.array(
        [[*map(float, rooted(roots)), 0.0] for roots in others] + [list(map(float, rooted(list(finite))))]
    )
    divisors = [float(_value(rooted(roots), point)) for roots, point in zip(others, finite, strict=True)] + [
        1
    ]
    results, weights = _powers(finite, outputs), _powers(finite, taps) / np.array(divisors)[:, None]
    size, scale = (np.linalg.norm(part, axis=1, keepdims=True) for part in (samples, results))
    parts = samples / size, weights * size * scale, (results / scale).T
    return Transforms(*(np.ascontiguousarray(part, np.float32) for part in parts))


def rooted(roots: list[Fraction]) -> Polynomial:
    """The polynomial Π (z − root)"""
    found = [Fraction(1)]
    for root in roots:
        found = [
            low - root * high for low, high in zip([Fraction(0), *found], [*found, Fraction(0)], strict=True)
        ]
    return found


def _value(polynomial: Polynomial, at: Fraction) -> Fraction:
    return sum((part * at**power for power, part in enumerate(polynomial)), Fraction(0))


def _powers(points: tuple[Fraction, ...], count: int) -> NDArray[np.float64]:
    """(points + infinity, count)"""
    rows = [[float(point**power) for power in range(count)] for point in points]
    return np.array([*rows, [0.0] * (count - 1) + [1.0]])


class Bench:
    """Where one thread works: its products, and arrays that are used again and again."""

    def __init__(self, products: Products) -> None:
        self.products = products
        self._arrays: dict[str, Array] = {}

    def room(self, name: str, *shape: int) -> Array:
        """An array of that shape with anything in it; the room of a name is used by one at a time."""
        size = int(np.prod(shape))
        if name not in self._arrays or self._arrays[name].size < size:
            self._arrays[name] = np.empty(size, np.float32)
        return self._arrays[name][:size].reshape(shape)


class Rooms:
    """Two rooms of a bench, in turns."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self._names = bench, cycle(("one", "other"))

    def next(self, *shape: int) -> Array:
        return self.bench.room(next(self._names), *shape)


@dataclass(frozen=True)
class Filter:
    """A filter along time, ready to run: y_t = Σ_j g_j x_(t + dilation × j)

    weights  (P, O, I) or, turned, (P, I, O): at P points
    bias     (O,)
    tile     m, outputs computed together; 1 sums over the taps
    """

    weights: Array
    bias: Array
    taps: int
    tile: int
    dilation: int = 1
    is_turned: bool = False

    @property
    def inputs(self) -> int:
        return int(self.weights.shape[2 - self.is_turned])

    @property
    def outputs(self) -> int:
        return int(self.weights.shape[1 + self.is_turned])

    @cached_property
    def _bias(self) -> Array:
        return np.tile(self.bias, self.dilation)

    def rows_for(self, tiles: int) -> int:
        """Rows `run` is given for that many tiles, of tile × dilation rows each."""
        return (tiles * self.tile + self.taps - 1) * self.dilation

    def run(self, rows: Array, tiles: int, bench: Bench) -> Array:
        """(rows_for(tiles), I) → (tiles × tile × dilation, O), which is good until the next run.

        What one step made is overwritten by the next but one, so that little of the cache is enough.
        """
        rooms = Rooms(bench)
        planes = self._spread(rows, tiles, rooms)
        made = rooms.next(len(planes), tiles * self.dilation, self.outputs)
        product = bench.products.plain if self.is_turned else bench.products.turned
        product(planes.reshape(len(planes), -1, self.inputs), self.weights, made)
        return self._gathered(made, tiles, rooms)

    def _spread(self, rows: Array, tiles: int, rooms: Rooms) -> Array:
        """The samples of each tile, at P points: (P, tiles × dilation × I)"""
        phases, points = rows.reshape(-1, self.dilation * self.inputs), self.tile + self.taps - 1
        planes = rooms.next(points, tiles, phases.shape[1])
        for place, plane in enumerate(planes):
            np.copyto(plane, phases[place :: self.tile][:tiles])
        flat = planes.reshape(1, points, -1)
        if self.tile > 1:
            flat = rooms.bench.products.plain(self._ways.samples[None], flat, rooms.next(*flat.shape))
        return flat.reshape(points, -1)

    def _gathered(self, made: Array, tiles: int, rooms: Rooms) -> Array:
        """Products at the points → rows in their order."""
        flat, width = made.reshape(1, len(made), -1), self.dilation * self.outputs
        summed = rooms.next(1, self.tile, flat.shape[2])
        if self.tile == 1:
            np.sum(flat, axis=1, out=summed[0])
        else:
            rooms.bench.products.plain(self._ways.outputs[None], flat, summed)
        found = rooms.next(tiles, self.tile, width)
        np.add(summed.reshape(self.tile, tiles, width).transpose(1, 0, 2), self._bias, out=found)
        return found.reshape(-1, self.outputs)

    @property
    def _ways(self) -> Transforms:
        return transforms(self.tile, self.taps)


def filter_of(weight: Array, bias: Array, bench: Bench, *, dilation: int = 1) -> Filter:
    """Of a convolution's weight, as it is stored: (O, I, r). Good until the bench makes another."""
    outputs, inputs, taps = weight.shape
    tile = tile_for(taps)
    made = bench.room("weights", 1, tile + taps - 1, outputs * inputs)
    stored = np.ascontiguousarray(weight).reshape(1, -1, taps)
    bench.products.turned(transforms(tile, taps).taps[None], stored, made)
    return Filter(made.reshape(-1, outputs, inputs), bias, taps, tile, dilation)


def filter_by_taps(weight: Array, bias: Array, tile: int, bench: Bench, *, is_turned: bool = False) -> Filter:
    """Of a weight in the order its products take it: (r, O, I) or, turned, (r, I, O)."""
    taps = len(weight)
    if tile > 1:
        made = bench.room("weights", 1, tile + taps - 1, weight[0].size)
        bench.products.plain(transforms(tile, taps).taps[None], weight.reshape(1, taps, -1), made)
        weight = made.reshape(-1, *weight.shape[1:])
    return Filter(weight, bias, taps, tile, is_turned=is_turned)


@dataclass(frozen=True)
class Overlapping:
    """A transposed convolution by its stored weight, for few rows and a large weight: it is taken as it is,
    and what a row gives is added to what the one before gave. Takes the place of a `Filter` of two taps.

    weight  (I, O, 2 × stride)
    """

    weight: Array
    bias: Array  # (stride × O,)
    taps: int = 2
    tile: int = 1
    dilation: int = 1

    @property
    def inputs(self) -> int:
        return len(self.weight)

    @property
    def outputs(self) -> int:
        return len(self.bias)

    def run(self, rows: Array, tiles: int, bench: Bench) -> Array:
        """(tiles + 1, I) → (tiles, stride × O), which is good until the next run."""
        made = bench.room("one", 1, len(rows), self.weight[0].size)
        bench.products.plain(rows[None], self.weight.reshape(1, self.inputs, -1), made)
        halves = made.reshape(len(rows), self.weight.shape[1], 2, -1).transpose(2, 0, 3, 1)
        found = bench.room("other", tiles, *halves.shape[2:])
        np.add(halves[0, 1:], halves[1, :-1], out=found)
        flat = found.reshape(tiles, -1)
        np.add(flat, self.bias, out=flat)
        return flat


@dataclass(frozen=True)
class Windowed:
    """A convolution of stride by its stored weight, for few rows and a large weight: it is taken as it is,
    and the rows it meets are put in its order. Takes the place of a `Filter` of two taps.

    weight  (O, I, 2 × stride)
    """

    weight: Array
    bias: Array  # (O,)
    taps: int = 2
    tile: int = 1
    dilation: int = 1

    @property
    def inputs(self) -> int:
        return int(self.weight[0].size // 2)

    @property
    def outputs(self) -> int:
        return len(self.bias)

    def run(self, rows: Array, tiles: int, bench: Bench) -> Array:
        """(tiles + 1, stride × I) → (tiles, O), which is good until the next run."""
        met = bench.room("one", tiles, self.weight.shape[1], 2, self.weight.shape[2] // 2)
        parted = rows.reshape(len(rows), -1, met.shape[1]).transpose(0, 2, 1)
        met[:, :, 0], met[:, :, 1] = parted[:-1], parted[1:]
        found = bench.room("other", 1, tiles, self.outputs)
        bench.products.turned(met.reshape(1, tiles, -1), self.weight.reshape(1, self.outputs, -1), found)
        np.add(found, self.bias, out=found)
        return found.reshape(tiles, -1)
