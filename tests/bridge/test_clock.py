"""The clock's arithmetic, on ticks whose true times are known."""

import random

import pytest

from stemwright.bridge.clock import Clock
from stemwright.bridge.grammar import BadMessage


def play(
    clock: Clock,
    ticks: int,
    at: float,
    *,
    bpm: float = 120.0,
    late: float = 0.0,
    spikes: float = 0.0,
    seed: int = 0,
) -> float:
    """Ticks on time, but for being up to `late` late, and one in fifty by `spikes`; → when the next is due"""
    draw = random.Random(seed)
    period = 60 / bpm / 24
    for tick in range(ticks):
        spike = spikes if draw.random() < 0.02 else 0
        clock.tick(at + tick * period + draw.uniform(0, late) + spike)
    return at + ticks * period


def started(at: float = 100.0, beats: int = 4) -> Clock:
    clock = Clock(beats)
    clock.start(at)
    return clock


@pytest.mark.parametrize("bpm", [40, 120, 174.5, 280])
def test_tempo_of_even_ticks_is_exact(bpm: float) -> None:
    clock = Clock()
    end = play(clock, 200, 5.0, bpm=bpm)
    assert clock.tempo(end) == pytest.approx(bpm, rel=1e-9)


def test_tempo_holds_when_ticks_are_late_as_through_jack() -> None:
    for seed in range(20):
        clock = Clock()
        end = play(clock, 200, 5.0, late=0.0107, spikes=0.08, seed=seed)
        assert clock.tempo(end) == pytest.approx(120, abs=0.4)  # measured over 200 seeds: 0.29


def test_a_new_tempo_is_followed_within_two_beats() -> None:
    clock = Clock()
    middle = play(clock, 200, 5.0, bpm=120, late=0.003)
    end = play(clock, 48, middle, bpm=90, late=0.003)
    assert clock.tempo(end) == pytest.approx(90, abs=0.2)  # measured 0.04


def test_ticks_held_up_and_then_hurried_are_no_new_tempo() -> None:
    for held in range(2, 24):  # so many ticks come all at once, up to half a second late
        clock = Clock()
        end = play(clock, 200 - held, 5.0)
        for tick in range(held):
            clock.tick(end + held / 48 + tick * 1e-4)
        assert clock.tempo(end + 1) == pytest.approx(120, abs=1 if held < 11 else 9)  # measured 0.91, 7.5


def test_there_is_no_tempo_before_the_clock_and_after_it() -> None:
    clock = Clock()
    assert clock.tempo(1.0) is None
    end = play(clock, 100, 5.0)
    assert clock.tempo(end + 2) is None


def test_bars_end_on_the_last_bar_line_and_are_as_long_as_the_tempo_says() -> None:
    clock = started()
    now = play(clock, 5 * 96 + 30, 100.0)  # five bars and a bit, of 2 s each
    assert clock.bars(4, now) == pytest.approx((102.0, 110.0), abs=1e-6)
    assert clock.bars(0.5, now) == pytest.approx((109.0, 110.0), abs=1e-6)


def test_bar_lines_are_found_within_milliseconds_though_ticks_are_late() -> None:
    for seed in range(20):
        clock = started()
        now = play(clock, 9 * 96 + 30, 100.0, late=0.0107, spikes=0.08, seed=seed)
        found = clock.bars(8, now)
        assert found == pytest.approx(
            (102.00535, 118.00535), abs=0.002
        )  # late by half on average; measured over 200 seeds: 0.0013


def test_bars_before_a_moment_end_on_the_line_before_it() -> None:
    clock = started()
    play(clock, 5 * 96 + 30, 100.0)
    assert clock.bars(1, 107.9) == pytest.approx((104.0, 106.0), abs=1e-6)


def test_beats_per_bar_is_configurable() -> None:
    clock = started(beats=3)
    now = play(clock, 4 * 72 + 5, 100.0)
    assert clock.bars(2, now) == pytest.approx((103.0, 106.0), abs=1e-6)


def test_too_many_bars_are_refused_with_what_there_is() -> None:
    clock = started()
    now = play(clock, 3 * 96 + 1, 100.0)
    with pytest.raises(BadMessage, match="9 bars are asked for; the song has run through 3 up to") as caught:
        clock.bars(9, now)
    assert caught.value.code == "no_audio"


def test_without_a_start_there_are_no_bars() -> None:
    clock = Clock()
    assert clock.bars(1, play(clock, 500, 5.0)) is None


def test_song_position_moves_the_bar_lines() -> None:
    clock = Clock()
    clock.locate(8, 99.0)  # the third beat: two beats before the line
    clock.resume(99.0)
    now = play(clock, 48 + 96 + 1, 100.0)
    assert clock.bars(1, now) == pytest.approx((101.0, 103.0), abs=1e-6)
    assert clock.position() == (3, 1.0)


def test_continue_goes_on_where_it_stopped() -> None:
    clock = started()
    middle = play(clock, 96 + 24, 100.0)
    clock.stop(middle)
    middle = play(clock, 50, middle)  # the clock ticks on, the song does not
    clock.resume(middle)
    now = play(clock, 72 + 96 + 1, middle)
    assert clock.bars(1, now) == pytest.approx((middle + 1.5, middle + 3.5), abs=1e-6)
    with pytest.raises(BadMessage, match=r"through 1\.75 up to"):
        clock.bars(2, now)


def test_bars_do_not_reach_over_a_stop() -> None:
    clock = started()
    middle = play(clock, 4 * 96, 100.0)
    clock.stop(middle)
    clock.start(middle + 7)
    now = play(clock, 2 * 96 + 1, middle + 7)
    assert clock.bars(2, now) == pytest.approx((middle + 7, middle + 11), abs=1e-6)
    with pytest.raises(BadMessage, match="through 2 up to"):
        clock.bars(3, now)


def test_a_loop_of_the_song_does_not_break_the_bars() -> None:
    clock = started()
    middle = play(clock, 4 * 96, 100.0)
    clock.locate(0, middle)  # as a DAW says where its loop begins anew, the clock ticking on
    now = play(clock, 2 * 96 + 1, middle)
    assert clock.bars(6, now) == pytest.approx((100.0, 112.0), abs=1e-6)


def test_after_a_stop_the_last_bars_can_still_be_had() -> None:
    clock = started()
    end = play(clock, 2 * 96 + 10, 100.0)
    clock.stop(end)
    assert clock.bars(2, end + 5) == pytest.approx((100.0, 104.0), abs=1e-6)


def test_a_pause_of_the_clock_does_not_bend_the_lines_before_it() -> None:
    clock = started()
    end = play(clock, 96 + 3, 100.0)
    play(clock, 30, end + 3)
    assert clock.bars(1, end) == pytest.approx((100.0, 102.0), abs=1e-6)


def test_the_next_line_is_ahead_at_this_tempo() -> None:
    clock = started()
    now = play(clock, 96 + 48, 100.0)
    assert clock.next_line(now) == pytest.approx(104.0, abs=1e-6)
    assert clock.next_line(now + 0.9) == pytest.approx(104.0, abs=1e-6)
    clock.stop(now)
    assert clock.next_line(now) is None


def test_next_line_on_a_line_is_the_one_after_it() -> None:
    clock = started()
    play(clock, 97, 100.0)
    assert clock.next_line(102.0) == pytest.approx(104.0, abs=1e-6)


def test_two_clocks_at_once_do_not_double_the_tempo() -> None:
    clock = Clock()
    for tick in range(200):
        clock.tick(5 + tick / 48, "first")
        clock.tick(5.001 + tick / 48, "second")
    assert clock.tempo(5 + 200 / 48) == pytest.approx(120, rel=1e-6)


def test_another_clock_takes_over_when_the_first_is_silent() -> None:
    clock = Clock()
    for tick in range(100):
        clock.tick(5 + tick / 48, "first")
    for tick in range(200):
        clock.tick(20 + tick / 40, "second")
    assert clock.tempo(25.0) == pytest.approx(100, rel=1e-6)
