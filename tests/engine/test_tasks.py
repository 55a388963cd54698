"""Every task with the model that comes along, on a short clip: one path, another mask.

What is recorded is what goes through `held`, the one place that knows which tracks are given: there is no
other way to the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from stemwright.engine import guidance, sampling
from stemwright.engine.audio import Audio, read
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.job import Inpainting, Job, Null, Prompt, Render, Result
from stemwright.engine.sampler import Denoise
from stemwright.engine.tracks import Task
from tests.engine.command_line import ROOT

pytestmark = pytest.mark.usefixtures("default_model")
SECONDS = 2.0
DRUMS, BASS, PIANO = Prompt("drums"), Prompt("bass"), Prompt("piano")
MIX, SUBMIX, SOURCE = ("mix",), ("submix",), ("source",)


@dataclass
class Passes:
    """Of each sampling: which tracks were held clean, and which carried a prompt."""

    held: list[tuple[str, ...]] = field(default_factory=list)
    prompted: list[tuple[str, ...]] = field(default_factory=list)


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine.load(threads=1)


@pytest.fixture(scope="module")
def clip() -> Audio:
    song = read(ROOT / "engine" / "demo" / "boas.flac")
    begin, frames = 4 * song.rate, round(SECONDS * song.rate)
    return Audio(song.samples[:, begin : begin + frames], song.rate)


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch, engine: Engine) -> Iterator[Passes]:
    """What the one path does, seen from outside."""
    seen, names = Passes(), engine.model.tracks.names

    def among(flags: NDArray[np.bool_]) -> tuple[str, ...]:
        return tuple(name for name, flag in zip(names, flags, strict=True) if flag)

    def held(denoise: Any, given: Array, is_given: NDArray[np.bool_]) -> Denoise:
        seen.held.append(among(is_given))
        return guidance.held(denoise, given, is_given)

    def guided(denoiser: Any, conditions: Array, *others: Any, **options: Any) -> Any:
        seen.prompted.append(among(conditions.any(axis=(0, 2))))
        return guidance.guided(denoiser, conditions, *others, **options)

    monkeypatch.setattr(sampling, "held", held)
    monkeypatch.setattr(sampling, "guided", guided)
    yield seen


def assert_sound(result: Result, names: tuple[str, ...], like: Audio) -> None:
    """Stems of those names, as long as the clip and at its rate, finite, and none silent."""
    assert tuple(stem.name for stem in result.stems) == names
    for stem in result.stems:
        assert (stem.audio.rate, stem.audio.frames) == (like.rate, like.frames)
        assert np.isfinite(stem.audio.samples).all()
        assert np.sqrt(np.mean(stem.audio.samples**2)) > 1e-4, f"{stem.name} is silent"


def test_extract_gives_the_mix_and_asks_for_the_source(engine: Engine, clip: Audio, passes: Passes) -> None:
    result = engine.run(Job(Task.EXTRACT, (BASS,), clip))
    assert_sound(result, ("bass", "rest"), clip)
    assert set(passes.held) == {MIX} and set(passes.prompted) == {SOURCE}


def test_add_gives_the_submix_and_then_the_submix_with_what_was_made(
    engine: Engine, clip: Audio, passes: Passes
) -> None:
    """The paper's iterative partial generation: one pass per prompt."""
    result = engine.run(Job(Task.ADD, (DRUMS, PIANO), clip, steps=2))
    assert_sound(result, ("drums", "piano"), clip)
    assert passes.held == [SUBMIX] * 2 and passes.prompted == [SOURCE] * 2


def test_accompany_gives_the_source_and_asks_for_the_submix(
    engine: Engine, clip: Audio, passes: Passes
) -> None:
    result = engine.run(Job(Task.ACCOMPANY, (Prompt("drums and piano"),), clip, steps=2))
    assert_sound(result, ("drums and piano",), clip)
    assert passes.held == [SOURCE] and passes.prompted == [SUBMIX]


def test_generate_gives_nothing_and_asks_for_the_mix(engine: Engine, clip: Audio, passes: Passes) -> None:
    result = engine.run(
        Job(Task.GENERATE, (Prompt("funk groove"),), seconds=SECONDS, rate=clip.rate, steps=2)
    )
    assert_sound(result, ("funk groove",), clip)
    assert passes.held == [()] and passes.prompted == [MIX]


@pytest.mark.parametrize("prompts", [(DRUMS, BASS, PIANO), (PIANO, DRUMS, BASS)])
def test_generate_stem_by_stem_gives_the_sum_so_far_in_any_order(
    engine: Engine, clip: Audio, passes: Passes, prompts: tuple[Prompt, ...]
) -> None:
    """The paper's appendix C."""
    job = Job(Task.GENERATE, prompts, seconds=SECONDS, rate=clip.rate, steps=2, stem_by_stem=True)
    assert_sound(engine.run(job), tuple(prompt.text for prompt in prompts), clip)
    assert passes.held == [(), SUBMIX, SUBMIX] and passes.prompted == [SOURCE] * 3


@pytest.mark.parametrize(
    ("task", "inpainting"),
    [
        (Task.EXTRACT, Inpainting.CANONICAL),
        (Task.ADD, Inpainting.REPAINT),
        (Task.ACCOMPANY, Inpainting.CANONICAL),
    ],
)
def test_inpainting_holds_no_track_and_ends_with_what_was_given(
    engine: Engine, clip: Audio, passes: Passes, task: Task, inpainting: Inpainting
) -> None:
    resamples = 2 if inpainting is Inpainting.REPAINT else None
    job = Job(task, (BASS,), clip, steps=2, inpainting=inpainting, resamples=resamples, render=Render.DECODE)
    result = engine.run(job)
    assert set(passes.held) == {()}
    assert all(np.isfinite(stem.audio.samples).all() for stem in result.stems)


def test_words_about_other_tracks_and_a_sound_for_a_prompt_go_the_same_way(
    engine: Engine, clip: Audio, passes: Passes
) -> None:
    job = Job(
        Task.ADD,
        (Prompt("bass", clip, negative="synth bass"),),
        clip,
        steps=3,
        guidance=3.0,
        null=Null.OWN,
        rescale=0.7,
        last=0.0,
        about=(("mix", "a funk song"),),
    )
    assert_sound(engine.run(job), ("bass",), clip)
    assert passes.held == [SUBMIX] and passes.prompted == [("mix", "source")]


def test_a_long_part_follows_on_by_repaint(engine: Engine, clip: Audio, passes: Passes) -> None:
    """Two windows; the second begins with what the first ended with."""
    job = Job(Task.GENERATE, (DRUMS,), seconds=12.0, rate=16000, steps=2, resamples=2, overlap=5.12)
    (stem,) = engine.run(job).stems
    assert stem.audio.frames == 12 * 16000 and np.isfinite(stem.audio.samples).all()
    assert passes.held == [()] * 2
