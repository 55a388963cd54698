"""What the paper's inference adds to a job, on the fake model: each option does what it says."""

from dataclasses import replace

import numpy as np
import pytest

from stemwright.engine.commands.flags import parser
from stemwright.engine.commands.plan import plan
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.errors import BadPrompt
from stemwright.engine.job import Inpainting, Job, Null, Posterior, Progress, Prompt, Render
from stemwright.engine.tracks import Task
from tests.engine.fakes import HOP, RATE, WINDOW, FakeCodec, model
from tests.engine.test_engine import (
    BASS,
    CANONICAL,
    HAT,
    REPAINT,
    audio_of,
    codec,
    engine,
    extract,
    fake,
    halved,
    split,
    tone,
)


def test_a_prompt_on_another_track_and_words_about_the_rest_reach_the_network_there() -> None:
    seen: list[Array] = []

    def looking(latents: Array, conditions: Array) -> Array:
        seen.append(conditions)
        return latents

    work = Engine(model(looking, ("bass", "hat", "sax")))
    work.run(extract(BASS, track="submix", about=(("mix", "sax"), ("source", "hat")), audio=audio_of(1.0)))
    np.testing.assert_array_equal(seen[0][:, 0], [6, 2, 4])  # twice the words' places in mix, submix, source


def test_what_is_said_about_a_track_says_what_it_is() -> None:
    with pytest.raises(BadPrompt, match="what the mix is not"):
        engine().run(extract(BASS, about=(("mix", "everything but the bass"),)))


@pytest.mark.parametrize("render", Render)
@pytest.mark.parametrize(("inpainting", "resamples"), [(CANONICAL, None), (REPAINT, 3)])
def test_progress_counts_every_call_of_inpainting(
    render: Render, inpainting: Inpainting, resamples: int | None
) -> None:
    seen: list[Progress] = []
    work = engine(split)
    options = {"inpainting": inpainting, "resamples": resamples, "steps": 4, "render": render}
    work.run(extract(BASS, audio=audio_of(5.0), **options), seen.append)
    assert sum(one.stage == "sample" for one in seen) == len(fake(work).batches)
    assert seen[-1].done == seen[-1].total
    assert [one.done for one in seen] == sorted({one.done for one in seen})


def test_resampling_repeats_the_steps_of_windows_that_follow_on_alone() -> None:
    work, seen = engine(halved), []
    job = Job(Task.ADD, (BASS,), audio_of(4.0), steps=3, resamples=5)
    work.run(job, seen.append)
    assert len(fake(work).batches) == 3 + 2 * (2 * 5 + 1)  # three windows
    assert seen[-1].done == seen[-1].total


def test_given_tracks_that_are_noised_take_more_steps_than_those_held_clean() -> None:
    work = engine()
    work.run(extract(BASS, audio=audio_of(1.0), inpainting=CANONICAL))
    assert len(fake(work).batches) == 50


class Chancy(FakeCodec):
    """A codec whose encoder is unsure by a tenth everywhere."""

    def posterior(self, waves: Array) -> tuple[Array, Array]:
        means = self.encode(waves)
        return means, np.full_like(means, 0.1)


@pytest.mark.parametrize("render", Render)
def test_a_sampled_posterior_spreads_round_the_mean_and_depends_on_the_seed(render: Render) -> None:
    given: list[Array] = []

    def keeping(latents: Array, conditions: Array) -> Array:
        given.append(latents[0].copy())
        return latents

    def run(seed: int, posterior: Posterior) -> Array:
        work = Engine(replace(model(keeping), codec=Chancy()))
        work.run(extract(BASS, audio=audio_of(2.0), render=render, seed=seed, posterior=posterior))
        return given[-1]

    mean, one, other = run(1, Posterior.MEAN), run(1, Posterior.SAMPLE), run(2, Posterior.SAMPLE)
    assert np.std(one - mean) == pytest.approx(0.1, rel=0.05)
    assert np.array_equal(one, run(1, Posterior.SAMPLE)) and not np.any(one == other)


def test_a_wide_overlap_makes_more_windows() -> None:
    def windows(**options: object) -> int:
        work = engine(halved)
        work.run(Job(Task.ACCOMPANY, (BASS,), audio_of(6.0), **options))  # type: ignore[arg-type]
        return codec(work).encoded

    assert (windows(), windows(overlap=1.0)) == (4, 5)


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_stems_are_generated_in_any_order_each_hearing_the_ones_before(order: tuple[int, ...]) -> None:
    heard: list[int] = []

    def marking(latents: Array, conditions: Array) -> Array:
        """Each stem is a tone of its prompt's pitch; the submix tells which were made before."""
        number = round(float(conditions[2, 0])) // 2
        power = np.abs(np.fft.rfft(latents[1].T.ravel())) ** 2
        heard.append(sum(1 << n for n in (1, 2, 3) if power[_bin(n)] > 1e-3 * power.sum() > 0))
        source = tone(400.0 * number, WINDOW * HOP / RATE)[0].reshape(-1, HOP).T
        return np.stack([latents[0], latents[1], source])

    prompts = tuple((BASS, HAT, Prompt("sax"))[place] for place in order)
    job = Job(Task.GENERATE, prompts, seconds=WINDOW * HOP / RATE, rate=RATE, stem_by_stem=True, steps=1)
    result = engine(marking).run(job)
    assert [stem.name for stem in result.stems] == [prompt.text for prompt in prompts]
    bits = [1 << (place + 1) for place in order]
    assert heard[1:] == [bits[0], bits[0] | bits[1]]  # the first hears noise: nothing is given


def _bin(number: int) -> int:
    return round(400.0 * number * WINDOW * HOP / RATE)


def test_the_command_line_passes_every_option_on() -> None:
    words = (
        "generate bass --grid uniform --track source --about mix=sax --about submix=hat --last 0 "
        "--overlap 3 --resamples 4 --inpainting repaint --null own --rescale 0.7 --posterior sample"
    )
    job = plan(parser().parse_args(words.split())).job
    assert (job.track, job.about) == ("source", (("mix", "sax"), ("submix", "hat")))
    assert (job.grid, job.last, job.overlap, job.rescale, job.resamples) == ("uniform", 0, 3, 0.7, 4)
    assert (job.inpainting, job.null, job.posterior) == (REPAINT, Null.OWN, Posterior.SAMPLE)


@pytest.mark.parametrize("words", ["sax", "=sax"])
def test_words_about_no_track_are_refused_with_the_way_to_say_it(words: str) -> None:
    with pytest.raises(BadPrompt, match="say TRACK=TEXT"):
        plan(parser().parse_args(["generate", "bass", "--about", words]))
