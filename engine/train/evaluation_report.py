"""Scores gathered by set, class and row, with confidence by song; and a release's claims, judged by them."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from stemwright.engine.train.metrics import confidence

MIXTURE, SCALED, QUIETED = "mixture", "mixture × oracle gain", "mixture × least-L1 gain"
SILENCE, DSP = "silence", "best DSP"
OURS, IDEAL = "Stemwright", "ideal ratio mask"
ROWS = (MIXTURE, SCALED, QUIETED, SILENCE, DSP, OURS, IDEAL)
ALL = "all"  # the label of every class together
GROUPS = {
    "soundfont": "held-out soundfont",
    "recordings": "held-out recordings",
    "demo": "demo song",
}
NEARLY_SILENT = -20.0  # dB under the mixture, the level an absent instrument should stay below
FORMAT = 1  # of the JSON file

Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Score:
    """One estimate of one stem.

    row         one of ROWS; the classical methods are "best DSP: <method>" until the best is chosen
    si_sdri     dB; None where it means nothing (see metrics)
    log_mel     Log-Mel L1, floor 1e-5
    log_mel_60  Log-Mel L1, floor 1e-3
    level       of the estimate relative to the mixture, dB
    """

    group: str
    song: str
    label: str
    row: str
    si_sdri: float | None
    log_mel: float
    log_mel_60: float
    level: float


@dataclass(frozen=True)
class Absence:
    """What came out for a class that is not in the mixture. level: relative to the mixture, dB"""

    group: str
    song: str
    label: str
    level: float


@dataclass(frozen=True)
class Cell:
    """One row of one class in one set.

    method           the classical method chosen; "" in other rows and where classes differ
    count            stems
    scored           stems with an SI-SDR improvement
    median, mean     SI-SDR improvement in dB; None where none is scored
    log_mel …        mean Log-Mel L1 at floors 1e-5 and 1e-3
    above_3 …        shares of the scored stems by improvement in dB
    *_interval       95 % by song; None for fewer than two songs
    """

    group: str
    label: str
    row: str
    method: str
    count: int
    scored: int
    songs: int
    median: float | None
    median_interval: Interval
    mean: float | None
    mean_interval: Interval
    log_mel: float
    log_mel_interval: Interval
    log_mel_median: float
    log_mel_60: float
    above_3: float | None
    below_0: float | None
    below_minus_3: float | None


@dataclass(frozen=True)
class Verdict:
    """One claim with its figure. a figure that could not be measured does not hold"""

    claim: str
    figure: str
    holds: bool


def cell(group: str, label: str, row: str, scores: list[Score], method: str = "") -> Cell:
    """The scores of one row, summed up."""
    scored = [each for each in scores if each.si_sdri is not None]
    gains, gained = np.array([each.si_sdri for each in scored], np.float64), [each.song for each in scored]
    distances, songs = np.array([each.log_mel for each in scores]), [each.song for each in scores]
    return Cell(
        *(group, label, row, method, len(scores), len(scored), len(set(songs))),
        median=float(np.median(gains)) if scored else None,
        median_interval=confidence(gains, gained),
        mean=float(gains.mean()) if scored else None,
        mean_interval=confidence(gains, gained, "mean"),
        log_mel=float(distances.mean()),
        log_mel_interval=confidence(distances, songs, "mean"),
        log_mel_median=float(np.median(distances)),
        log_mel_60=float(np.mean([each.log_mel_60 for each in scores])),
        above_3=float(np.mean(gains > 3)) if scored else None,
        below_0=float(np.mean(gains < 0)) if scored else None,
        below_minus_3=float(np.mean(gains < -3)) if scored else None,
    )


@dataclass(frozen=True)
class Report:
    """Every score of an evaluation, and what they come to."""

    scores: tuple[Score, ...]
    absences: tuple[Absence, ...] = ()

    @property
    def groups(self) -> list[str]:
        found = {each.group for each in self.scores} | {each.group for each in self.absences}
        return [group for group in GROUPS if group in found] + sorted(found - GROUPS.keys())

    def labels(self, group: str) -> list[str]:
        """Classes of a set, those with most stems first."""
        counts: dict[str, int] = {}
        for each in self.scores:
            if each.group == group and each.row == MIXTURE:
                counts[each.label] = counts.get(each.label, 0) + 1
        return sorted(counts, key=lambda label: (-counts[label], label))

    @cached_property
    def cells(self) -> dict[tuple[str, str, str], Cell]:
        """By set, class (or "all") and row."""
        found: dict[tuple[str, str, str], Cell] = {}
        for group in self.groups:
            for row in ROWS:
                chosen = {label: self._chosen(group, label, row) for label in self.labels(group)}
                for label, (method, scores) in chosen.items():
                    if scores:
                        found[group, label, row] = cell(group, label, row, scores, method)
                together = [each for _, scores in chosen.values() for each in scores]
                if together:
                    found[group, ALL, row] = cell(group, ALL, row, together)
        return found

    def _chosen(self, group: str, label: str, row: str) -> tuple[str, list[Score]]:
        """A row's method and scores. The best DSP is the one with the best median here: optimistic."""
        of_class = [each for each in self.scores if each.group == group and each.label == label]
        if row != DSP:
            return "", [each for each in of_class if each.row == row]
        methods: dict[str, list[Score]] = {}
        for each in of_class:
            if each.row.startswith(f"{DSP}: "):
                methods.setdefault(each.row.removeprefix(f"{DSP}: "), []).append(each)
        return max(methods.items(), key=lambda item: _median_gain(item[1]), default=("", []))

    def class_average(self, group: str, row: str) -> float | None:
        """Mean of the classes' median improvements, so that a rare class counts as much as drums."""
        medians = [
            self.cells[group, label, row].median
            for label in self.labels(group)
            if (group, label, row) in self.cells
        ]
        known = [median for median in medians if median is not None]
        return float(np.mean(known)) if known else None

    def near_silent(self, group: str | None = None) -> float | None:
        """Share of absent classes that came out at least 20 dB under the mixture."""
        levels = [each.level for each in self.absences if group in (None, each.group)]
        return float(np.mean(np.array(levels) <= NEARLY_SILENT)) if levels else None

    def as_json(self) -> str:
        return json.dumps(
            {
                "format": FORMAT,
                "summary": [asdict(each) for each in self.cells.values()],
                "class_average": {
                    group: {row: self.class_average(group, row) for row in ROWS} for group in self.groups
                },
                "near_silent": {group: self.near_silent(group) for group in self.groups},
                "verdicts": [asdict(each) for each in verdicts(self)],
                "scores": [asdict(each) for each in self.scores],
                "absences": [asdict(each) for each in self.absences],
            },
            indent=1,
        )


def read_report(path: Path) -> Report:
    """A report from the JSON it was written to."""
    kept = json.loads(path.read_text("utf-8"))
    return Report(
        tuple(Score(**each) for each in kept["scores"]), tuple(Absence(**each) for each in kept["absences"])
    )


def _median_gain(scores: list[Score]) -> float:
    gains = [each.si_sdri for each in scores if each.si_sdri is not None]
    return float(np.median(gains)) if gains else -np.inf


def verdicts(report: Report) -> list[Verdict]:
    """What a release claims, judged. Empty without a row of ours."""
    return [
        verdict
        for group in report.groups
        if (group, ALL, OURS) in report.cells
        for verdict in _verdicts_of(report, group)
    ]


def _verdicts_of(report: Report, group: str) -> Iterator[Verdict]:
    name, ours = GROUPS.get(group, group), report.cells[group, ALL, OURS]
    floor = min(report.cells[group, ALL, row].log_mel for row in (MIXTURE, SCALED))
    if group == "soundfont":
        lowest = min(
            (known(report.cells[group, label, OURS].median), label) for label in report.labels(group)
        )
        yield Verdict(
            f"{name}: median at least +5.5 dB", f"{decibels(ours.median)} dB", known(ours.median) >= 5.5
        )
        yield Verdict(
            f"{name}: no class has a negative median", f"{lowest[1]} {decibels(lowest[0])} dB", lowest[0] >= 0
        )
        yield Verdict(
            f"{name}: under 5 % below −3 dB",
            f"{known(ours.below_minus_3):.1%}",
            known(ours.below_minus_3) < 0.05,
        )
    else:
        for label in [label for label in ("drums", "bass", "vocals") if label in report.labels(group)]:
            margin = known(report.cells[group, label, OURS].median) - known(
                report.cells[group, label, DSP].median
            )
            yield Verdict(
                f"{name}: {label} at least 2 dB above the best DSP", f"{decibels(margin)} dB", margin >= 2
            )
        margin = known(report.class_average(group, OURS)) - known(report.class_average(group, DSP))
        yield Verdict(
            f"{name}: class average at least 2 dB above the best DSP", f"{decibels(margin)} dB", margin >= 2
        )
    figure = f"{ours.log_mel:.2f} against {floor:.2f}"
    yield Verdict(
        f"{name}: Log-Mel L1 under the mixture's, at its own and the stem's level",
        figure,
        ours.log_mel < floor,
    )
    share = report.near_silent(group)
    if share is not None:
        yield Verdict(f"{name}: absent classes 20 dB under the mixture in 90 %", f"{share:.0%}", share >= 0.9)


def known(value: float | None) -> float:
    return float("nan") if value is None else value


def decibels(value: float | None) -> str:
    """A gain with its sign, as the tables print it."""
    return "–" if value is None else f"{value:+.1f}".replace("-", "−")
