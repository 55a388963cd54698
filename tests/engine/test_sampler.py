"""The samplers on Gaussian data, where the exact v is known and the ODE has a closed solution."""

import numpy as np
import pytest
from numpy.typing import NDArray

from stemwright.engine import schedule
from stemwright.engine.errors import BadJob, Cancelled
from stemwright.engine.sampler import SAMPLERS, Sampler, named

Doubles = NDArray[np.float64]


class Gaussian:
    """Data N(mean, spread²), a different one in every place: E[z₀ | z] is linear, so v is exact."""

    def __init__(self) -> None:
        rng = np.random.default_rng(0)
        self.mean = rng.normal(size=(1, 64))
        self.spread = rng.uniform(0.3, 2.0, (1, 64))
        self.noise = rng.normal(size=(1, 64))
        self.calls = 0

    def total(self, level: float) -> Doubles:
        variance: Doubles = (schedule.signal(level) * self.spread) ** 2 + schedule.noise(level) ** 2
        return variance

    def __call__(self, latents: Doubles, level: float) -> Doubles:
        self.calls += 1
        alpha, sigma = schedule.signal(level), schedule.noise(level)
        apart = (latents - alpha * self.mean) / self.total(level)
        velocity: Doubles = alpha * sigma * apart - sigma * (self.mean + alpha * self.spread**2 * apart)
        return velocity

    def end(self, last: float) -> Doubles:
        """z₀ predicted at `last` on the exact path z(τ) = α mean + √(α² spread² + σ²) noise."""
        bend = schedule.signal(last) * self.spread**2 / np.sqrt(self.total(last))
        point: Doubles = self.mean + bend * self.noise
        return point


def error(sampler: Sampler, steps: int) -> float:
    data = Gaussian()
    found = sampler(data, data.noise, schedule.levels(steps))
    assert data.calls == steps, "one forward per step"
    return float(np.sqrt(np.mean((found - data.end(0.02)) ** 2)))


@pytest.mark.parametrize(
    ("name", "order"),
    [("ddim", 1.0), ("ab2", 2.0), ("unipc", 2.0)],  # measured 16 → 64 steps: 1.0, 2.0, 2.6
)
def test_error_falls_with_the_sampler_s_order(name: str, order: float) -> None:
    coarse, fine = error(SAMPLERS[name], 16), error(SAMPLERS[name], 64)
    measured = np.log(coarse / fine) / np.log(4)
    assert measured > order - 0.1, f"{name}: order {measured:.2f}"
    assert measured < order + 1, f"{name}: order {measured:.2f}, is the reference right?"


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_sampler_ends_where_the_equation_ends(name: str) -> None:
    assert error(SAMPLERS[name], 400) < 5e-3  # measured: ddim 3e-3, ab2 1.4e-5, unipc 1e-5


def test_a_second_order_sampler_beats_the_first_at_few_steps() -> None:
    assert error(SAMPLERS["ab2"], 6) < error(SAMPLERS["ddim"], 6) / 2
    assert error(SAMPLERS["unipc"], 8) < error(SAMPLERS["ddim"], 8) / 4


@pytest.mark.parametrize("name", SAMPLERS)
def test_one_step_is_the_mean_of_all_that_fits(name: str) -> None:
    data = Gaussian()
    found = SAMPLERS[name](data, data.noise, schedule.levels(1))
    np.testing.assert_allclose(found, data.mean, atol=1e-6)


@pytest.mark.parametrize("name", SAMPLERS)
def test_noise_is_left_as_it_was_and_float32_stays_float32(name: str) -> None:
    noise = np.random.default_rng(1).standard_normal((2, 3, 4)).astype(np.float32)
    before = noise.copy()
    found = SAMPLERS[name](lambda latents, level: -latents, noise, schedule.grid(8))
    assert found.dtype == np.float32 and np.array_equal(noise, before)


@pytest.mark.parametrize("name", SAMPLERS)
def test_what_on_step_raises_ends_the_sampling_at_that_step(name: str) -> None:
    data = Gaussian()

    def stop(done: int) -> None:
        if done == 3:
            raise Cancelled("enough")

    with pytest.raises(Cancelled):
        SAMPLERS[name](data, data.noise, schedule.levels(10), on_step=stop)
    assert data.calls == 3


def test_an_unknown_sampler_is_refused_by_name() -> None:
    with pytest.raises(BadJob, match=r"euler.*ddim, unipc, ab2"):
        named("euler")
