"""Metrics against closed forms and hand-built answers."""

import numpy as np
import pytest

from stemwright.engine.train import metrics

SECONDS = np.arange(32000) / 16000


def noise(seed: int, frames: int = 32000) -> np.ndarray:
    return (0.1 * np.random.default_rng(seed).standard_normal(frames)).astype(np.float32)


def orthogonal_to(signal: np.ndarray, seed: int) -> np.ndarray:
    """Noise with the energy of `signal`, at a right angle to it."""
    other = noise(seed, signal.size).astype(np.float64)
    other -= other @ signal / (signal @ signal) * signal
    return other * np.linalg.norm(signal) / np.linalg.norm(other)


def test_mel_triangles_have_unit_area_and_sit_on_slaneys_scale() -> None:
    weights = metrics.mel_weights()
    hertz = np.arange(513) * 15.625
    assert weights.shape == (64, 513)
    wide = weights[30:]  # narrow ones are sampled by too few bins to integrate
    assert wide.sum(axis=1) * 15.625 == pytest.approx(1, abs=0.01)  # measured: at most 0.0033 off
    below_1000 = [float(hertz @ row / row.sum()) for row in weights[2:20]]
    assert np.diff(below_1000) == pytest.approx(
        np.diff(below_1000).mean(), abs=0.01
    )  # evenly spaced; measured 1e-4
    above = [float(hertz @ row / row.sum()) for row in weights[40:]]
    ratios = np.array(above[1:]) / np.array(above[:-1])
    assert np.std(ratios) < 1e-4  # geometric above; measured 2e-5


def test_mel_has_one_frame_for_each_160_of_audio() -> None:
    assert metrics.mel(np.zeros(163840, np.float32)).shape == (64, 1024)


@pytest.mark.parametrize("decibels", [-12.0, -3.0, 1.0, 6.0])
def test_a_gain_error_costs_0_115_a_decibel(decibels: float) -> None:
    target = noise(0)
    louder = target * np.float32(10 ** (decibels / 20))
    assert metrics.log_mel_l1(louder, target) == pytest.approx(abs(decibels) * np.log(10) / 20, rel=1e-4)


def test_inaudible_differences_cost_at_the_low_floor_and_not_at_the_high_one() -> None:
    silence, whisper = np.zeros(32000, np.float32), noise(1) * np.float32(1e-3)  # -80 dB of full scale
    assert metrics.log_mel_l1(whisper, silence, metrics.FLOOR) > 1  # measured 2.36
    assert metrics.log_mel_l1(whisper, silence, metrics.SECOND_FLOOR) == 0


def test_log_mel_l1_is_blind_to_sign_and_zero_for_the_truth() -> None:
    assert metrics.log_mel_l1(-noise(2), noise(2)) == 0


@pytest.mark.parametrize("snr", [-7.0, 0.0, 13.0])
def test_si_sdr_of_a_signal_plus_orthogonal_noise_is_its_snr_at_any_gain(snr: float) -> None:
    target = noise(3).astype(np.float64)
    estimate = 0.2 * (target + orthogonal_to(target, 4) * 10 ** (-snr / 20))
    assert metrics.si_sdr(estimate, target) == pytest.approx(snr, abs=1e-4)  # eps moves it by 1e-6


def test_si_sdr_keeps_the_mean() -> None:
    target = noise(5)
    assert metrics.si_sdr(target + 0.1, target) == pytest.approx(
        0, abs=0.1
    )  # the offset has its energy; measured 0.06


def test_si_sdr_counts_both_channels_as_one_signal() -> None:
    target = np.stack([noise(6), noise(7)])
    swapped = target[::-1]
    assert metrics.si_sdr(target, target) > 60
    assert metrics.si_sdr(swapped, target) < -10  # measured -41; a mono downmix would call this perfect


def test_improvement_is_the_difference_to_the_mixture() -> None:
    target = noise(8).astype(np.float64)
    rest = orthogonal_to(target, 9)
    gain = metrics.si_sdr_improvement(target + 0.1 * rest, target + rest, target)
    assert gain == pytest.approx(20, abs=1e-4)


def test_improvement_leaves_out_silent_targets_and_clean_mixtures() -> None:
    loud = noise(10)
    quiet = loud * np.float32(0.04)  # -48 dB of full scale; the threshold is -47.0
    assert metrics.si_sdr_improvement(loud, loud + quiet, quiet) is None
    assert metrics.si_sdr_improvement(loud, loud + quiet, loud) is None  # mixture already at 28 dB
    assert metrics.si_sdr_improvement(loud, loud + noise(11), loud) is not None


def test_silence_for_a_stem_that_is_there_is_never_rewarded() -> None:
    target, rest = noise(12), noise(13) * 10
    gain = metrics.si_sdr_improvement(np.zeros_like(target), target + rest, target)
    assert gain is not None
    assert gain < -35  # the mixture is at -20 dB, silence counts as -60


def test_relative_level_is_in_decibels_and_bounded_below() -> None:
    mixture = np.stack([noise(14), noise(15)])
    assert metrics.relative_level(mixture * 0.1, mixture) == pytest.approx(-20, abs=1e-4)
    assert metrics.relative_level(mixture * 0, mixture) == -120


def test_a_sine_has_the_rms_it_should() -> None:
    assert metrics.rms(np.sin(2 * np.pi * 100 * SECONDS)) == pytest.approx(np.sqrt(0.5), rel=1e-6)


def test_confidence_of_the_mean_is_that_of_the_songs_and_not_of_the_clips() -> None:
    rng = np.random.default_rng(0)
    by_song = rng.standard_normal(40)
    values, songs = np.repeat(by_song, 25), [f"song {index // 25}" for index in range(1000)]
    interval = metrics.confidence(values, songs, "mean", draws=4000)
    assert interval is not None
    expected = 2 * 1.96 * by_song.std() / np.sqrt(40)
    assert interval[1] - interval[0] == pytest.approx(
        expected, rel=0.08
    )  # measured 0.025; by clip 5 times less


def test_confidence_of_the_median_is_that_of_resampling_by_hand() -> None:
    rng = np.random.default_rng(1)
    values, songs = rng.standard_normal(30), [f"song {index % 7}" for index in range(30)]
    names = sorted(set(songs))
    drawn = np.random.default_rng(5).integers(7, size=(200, 7))
    of_song = [values[[song == name for song in songs]] for name in names]
    medians = [np.median(np.concatenate([of_song[index] for index in row])) for row in drawn]
    expected = np.quantile(medians, [0.025, 0.975])
    assert metrics.confidence(values, songs, draws=200, seed=5) == pytest.approx(tuple(expected), abs=1e-12)


def test_one_song_gives_no_confidence() -> None:
    assert metrics.confidence(np.ones(5), ["only"] * 5) is None
