"""The noise levels."""

import numpy as np
import pytest

from stemwright.engine import schedule
from stemwright.engine.errors import BadJob


def test_levels_fall_evenly_from_one_to_the_last_trained_level() -> None:
    levels = schedule.levels(50)
    assert levels[0] == 1 and levels[-1] == 0.02 and len(levels) == 50
    np.testing.assert_allclose(np.diff(levels), -0.02, atol=1e-12)


def test_one_step_is_the_level_of_pure_noise() -> None:
    assert schedule.levels(1).tolist() == [1.0]
    assert schedule.blended_levels(1).tolist() == [1.0]


def test_signal_is_exactly_nothing_at_level_one_and_all_at_zero() -> None:
    assert schedule.signal(1.0) == 0.0 and schedule.noise(1.0) == 1.0
    assert schedule.signal(0.0) == 1.0 and schedule.noise(0.0) == 0.0


def test_blended_levels_are_halfway_between_even_levels_and_even_log_snr() -> None:
    blended = schedule.blended_levels(12)
    by_ratio = 2 * blended - schedule.levels(12)
    ratios = [schedule.log_snr(level) for level in by_ratio[1:]]
    np.testing.assert_allclose(np.diff(ratios), np.diff(ratios)[0], rtol=1e-9)
    assert blended[0] == 1 and blended[-1] == pytest.approx(0.02, abs=1e-12)
    assert np.all(np.diff(blended) < 0)


def test_automatic_grid_is_blended_only_where_it_was_measured_better() -> None:
    for steps in (1, 4, 6, 50):
        assert np.array_equal(schedule.grid(steps), schedule.levels(steps))
    for steps in (8, 12, 16, 25):
        assert np.array_equal(schedule.grid(steps), schedule.blended_levels(steps))


@pytest.mark.parametrize("steps", [0, -1, 1001])
def test_a_senseless_number_of_steps_is_refused_with_the_limit(steps: int) -> None:
    with pytest.raises(BadJob, match="1 to 1000"):
        schedule.levels(steps)


@pytest.mark.parametrize("kind", ["uniform", "blended"])
@pytest.mark.parametrize("steps", [1, 10, 250])
def test_a_schedule_that_ends_at_zero_has_as_many_steps_and_asks_nothing_there(kind: str, steps: int) -> None:
    levels = schedule.grid(steps, kind, last=0)
    assert len(levels) == steps and levels[0] == 1
    assert np.all(np.diff(levels) < 0) and 0 < levels[-1] < 2 / steps
    if kind == "uniform":
        np.testing.assert_allclose(levels, 1 - np.arange(steps) / steps, atol=1e-12)


def test_the_paper_s_two_hundred_and_fifty_steps_are_even_whichever_way_they_end() -> None:
    assert np.array_equal(schedule.grid(250), np.linspace(1, 0.02, 250))
    np.testing.assert_allclose(schedule.grid(250, last=0), np.linspace(1, 0, 251)[:-1], atol=1e-15)
