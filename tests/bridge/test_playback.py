"""What an output gets: the callbacks are driven by hand, with fake buffers and a fake clock; no device."""

from dataclasses import dataclass

import numpy as np
import pytest

from stemwright.bridge import deck as deck_module
from stemwright.bridge.deck import Deck
from stemwright.bridge.playback import FADE, Clip, Player, fit_channels, make_clip
from stemwright.bridge.sound import packed_clip, unpacked_clip
from stemwright.engine.audio import Audio
from stemwright.engine.contracts import Array

RATE = 48_000
BLOCK = 512
FADED = round(FADE * RATE)


def unique(frames: int, channels: int = 1, seed: int = 0) -> Array:
    """(N, K), no sample twice, none zero"""
    return np.random.default_rng(seed).uniform(0.1, 0.9, (frames, channels)).astype(np.float32)


def played(player: Player, begin: int, end: int, channels: int = 1, block: int = BLOCK) -> Array:
    """(end − begin, K), filled in blocks as a callback would"""
    out = np.full((end - begin, channels), np.nan, np.float32)
    for at in range(0, end - begin, block):
        player.fill(out[at : at + block], begin + at)
    return out


def test_a_clip_starts_a_whole_number_of_lengths_after_its_region_and_loops_without_a_gap() -> None:
    player, sound = Player((RATE, RATE), 1), unique(3000)
    player.play(Clip(sound, begin=1000, length=3000, passes=3))
    out = played(player, 20_000, 40_000)
    start = 22_000 - 20_000  # 1000 + 7 × 3000
    assert not out[:start].any()
    assert np.array_equal(out[start : start + 9000], np.tile(sound, (3, 1)))
    assert not out[start + 9000 :].any()
    assert not player.is_busy


@pytest.mark.parametrize("block", [1, 64, 513, 5000])
def test_the_blocks_do_not_matter(block: int) -> None:
    player, sound = Player((RATE, RATE), 2), unique(700, 2)
    player.play(Clip(sound, begin=0, length=700, passes=4))
    out = played(player, 1, 5000, 2, block)
    assert np.array_equal(out[699 : 699 + 2800], np.tile(sound, (4, 1)))
    assert not out[699 + 2800 :].any()


def test_a_region_that_has_not_begun_is_waited_for() -> None:
    player, sound = Player((RATE, RATE), 1), unique(100)
    player.play(Clip(sound, begin=5000, length=100))
    out = played(player, 0, 6000)
    assert np.flatnonzero(out[:, 0])[[0, -1]].tolist() == [5000, 5099]


def test_a_clip_that_starts_exactly_now_is_not_a_length_late() -> None:
    player, sound = Player((RATE, RATE), 1), unique(1000)
    player.play(Clip(sound, begin=2000, length=1000))
    assert np.array_equal(played(player, 7000, 8000), sound)


def test_without_a_region_a_clip_starts_at_once() -> None:
    player, sound = Player((RATE, RATE), 1), unique(1000)
    player.play(Clip(sound, begin=None, length=1000, passes=2))
    assert np.array_equal(played(player, 12_345, 14_345), np.tile(sound, (2, 1)))


def test_zero_passes_go_on_until_stopped_and_a_stop_in_the_middle_fades() -> None:
    player, sound = Player((RATE, RATE), 1), unique(1000)
    player.play(Clip(sound, begin=0, length=1000, passes=0))
    endless = np.tile(sound, (200, 1))
    assert np.array_equal(played(player, 0, 100 * 1000), endless[: 100 * 1000])
    player.stop()
    out = played(player, 100_300, 103_000)
    ramp = np.linspace(1, 0, FADED, endpoint=False)[:, None]
    assert np.allclose(out[:FADED], endless[300 : 300 + FADED] * ramp, atol=1e-6)  # float32; measured 3e-8
    assert not out[FADED:].any()
    assert not player.is_busy


def test_a_result_shorter_than_its_region_is_followed_by_silence() -> None:
    player, sound = Player((RATE, RATE), 1), unique(600)
    player.play(Clip(sound, begin=0, length=1000, passes=2))
    out = played(player, 0, 3000)
    assert np.array_equal(out[:600], sound)
    assert not out[600:1000].any()
    assert np.array_equal(out[1000:1600], sound)


def test_a_result_longer_than_its_region_is_cut_so_that_it_stays_in_phase() -> None:
    player, sound = Player((RATE, RATE), 1), unique(1200)
    player.play(Clip(sound, begin=0, length=1000, passes=2))
    assert np.array_equal(played(player, 0, 2000), np.tile(sound[:1000], (2, 1)))


def test_a_new_clip_takes_over_at_its_own_start_and_what_it_cuts_is_faded() -> None:
    player, old, new = Player((RATE, RATE), 1), unique(5000), unique(3000, seed=1)
    player.play(Clip(old, begin=0, length=5000, passes=0))
    played(player, 0, BLOCK)
    player.play(Clip(new, begin=0, length=3000, passes=0))
    out = played(player, BLOCK, 9000)
    assert np.array_equal(out[: 3000 - BLOCK], old[BLOCK:3000])
    ramp = np.linspace(1, 0, FADED, endpoint=False)[:, None]
    taken = out[3000 - BLOCK :]
    assert np.allclose(taken[:FADED], new[:FADED] + old[3000 : 3000 + FADED] * ramp, atol=1e-6)
    assert np.array_equal(taken[FADED:3000], new[FADED:])
    assert np.array_equal(taken[3000:6000], new)


def test_a_new_clip_that_starts_where_a_pass_ends_needs_no_fade() -> None:
    player, old, new = Player((RATE, RATE), 1), unique(1000), unique(1000, seed=1)
    player.play(Clip(old, begin=0, length=1000, passes=0))
    played(player, 0, BLOCK)
    player.play(Clip(new, begin=0, length=1000))
    out = played(player, BLOCK, 3000)
    assert np.array_equal(out[1000 - BLOCK : 2000 - BLOCK], new)
    assert not out[2000 - BLOCK :].any()


def test_a_stop_forgets_what_was_to_come_and_a_later_clip_plays() -> None:
    player, sound = Player((RATE, RATE), 1), unique(100)
    player.play(Clip(sound, begin=5000, length=100))
    player.stop()
    assert not played(player, 0, 6000).any()
    player.play(Clip(sound, begin=None, length=100))
    assert np.array_equal(played(player, 6000, 6100), sound)


def test_loops_at_another_rate_keep_the_regions_time_for_ever() -> None:
    """Passes are 44.1 kHz, the timeline 48 kHz: each starts within half a frame of where it should."""
    player = Player((48_000, 44_100), 1)
    length = 10_001
    clip, _ = make_clip(
        Audio(np.ones((1, length), np.float32), 48_000),
        begin=0, length=length, passes=0, rates=(48_000, 44_100), channels=1,
    )  # fmt: skip
    marked = clip.samples.copy()
    marked[:] = 0.25
    marked[0] = 1
    player.play(Clip(marked, begin=0, length=length, passes=0))
    out = played(player, 0, 44_100 * 60)
    starts = np.flatnonzero(out[:, 0] == 1)
    starts = starts[np.diff(starts, prepend=-9) > 1]
    wanted = np.arange(len(starts)) * length * 44_100 / 48_000
    assert len(starts) == pytest.approx(60 * 48_000 / length, abs=1)
    assert np.abs(starts - wanted).max() <= 0.5
    assert (out[starts[0] :] != 0).all()  # gapless


@pytest.mark.parametrize(
    ("given", "channels", "heard", "note"),
    [
        (1, 1, [0], ""),
        (1, 4, [0, 0, 0, 0], ""),
        (2, 2, [0, 1], ""),
        (2, 4, [0, 1, None, None], ""),
        (6, 2, [0, 1], "the output has 2 channels: the first 2 of 6 are played"),
    ],
)
def test_channels_go_where_they_can(given: int, channels: int, heard: list[int | None], note: str) -> None:
    samples = unique(50, given).T
    fitted, said = fit_channels(samples, channels)
    assert said == note
    assert fitted.flags.c_contiguous
    for out, source in zip(fitted.T, heard, strict=True):
        assert np.array_equal(out, np.zeros(50) if source is None else samples[source])


def test_a_mono_output_plays_the_mean_and_says_so() -> None:
    samples = unique(50, 2).T
    fitted, note = fit_channels(samples, 1)
    assert np.allclose(fitted[:, 0], samples.mean(axis=0))
    assert note == "the output has one channel: the mean of 2 is played"


def test_a_result_at_another_rate_is_resampled_to_the_regions_exact_length() -> None:
    """Half a second of 1 kHz at 44.1 kHz for a region of 24001 frames; measured error 6e-7 inside."""
    tone = np.sin(2 * np.pi * 1000 * np.arange(22_051) / 44_100).astype(np.float32)[None]
    clip, _ = make_clip(
        Audio(tone, 44_100), begin=7, length=24_001, passes=1, rates=(48_000, 48_000), channels=1
    )
    assert clip.samples.shape == (24_001, 1)
    wanted = np.sin(2 * np.pi * 1000 * np.arange(24_001) / 48_000)
    assert np.abs(clip.samples[500:-500, 0] - wanted[500:-500]).max() < 1e-5


def test_a_clip_comes_through_the_pipe_as_it_was() -> None:
    clip = Clip(unique(1000, 2), begin=None, length=1000, passes=0)
    copy = unpacked_clip(packed_clip(clip))
    assert np.array_equal(copy.samples, clip.samples)
    assert (copy.begin, copy.length, copy.passes) == (None, 1000, 0)


@dataclass
class FakeTime:
    """PortAudio's time info, as a fake device gives it."""

    currentTime: float = 0.0  # noqa: N815
    inputBufferAdcTime: float = 0.0  # noqa: N815
    outputBufferDacTime: float = 0.0  # noqa: N815


class FakeDevice:
    """Calls a deck's callbacks as an interface of given latencies would; its clock is the test's."""

    def __init__(
        self, deck: Deck, monkeypatch: pytest.MonkeyPatch, *, into: float, out: float, drift: float = 0.0
    ) -> None:
        self.deck, self._into, self._out, self._drift = deck, into, out, drift
        self.now = 1000.0
        monkeypatch.setattr(deck_module.time, "monotonic", lambda: self.now)

    def info(self) -> FakeTime:
        return FakeTime(self.now, self.now - self._into, self.now + self._out)

    def duplex(self, heard: Array) -> Array:
        """One call; → what it played"""
        out = np.full((len(heard), self.deck.outputs), np.nan, np.float32)
        self.deck.both(heard.tobytes(), memoryview(out).cast("B"), len(heard), self.info(), None)
        self.now += len(heard) / self.deck.timeline_rate
        return out

    def apart(self, heard: Array) -> Array:
        """One call of each of two streams; the output's clock is too fast by `drift`"""
        self.deck.hear(heard.tobytes(), len(heard), self.info(), None)
        exact = (self.now - 1000.0) * (1 + self._drift) * self.deck.output_rate
        frames = round(exact + len(heard)) - self.deck.played
        out = np.full((frames, self.deck.outputs), np.nan, np.float32)
        self.deck.play(memoryview(out).cast("B"), frames, self.info(), None)
        self.now += len(heard) / self.deck.timeline_rate
        return out


def test_in_a_duplex_stream_a_result_sounds_when_its_region_did(monkeypatch: pytest.MonkeyPatch) -> None:
    """The input is heard 480 frames late and the output 960 frames later, so playing starts 1440 early."""
    deck = Deck(inputs=1, outputs=1, rates=(RATE, RATE))
    device = FakeDevice(deck, monkeypatch, into=0.01, out=0.02)
    heard = unique(BLOCK * 200)
    out = []
    for number in range(200):
        if number == 50:
            deck.align(None, is_duplex=True)
            deck.player.play(Clip(heard[2000:12_000], begin=2000, length=10_000, passes=5))
        out.append(device.duplex(heard[number * BLOCK : (number + 1) * BLOCK]))
    assert deck.offset == 1440
    sound = np.concatenate(out)
    start = int(np.flatnonzero(sound[:, 0])[0])
    assert start == 2000 + 3 * 10_000 - 1440
    assert np.array_equal(sound[start : start + 50_000], np.tile(heard[2000:12_000], (5, 1)))
    assert np.array_equal(deck.heard.read(0, BLOCK * 200), heard)


def test_latency_can_be_set_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    deck = Deck(inputs=1, outputs=1, rates=(RATE, RATE))
    device = FakeDevice(deck, monkeypatch, into=0.01, out=0.02)
    deck.align(0.0, is_duplex=True)
    deck.player.play(Clip(unique(1000), begin=0, length=1000))
    sound = np.concatenate([device.duplex(unique(BLOCK)) for _ in range(4)])
    assert np.array_equal(sound[:1000], unique(1000))


@pytest.mark.parametrize("info", [FakeTime(), FakeTime(5.0, 7000.0, 2.0), FakeTime(9000.0, 1.0, 8000.0)])
def test_time_info_that_makes_no_sense_is_not_believed(
    monkeypatch: pytest.MonkeyPatch, info: FakeTime
) -> None:
    """A block then counts as heard from its begin to its end, and no latency is made good."""
    deck = Deck(inputs=1, outputs=1, rates=(RATE, RATE))
    device = FakeDevice(deck, monkeypatch, into=0, out=0)
    monkeypatch.setattr(device, "info", lambda: info)
    for _ in range(20):
        device.duplex(unique(BLOCK))
    deck.align(None, is_duplex=True)
    assert deck.offset == 0
    assert deck.times.monotonic_at(0) == pytest.approx(1000 - BLOCK / RATE, abs=1e-9)


@pytest.mark.parametrize("output_rate", [48_000, 44_100])
def test_with_two_streams_loops_stay_in_phase_though_the_clocks_drift(
    monkeypatch: pytest.MonkeyPatch, output_rate: int
) -> None:
    """Two minutes at 200 parts in a million: uncorrected, the last pass would be 24 ms late.

    The worst measured is 0.27 ms: what a pass of one second drifts by itself, and rounding.
    """
    deck = Deck(inputs=1, outputs=1, rates=(RATE, output_rate))
    device = FakeDevice(deck, monkeypatch, into=0.01, out=0.02, drift=2e-4)
    sound = np.full((output_rate + 1, 1), 0.25, np.float32)
    sound[0] = 1
    marks = []
    silence = np.zeros((BLOCK, 1), np.float32)
    for number in range(120 * RATE // BLOCK):
        if number % 25 == 0:
            deck.align(None, is_duplex=False)
        if number == 200:
            deck.player.play(Clip(sound, begin=0, length=RATE, passes=0))
        when = device.now
        out = device.apart(silence)
        marks += [when + 0.02 + at / output_rate for at in np.flatnonzero(out[:, 0] == 1)]
    first_heard = 1000.0 - 0.01
    wrong = np.array([(mark - first_heard + 0.5) % 1.0 - 0.5 for mark in marks])
    assert len(marks) >= 110
    assert np.abs(wrong).max() < 0.002


def test_an_output_alone_counts_its_own_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    deck = Deck(inputs=0, outputs=2, rates=(RATE, RATE), first=700)
    monkeypatch.setattr(deck_module.time, "monotonic", lambda: 50.0)
    deck.align(None, is_duplex=False)
    deck.player.play(Clip(unique(100, 2), begin=None, length=100))
    out = np.full((BLOCK, 2), np.nan, np.float32)
    deck.play(memoryview(out).cast("B"), BLOCK, FakeTime(5.0, 0.0, 5.02), None)
    assert deck.played == 700 + BLOCK
    assert np.array_equal(out[:100], unique(100, 2))
    assert not out[100:].any()
    assert deck.times.monotonic_at(700) == pytest.approx(50.02)
