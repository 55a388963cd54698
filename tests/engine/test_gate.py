"""The gate of the fast profile: on 32 fixed cases it must do what the best does.

A case is a subset of the demo song's stems, summed, and one of them to be taken out.
"""

from functools import cache
from itertools import combinations, pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.audio import Audio
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.job import Job, Prompt
from stemwright.engine.runtimes import profiles
from stemwright.engine.runtimes.golden import cosine
from stemwright.engine.sampler import rotated
from stemwright.engine.schedule import levels
from stemwright.engine.tracks import Task

STEMS = Path(__file__).resolve().parent.parent / "fixtures" / "gate"
LABELS = ("bass", "brass", "clavinet", "drums", "guitar")
RATE = 16000
COUNT = 32
STEPS = 4
pytestmark = pytest.mark.usefixtures("default_model")


@cache
def stem(label: str) -> Array:
    samples, rate = soundfile.read(STEMS / f"{label}.ogg", dtype="float32")
    assert rate == RATE
    return np.asarray(samples, np.float32)


def cases() -> list[tuple[str, Array]]:
    """What is wanted, and the mixture: of all five stems, of four, then of three."""
    subsets = [group for size in (5, 4, 3) for group in combinations(LABELS, size)]
    every = [(label, np.sum([stem(one) for one in group], axis=0)) for group in subsets for label in group]
    return every[:COUNT]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(profiles, "own_folder", tmp_path_factory.mktemp)
        found = {name: Engine.load(threads=1, device="cpu", profile=name) for name in ("best", "fast")}
    assert found["fast"].model.told == [], "the fast profile is not used on this machine"
    return found


def si_sdr(estimate: Array, target: Array) -> float:
    """Scale-invariant signal-to-distortion ratio in dB."""
    wave, true = estimate.astype(np.float64), target.astype(np.float64)
    part = true * (wave @ true) / (true @ true)
    return float(10 * np.log10((part @ part + 1e-8) / ((wave - part) @ (wave - part) + 1e-8)))


@pytest.mark.slow
def test_the_fast_profile_takes_out_stems_as_well_as_the_best(engines: dict[str, Engine]) -> None:
    gains: dict[str, list[float]] = {"best": [], "fast": []}
    for label, mixture in cases():
        job = Job(Task.EXTRACT, (Prompt(f"the sound of the {label}"),), Audio(mixture[None], RATE))
        for profile, engine in engines.items():
            found = engine.run(job).stems[0].audio.samples[0]
            gains[profile].append(si_sdr(found, stem(label)) - si_sdr(mixture, stem(label)))
    differences = np.subtract(gains["fast"], gains["best"])
    print(
        f"best {np.mean(gains['best']):.3f} dB, fast {np.mean(gains['fast']):.3f} dB: {differences.round(3)}"
    )
    # Measured: +0.002 dB on average, 0.039 dB at most
    assert abs(differences.mean()) <= 0.05
    assert np.abs(differences).max() <= 0.2


@pytest.mark.slow
def test_the_fast_profile_predicts_the_same_v_at_every_step(engines: dict[str, Engine]) -> None:
    model = engines["best"].model
    random = np.random.default_rng(0)
    found = []
    for label, mixture in cases():
        given = model.codec.encode((mixture * 0.1 / np.sqrt(np.mean(mixture**2)))[None].astype(np.float32))
        conditions = np.zeros((1, 3, model.conditioner.width), np.float32)
        conditions[0, 2] = model.conditioner.text([f"the sound of the {label}"]) * model.manifest.scale
        latents = random.standard_normal((1, 3, *given.shape[1:]), np.float32)
        times = [*levels(STEPS), 0.0]
        for level, following in pairwise(times):
            latents[:, 0] = given
            now = np.array([[0, level, level]], np.float32)
            best, fast = (engines[one].model.denoiser(latents, now, conditions) for one in ("best", "fast"))
            found.append(cosine(best[:, 1:], fast[:, 1:]))
            latents = rotated(latents, best, level, following)
    print(f"cosine of v: least {min(found):.5f}, mean {np.mean(found):.5f}")
    assert len(found) == COUNT * STEPS  # measured: 0.99965
    assert min(found) >= 0.999
