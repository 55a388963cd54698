import numpy as np
import pytest

from stemwright.engine import spectral
from stemwright.engine.spectral import SpectralCodec

ALL = SpectralCodec(kept=tuple(range(64)), scales=(1.0,) * 64, means=(-1.0,) * 96)
FEW = SpectralCodec(kept=(0, 8, 16, 1), scales=(2.0, 1.5, 1.0, 0.5), means=(-1.0,) * 96)


@pytest.fixture
def noise() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((2, 3 * spectral.HOP)).astype(np.float32) * 0.1


def test_bands_share_every_bin_completely() -> None:
    np.testing.assert_allclose(spectral.band_weights().sum(axis=0), 1, atol=1e-6)


def test_band_centres_rise_by_at_least_a_bin_and_reach_the_nyquist_frequency() -> None:
    centres = spectral.band_centres()
    assert np.diff(centres).min() > 1 - 1e-9
    assert centres[-1] == pytest.approx(512)


def test_dct_basis_is_orthonormal() -> None:
    basis = spectral.dct_basis()
    np.testing.assert_allclose(basis @ basis.T, np.eye(64), atol=1e-6)


def test_a_sine_stands_in_its_bin() -> None:
    bin_number, amplitude = 64, 0.5
    time = np.arange(8 * spectral.HOP) / spectral.RATE
    sine = amplitude * np.sin(2 * np.pi * bin_number * spectral.RATE / spectral.FFT * time)
    middle = np.abs(spectral.stft(sine[None].astype(np.float32)))[0, :, 20]
    assert middle.argmax() == bin_number
    assert middle[bin_number] == pytest.approx(amplitude * spectral.FFT / 4, rel=1e-3)


def test_keeping_every_coefficient_gives_the_bands_back(noise: np.ndarray) -> None:
    power = np.abs(spectral.stft(noise)) ** 2
    np.testing.assert_allclose(ALL.bands(ALL.encode(noise)), ALL.log_bands(power), atol=2e-5)


def test_the_kept_coefficients_are_the_nearest_point_of_their_plane(noise: np.ndarray) -> None:
    latents = FEW.encode(noise)
    again = FEW.bands(latents)
    rest = ALL.bands(ALL.encode(noise)) - again
    assert abs(float((rest * (again + 1)).mean())) < 1e-4  # orthogonal; measured 1e-7


@pytest.mark.parametrize(("frames", "expected"), [(1, 1), (2048, 1), (2049, 2), (163_840, 80)])
def test_the_tail_is_padded_to_whole_latent_frames(frames: int, expected: int) -> None:
    latents = FEW.encode(np.full((1, frames), 0.1, np.float32))
    assert latents.shape == (1, FEW.channels, expected)


def test_a_later_sound_comes_out_in_a_later_latent_frame() -> None:
    wave = np.zeros((1, 10 * spectral.HOP), np.float32)
    wave[0, 6 * spectral.HOP + 1024] = 1.0
    moved = np.abs(FEW.encode(wave) - FEW.encode(np.zeros_like(wave))).sum(axis=(0, 1))
    assert moved.argmax() == 6


def test_spectrum_has_the_grid_of_the_stft(noise: np.ndarray) -> None:
    assert FEW.spectrum(FEW.encode(noise)).shape == spectral.stft(noise).shape
