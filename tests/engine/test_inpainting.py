"""Inpainting where the answer is known: the algorithms are what they say, and what they say is compared."""

from dataclasses import replace
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemwright.engine.asked import Asked
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.errors import Cancelled
from stemwright.engine.inpainting import calls, inpainted, noised, renoised
from stemwright.engine.job import Inpainting, Job, Prompt
from stemwright.engine.modelfolder import Model
from stemwright.engine.sampler import ddim
from stemwright.engine.sampling import sampled
from stemwright.engine.schedule import levels
from stemwright.engine.settings import settle
from stemwright.engine.tracks import Task
from tests.engine.fakes import RATE, FakeCodec, FakeConditioner, manifest
from tests.engine.gaussian import C as CHANNELS
from tests.engine.gaussian import Doubles, Moments, Process, S, Tracks

STEPS = 50
FRAMES = 6000  # samples of the toy: its frames are independent of each other
TRACKS = Tracks(seed=2)
MIX = TRACKS.mean[:CHANNELS] + np.linalg.cholesky(TRACKS.covariance[:CHANNELS, :CHANNELS]) @ [1.0, -0.7]


class FewChannels(FakeCodec):
    channels = CHANNELS


def toy() -> Model:
    about = manifest(window=FRAMES)
    network: Any = TRACKS
    return Model(Path(), about, FewChannels(), FakeConditioner(("bass",)), network)


@lru_cache
def found(inpainting: Inpainting = Inpainting.ADAPTIVE, resamples: int = 1, seed: int = 7) -> Doubles:
    """(FRAMES, submix and source) as the engine samples them, given the mix, by extraction."""
    model = toy()
    job = Job(Task.EXTRACT, (Prompt("bass"),), steps=STEPS, seed=seed, inpainting=inpainting)
    settings = replace(settle(job, model.manifest), resamples=resamples)
    nothing = Asked(("bass",), np.zeros((1, S, 4), np.float32), None, (False,))
    given = np.tile(MIX[:, None], (1, FRAMES)).astype(np.float32)[None]
    latents = sampled(model, settings, nothing, given, [0])[0, 0]
    return np.asarray(latents, np.float64).reshape(-1, FRAMES).T


def measured(samples: Doubles) -> Moments:
    return Moments(samples.mean(axis=0), np.cov(samples.T))


def surprise(samples: Doubles, expected: Moments) -> float:
    """Largest deviation of the samples' mean and covariance from those expected, in standard errors."""
    got, variances = measured(samples), np.diag(expected.covariance)
    of_means = np.sqrt(variances / len(samples))
    of_covariances = np.sqrt((np.outer(variances, variances) + expected.covariance**2) / len(samples))
    return float(
        max(
            np.max(np.abs(got.mean - expected.mean) / of_means),
            np.max(np.abs(got.covariance - expected.covariance) / of_covariances),
        )
    )


@pytest.mark.parametrize("resamples", [1, 4, 8])  # measured: 1.9, 2.0 and 2.6 standard errors
def test_canonical_inpainting_and_repaint_sample_what_their_algorithms_come_to(resamples: int) -> None:
    expected = TRACKS.moments(MIX, levels(STEPS), resamples)
    inpainting = Inpainting.CANONICAL if resamples == 1 else Inpainting.REPAINT
    assert (
        surprise(found(inpainting, resamples), expected) < 4.5
    )  # of 14 numbers; by chance one seed in 10,000


def test_tracks_held_clean_sample_what_the_equation_comes_to() -> None:
    expected = TRACKS.moments(MIX, levels(STEPS), is_held=True)
    assert surprise(found(), expected) < 4.5  # measured 1.1


def test_the_error_falls_with_resampling_and_adaptive_levels_beat_all_of_it() -> None:
    """Distances to the true conditional, as a share of its own spread; measured beside each."""
    truth = TRACKS.conditional(MIX)
    spread = np.sqrt(np.trace(truth.covariance))

    def error(resamples: int = 1, *, is_held: bool = False) -> float:
        return TRACKS.moments(MIX, levels(STEPS), resamples, is_held=is_held).distance(truth) / spread

    errors = [error(resamples) for resamples in (1, 2, 4, 8, 16)]  # .630 .388 .199 .099 .071
    assert errors == sorted(errors, reverse=True)
    assert errors[3] < errors[0] / 5
    assert error(is_held=True) < errors[-1] / 2  # .026, with a sixteenth of the calls


@pytest.mark.parametrize("seed", range(4))
def test_adaptive_levels_beat_both_whatever_the_covariance(seed: int) -> None:
    tracks = Tracks(seed)
    mix = tracks.mean[:CHANNELS] + np.sqrt(np.diag(tracks.covariance)[:CHANNELS])
    truth = tracks.conditional(mix)
    adaptive = tracks.moments(mix, levels(STEPS), is_held=True).distance(truth)
    for resamples in (1, 2, 4, 10, 25):
        assert adaptive < tracks.moments(mix, levels(STEPS), resamples).distance(truth)


def test_samples_themselves_come_nearer_with_resampling_and_nearest_with_adaptive_levels() -> None:
    truth = TRACKS.conditional(MIX)
    canonical = found(Inpainting.CANONICAL)
    repaint = [found(Inpainting.REPAINT, resamples) for resamples in (4, 8)]
    errors = [measured(samples).distance(truth) for samples in (canonical, *repaint, found())]
    chance = np.sqrt(2 * np.trace(truth.covariance) / FRAMES)  # what as many true samples are off, about
    assert all(better < worse - 3 * chance for worse, better in pairwise(errors)), errors  # .68 .22 .11 .03


def test_what_repaint_cannot_reach_shrinks_with_the_steps() -> None:
    """Beyond some resamples only finer steps help: each step's own error is repeated with it."""
    truth = TRACKS.conditional(MIX)
    coarse, fine = (TRACKS.moments(MIX, levels(steps), 64).distance(truth) for steps in (25, 100))
    assert fine < 0.4 * coarse  # measured .34


def draws(*shape: int, seed: int = 3) -> Any:
    rng = np.random.default_rng(seed)
    return lambda: rng.standard_normal(shape).astype(np.float32)


def test_where_nothing_is_known_it_is_ddim() -> None:
    shape = (2, 3, 4, 5)
    free = inpainted(
        lambda z, level: -z, np.zeros(shape, np.float32), np.zeros((3, 1, 5), bool), draws(*shape), levels(9)
    )
    np.testing.assert_array_equal(free, ddim(lambda z, level: -z, draws(*shape)(), levels(9)))


def test_the_network_sees_what_is_known_noised_anew_to_the_level_of_the_rest() -> None:
    shape, seen = (1, 2, 3, 500), []
    known, is_known = np.full(shape, 2, np.float32), np.zeros((2, 1, 500), bool)
    is_known[0] = True

    def network(latents: Array, level: float) -> Array:
        seen.append((level, latents[0, 0].copy()))
        return np.zeros_like(latents)

    result = inpainted(network, known, is_known, draws(*shape), levels(3), resamples=4)
    np.testing.assert_array_equal(result[:, 0], known[:, 0])
    assert [level for level, _ in seen] == [1.0] * 4 + [0.51] * 4 + [0.02] and calls(3, 4) == len(seen)
    for level, latents in seen:
        assert np.mean(latents) == pytest.approx(2 * np.cos(level * np.pi / 2), abs=0.1)
        assert np.std(latents) == pytest.approx(np.sin(level * np.pi / 2), abs=0.05)
    assert not np.any(seen[4][1] == seen[5][1])


def test_noising_twice_is_noising_once() -> None:
    """To 0.3, then on to 0.7: the mean and the spread of clean latents at 0.7."""
    draw = draws(200_000)
    twice = renoised(noised(np.full(200_000, 3, np.float32), 0.3, draw()), 0.3, 0.7, draw())
    assert twice.mean() == pytest.approx(3 * np.cos(0.35 * np.pi), abs=0.01)
    assert twice.std() == pytest.approx(np.sin(0.35 * np.pi), abs=0.01)


def test_what_is_raised_after_a_call_ends_the_sampling_there() -> None:
    asked = []

    def stop(done: int) -> None:
        if done == 5:
            raise Cancelled("enough")

    def network(latents: Array, level: float) -> Array:
        asked.append(level)
        return latents

    with pytest.raises(Cancelled):
        inpainted(
            network,
            np.zeros((1, 1, 1, 2), np.float32),
            np.ones((1, 1, 2), bool),
            draws(1, 1, 1, 2),
            levels(9),
            resamples=3,
            on_call=stop,
        )
    assert len(asked) == 5


WINDOW, OVERLAP, HOP = 32, 8, 512


class ShortHops(FakeCodec):
    """The wave folded, so that every channel is a process of its own."""

    hop = channels = HOP


def steps_in_time(**options: Any) -> tuple[float, float]:
    """Root mean square of the steps between latent frames, at the joins and elsewhere, of a long region."""
    about = manifest(window=WINDOW, hop=HOP)
    network: Any = Process(WINDOW)
    model = Model(Path(), about, ShortHops(), FakeConditioner(("bass",)), network)
    frames = WINDOW + 2 * (WINDOW - OVERLAP)
    job = Job(
        Task.GENERATE,
        (Prompt("bass"),),
        seconds=frames * HOP / RATE,
        rate=RATE,
        steps=25,
        overlap=OVERLAP * HOP / RATE,
    )
    wave = Engine(model).run(replace(job, **options)).stems[0].audio.samples[0]
    jumps = np.sqrt(np.square(np.diff(wave.reshape(frames, HOP), axis=0), dtype=np.float64).mean(axis=1))
    joins = [WINDOW - 1, 2 * WINDOW - OVERLAP - 1]
    far = [place for place in range(len(jumps)) if min(abs(place - join) for join in joins) > 4]
    return float(jumps[joins].mean()), float(jumps[far].mean())


def test_windows_that_follow_on_by_repaint_are_joined_without_a_seam() -> None:
    joins, elsewhere = steps_in_time(resamples=10)
    assert joins < 1.05 * elsewhere  # measured 0.95


def test_without_resampling_a_join_is_rougher_than_the_rest() -> None:
    """Why there is RePaint; were it otherwise, the test above would prove nothing."""
    joins, elsewhere = steps_in_time()
    assert joins > 1.3 * elsewhere  # measured 1.7


def test_the_same_seed_gives_the_same_latents_and_another_seed_others() -> None:
    again = found.__wrapped__(Inpainting.CANONICAL, 1, 7)
    assert np.array_equal(again, found(Inpainting.CANONICAL))
    assert not np.any(again == found(Inpainting.CANONICAL, 1, 8))
