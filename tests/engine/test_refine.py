"""Masked stems sum to the mixture, keep its phase and image, and stream."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stemwright.engine.audio import Audio, read, resample
from stemwright.engine.refine import BATCH, Grid, Refiner, mask, presence, refine, stride
from stemwright.engine.spectral import stft

SHAPES = [(44100, 2), (48000, 1), (96000, 2), (44100, 8), (11025, 1), (192000, 2), (4000, 1)]
BINS = Grid().bins


def noise(seconds: float, rate: int, channels: int, seed: int = 0) -> Audio:
    samples = np.random.default_rng(seed).uniform(-1, 1, (channels, round(seconds * rate) + 13))
    return Audio(samples.astype(np.float32), rate)


def mask_frames(audio: Audio) -> int:
    return int(audio.seconds * 62.5) + 1


def random_masks(audio: Audio, stems: int, seed: int = 1) -> np.ndarray:
    """(stems, F, M) that sum to at most 1."""
    shape = (stems, BINS, mask_frames(audio))
    return (np.random.default_rng(seed).random(shape) / stems).astype(np.float32)


def sine(hertz: float, seconds: float, rate: int = 44100) -> Audio:
    time = np.arange(round(seconds * rate)) / rate
    return Audio((0.5 * np.sin(2 * np.pi * hertz * time)).astype(np.float32)[None], rate)


@pytest.mark.parametrize(("rate", "channels"), SHAPES)
def test_stem_plus_rest_is_the_mixture_to_rounding_and_as_long(rate: int, channels: int) -> None:
    mixture = noise(1.3, rate, channels)
    (stem,), rest = refine(mixture, random_masks(mixture, 1))
    assert stem.samples.shape == rest.samples.shape == mixture.samples.shape
    assert stem.rate == rest.rate == rate
    assert np.abs(stem.samples + rest.samples - mixture.samples).max() <= 1e-6  # measured 6e-8
    assert np.abs(stem.samples).max() > 0.1


@pytest.mark.parametrize(("rate", "channels"), SHAPES)
def test_a_mask_of_ones_returns_the_mixture_edge_to_edge(rate: int, channels: int) -> None:
    mixture = noise(1.3, rate, channels)
    (stem,), rest = refine(mixture, np.ones((1, BINS, mask_frames(mixture)), np.float32))
    assert np.abs(stem.samples - mixture.samples).max() < 1e-6  # measured 4e-7
    assert np.abs(rest.samples).max() < 1e-6


def test_a_mask_of_zeros_leaves_everything_to_the_rest() -> None:
    mixture = noise(0.5, 44100, 2)
    (stem,), rest = refine(mixture, np.zeros((1, BINS, mask_frames(mixture)), np.float32))
    assert not stem.samples.any()
    assert (rest.samples == mixture.samples).all()


def test_several_stems_and_their_rest_sum_to_the_mixture() -> None:
    mixture = noise(1.0, 44100, 2)
    masks = random_masks(mixture, 3)
    stems, rest = refine(mixture, masks)
    total = sum(stem.samples for stem in stems) + rest.samples
    assert np.abs(total - mixture.samples).max() <= 1e-6  # measured 6e-8
    alone, _ = refine(mixture, masks[1:2])
    np.testing.assert_allclose(alone[0].samples, stems[1].samples, atol=1e-6)  # measured 0


def test_a_stem_keeps_its_place_between_the_speakers() -> None:
    left = noise(1.0, 44100, 1).samples
    mixture = Audio(np.concatenate([left, -0.25 * left]), 44100)
    (stem,), _ = refine(mixture, random_masks(mixture, 1))
    np.testing.assert_allclose(stem.samples[1], -0.25 * stem.samples[0], atol=1e-6)  # measured 0


@pytest.mark.parametrize("rate", [11025, 44100, 48000, 96000])
def test_a_mask_that_rises_in_time_fades_a_tone_in_by_the_same_line(rate: int) -> None:
    tone = sine(1000.0, 2.0, rate)
    frames = mask_frames(tone)
    ramp = np.linspace(0, 1, frames, dtype=np.float32)
    (stem,), _ = refine(tone, np.broadcast_to(ramp, (1, BINS, frames)).copy())
    time = np.arange(tone.frames) / rate
    expected = tone.samples[0] * np.interp(time, np.arange(frames) * 0.016, ramp)
    inside = slice(round(0.05 * rate), -round(0.05 * rate))
    assert np.abs(stem.samples[0] - expected)[inside].max() < 1e-4  # measured 3e-5


@pytest.mark.parametrize("hertz", [200.0, 1003.7, 4321.0, 7000.0])
def test_a_mask_that_rises_in_frequency_gives_a_tone_the_value_at_its_place(hertz: float) -> None:
    tone = sine(hertz, 1.0)
    ramp = np.linspace(0, 1, BINS, dtype=np.float32)
    (stem,), _ = refine(tone, np.tile(ramp[None, :, None], (1, 1, mask_frames(tone))))
    inside = slice(4410, -4410)
    assert np.abs(stem.samples - tone.samples * hertz / 8000)[0, inside].max() < 1e-6  # measured 1.5e-7


@pytest.mark.parametrize("hertz", [7800.0, 12000.0, 19000.0])
def test_above_the_models_band_the_mask_is_that_of_the_shoulder_below(hertz: float) -> None:
    below, above = sine(6300.0, 1.0), sine(hertz, 1.0)
    masks = np.zeros((1, BINS, mask_frames(below)), np.float32)
    masks[:, round(6300 / 15.625) - 8 : round(6300 / 15.625) + 9] = 0.3
    (stem,), _ = refine(Audio(below.samples + 0.1 * above.samples, 44100), masks)
    inside = slice(4410, -4410)
    difference = stem.samples - 0.3 * (below.samples + 0.1 * above.samples)
    assert np.abs(difference)[0, inside].max() < 2e-4  # measured 5e-5, of a tone of 0.05


def test_silence_above_and_below_the_band_stays_silence_without_warnings() -> None:
    silence = Audio(np.zeros((2, 50000), np.float32), 44100)
    (stem,), rest = refine(silence, random_masks(silence, 1))
    assert not stem.samples.any()
    assert not rest.samples.any()


def test_a_mask_that_ends_early_goes_on_as_it_ended() -> None:
    mixture = noise(1.0, 44100, 1)
    (stem,), _ = refine(mixture, np.full((1, BINS, 3), 0.5, np.float32))
    np.testing.assert_allclose(stem.samples, 0.5 * mixture.samples, atol=1e-6)  # measured 1.5e-7


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(44100, 2), (48000, 1), (11025, 1)]),
    st.lists(st.tuples(st.integers(0, 60_000), st.integers(0, 90)), max_size=6),
)
def test_pieces_of_any_length_give_the_same_samples_as_the_whole(
    shape: tuple[int, int], pieces: list[tuple[int, int]]
) -> None:
    mixture = noise(2.0, *shape)
    masks = random_masks(mixture, 2)
    stems, rest = refine(mixture, masks)
    refiner, spans, frame, column = Refiner(mixture.rate, mixture.channels, 2), [], 0, 0
    for frames, columns in [*pieces, (mixture.frames, masks.shape[2])]:
        spans.append(
            refiner.push(mixture.samples[:, frame : frame + frames], masks[..., column : column + columns])
        )
        frame, column = frame + frames, column + columns
    spans.append(refiner.finish())
    streamed = np.concatenate([span for span, _ in spans], axis=-1)
    np.testing.assert_array_equal(streamed, np.stack([stem.samples for stem in stems]))
    np.testing.assert_array_equal(np.concatenate([span for _, span in spans], axis=-1), rest.samples)


def test_what_a_refiner_holds_does_not_grow_with_the_song() -> None:
    refiner = Refiner(44100, 1, 1)
    block, masks = np.zeros((1, 44100 * 2), np.float32), np.zeros((1, BINS, 125), np.float32)
    for _ in range(50):
        refiner.push(block, masks)
        assert refiner._mixture.shape[1] <= (BATCH + 4) * refiner.hop
        assert len(refiner._masks) <= BATCH + 4


def test_shares_sum_to_one_and_follow_the_power_of_the_amplitudes() -> None:
    amplitudes = np.array([3.0, 1.0, 0.5], np.float32)[:, None, None] * np.ones((1, 4, 5), np.float32)
    for power in (1.0, 2.0):
        expected = amplitudes**power / (amplitudes**power).sum(axis=0)
        np.testing.assert_allclose(mask(np.log(amplitudes), power), expected, rtol=1e-5)  # measured 6e-8


def test_shares_are_finite_for_amplitudes_no_float_could_hold() -> None:
    logs = np.array([300.0, -300.0], np.float32)[:, None, None]
    np.testing.assert_array_equal(mask(logs)[:, 0, 0], [1, 0])


def test_shares_leave_the_callers_spectra_alone() -> None:
    logs = np.ones((2, 3, 4), np.float32)
    mask(logs)
    assert (logs == 1).all()


def test_presence_is_the_energy_weighted_share() -> None:
    loud, faint = np.zeros((BINS, 9), np.float32), np.full((BINS, 9), np.log(1e-3), np.float32)
    assert presence(loud, loud) == pytest.approx(0.5)
    assert presence(faint, loud) == pytest.approx(1e-3, rel=0.01)
    assert presence(loud + 200, faint) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("rate", "expected"), [(16000, 256), (44100, 704), (48000, 768), (96000, 1536), (4000, 64)]
)
def test_strides_are_about_sixteen_milliseconds_and_quick_to_transform(rate: int, expected: int) -> None:
    assert stride(rate) == expected


def test_ideal_masks_take_the_demo_songs_drums_out(shared: Path) -> None:
    folder = shared / "data" / "demo" / "boas"
    mixture, drums = read(folder / "mixture.flac"), read(folder / "drums.flac")
    mixture = Audio(mixture.samples[:, : 10 * mixture.rate], mixture.rate)
    drums = Audio(drums.samples[:, : mixture.frames], drums.rate)
    rest = Audio(mixture.samples - drums.samples, mixture.rate)

    def log_amplitude(audio: Audio) -> np.ndarray:
        mono = resample(audio.mono(), 16000).samples
        return np.log(np.abs(stft(np.pad(mono, ((0, 0), (0, -mono.shape[1] % 256))))) + 1e-3)[0]

    masks = mask(np.stack([log_amplitude(drums), log_amplitude(rest)]))[:1]
    (stem,), _ = refine(mixture, masks)
    improvement = si_sdr(stem.samples, drums.samples) - si_sdr(mixture.samples, drums.samples)
    assert improvement > 14  # dB, measured 16.8


def si_sdr(estimate: np.ndarray, target: np.ndarray) -> float:
    scaled = (estimate * target).sum() / (target**2).sum() * target
    return float(10 * np.log10((scaled**2).sum() / ((estimate - scaled) ** 2).sum()))
