"""The ring of the last seconds, and the clock of its frames."""

import threading

import numpy as np
import pytest

from stemwright.bridge.ring import Overrun, Ring, Times
from stemwright.engine.contracts import Array

RATE = 48_000


def rows(begin: int, end: int, width: int = 2) -> Array:
    """Row n holds n, and −n in the others."""
    numbers = np.arange(begin, end, dtype=np.float32)[:, None]
    return numbers * np.array([1.0] + [-1.0] * (width - 1), np.float32)


def test_every_row_reads_back_as_written_whatever_the_blocks_and_wherever_they_wrap() -> None:
    ring = Ring(1000, 2)
    for count in np.random.default_rng(1).integers(1, 400, 200):
        begin = ring.written
        ring.write(rows(begin, begin + count))
        oldest = max(0, ring.written - 1000)
        assert ring.oldest == oldest
        assert np.array_equal(ring.read(oldest, ring.written), rows(oldest, ring.written))


def test_a_block_larger_than_the_ring_leaves_its_end() -> None:
    ring = Ring(100, 1)
    ring.write(rows(0, 30, 1))
    ring.write(rows(30, 291, 1))
    assert ring.written == 291
    assert np.array_equal(ring.read(191, 291), rows(191, 291, 1))


def test_what_is_overwritten_is_refused_and_the_oldest_is_named() -> None:
    ring = Ring(100, 1)
    ring.write(rows(0, 250, 1))
    with pytest.raises(Overrun) as caught:
        ring.read(149, 200)
    assert caught.value.oldest == 150


def test_what_is_not_written_yet_is_refused() -> None:
    ring = Ring(100, 1)
    ring.write(rows(0, 50, 1))
    with pytest.raises(ValueError, match="of 50 written"):
        ring.read(40, 51)


def test_counting_can_begin_anywhere() -> None:
    ring = Ring(100, 1, first=12_345)
    ring.write(rows(12_345, 12_445, 1))
    assert np.array_equal(ring.read(12_345, 12_445), rows(12_345, 12_445, 1))
    with pytest.raises(Overrun):
        ring.read(12_344, 12_400)


@pytest.mark.parametrize("count", [0, 10, 95, 250])
def test_skipped_rows_read_as_zeros_and_are_counted(count: int) -> None:
    ring = Ring(100, 1)
    ring.write(rows(1, 91, 1))
    ring.skip(count)
    assert ring.written == 90 + count
    skipped = ring.read(max(90, ring.oldest), ring.written)
    assert len(skipped) == min(count, 100)
    assert not skipped.any()
    assert np.array_equal(ring.read(ring.oldest, max(90, ring.oldest)), rows(1, 91, 1)[ring.oldest : 90])


def test_a_reader_beside_a_writer_gets_whole_rows_or_an_overrun() -> None:
    """The ring is small and the writer fast, so both happen; a torn copy would hold a row out of order."""
    ring = Ring(3000, 2)
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            ring.write(rows(ring.written, ring.written + 700))

    writer = threading.Thread(target=write)
    writer.start()
    whole = overrun = 0
    try:
        while whole < 300 or not overrun:
            end = ring.written
            begin = max(ring.oldest, end - 2900)
            try:
                copy = ring.read(begin, end) if begin <= end else None
            except Overrun:
                overrun += 1
                continue
            if copy is not None:
                assert np.array_equal(copy, rows(begin, end))
                whole += 1
    finally:
        done.set()
        writer.join()


def test_a_reader_whose_copy_is_overrun_in_the_middle_is_told() -> None:
    """The writer strikes exactly while the copy is made: a row type whose first read writes to the ring."""
    ring = Ring(100, 1)
    ring.write(rows(0, 100, 1))

    class Struck(np.ndarray):  # type: ignore[type-arg]
        def __getitem__(self, key: object) -> object:
            found = super().__getitem__(key)  # type: ignore[index]
            if ring.written == 100:
                ring.written = ring._claimed = 101
            return found

    ring._rows = ring._rows.view(Struck)
    with pytest.raises(Overrun):
        ring.read(0, 50)


def test_read_since_gives_what_is_new_and_no_more_than_there_is() -> None:
    ring = Ring(100, 1)
    ring.write(rows(0, 60, 1))
    end, found = ring.read_since(40)
    assert (end, len(found)) == (60, 20)
    ring.write(rows(60, 300, 1))
    end, found = ring.read_since(end)
    assert end == 300
    assert np.array_equal(found, rows(200, 300, 1))


def clocked(
    *, late: float = 0.0, drift: float = 1.0, take: int = 0, begin: int = 0, at: float = 100.0
) -> Times:
    """Ten seconds of callbacks of 512 frames; `late`: the mean of their exponential lateness."""
    times = Times(RATE, 2000)
    lateness = np.random.default_rng(2).exponential(late or 1e-12, 1000)
    for number in range(940):
        frame = begin + 512 * number
        times.add(frame, at + 512 * number / RATE * drift + lateness[number], take)
    return times


def test_frames_and_moments_are_two_names_of_the_same() -> None:
    times = clocked()
    assert times.monotonic_at(48_000) == pytest.approx(101.0, abs=1e-9)
    assert times.frame_at(101.0) == pytest.approx(48_000, abs=1e-4)
    assert times.frame_at(112.0) == pytest.approx(12 * RATE, abs=1e-3)  # ahead of all that was heard
    for frame in (0.0, 77_777.5, 480_000.0):
        moment = times.monotonic_at(frame)
        assert moment is not None
        assert times.frame_at(moment) == pytest.approx(frame, abs=1e-3)


def test_late_callbacks_move_a_moment_by_less_than_a_millisecond() -> None:
    """Mean lateness 5 ms; measured error 0.7 ms (the mean of the rows would be wrong by 5)."""
    times = clocked(late=0.005)
    for second in (1.0, 5.0, 9.0):
        assert times.monotonic_at(second * RATE) == pytest.approx(100 + second, abs=1e-3)


def test_a_clock_that_drifts_is_followed() -> None:
    """500 parts in a million are 4.5 ms after nine seconds; measured error 0.4 ms."""
    times = clocked(drift=1.0005)
    for second in (1.0, 5.0, 9.0):
        assert times.monotonic_at(second * RATE) == pytest.approx(100 + second * 1.0005, abs=1e-3)


def test_a_device_that_was_away_keeps_its_frames_apart_in_time() -> None:
    """Frames go on being counted, but between two of them the device was away for 0.7 s."""
    times, back = clocked(), 100 + 481_280 / RATE + 0.7
    for number in range(200):
        times.add(481_280 + 512 * number, back + 512 * number / RATE, 1)
    assert times.monotonic_at(470_000) == pytest.approx(100 + 470_000 / RATE, abs=1e-6)
    assert times.monotonic_at(490_000) == pytest.approx(back + (490_000 - 481_280) / RATE, abs=1e-6)
    assert times.frame_at(back + 0.1) == pytest.approx(481_280 + RATE / 10, abs=1e-2)


def test_before_anything_is_heard_no_frame_has_a_time() -> None:
    times = Times(RATE, 100)
    assert times.frame_at(1.0) is None
    assert times.monotonic_at(1.0) is None
