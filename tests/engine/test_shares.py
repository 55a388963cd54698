"""Soft masks of several prompts."""

import numpy as np
import pytest

from stemwright.engine.contracts import Array
from stemwright.engine.shares import QUIET, contested, insistence, levels, recovered, shares


def logs(*amplitudes: float) -> Array:
    """One bin and frame each, (P, 1, 1)."""
    return np.log(np.array(amplitudes, np.float32))[:, None, None]


def of(
    sources: Array, rests: Array, power: float = 1.0, joint: bool = True, inverted: str = ""
) -> list[float]:
    flags = tuple(letter == "i" for letter in inverted.ljust(len(sources), "-"))
    found = shares(sources, rests, power, is_joint=joint, is_inverted=flags)
    return [round(float(one), 5) for one in found[:, 0, 0]]


def test_alone_a_stem_gets_its_part_of_both_sides() -> None:
    assert of(logs(3), logs(1)) == [0.75]
    assert of(logs(3), logs(1), power=2) == [0.9]


def test_joint_stems_get_the_mean_of_alone_and_among_all() -> None:
    # alone .5 and .25; the whole is 4, and so the parts among all are .5 and .25 too
    assert of(logs(2, 1), logs(2, 3)) == [0.5, 0.25]
    # alone .75 and .75; together 6 of what is said to be 4: .5 each; means .625, cut to sum to 1
    assert of(logs(3, 3), logs(1, 1)) == [0.5, 0.5]
    assert of(logs(3, 3), logs(1, 1), joint=False) == [0.75, 0.75]


def test_an_inverted_prompt_gets_the_other_side_and_leaves_the_others_alone() -> None:
    assert of(logs(3, 3), logs(1, 1), inverted="i-") == [0.25, 0.75]


def test_the_loudest_and_the_faintest_amplitudes_do_not_overflow() -> None:
    sources, rests = (
        np.array([80, -80], np.float32)[:, None, None],
        np.array([-80, 80], np.float32)[:, None, None],
    )
    found = shares(sources, rests, 10.0, is_joint=True, is_inverted=(False, False))
    assert np.isfinite(found).all() and found[0] > 0.99 and found[1] < 0.01


def test_shares_lie_between_nothing_and_all_and_joint_ones_never_sum_to_more() -> None:
    rng = np.random.default_rng(0)
    sources, rests = rng.normal(0, 4, (2, 3, 20, 20)).astype(np.float32)
    found = shares(sources, rests, 1.5, is_joint=True, is_inverted=(False,) * 3)
    assert found.min() >= 0 and found.sum(axis=0).max() <= 1 + 1e-6


def test_without_rivals_a_share_stays_as_it_is_to_the_last_bit() -> None:
    share = np.random.default_rng(0).random((2, 5, 5), np.float32)
    np.testing.assert_array_equal(contested(share, np.zeros_like(share)), share)


def test_a_contested_share_is_cut_by_the_mean_of_one_and_of_all_claims() -> None:
    def cut(share: float, claims: float) -> float:
        return float(contested(np.full(1, share, np.float32), np.full(1, claims, np.float32))[0])

    assert cut(0.5, 0.5) == 0.5  # together they claim all there is
    assert cut(0.5, 1.0) == np.float32(0.4)  # 1.5 is claimed: by half of .5 too much
    assert cut(1.0, 1.0) == np.float32(2 / 3)


def test_a_contested_share_rises_with_the_share_falls_with_the_claims_and_is_never_more_than_alone() -> None:
    share, claims = np.meshgrid(np.linspace(0, 1, 51), np.linspace(0, 12, 61), indexing="ij")
    left = contested(share.astype(np.float32), claims.astype(np.float32))
    assert left.min() == 0 and np.all(left <= share.astype(np.float32))
    assert np.all(np.diff(left, axis=0) >= 0) and np.all(np.diff(left, axis=1) <= 0)


def test_claims_count_against_joint_stems_and_never_let_them_sum_to_more_than_one() -> None:
    rng = np.random.default_rng(1)
    sources, rests = rng.normal(0, 4, (2, 3, 20, 20)).astype(np.float32)
    claims = np.broadcast_to(rng.random((20, 20), np.float32) * 4, (3, 20, 20))
    free = shares(sources, rests, 1.0, is_joint=True, is_inverted=(False,) * 3)
    fought = shares(sources, rests, 1.0, is_joint=True, is_inverted=(False,) * 3, claims=claims)
    assert fought.min() >= 0 and fought.sum(axis=0).max() <= 1 + 1e-6
    assert np.all(fought.sum(axis=0) <= free.sum(axis=0) + 1e-6)


def test_claims_count_least_against_the_loudest_stem_and_most_against_the_faintest() -> None:
    """Shares of ½, of a fifth and of a hundredth: −6, −14 and −40 dB."""
    claimed = np.stack([np.full((6, 7), share, np.float32) for share in (0.5, 0.2, 0.01)])
    mixture = np.random.default_rng(0).normal(0, 3, (6, 7)).astype(np.float32)
    weights = insistence(claimed, mixture, 0.5, 2.5)[:, 0, 0]
    assert weights[0] == 0.5 and weights[2] == 2.5
    assert weights[1] == pytest.approx(0.5 + 2 * (-8 - 20 * np.log10(0.2)) / 10, rel=1e-5)
    np.testing.assert_array_equal(insistence(claimed, mixture + 40, 0.5, 2.5)[:, 0, 0], weights)
    assert insistence(np.zeros((1, 6, 7), np.float32), mixture, 0.5, 2.5).item() == 2.5


def test_rivals_push_a_stem_no_further_down_than_quiet_or_than_it_is_on_its_own() -> None:
    rng = np.random.default_rng(0)
    mixture = rng.normal(0, 3, (6, 7)).astype(np.float32)
    shape = rng.random((6, 7), np.float32)
    own = np.stack([0.5 * shape, 0.01 * shape, 0.5 * shape])
    left = own * np.float32([[[0.01]], [[0.1]], [[0.9]]])
    found = levels(recovered(left, own, mixture), mixture)
    assert found[0] == pytest.approx(QUIET, abs=1.5)  # odds grow, shares a little less; measured: 1.2
    assert found[1] == pytest.approx(levels(own, mixture)[1], abs=0.5)
    np.testing.assert_allclose(recovered(left, own, mixture)[2], left[2], rtol=1e-6)  # loud enough as it is


def test_what_is_recovered_keeps_its_order_and_stays_between_nothing_and_all() -> None:
    rng = np.random.default_rng(1)
    own = rng.random((2, 6, 7), np.float32)
    left = (own**4 * np.float32(0.001)).astype(np.float32)
    left[0, 0, 0], left[1, 3, 3] = 0, 1
    found = recovered(left, own, rng.normal(0, 3, (6, 7)).astype(np.float32))
    assert found.min() == 0 and found.max() <= 1
    for before, after in zip(left, found, strict=True):
        assert np.all(np.diff(after.ravel()[np.argsort(before, axis=None)]) >= 0)
    silent = recovered(np.zeros_like(own), own, np.zeros((6, 7), np.float32))
    assert not silent.any()
