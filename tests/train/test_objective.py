import math

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [train] extra")

from stemwright.engine.spectral import SpectralCodec  # noqa: E402
from stemwright.engine.train import features, objective  # noqa: E402

CODEC = SpectralCodec(kept=tuple(range(64)), scales=(1.0,) * 64, means=(0.0,) * 96)
TABLES = features.Tables.of(CODEC)


def waves(seed: int, frames: int = 8 * 2048) -> "torch.Tensor":
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((2, frames)).astype(np.float32)) * 0.1


def test_torch_and_numpy_encode_alike() -> None:
    rest, source = waves(0), waves(1)
    batch = features.batch_of(rest, source, TABLES)
    for track, wave in enumerate((rest + source, rest, source)):
        np.testing.assert_allclose(batch.latents[:, track].numpy(), CODEC.encode(wave.numpy()), atol=2e-4)


def test_decoding_undoes_encoding() -> None:
    logs = torch.randn(2, 96, 16)
    again = features.decode(features.encode(logs, TABLES), TABLES)
    assert torch.allclose(again, logs, atol=1e-5)


def test_noise_and_velocity_give_the_clean_latents_back() -> None:
    latents = torch.randn(64, 3, 192, 4)
    noised = objective.add_noise(latents, objective.Weights(), torch.Generator().manual_seed(0))
    signal, noise = objective.rates(noised.levels)
    assert torch.allclose(signal * noised.latents - noise * noised.velocity, latents, atol=1e-5)


def test_given_tracks_stay_clean() -> None:
    latents = torch.randn(64, 3, 192, 4)
    noised = objective.add_noise(latents, objective.Weights(), torch.Generator().manual_seed(0))
    is_given = objective.PATTERNS[noised.pattern] == 0
    assert bool(is_given.any())
    assert torch.equal(noised.latents[is_given], latents[is_given])
    assert float(noised.levels[is_given].abs().max()) == 0


def test_every_pattern_is_drawn_as_often_as_it_should() -> None:
    noised = objective.add_noise(
        torch.zeros(4000, 3, 1, 1), objective.Weights(), torch.Generator().manual_seed(0)
    )
    shares = torch.bincount(noised.pattern, minlength=4) / 4000
    expected = torch.tensor(objective.Weights().patterns)
    assert (
        float((shares - expected).abs().max()) < 0.03
    )  # three standard deviations of a share of a half: 0.024


def test_relative_error_is_the_energy_of_what_the_mask_gets_wrong() -> None:
    """Held against the spectrogram itself, with a mask that is the same in every bin."""
    rest, source = waves(0), waves(1)
    batch = features.batch_of(rest, source, TABLES)
    share = 0.3
    mixture, wanted = (features.spectrum(wave, TABLES) for wave in (rest + source, source))
    wrong = (share * mixture - wanted).abs().square().sum(dim=(1, 2)) / mixture.abs().square().sum(dim=(1, 2))
    found = objective.relative_error(torch.full((2, 96, 64), share), batch.powers) - objective.QUIETEST
    assert torch.allclose(found, wrong, rtol=1e-3)


def test_a_perfect_prediction_costs_nothing_but_the_codecs_own_error() -> None:
    batch = features.batch_of(waves(0), waves(1), TABLES)
    noised = objective.add_noise(batch.latents, objective.Weights(), torch.Generator().manual_seed(0))
    weights = objective.Weights(level=0.0, shape=0.0)
    right = objective.losses(noised.velocity, noised, batch, TABLES, weights)
    wrong = objective.losses(noised.velocity + 0.1, noised, batch, TABLES, weights)
    assert float(right.total) < 1e-6
    assert float(wrong.total) > 0.009


def test_gradients_reach_the_prediction_through_every_loss() -> None:
    batch = features.batch_of(waves(0), waves(1), TABLES)
    noised = objective.add_noise(
        batch.latents, objective.Weights(patterns=(1.0, 0.0, 0.0, 0.0)), torch.Generator()
    )
    predicted = torch.zeros_like(batch.latents, requires_grad=True)
    objective.losses(predicted, noised, batch, TABLES, objective.Weights()).total.backward()
    assert predicted.grad is not None
    assert float(predicted.grad[:, 0].abs().max()) == 0  # the given mixture is not predicted
    assert math.isfinite(float(predicted.grad.sum()))
    assert float(predicted.grad[:, 2].abs().max()) > 0


def test_likeness_is_the_si_sdr_of_the_masked_mixture() -> None:
    rest, source = waves(0), waves(1) * torch.tensor([[0.5], [2.0]])
    batch = features.batch_of(rest, source, TABLES)
    mixture, wanted = (features.spectrum(wave, TABLES).flatten(1) for wave in (rest + source, source))
    inner = (mixture * wanted.conj()).real.sum(1)
    target = (inner / wanted.abs().square().sum(1))[:, None] * wanted
    expected = 10 * torch.log10(target.abs().square().sum(1) / (mixture - target).abs().square().sum(1))
    found = objective.likeness(torch.full((2, 96, 64), 0.7), batch.powers)
    assert torch.allclose(found, expected, atol=0.02)


def test_an_uncertain_mask_gains_nothing_by_vanishing_where_there_is_a_source() -> None:
    batch = features.batch_of(waves(0), waves(1), TABLES)
    faint, full = (
        objective.unlikeness(torch.full((2, 96, 64), share), batch.powers, torch.zeros(2))
        for share in (0.01, 1.0)
    )
    assert torch.allclose(faint, full, atol=1e-4)


def test_a_silent_source_is_judged_by_what_leaks() -> None:
    batch = features.batch_of(waves(0), waves(1) * 0, TABLES)
    error = torch.tensor([-3.0, -5.0])
    assert torch.equal(objective.unlikeness(torch.full((2, 96, 64), 0.5), batch.powers, error), error)
