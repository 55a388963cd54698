"""The vocoder's network: its inverse STFT, its phases, its start."""

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the networks need the [train] extra")

from stemwright.engine.models.vocoder import Spectrum, Vocoder, VocoderConfig, overlap_added  # noqa: E402
from stemwright.engine.phase import istft  # noqa: E402
from stemwright.engine.spectral import BINS, FFT, RATE, STRIDE, SpectralCodec, stft  # noqa: E402

CODEC = SpectralCodec(tuple(range(64)), (1.0,) * 64, (0.0,) * 96)  # keeps every coefficient
SMALL = VocoderConfig(width=16, depth=2)
SIGNS = 1 - 2 * (np.arange(BINS) % 2)  # from the window's start to its centre


def network() -> Vocoder:
    torch.manual_seed(0)
    return Vocoder(SMALL).eval()


def sine(hertz: float, frames: int = 64 * STRIDE) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hertz * np.arange(frames) / RATE)).astype(np.float32)[None]


def true_spectrum(wave: np.ndarray) -> Spectrum:
    """What a perfect network would say of this wave."""
    rows = torch.from_numpy((stft(wave) * SIGNS[:, None]).transpose(0, 2, 1).astype(np.complex64))
    sizes = rows.abs().clamp_min(1e-9)
    return Spectrum((sizes + SMALL.hush).log(), torch.zeros_like(sizes), rows.real / sizes, rows.imag / sizes)


def test_the_inverse_by_matrices_is_the_inverse_by_fourier_transform() -> None:
    rng = np.random.default_rng(0)
    spectra = (rng.standard_normal((2, BINS, 24)) + 1j * rng.standard_normal((2, BINS, 24))).astype(
        np.complex64
    )
    spectra[:, [0, -1]] = spectra[:, [0, -1]].real
    rows = torch.from_numpy((spectra * SIGNS[:, None]).transpose(0, 2, 1).astype(np.complex64))
    waves = network().inverted(rows.real, rows.imag).numpy()
    wanted = istft(spectra)
    assert waves.shape == (2, 24 * STRIDE)
    assert np.abs(waves - wanted).max() < 1e-5 * np.abs(wanted).max()  # measured 1e-6


def test_the_true_spectrum_becomes_the_true_wave() -> None:
    wave = np.random.default_rng(0).standard_normal((1, 20 * STRIDE)).astype(np.float32)
    made = network().waves(true_spectrum(wave)).numpy()
    np.testing.assert_allclose(made, wave, atol=1e-5)  # measured 2e-6


def test_each_frame_is_added_where_its_window_stands() -> None:
    frames = torch.zeros(1, 6, FFT)
    frames[0, 3, FFT // 2] = 1
    assert overlap_added(frames)[0].nonzero().tolist() == [[3 * STRIDE]]


@pytest.mark.parametrize("hertz", [440.0, 1003.0])
def test_true_turns_keep_a_steady_tone_whole(hertz: float) -> None:
    """Amplitudes and instantaneous frequency of a tone, without its phase, are enough to make it again."""
    wave, vocoder = sine(hertz), network()
    found = true_spectrum(wave)
    phasor = torch.complex(found.cosine, found.sine)
    step = torch.angle(phasor[:, 1:] * phasor[:, :-1].conj()) / (torch.pi / 2) - torch.arange(BINS) % 4
    turns = torch.nn.functional.pad(step, (0, 0, 1, 0))
    bands = torch.from_numpy(CODEC.bands(CODEC.encode(wave)))
    louder = found.logs - vocoder.start(bands)
    made = vocoder.waves(vocoder.resolved(bands, louder, turns, torch.zeros(*turns.shape[:2], 2 * BINS)))
    middle = slice(8 * STRIDE, -8 * STRIDE)
    spectrum = np.abs(np.fft.rfft(made[0, middle].numpy() * np.hanning(48 * STRIDE)))
    peak = int(spectrum.argmax())
    energy = spectrum**2
    assert peak * RATE / (48 * STRIDE) == pytest.approx(hertz, abs=1.5)  # one bin here is 1.3 Hz
    assert energy[peak - 4 : peak + 5].sum() / energy.sum() > 0.95  # measured .99


def test_the_untrained_network_starts_from_the_bands() -> None:
    wave = sine(440.0)
    bands = torch.from_numpy(CODEC.bands(CODEC.encode(wave)))
    vocoder = network()
    with torch.no_grad():
        logs = vocoder.spectrum(bands).logs[0]
    assert abs(int(logs[30].argmax()) - 440 * FFT / RATE) < 2


def test_phasors_have_unit_length_and_waves_the_length_of_the_bands() -> None:
    bands = torch.randn(3, 96, 16)
    with torch.no_grad():
        found = network().spectrum(bands)
        waves, amplitudes = network()(bands)
    length = (found.cosine**2 + found.sine**2).sqrt()
    assert float((length - 1).abs().max()) < 1e-3
    assert waves.shape == (3, 16 * STRIDE) and amplitudes.shape == (3, BINS, 16)
    assert float(found.logs.max()) <= 8.0


def test_every_row_of_a_batch_is_made_on_its_own() -> None:
    bands = torch.randn(2, 96, 16)
    vocoder = network()
    with torch.no_grad():
        torch.testing.assert_close(
            vocoder(bands)[0][1:], vocoder(bands[1:])[0], atol=1e-4, rtol=0
        )  # measured 1e-6


def test_the_shipped_size_stays_under_four_megabytes_in_half_precision() -> None:
    assert sum(parameter.numel() for parameter in Vocoder().parameters()) * 2 < 4e6
