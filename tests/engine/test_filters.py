"""Minimal filters against the sum over taps, in double precision."""

import numpy as np
import pytest

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.filters import (
    Bench,
    Filter,
    Overlapping,
    Windowed,
    filter_by_taps,
    filter_of,
    tile_for,
    transforms,
)
from stemwright.engine.runtimes.products import Products


@pytest.fixture(scope="module")
def bench() -> Bench:
    return Bench(Products())


def noise(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def summed(weight: Array, rows: Array, dilation: int) -> np.ndarray:
    """Σ_j g_j x_(t + dilation × j) of a weight (O, I, r)"""
    taps, length = weight.shape[2], len(rows) - (weight.shape[2] - 1) * dilation
    parts = [
        rows[tap * dilation :][:length].astype(float) @ weight[..., tap].T.astype(float)
        for tap in range(taps)
    ]
    return np.sum(parts, axis=0)


def rounding(made: Array, exact: np.ndarray) -> float:
    """Its root mean square, of the result's."""
    return float(np.sqrt(np.mean((made - exact) ** 2) / np.mean(exact**2)))


@pytest.mark.parametrize("taps", [2, 7])
def test_products_at_the_points_are_those_of_the_filter_exactly(taps: int) -> None:
    tile = tile_for(taps)
    ways, (taps_in, samples) = transforms(tile, taps), (noise(taps), noise(tile + taps - 1, seed=1))
    made = ways.outputs.astype(float) @ ((ways.taps.astype(float) @ taps_in) * (ways.samples @ samples))
    exact = [taps_in.astype(float) @ samples[place : place + taps] for place in range(tile)]
    np.testing.assert_allclose(made, exact, atol=3e-5)  # measured 1.4e-6: the matrices are rounded once


@pytest.mark.parametrize("taps", [1, 2, 3, 7])
@pytest.mark.parametrize("dilation", [1, 3, 9])
def test_a_minimal_filter_equals_the_sum_over_taps(bench: Bench, taps: int, dilation: int) -> None:
    weight, bias = noise(20, 24, taps), noise(20, seed=2)
    filter = filter_of(weight, bias, bench, dilation=dilation)
    rows = noise(filter.rows_for(5), 24, seed=3)
    made = filter.run(rows, 5, bench)
    assert len(made) == 5 * tile_for(taps) * dilation
    assert (
        rounding(made, summed(weight, rows, dilation) + bias) < 1e-5
    )  # measured 3.1e-6 of 7 taps; sums 1e-7


def test_twelve_products_take_the_place_of_forty_two(bench: Bench) -> None:
    filter = filter_of(noise(4, 4, 7), np.zeros(4, np.float32), bench)
    assert (filter.tile * filter.taps, len(filter.weights)) == (42, 12)


@pytest.mark.parametrize("is_turned", [True, False])
def test_a_weight_by_taps_makes_the_same_filter(bench: Bench, is_turned: bool) -> None:
    weight, bias = noise(5, 6, 2), noise(5, seed=2)
    rows = noise(4 * 3 + 1, 6, seed=3)
    by_taps = np.ascontiguousarray(weight.transpose((2, 1, 0) if is_turned else (2, 0, 1)))
    made = filter_by_taps(by_taps, bias, 4, bench, is_turned=is_turned).run(rows, 3, bench)
    assert rounding(made, summed(weight, rows, 1) + bias) < 2e-6  # measured 2.1e-7


def test_large_weights_are_taken_as_they_are_with_the_same_result(bench: Bench) -> None:
    stride, bias = 4, noise(5, seed=2)
    up, down = noise(6, 5, 2 * stride), noise(5, 6, 2 * stride)
    taps = up.reshape(6, 5, 2, stride).transpose(2, 0, 3, 1)[::-1].reshape(2, 6, -1)
    plain = Filter(np.ascontiguousarray(taps), np.tile(bias, stride), 2, 1, is_turned=True)
    rows = noise(8, 6, seed=3)
    expected = plain.run(rows, 7, bench).copy()
    made = Overlapping(up, np.tile(bias, stride)).run(rows, 7, bench)
    np.testing.assert_allclose(made, expected, atol=1e-5)  # measured 0
    taps = down.reshape(5, 6, 2, stride).transpose(2, 0, 3, 1).reshape(2, 5, -1)
    plain, rows = Filter(np.ascontiguousarray(taps), bias, 2, 1), noise(8, 6 * stride, seed=3)
    expected = plain.run(rows, 7, bench).copy()
    np.testing.assert_allclose(Windowed(down, bias).run(rows, 7, bench), expected, atol=1e-5)
