"""Windows cover a region, their weights sum to one, and joining is streaming."""

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stemwright.engine.windows import Overlap, Window, batches, cut, plan, rising, weights, widest

quick = settings(max_examples=60, deadline=None)


@st.composite
def plans(draw: st.DrawFn) -> tuple[int, int, int]:
    """(frames, window, overlap) with overlap at most three quarters of the window."""
    window = draw(st.integers(2, 100))
    return draw(st.integers(1, 1000)), window, draw(st.integers(0, widest(window)))


def total_weight(windows: list[Window], frames: int, scale: int) -> np.ndarray:
    total = np.zeros(frames * scale, np.float32)
    for window in windows:
        total[window.start * scale : (window.start + window.length) * scale] += weights(window, scale)
    return total


@quick
@given(plans(), st.integers(1, 9))
def test_weights_sum_to_exactly_one_at_every_column(sizes: tuple[int, int, int], scale: int) -> None:
    frames, window, overlap = sizes
    assert (total_weight(plan(frames, window, overlap), frames, scale) == 1).all()


@quick
@given(plans())
def test_windows_stay_inside_the_region_and_never_need_more_than_the_fewest(
    sizes: tuple[int, int, int],
) -> None:
    frames, window, overlap = sizes
    windows = plan(frames, window, overlap)
    assert windows[0].begin == 0
    assert windows[-1].end == frames
    assert all(each.length == min(window, frames) and each.start >= 0 for each in windows)
    fewest = 1 if frames <= window else -(-(frames - overlap) // (window - overlap))
    assert len(windows) == fewest


@quick
@given(plans())
def test_neighbours_share_at_least_the_overlap_and_are_faded_over_a_quarter_at_most(
    sizes: tuple[int, int, int],
) -> None:
    frames, window, overlap = sizes
    windows = plan(frames, window, overlap)
    assert all(each.fade_in <= min(overlap, window // 4) for each in windows)
    for left, right in pairwise(windows):
        assert left.start < right.start and left.start + window - right.start >= overlap
        assert left.fade_out == right.fade_in
        assert left.end == right.begin + right.fade_in


@quick
@given(plans(), st.integers(1, 4))
def test_joined_results_are_the_weighted_sum_and_come_in_order(
    sizes: tuple[int, int, int], scale: int
) -> None:
    frames, window, overlap = sizes
    windows = plan(frames, window, overlap)
    draw = np.random.default_rng(frames)
    results = [draw.standard_normal((2, 3, window * scale)).astype(np.float32) for _ in windows]
    expected = np.zeros((2, 3, frames * scale))
    for each, result in zip(windows, results, strict=True):
        length = each.length * scale
        expected[..., each.start * scale : each.start * scale + length] += result[..., :length] * weights(
            each, scale
        )
    joined = Overlap(windows, scale)
    spans = [joined.add(result) for result in results]
    np.testing.assert_allclose(np.concatenate(spans, axis=-1), expected, atol=1e-6)  # measured 4e-7


def test_a_region_of_one_window_is_one_window_unfaded() -> None:
    assert plan(80) == [Window(0, 80)]
    assert plan(79) == [Window(0, 79)]
    assert plan(0) == []


def test_ten_minutes_take_sixty_three_windows() -> None:
    assert len(plan(4688)) == 63  # 600 s × 7.8125, rounded up


def test_what_is_held_is_one_seam_whatever_the_length() -> None:
    windows = plan(10_000)
    joined = Overlap(windows, scale=8)
    for _ in windows:
        joined.add(np.ones((2, 80 * 8), np.float32))
        assert joined._seam is not None
        assert joined._seam.shape[-1] <= 5 * 8


def test_a_window_past_the_end_is_filled_with_silence() -> None:
    samples = np.arange(1, 11, dtype=np.float32)[None]
    (window,) = plan(5, 8, 2)
    np.testing.assert_array_equal(cut(samples, window, size=8, hop=2), [[*range(1, 11), 0, 0, 0, 0, 0, 0]])


def test_batches_keep_the_order_and_lose_none() -> None:
    windows = plan(4688)
    grouped = list(batches(windows, 8))
    assert [len(batch) for batch in grouped] == [8] * 7 + [7]
    assert [window for batch in grouped for window in batch] == windows


@quick
@given(st.integers(0, 200))
def test_a_fade_and_its_mirror_image_sum_to_exactly_one(length: int) -> None:
    ramp = rising(length)
    assert (ramp + ramp[::-1] == 1).all()
    assert (np.diff(ramp) >= 0).all()
