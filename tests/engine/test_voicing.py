"""From latents to waves with a vocoder's graph."""

import numpy as np
import pytest

from stemwright.engine.contracts import Array
from stemwright.engine.phase import griffin_lim
from stemwright.engine.spectral import HOP, SpectralCodec, stft
from stemwright.engine.voicing import Voice, settled

CODEC = SpectralCodec(tuple(range(16)), (1.0,) * 16, (0.0,) * 96)


def chord() -> Array:
    time = np.arange(8 * HOP) / 16000
    tones = [np.sin(2 * np.pi * pitch * time) * np.exp(-time) for pitch in (220, 277.2, 1330)]
    return (0.2 * np.sum(tones, axis=0))[None].astype(np.float32)


def distance(waves: Array, amplitudes: Array) -> float:
    return float(np.linalg.norm(np.abs(stft(waves)) - amplitudes) / np.linalg.norm(amplitudes))


class FakeGraph:
    """Answers the chord's amplitudes with waves of the wrong phase."""

    def __init__(self, waves: Array) -> None:
        self.waves = waves

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        (bands,) = arrays.values()
        assert list(arrays) == ["bands"] and bands.shape == (1, 96, 64)
        return self.waves, np.abs(stft(chord()))


def test_settling_leaves_a_true_wave_as_it_is() -> None:
    made = settled(chord(), np.abs(stft(chord())), 4)
    np.testing.assert_allclose(made, chord(), atol=1e-5)  # measured 1e-6


def test_few_iterations_from_near_phases_do_what_many_from_random_ones_do() -> None:
    amplitudes = np.abs(stft(chord()))
    rng = np.random.default_rng(0)
    near = chord() + 0.02 * rng.standard_normal(chord().shape).astype(np.float32)
    assert distance(settled(near, amplitudes, 8), amplitudes) < distance(
        griffin_lim(amplitudes, 32), amplitudes
    )


@pytest.mark.parametrize("iterations", [0, 8])
def test_a_voice_gives_one_hop_of_audio_for_each_latent_frame(iterations: int) -> None:
    rough = griffin_lim(np.abs(stft(chord())), iterations=1)
    waves = Voice(FakeGraph(rough), CODEC, iterations)(CODEC.encode(chord()))
    assert waves.shape == (1, 8 * HOP) and waves.dtype == np.float32
    if iterations == 0:
        assert waves is rough
    else:
        assert distance(waves, np.abs(stft(chord()))) < distance(rough, np.abs(stft(chord())))


def test_rows_are_settled_on_their_own() -> None:
    amplitudes = np.abs(stft(np.concatenate([chord(), 0.5 * chord()])))
    start = np.random.default_rng(0).standard_normal((2, 8 * HOP)).astype(np.float32)
    both = settled(start, amplitudes, 2)
    assert both[1].tobytes() == settled(start[1:], amplitudes[1:], 2)[0].tobytes()
