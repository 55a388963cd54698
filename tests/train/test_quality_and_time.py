"""The figures of docs/quality-and-time.md: what they are made of, without a model."""

from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.train.evaluation_sets import Case
from stemwright.engine.train.quality_and_time import frechet, gain
from stemwright.engine.train.quality_figures import Point, draw, tables

SONGS = ("one", "two", "two", "three")


def test_two_gaussians_are_as_far_apart_as_theory_says() -> None:
    random = np.random.default_rng(0)
    one = random.standard_normal((40000, 3))
    other = 2 * random.standard_normal((40000, 3)) + np.array([1, 0, 0])
    # |m − m′|² is 1, and each of three axes adds (2 − 1)². Measured: 3.98
    assert frechet(one, other) == pytest.approx(4, abs=0.1)
    assert frechet(one, one) == pytest.approx(0, abs=1e-6)


def test_the_mixture_itself_gains_nothing_and_the_stem_much() -> None:
    random = np.random.default_rng(0)
    stem, rest = random.standard_normal((2, 1, 4000)).astype(np.float32)
    case = Case("soundfont", "song", "bass", "the sound of the bass", 16000, stem + rest, stem)
    assert gain(case, case.mixture[0]) == 0
    assert gain(case, stem[0]) > 60


def points() -> dict[str, list[Point]]:
    def row(name: str, steps: int, *values: float) -> Point:
        return Point(name, steps, 0.05 * max(steps, 1), values, SONGS[: len(values)])

    return {
        "extract": [row("ddim", 1, 5, 6, 7, 8), row("ddim", 2, 6, 7, 8, 9), row("ab2", 2, 1, 2, 3, 4)],
        "ways": [row("best: as shipped", 1, 5, 6, 7, 8), row("fast: as shipped", 1, 5, 6, 7, 7.6)],
        "generate": [Point("songs", 0, 0, (3.0,), ("floor",)), row("ddim", 1, 40, 9), row("unipc", 2, 20, 1)],
    }


def test_tables_tell_each_way_against_the_first_with_its_interval() -> None:
    text = "\n".join(tables(points()))
    assert "| ddim, 2 | 0.10 | +7.50 | +1.00 [+1.00, +1.00] |" in text
    assert "| fast: as shipped | 0.05 | +6.40 | -0.10 [" in text
    assert "| half of the songs from the other half | 0.00 | 3.0 | – |" in text
    assert "| unipc, 2 | 0.10 | 20.0 | 1.00 |" in text


def test_the_plot_is_small(tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    draw(points(), {"extract": "ddim 1", "generate": "unipc 2"}, path)
    assert 5_000 < path.stat().st_size < 80_000
