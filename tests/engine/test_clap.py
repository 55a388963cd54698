"""CLAP's ears, and how a reference sound reaches them; the embeddings are in tests/export/test_clap.py."""

from dataclasses import replace

import numpy as np
import pytest

from stemwright.engine.asked import ask
from stemwright.engine.audio import Audio
from stemwright.engine.clap import Ear, clip
from stemwright.engine.contracts import Array
from stemwright.engine.job import Job, Prompt
from stemwright.engine.modelfolder import Model
from stemwright.engine.tracks import TASKS, Task
from tests.engine.fakes import RATE, WIDTH, model


def test_a_long_sound_is_its_loudest_stretch() -> None:
    wave = np.zeros(100, np.float32)
    wave[43:50] = 1.0
    np.testing.assert_array_equal(clip(wave, 20, step=10), wave[30:50])
    np.testing.assert_array_equal(clip(np.ones(100, np.float32), 20, step=10), np.ones(20))


def test_a_short_sound_is_repeated_as_often_as_it_fits() -> None:
    wave = np.arange(1, 4, dtype=np.float32)
    np.testing.assert_array_equal(clip(wave, 8, step=1), [1, 2, 3, 1, 2, 3, 0, 0])
    np.testing.assert_array_equal(clip(wave, 3, step=1), wave)
    assert not clip(np.zeros(0, np.float32), 5, step=1).any()


def test_a_spectrum_is_the_squared_transform_under_a_periodic_hann_window() -> None:
    ear = Ear(fft=64, hop=16, frames=50)
    wave = np.cos(2 * np.pi * 8 * np.arange(ear.length) / 64).astype(np.float32)
    power = ear.spectra(wave)
    assert power.shape == (50, 33)
    middle = power[10:40]
    np.testing.assert_allclose(middle[:, 8], 16.0**2, rtol=1e-5)  # 64 / 2 of a cosine, half in the window
    np.testing.assert_allclose(middle[:, 7], 8.0**2, rtol=1e-4)
    assert middle[:, 11:].max() < 1e-6
    assert Ear().spectra(np.zeros(100, np.float32)).shape == (1001, 513)


class Listener:
    """Notes what it is given to hear."""

    width = WIDTH

    def __init__(self) -> None:
        self.heard: list[int] = []

    def text(self, prompts: list[str]) -> Array:
        return np.ones((len(prompts), WIDTH), np.float32)

    def audio(self, waves: Array) -> Array:
        self.heard.append(waves.shape[1])
        return np.ones((len(waves), WIDTH), np.float32)


class Eared(Listener):
    rate = 48000


@pytest.mark.parametrize(("listener", "frames"), [(Listener(), RATE), (Eared(), 48000)])
def test_a_reference_sound_is_heard_at_the_conditioners_own_rate_where_it_has_one(
    listener: Listener, frames: int
) -> None:
    made: Model = replace(model(lambda latents, conditions: latents), conditioner=listener)
    second = Audio(np.full((2, 44100), 0.1, np.float32), 44100)
    ask(Job(Task.GENERATE, prompts=(Prompt("", audio=second),), seconds=1), made, TASKS[Task.GENERATE])
    assert listener.heard == [frames]
