"""Noise: what it depends on, and what not."""

from dataclasses import replace

import numpy as np
import pytest

from stemwright.engine.asked import ask
from stemwright.engine.contracts import Array
from stemwright.engine.job import Job, Prompt
from stemwright.engine.sampling import sampled
from stemwright.engine.settings import settle
from stemwright.engine.tracks import Task
from tests.engine.fakes import HOP, WINDOW, FakeDenoiser, model

WORDS = ("bass", "hat", "sax")


def noise(*words: str, places: tuple[int, ...] = (0,), turn: int = 0, seed: int = 5) -> Array:
    """(windows, P, W, C, T) what the sampler starts from"""
    made = model(lambda latents, conditions: latents, WORDS)
    job = Job(Task.EXTRACT, tuple(map(Prompt, words)), seed=seed)
    settings = replace(settle(job, made.manifest), sampler=lambda denoise, start, *_: start)
    given = np.zeros((len(places), HOP, WINDOW), np.float32)
    asked = ask(job, made, settings.roles)
    assert isinstance(made.denoiser, FakeDenoiser)
    return sampled(made, settings, asked, given, places, turn=turn)


def test_noise_is_the_same_under_every_prompt_whatever_is_asked_for_with_it() -> None:
    alone, three = noise("sax"), noise("bass", "sax", "hat")
    for prompt in range(3):
        np.testing.assert_array_equal(three[:, prompt], alone[:, 0])


@pytest.mark.parametrize("other", [{"places": (1,)}, {"turn": 1}, {"seed": 6}])
def test_noise_is_another_for_another_seed_turn_or_place(other: dict[str, object]) -> None:
    assert not np.any(noise("bass") == noise("bass", **other))  # type: ignore[arg-type]


def test_noise_of_a_window_does_not_depend_on_its_batch() -> None:
    both = noise("bass", "sax", places=(3, 4))
    np.testing.assert_array_equal(both[0], noise("bass", "sax", places=(3,))[0])
    np.testing.assert_array_equal(both[1], noise("bass", "sax", places=(4,))[0])
