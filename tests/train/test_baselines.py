"""Classical separation on signals whose parts are known."""

import numpy as np
import pytest

from stemwright.engine.train import baselines, metrics
from stemwright.engine.train.baselines import Mixture

FRAMES = 64000  # 4 s at 16 kHz
SECONDS = np.arange(FRAMES) / 16000


def sine(hertz: float, level: float = 0.2) -> np.ndarray:
    return (level * np.sin(2 * np.pi * hertz * SECONDS)).astype(np.float32)[None]


def clicks() -> np.ndarray:
    """A burst of 2 ms four times a second."""
    wave = np.zeros(FRAMES, np.float32)
    burst = np.random.default_rng(0).standard_normal(32).astype(np.float32)
    for start in range(2000, FRAMES - 32, 4000):
        wave[start : start + 32] = burst
    return wave[None]


@pytest.mark.parametrize("frames", [FRAMES, 12345, 300])
@pytest.mark.parametrize("size", [1024, 2048])
def test_istft_undoes_stft_to_the_ends(frames: int, size: int) -> None:
    waves = np.random.default_rng(0).standard_normal((2, frames)).astype(np.float32)
    back = baselines.istft(baselines.stft(waves, size), frames)
    assert back.shape == waves.shape
    assert np.abs(back - waves).max() < 3e-6  # measured 7e-7


def test_the_window_is_1024_at_16_khz_and_2048_at_44_1_khz() -> None:
    assert [baselines.window_frames(rate) for rate in (16000, 44100)] == [1024, 2048]


def test_running_median_is_the_median_of_the_neighbours() -> None:
    row = np.array([[5, 1, 9, 2, 7, 3]], np.float32)
    assert baselines.running_median(row, 3).tolist() == [[5, 5, 2, 7, 3, 3]]


def test_hpss_takes_clicks_from_a_sine_and_the_sine_from_the_clicks() -> None:
    tone, beats = sine(440), clicks()
    mixture = Mixture(tone + beats, 16000)
    assert metrics.si_sdr_improvement(mixture.percussive, mixture.waves, beats) > 20  # measured 29.5
    assert metrics.si_sdr_improvement(mixture.harmonic, mixture.waves, tone) > 15  # measured 23.8
    assert np.abs(mixture.percussive + mixture.harmonic - mixture.waves).max() < 1e-5  # measured 2e-7


def test_repet_keeps_what_does_not_repeat() -> None:
    loop = np.random.default_rng(1).standard_normal(16000).astype(np.float32) * 0.1
    backing = np.tile(loop, 6)[None]
    voice = np.zeros_like(backing)
    voice[0, 30000:38000] = 0.3 * np.sin(2 * np.pi * 700 * np.arange(8000) / 16000)
    mixture = Mixture(backing + voice, 16000)
    assert metrics.si_sdr_improvement(mixture.foreground, mixture.waves, voice) > 12  # measured 21.2


def test_band_pass_keeps_its_band_in_phase() -> None:
    inside, outside = sine(500), sine(5000)
    passed = baselines.band_pass(inside + outside, 16000, 150, 1500)
    middle = slice(8000, -8000)
    assert metrics.si_sdr(passed[:, middle], inside[:, middle]) > 60  # measured 109


@pytest.mark.parametrize(
    ("label", "low"),
    [("bass", 30), ("synth lead", 200), ("chromatic percussion", 250), ("theremin", 150)],
)
def test_each_class_has_a_register(label: str, low: float) -> None:
    assert baselines.register(label)[0] == low


@pytest.mark.parametrize("label", ["drums", "bass", "vocals", "clavinet"])
def test_every_classical_estimate_has_the_mixtures_shape(label: str) -> None:
    mixture = Mixture(np.concatenate([sine(100) + clicks(), sine(300)]), 44100)
    for estimate in baselines.classical(mixture, label).values():
        assert estimate.shape == mixture.waves.shape
        assert np.isfinite(estimate).all()


def test_the_ideal_mask_parts_stems_that_do_not_overlap() -> None:
    one, other = sine(300), sine(3000)
    estimate = baselines.ideal_ratio_mask(Mixture(one + other, 16000), one)
    assert metrics.si_sdr(estimate, one) > 40  # measured 52.4


def test_the_ideal_mask_of_two_equal_stems_halves_the_mixture() -> None:
    stem = sine(300)
    estimate = baselines.ideal_ratio_mask(Mixture(2 * stem, 16000), stem)
    assert np.abs(estimate - stem).max() < 1e-5


def test_the_oracle_gain_gives_the_mixture_its_stems_level() -> None:
    mixture, target = sine(300, 0.4) + clicks(), sine(700, 0.1)
    scaled = mixture * baselines.oracle_gain(mixture, target)
    assert metrics.rms(scaled) == pytest.approx(metrics.rms(target), rel=1e-5)


def test_the_least_l1_gain_finds_the_gain_of_a_quieter_copy_and_beats_its_neighbours() -> None:
    mixture = np.random.default_rng(2).standard_normal(32000).astype(np.float32) * np.float32(0.1)
    assert baselines.least_l1_gain(mixture, mixture * np.float32(10 ** (-7 / 20))) == pytest.approx(
        10 ** (-7 / 20)
    )
    target = mixture * np.linspace(0, 1, 32000, dtype=np.float32)
    best = baselines.least_l1_gain(mixture, target)
    distances = [metrics.log_mel_l1(mixture * np.float32(best * factor), target) for factor in (0.8, 1, 1.25)]
    assert distances[1] == min(distances)


def test_baselines_are_deterministic() -> None:
    waves = sine(440) + clicks()
    one, two = (baselines.classical(Mixture(waves.copy(), 16000), "vocals") for _ in range(2))
    assert all(np.array_equal(one[method], two[method]) for method in one)
