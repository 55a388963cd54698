"""A graphics card that fails in the middle of a job: the job ends as it would have on the processor."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from stemwright.engine.audio import Audio
from stemwright.engine.contracts import Array, Denoiser
from stemwright.engine.engine import Engine
from stemwright.engine.errors import DeviceLost
from stemwright.engine.job import Job, Prompt, Result, Task
from stemwright.engine.runtimes import plans
from stemwright.engine.runtimes.graphs import GraphDenoiser, Rescued
from stemwright.engine.runtimes.tensorrt import PlanGraph
from tests.engine import fakes
from tests.engine.fake_card import FakeCard, FakeEngine, api_of

RATE = 44100


def song(seconds: float = 3.0) -> Audio:
    times = np.arange(round(seconds * RATE)) / RATE
    return Audio(0.1 * np.sin(2 * np.pi * np.stack([220 * times, 3300 * times])).astype(np.float32), RATE)


def half(latents: Array, conditions: Array) -> Array:
    """A network that gives every track half of what it is given."""
    halves: Array = latents * np.float32(0.5)
    return halves


def card_that_fails(model_denoiser: Denoiser, calls: int) -> Callable[[Array, Array, Array], Array]:
    """Works so often, then never again."""
    done: list[int] = []

    def run(latents: Array, levels: Array, conditions: Array) -> Array:
        done.append(1)
        if len(done) > calls:
            raise DeviceLost("cuStreamSynchronize: the graphics card failed (CUDA error 719)")
        return model_denoiser(latents, levels, conditions)

    return run


def outcome(job: Job, lost_after: int | None) -> Result:
    model = fakes.model(half)
    if lost_after is None:
        return Engine(model).run(job)
    told: list[str] = []
    processor = model.denoiser
    rescued = Rescued(card_that_fails(processor, lost_after), lambda: processor, told)
    return Engine(replace(model, denoiser=rescued, told=told)).run(job)


@pytest.mark.parametrize("lost_after", [0, 1, 3])
@pytest.mark.parametrize("task", [Task.EXTRACT, Task.ADD, Task.ACCOMPANY])
def test_a_job_whose_card_disappears_ends_with_the_same_stems_and_a_note(task: Task, lost_after: int) -> None:
    job = Job(task, (Prompt("bass"),), song(), steps=4)
    whole, saved = outcome(job, None), outcome(job, lost_after)
    assert [stem.name for stem in saved.stems] == [stem.name for stem in whole.stems]
    for one, other in zip(saved.stems, whole.stems, strict=True):
        np.testing.assert_array_equal(one.audio.samples, other.audio.samples)
    assert [note for note in saved.notes if "the processor took over" in note and "CUDA error 719" in note]
    assert not [note for note in whole.notes if "took over" in note]


@pytest.mark.parametrize("guidance", [1.0, 2.5])
@pytest.mark.parametrize("task", [Task.EXTRACT, Task.ADD, Task.ACCOMPANY, Task.GENERATE])
def test_a_job_done_whole_samplings_at_a_time_ends_with_the_same_stems_and_progress(
    task: Task, guidance: float
) -> None:
    """The card is a fake; everything above it is the engine."""
    audio = None if task is Task.GENERATE else song()
    job = Job(task, (Prompt("bass"),), audio, seconds=2, steps=6, guidance=guidance, sampler="unipc")
    model = fakes.model(half)
    processor = model.denoiser
    card = FakeCard(1 << 22)
    engine = FakeEngine(card, processor)
    recipe = plans.Recipe("m", "denoiser", "", "", "fp32", (), (1, 2, 8), "tensorrt_rtx", "1.7.1", (), "s")
    graph = PlanGraph(plans.Plan(recipe, b"", {}), api_of(engine), card)  # type: ignore[arg-type]
    ticks: dict[str, list[int]] = {"step by step": [], "at once": []}
    found = {}
    for way, denoiser in (("step by step", processor), ("at once", GraphDenoiser(graph))):
        work = Engine(replace(model, denoiser=denoiser))
        found[way] = work.run(job, lambda progress, way=way: ticks[way].append(progress.done))
    assert card.launches > 0
    for one, other in zip(*(result.stems for result in found.values()), strict=True):
        np.testing.assert_allclose(one.audio.samples, other.audio.samples, atol=1e-5)
    assert ticks["step by step"][-1] == ticks["at once"][-1]
