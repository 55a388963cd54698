"""One case in one row: what is estimated and what it scores."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from stemwright.engine.audio import Audio, resample
from stemwright.engine.contracts import Array
from stemwright.engine.train import baselines, metrics
from stemwright.engine.train.baselines import Mixture
from stemwright.engine.train.evaluation_report import DSP, IDEAL, MIXTURE, QUIETED, SCALED, SILENCE, Score
from stemwright.engine.train.evaluation_sets import Case


def score(case: Case, row: str, estimate: Array, true: Array) -> Score:
    """An estimate (K, N) against the answer: SI-SDR on all channels as one signal, Log-Mel in mono.

    true  (64, M) the answer's mel spectrogram, which all rows share
    """
    heard = metrics.mel(as_mono(estimate, case.rate))
    return Score(
        case.group,
        case.song,
        case.label,
        row,
        si_sdri=metrics.si_sdr_improvement(estimate, case.mixture, answer(case)),
        log_mel=metrics.mel_distance(heard, true),
        log_mel_60=metrics.mel_distance(heard, true, metrics.SECOND_FLOOR),
        level=metrics.relative_level(estimate, case.mixture),
    )


def answer(case: Case) -> Array:
    """The target of a case that has one."""
    assert case.target is not None
    return case.target


def as_mono(waves: Array, rate: int) -> Array:
    """(K, N) at any rate → (N',) at 16 kHz, the mean of the channels"""
    mono: Array = resample(Audio(waves, rate).mono(), metrics.RATE).samples[0]
    return mono


def by_definition(computed: Score) -> Score:
    """The mixture at any gain improves by exactly 0 dB, rounding aside; of silence there is no SI-SDR."""
    if computed.si_sdri is None or computed.row not in (MIXTURE, SCALED, QUIETED, SILENCE):
        return computed
    return replace(computed, si_sdri=None if computed.row == SILENCE else 0.0)


def reference_estimates(case: Case, mixture: Mixture) -> Iterator[tuple[str, Array]]:
    """Rows and their estimates (K, N); one row for each classical method."""
    target = answer(case)
    quieting = baselines.least_l1_gain(as_mono(case.mixture, case.rate), as_mono(target, case.rate))
    yield MIXTURE, case.mixture
    yield SCALED, case.mixture * np.float32(baselines.oracle_gain(case.mixture, target))
    yield QUIETED, case.mixture * np.float32(quieting)
    yield SILENCE, np.zeros_like(case.mixture)
    for method, estimate in baselines.classical(mixture, case.label).items():
        yield f"{DSP}: {method}", estimate
    yield IDEAL, baselines.ideal_ratio_mask(mixture, target)
