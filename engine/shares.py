"""How much of the mixture each prompted stem gets, in every bin and frame: soft masks.

P prompts · F bins · M spectrum frames; spectra are natural logs of amplitudes, as `Codec.spectrum` gives them
"""

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array

LOUD, FAINT = -8.0, -18.0  # dB in the mixture
QUIET = -22.0  # dB in the mixture; rivals need not push a stem further down


def shares(
    sources: Array,
    rests: Array,
    power: float,
    *,
    is_joint: bool,
    is_inverted: tuple[bool, ...],
    claims: Array | None = None,
    mixture: Array | None = None,
) -> Array:
    """(P, F, M) source and rest of every prompt → (P, F, M) in [0, 1]

    Alone, a stem gets S^p / (S^p + U^p), or less where rivals claim it. Joint stems get the mean of that and
    of their part among all of them, the rivals, and what none of them claims, and never sum to more than 1.
    An inverted prompt ("everything but …") gets the other side, and takes no part among the others.

    claims   (P, F, M) what the rivals of each prompt claim, as much as it counts against it
    mixture  (F, M) natural log amplitudes: with them, rivals lower no stem further than they need to
    """
    of_source, of_both = powers(sources, rests, power)
    claims = np.zeros_like(of_source) if claims is None else claims
    own = of_source / of_both
    found = contested(own, claims)
    if mixture is not None:
        found = recovered(found, own, mixture)
    together = [row for row, inverted in enumerate(is_inverted) if not inverted]
    if is_joint and len(together) > 1:
        found[together] = _joint(of_source[together], of_both[together], found[together], claims[together])
    for row, inverted in enumerate(is_inverted):
        if inverted:
            found[row] = 1 - found[row]
    return found


def alone(source: Array, rest: Array, power: float) -> Array:
    """(F, M) what one prompt gets where nobody else is asked."""
    return np.asarray(1 / (1 + np.exp(np.minimum(np.float32(power) * (rest - source), 80))), np.float32)


def contested(share: Array, claims: Array) -> Array:
    """Shares m and the rivals' claims c should make 1; where it is more, m is cut by the mean of both.

    Never more than m, so that few rivals, or none, give nothing away. On 60 held-out songs, each class asked
    for alone against eleven: mean SI-SDR improvement +4.20 → +4.39 dB, below −3 dB 4.6 → 3.6 %, absent
    classes 20 dB under the mixture 76 → 83 %. Without the bound 0.02 dB more, cut by the whole 0.05 dB less.
    """
    whole = np.maximum((1 + share + claims) / 2, 1)
    return np.asarray(share / whole, np.float32)


def insistence(claimed: Array, mixture: Array, loud: float, faint: float) -> Array:
    """(P, 1, 1): how much the rivals' claims count against each prompt.

    `loud` for a stem at LOUD dB or more in the mixture, `faint` at FAINT or less, in proportion between: what
    is left of an absent instrument is faint and another's, and a loud stem loses by any doubt. On 60 held-out
    songs 0.5 and 3.5 against 2 for all: median SI-SDR improvement +4.25 → +4.36 dB, mean +4.43 → +4.54,
    absent classes 20 dB under the mixture 91 → 94 %.

    claimed  (P, F, M) what is left of the stems where each claim counts once
    mixture  (F, M) natural log amplitudes
    """
    weights = loud + (faint - loud) * np.clip((LOUD - levels(claimed, mixture)) / (LOUD - FAINT), 0, 1)
    return np.asarray(weights[:, None, None], np.float32)


def recovered(left: Array, own: Array, mixture: Array) -> Array:
    """What rivals left of each stem, louder where they pushed it further down than silence takes.

    A stem comes back to the level of its own share, or to QUIET if that is lower: rivals tell what of it is
    another's, but a stem that is faint anyway needs no further quieting. It is the odds of the share that
    grow, so that it stays under 1 and keeps its shape. On 178 stems of held-out songs and recordings (and 93
    absent ones): Log-Mel L1 2.04 → 2.03 and 2.14 → 1.92, stems 3 and 9 dB nearer to their true level, SI-SDR
    improvement and absent instruments as before.

    left, own  (P, F, M) shares with and without the rivals
    mixture    (F, M) natural log amplitudes
    """
    now = levels(left, mixture)
    wanted = np.minimum(levels(own, mixture), np.maximum(now, QUIET))
    gains = 10 ** (np.maximum(wanted - now, 0)[:, None, None] / 20)
    return np.asarray(gains * left / (1 + (gains - 1) * left), np.float32)


def levels(masks: Array, mixture: Array) -> NDArray[np.float64]:
    """(P,) dB of what masks (P, F, M) leave of a mixture, (F, M) natural log amplitudes, in it"""
    energy = np.exp(2 * (mixture - mixture.max()), dtype=np.float64)
    kept = (np.square(masks) * energy).sum(axis=(1, 2)) / energy.sum()
    return np.asarray(10 * np.log10(np.maximum(kept, 1e-12)))


def powers(sources: Array, rests: Array, power: float) -> tuple[Array, Array]:
    """S^p and S^p + U^p, all rows on one scale that keeps them from overflowing."""
    loudest = np.maximum(sources, rests).max(axis=0)
    of_source = np.exp(np.float32(power) * (sources - loudest))
    of_rest = np.exp(np.float32(power) * (rests - loudest))
    of_both = np.maximum(of_source + of_rest, np.finfo(np.float32).tiny)
    return of_source, of_both


def _joint(of_source: Array, of_both: Array, found: Array, claims: Array) -> Array:
    """The whole is what the prompts say on average, or the sum of stems and claims where that is more."""
    said = of_both.mean(axis=0)
    whole = np.maximum(of_source.sum(axis=0) + claims.mean(axis=0) * said, said)
    mean = (found + of_source / whole) / 2
    fitted: Array = mean / np.maximum(mean.sum(axis=0), 1)
    return fitted
