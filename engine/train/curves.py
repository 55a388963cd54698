"""A run's losses and probes as a picture."""

from __future__ import annotations

import json
from pathlib import Path


def read_lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.exists() else []


def draw(run: Path, picture: Path) -> None:
    """Losses of the first worker above, the probe on the held-out soundfont below, over minutes."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    losses, probes = read_lines(run / "log0.jsonl"), read_lines(run / "probe.jsonl")
    figure, (above, below) = pyplot.subplots(2, 1, figsize=(9, 8), sharex=True)
    for name in ("pattern 0", "pattern 1", "pattern 2", "pattern 3", "mask"):
        rows = [row for row in losses if name in row]
        above.plot([row["seconds"] / 60 for row in rows], [row[name] for row in rows], label=name)
    above.set_yscale("log")
    above.set_ylabel("loss")
    above.legend()
    for label in sorted({key for row in probes for key in row} - {"seconds"}):
        rows = [row for row in probes if label in row]
        width = 2.5 if label == "all" else 0.8
        below.plot(
            [row["seconds"] / 60 for row in rows], [row[label] for row in rows], label=label, linewidth=width
        )
    below.set_ylabel("held-out soundfont, SI-SDR improvement in dB")
    below.set_xlabel("minutes")
    below.legend(fontsize=6, ncols=3)
    figure.tight_layout()
    figure.savefig(picture, dpi=110)
    pyplot.close(figure)
