"""Phase reconstruction."""

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.phase import griffin_lim, istft
from stemwright.engine.spectral import stft


def chord(seconds: float = 1.024) -> Array:
    """Three decaying tones, (1, N)."""
    time = np.arange(int(16000 * seconds)) / 16000
    tones = [np.sin(2 * np.pi * pitch * time) * np.exp(-2 * time) for pitch in (220, 277.2, 1330)]
    return (0.2 * np.sum(tones, axis=0))[None].astype(np.float32)


def distance(waves: Array, magnitudes: Array) -> float:
    """Spectral convergence: how far the spectrum is from the one wanted, relative."""
    found = np.abs(stft(waves))
    return float(np.linalg.norm(found - magnitudes) / np.linalg.norm(magnitudes))


def test_istft_undoes_stft_at_every_frame() -> None:
    waves = np.random.default_rng(0).standard_normal((2, 256 * 40)).astype(np.float32)
    np.testing.assert_allclose(istft(stft(waves)), waves, atol=2e-6)  # measured 1e-6


def test_griffin_lim_finds_waves_whose_spectrum_is_the_one_wanted() -> None:
    magnitudes = np.abs(stft(chord()))
    waves = griffin_lim(magnitudes)
    assert waves.shape == chord().shape and waves.dtype == np.float32
    assert distance(waves, magnitudes) < 0.15  # measured .06; random phase alone .75
    assert distance(waves, magnitudes) < distance(griffin_lim(magnitudes, iterations=0), magnitudes) / 4


def test_same_amplitudes_give_the_same_waves_in_any_batch() -> None:
    magnitudes = np.abs(stft(chord()))
    both = griffin_lim(np.concatenate([magnitudes * 2, magnitudes]), iterations=4)
    assert both[1].tobytes() == griffin_lim(magnitudes, iterations=4)[0].tobytes()


def test_silence_stays_silent() -> None:
    assert not griffin_lim(np.zeros((1, 513, 16), np.float32), iterations=2).any()
