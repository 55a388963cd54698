"""What the model hears of a sound that comes in blocks."""

import numpy as np
import pytest

from stemwright.engine.audio import Audio, resample
from stemwright.engine.feed import Feed, Whole, active_loudness, loudness
from stemwright.engine.windows import cut, plan

HOP, SIZE = 2048, 16


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 96000])
def test_windows_of_a_stream_are_those_of_the_whole(rate: int) -> None:
    samples = np.random.default_rng(0).standard_normal((2, rate * 7)).astype(np.float32)
    whole = resample(Audio(samples, rate).mono(), 16000).samples[0]
    feed = Feed(rate, 16000, HOP)
    blocks = Whole(Audio(samples, rate)).blocks()
    for window in plan(-(-len(whole) // HOP), SIZE, 2):
        while not feed.has(window) and (block := next(blocks, None)) is not None:
            feed.push(block)
        if not feed.has(window):
            feed.finish()
        np.testing.assert_allclose(feed.take(window, SIZE), cut(whole, window, SIZE, HOP), atol=1e-6)


def test_loudness_is_the_root_of_the_mean_square() -> None:
    time = np.arange(16000) / 16000
    sine = np.sin(2 * np.pi * 100 * time).astype(np.float32)[None]
    np.testing.assert_allclose(loudness(sine), np.sqrt(0.5), rtol=1e-6)


def test_pauses_do_not_count_for_active_loudness() -> None:
    wave = np.zeros(16000, np.float32)
    wave[:1600] = 0.5
    assert active_loudness(wave) == pytest.approx(0.5, rel=1e-6)
    assert active_loudness(np.zeros(16000, np.float32)) == 0
