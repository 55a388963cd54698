"""A song of noise through a model, in a process of its own: what memory that takes."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from stemwright.engine.audio import Audio
from stemwright.engine.engine import Engine
from stemwright.engine.job import Job, Prompt
from stemwright.engine.modelfolder import open_model
from stemwright.engine.tracks import Task
from tests.engine.fakes import FakeConditioner

RATE = 44100


def song_bytes(seconds: float) -> int:
    """Of one stereo signal."""
    return round(seconds * RATE) * 8


def peak_bytes(model: str, width: int, seconds: float) -> int:
    """The most this process has held when it has extracted one stem. width: of the model's conditions"""
    conditioner = FakeConditioner(("bass",))
    conditioner.width = width
    conditioner.text = lambda prompts: np.ones((len(prompts), width), np.float32)  # type: ignore[method-assign]
    engine = Engine(replace(open_model(model, threads=1), conditioner=conditioner))
    noise = np.random.default_rng(0).standard_normal((2, round(seconds * RATE)), np.float32)
    engine.run(Job(Task.EXTRACT, (Prompt("bass"),), Audio(noise, RATE), steps=1))
    status = Path("/proc/self/status").read_text()
    return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
