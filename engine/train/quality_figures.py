"""Figures of quality against time as tables and as a plot; see `quality_and_time`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stemwright.engine.train.metrics import confidence

SAMPLERS = ("ddim", "ab2", "unipc")
MANY = 64  # steps of the generated sound that others are held against


@dataclass(frozen=True)
class Point:
    """One way to do it. seconds: CPU, of 10.24 s; values: one a case, dB; songs: which each is of"""

    name: str
    steps: int
    seconds: float
    values: tuple[float, ...]
    songs: tuple[str, ...]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))


def tables(found: dict[str, list[Point]]) -> Iterator[str]:
    """Markdown, a table for each part."""
    yield from _table("steps", "sampler, steps", found["extract"], found["extract"][0])
    yield from _table("ways", "profile: way", found["ways"], found["ways"][0])
    yield "| sampler, steps | core seconds | Fréchet distance to the songs | from 64 steps (dB) |"
    yield "|---|---|---|---|"
    for each in found["generate"]:
        apart = f"{each.values[1]:.2f}" if len(each.values) > 1 else "–"
        name = f"{each.name}, {each.steps}" if each.steps else "half of the songs from the other half"
        yield f"| {name} | {each.seconds:.2f} | {each.values[0]:.1f} | {apart} |"


def _table(part: str, head: str, points: Sequence[Point], first: Point) -> Iterator[str]:
    yield f"| {head} | core seconds | SI-SDRi mean (dB) | against the first row (dB) [95 %] |"
    yield "|---|---|---|---|"
    for each in points:
        differences = np.subtract(each.values, first.values)
        ends = confidence(differences, list(each.songs), "mean") if each is not first else None
        against = "–" if ends is None else f"{differences.mean():+.2f} [{ends[0]:+.2f}, {ends[1]:+.2f}]"
        name = f"{each.name}, {each.steps}" if part == "steps" else each.name
        yield f"| {name} | {each.seconds:.2f} | {each.mean:+.2f} | {against} |"
    yield ""


def draw(found: dict[str, list[Point]], defaults: dict[str, str], path: Path) -> None:
    """Both plots side by side; the chosen default is ringed."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot
    from matplotlib.ticker import NullLocator

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    values: dict[str, Callable[[Point], float]] = {
        "extract": lambda p: p.mean,
        "generate": lambda p: p.values[0],
    }
    for axes, part in ((left, "extract"), (right, "generate")):
        points = [each for each in found[part] if each.steps and each.steps != MANY]
        for sampler, colour in zip(SAMPLERS, ("C0", "C1", "C2"), strict=True):
            own = [each for each in points if each.name == sampler or each.steps == 1]
            own.sort(key=lambda each: each.steps)
            heights = [values[part](each) for each in own]
            axes.plot([each.seconds for each in own], heights, "o-", color=colour, label=sampler, ms=4)
            for each, height in zip(own, heights, strict=True):
                if sampler == SAMPLERS[0]:  # the others' are at the same times
                    axes.annotate(
                        str(each.steps),
                        (each.seconds, height),
                        fontsize=8,
                        xytext=(3, 4),
                        textcoords="offset points",
                    )
            for each in own:
                if f"{each.name} {each.steps}" == defaults[part]:
                    axes.plot(each.seconds, values[part](each), "o", ms=14, mfc="none", mec="k")
        axes.set(xscale="log", xlabel="core seconds for 10.24 s")
        axes.set_xticks([0.1, 0.2, 0.5, 1, 2, 4] if part == "generate" else [0.1, 0.2, 0.5, 1])
        axes.xaxis.set_major_formatter("{x:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.legend(frameon=False, fontsize=8)
    left.set(
        title="Extract: one look, no rivals (steps; ring: default)", ylabel="SI-SDR improvement (dB), mean"
    )
    right.set(
        title="Generate: guidance 2 (steps; ring: default)",
        ylabel="Fréchet distance to songs (less is better)",
    )
    figure.savefig(path, dpi=80)
