"""A report for people: Markdown tables and a plot."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stemwright.engine.errors import MissingExtra
from stemwright.engine.train.evaluation_report import (
    ALL,
    DSP,
    GROUPS,
    IDEAL,
    MIXTURE,
    OURS,
    ROWS,
    Cell,
    Interval,
    Report,
    decibels,
    verdicts,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HEADS = (
    *("row", "SI-SDRi median [95 %]", "mean [95 %]", "mean of class medians", "> 3 dB", "< 0", "< −3 dB"),
    *("Log-Mel L1 [95 %]", "floor 1e-3"),
)
COLOURS = ("#b0b7c3", "#1f6feb", "#cfe3c8")  # best DSP, ours, ideal mask


def markdown(report: Report) -> str:
    """The tables, one pair for each set, and the verdicts."""
    parts = [
        line
        for group in report.groups
        for line in (*_rows_table(report, group), "", *_class_table(report, group), "")
    ]
    judged = verdicts(report)
    if judged:
        parts += ["| claim | measured | holds |", "|---|---|---|"]
        parts += [f"| {each.claim} | {each.figure} | {'yes' if each.holds else 'no'} |" for each in judged]
    return "\n".join(parts).rstrip() + "\n"


def _rows_table(report: Report, group: str) -> Iterator[str]:
    whole = report.cells.get((group, ALL, MIXTURE))
    if whole:
        counts = f"{whole.count} stems in {whole.songs} songs, {whole.scored} with an SI-SDR improvement"
        yield f"**{GROUPS.get(group, group)}**: {counts}"
        yield ""
        yield f"| {' | '.join(HEADS)} |"
        yield "|---" * len(HEADS) + "|"
        for row in ROWS:
            if (group, ALL, row) in report.cells:
                yield _row_line(report.cells[group, ALL, row], report.class_average(group, row))
    levels = [each.level for each in report.absences if each.group == group]
    if levels:
        share = report.near_silent(group) or 0.0
        yield ""
        middle = f"{decibels(float(np.median(levels)))} dB relative to the mixture (median of {len(levels)})"
        yield f"Absent classes: {middle}; {share:.0%} at −20 dB or lower."


def _row_line(each: Cell, average: float | None) -> str:
    shares = (each.above_3, each.below_0, each.below_minus_3)
    figures = [
        f"{decibels(each.median)}{_range(each.median_interval)}",
        f"{decibels(each.mean)}{_range(each.mean_interval)}",
        decibels(average),
        *("–" if share is None else f"{share:.0%}" for share in shares),
        f"{each.log_mel:.2f}{_range(each.log_mel_interval, '.2f')}",
        f"{each.log_mel_60:.2f}",
    ]
    return f"| {each.row} | {' | '.join(figures)} |"


def _class_table(report: Report, group: str) -> Iterator[str]:
    rows = [row for row in ROWS if (group, ALL, row) in report.cells]
    gains = [row for row in rows if row in (DSP, OURS, IDEAL)]
    if not rows:
        return
    heads = [f"SI-SDRi {row}" for row in gains] + [f"L1 {row}" for row in rows]
    yield f"| class (stems / songs) | {' | '.join(heads)} |"
    yield "|---" * (1 + len(heads)) + "|"
    for label in report.labels(group):
        cells = {row: report.cells[group, label, row] for row in rows}
        first = cells[MIXTURE]
        figures = [f"{decibels(cells[row].median)}{_range(cells[row].median_interval)}" for row in gains]
        figures += [f"{cells[row].log_mel:.2f}" for row in rows]
        yield f"| {label} ({first.count} / {first.songs}) | {' | '.join(figures)} |"


def _range(interval: Interval, form: str = "+.1f") -> str:
    return "" if interval is None else f" [{interval[0]:{form}}, {interval[1]:{form}}]".replace("-", "−")


def plot(report: Report, path: Path) -> None:
    """Median SI-SDR improvement by class, a panel for each set: best DSP, ours, ideal mask."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtra("a plot needs matplotlib: pip install 'stemwright[evaluate]'") from error
    groups = [group for group in report.groups if report.labels(group)]
    figure = Figure(figsize=(11, 3.2 * len(groups)), layout="constrained")
    for axes, group in zip(figure.subplots(len(groups), squeeze=False)[:, 0], groups, strict=True):
        labels = [ALL, *report.labels(group)]
        _bars(
            axes, [[report.cells.get((group, label, row)) for label in labels] for row in (DSP, OURS, IDEAL)]
        )
        axes.set_xticks(range(len(labels)), labels, rotation=20, ha="right")
        axes.set_title(
            f"{GROUPS.get(group, group)}: SI-SDR improvement, median, dB (whiskers: 95 % by song)",
            fontsize=10,
            loc="left",
        )
        axes.axhline(0, color="black", linewidth=0.8)
        axes.legend(fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), ncols=3, frameon=False)
    figure.savefig(path, dpi=110)


def _bars(axes: "Axes", rows: Iterable[list[Cell | None]]) -> None:
    """One bar for each class and row that has a figure, beside each other."""
    for place, (cells, colour) in enumerate(zip(rows, COLOURS, strict=True)):
        drawn = [(position, each) for position, each in enumerate(cells) if each and each.median is not None]
        for position, each in drawn:
            middle = each.median or 0.0
            low, high = each.median_interval or (middle, middle)
            axes.bar(
                position + 0.27 * (place - 1),
                middle,
                0.25,
                color=colour,
                label=each.row if position == drawn[0][0] else None,
            )
            axes.vlines(position + 0.27 * (place - 1), low, high, color="#444444", linewidth=1)
