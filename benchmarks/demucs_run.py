"""HTDemucs with random weights on one thread: its speed does not depend on them. Runs in a venv of its own.

Usage: demucs_run.py CORE SECONDS RUNS, prints one JSON object. The settings of the released `htdemucs` (42 M
weights; four stems in one pass), without its test-time shifts.
"""

import json
import os
import sys
import time

import torch
from demucs.apply import apply_model
from demucs.htdemucs import HTDemucs

RATE = 44100


def main(core: int, seconds: float, runs: int) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = HTDemucs(
        ["drums", "bass", "other", "vocals"], bottom_channels=512, t_layers=5, segment=7.8
    ).eval()
    song = torch.randn(1, 2, int(seconds * RATE))
    separate(model, song)
    times = [separate(model, song) for _ in range(runs)]
    weights = sum(one.numel() for one in model.parameters())
    print(
        json.dumps(
            {"weights": weights, "cpu": [cpu for cpu, _ in times], "wall": [wall for _, wall in times]}
        )
    )


def separate(model: torch.nn.Module, song: torch.Tensor) -> tuple[float, float]:
    """→ CPU and wall seconds of one separation."""
    cpu, wall = time.process_time(), time.perf_counter()
    with torch.no_grad():
        apply_model(model, song, shifts=0, split=True, overlap=0.25, device="cpu")
    return time.process_time() - cpu, time.perf_counter() - wall


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3]))
