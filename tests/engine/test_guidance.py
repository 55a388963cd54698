"""Guidance, given tracks, and windows that follow on."""

import numpy as np
import pytest

from stemwright.engine import schedule
from stemwright.engine.contracts import Array
from stemwright.engine.guidance import continued, guided, held, rescaled
from stemwright.engine.job import Null
from stemwright.engine.sampler import SAMPLERS

B, S, C, T, D = 2, 3, 4, 6, 5


class Counting:
    """A network whose v is the sum of its condition, in every place; it keeps what it was given."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.latents = np.zeros(0, np.float32)
        self.levels = np.zeros(0, np.float32)

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        self.batches.append(len(latents))
        self.latents, self.levels = latents, levels
        return np.broadcast_to(conditions.sum(axis=2)[..., None, None], latents.shape).astype(np.float32)


def some(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


LEVELS = np.ones((B, S), np.float32)


def test_guidance_of_one_costs_one_forward_of_the_single_batch() -> None:
    network, conditions = Counting(), some(B, S, D)
    velocity = guided(network, conditions, 1.0)(some(B, S, C, T), LEVELS)
    assert network.batches == [B]
    np.testing.assert_array_equal(velocity[..., 0, 0], conditions.sum(axis=2))


def test_guidance_of_each_track_scales_its_own_prompt() -> None:
    network, conditions = Counting(), some(B, S, D)
    velocity = guided(network, conditions, [1.0, 0.0, 3.0])(some(B, S, C, T), LEVELS)
    assert network.batches == [2 * B]
    np.testing.assert_allclose(velocity[..., 0, 0], conditions.sum(axis=2) * [1, 0, 3], rtol=1e-5, atol=1e-6)


def test_a_negative_prompt_stands_where_nothing_would() -> None:
    conditions, negatives = some(B, S, D), some(B, S, D)[::-1].copy()
    velocity = guided(Counting(), conditions, 2.0, negatives)(some(B, S, C, T), LEVELS)
    expected = 2 * conditions.sum(axis=2) - negatives.sum(axis=2)
    np.testing.assert_allclose(velocity[..., 0, 0], expected, rtol=1e-4, atol=1e-5)


def only(track: int) -> Array:
    conditions = np.zeros((B, S, D), np.float32)
    conditions[:, track] = some(B, D)
    return conditions


def test_with_one_prompt_its_own_null_is_the_null_of_all() -> None:
    conditions, latents = only(2), some(B, S, C, T)
    both = [guided(Counting(), conditions, 3.0, null=null)(latents, LEVELS) for null in Null]
    np.testing.assert_allclose(both[0], both[1], rtol=1e-5, atol=1e-5)


def test_own_nulls_are_taken_away_one_at_a_time_each_with_its_scale() -> None:
    """The network's v of every track is the sum of all conditions, so that one prompt acts on every track."""
    batches: list[int] = []

    def network(latents: Array, levels: Array, conditions: Array) -> Array:
        batches.append(len(latents))
        total = conditions.sum(axis=(1, 2))[:, None, None, None]
        return np.broadcast_to(total, latents.shape).astype(np.float32)

    conditions = only(0) + only(2) * 2
    velocity = guided(network, conditions, [2.0, 9.0, 4.0], null=Null.OWN)(some(B, S, C, T), LEVELS)
    assert batches == [3 * B], "the prompts, and without each of the two"
    mix, source = only(0).sum(axis=(1, 2)), 2 * only(2).sum(axis=(1, 2))
    np.testing.assert_allclose(velocity[:, 1, 0, 0], 2 * mix + 4 * source, rtol=1e-5, atol=1e-5)


def test_rescaling_leads_the_spread_of_a_latent_frame_back_as_far_as_asked() -> None:
    plain, pulled = some(B, S, C, T), 5 * some(B, S, C, T)[::-1] + 1

    def spread(velocity: Array) -> Array:
        return velocity.std(axis=(1, 2), ddof=1)

    np.testing.assert_allclose(spread(rescaled(pulled, plain, 1.0)), spread(plain), rtol=1e-4)
    half = (spread(plain) + spread(pulled)) / 2
    np.testing.assert_allclose(spread(rescaled(pulled, plain, 0.5)), half, rtol=1e-4)
    assert np.all(np.isfinite(rescaled(np.zeros_like(plain), plain, 1.0)))


def test_guidance_is_rescaled_by_what_the_prompts_alone_would_give() -> None:
    network = Counting()
    conditions, latents = some(B, S, D), some(B, S, C, T)
    plain = guided(network, conditions)(latents, LEVELS)
    pulled = guided(network, conditions, 3.0)(latents, LEVELS)
    velocity = guided(network, conditions, 3.0, rescale=0.7)(latents, LEVELS)
    np.testing.assert_allclose(velocity, rescaled(pulled, plain, 0.7), rtol=1e-5)


def test_given_tracks_reach_the_network_clean_and_at_level_zero_at_every_step() -> None:
    seen: list[tuple[Array, Array]] = []
    given, is_given = some(B, S, C, T), np.array([True, False, False])

    def network(latents: Array, levels: Array) -> Array:
        seen.append((latents.copy(), np.array(levels)))
        return -latents

    sampled = SAMPLERS["unipc"](held(network, given, is_given), some(B, 2, C, T), schedule.levels(5))
    assert sampled.shape == (B, 2, C, T) and len(seen) == 5
    for (latents, levels), level in zip(seen, schedule.levels(5), strict=True):
        np.testing.assert_array_equal(latents[:, 0], given[:, 0])
        np.testing.assert_allclose(levels, np.tile([0, level, level], (B, 1)), rtol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_a_following_window_begins_with_the_end_of_the_one_before(name: str) -> None:
    beginning, noise, overlap = some(B, 2, C, 2), some(B, 2, C, T) * 0.5, 2
    wrong = continued(lambda latents, level: np.ones_like(latents), beginning, noise)
    found = SAMPLERS[name](wrong, noise, schedule.levels(8))
    tolerance = 0.15 if name == "ab2" else 1e-5  # measured: .04, 1e-7; the engine puts the exact frames back
    np.testing.assert_allclose(found[..., :overlap], beginning, atol=tolerance)


def test_the_network_sees_the_beginning_at_the_level_of_the_rest() -> None:
    beginning, noise = some(B, 2, C, 2), some(B, 2, C, T) * 0.5
    seen: list[Array] = []

    def network(latents: Array, level: float) -> Array:
        seen.append(latents.copy())
        return -latents

    continued(network, beginning, noise)(noise, 0.5)
    np.testing.assert_allclose(seen[0][..., :2], np.sqrt(0.5) * (beginning + noise[..., :2]), rtol=1e-5)
    np.testing.assert_array_equal(seen[0][..., 2:], noise[..., 2:])


def test_guidance_changes_nothing_to_the_last_bit_where_the_prompt_changes_nothing() -> None:
    """A sum of weighted answers would leave roundings, and every seed another take."""
    conditions, latents = some(B, S, D), some(B, S, C, T)
    velocity = guided(lambda z, levels, conditions: z, conditions, 2.7)(latents, LEVELS)
    np.testing.assert_array_equal(velocity, latents)
