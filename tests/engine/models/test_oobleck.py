"""The official autoencoder, against the official code's numbers and against torch's own weight norm."""

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from stemwright.engine.models.official import open_oobleck, split_state
from stemwright.engine.models.oobleck import (
    NormedConv,
    Oobleck,
    OobleckConfig,
    Residual,
    Snake,
    fold_weight_norm,
)

State = dict[str, Tensor]
Convolution = nn.Conv1d | nn.ConvTranspose1d
SMALL = OobleckConfig(channels=4, latent_channels=6)
pytestmark = pytest.mark.usefixtures("no_gradients")


def small() -> Oobleck:
    torch.manual_seed(1)
    return Oobleck(SMALL).eval()


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def test_the_defaults_have_the_official_parameters() -> None:
    with torch.device("meta"):
        oobleck = Oobleck(OobleckConfig())
    assert sum(parameter.numel() for parameter in oobleck.encoder.parameters()) == 77_988_992
    assert sum(parameter.numel() for parameter in oobleck.decoder.parameters()) == 78_121_729
    assert OobleckConfig().hop == 2048


def test_the_defaults_have_the_official_keys_and_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        state = Oobleck(OobleckConfig()).state_dict()
    ours = {f"pretransform.model.{key}": tuple(value.shape) for key, value in state.items()}
    theirs = {key: shape for key, shape in shapes.items() if key.startswith("pretransform.model.")}
    assert len(theirs) == 365
    assert ours == theirs


@pytest.mark.parametrize("case", ["ae"], indirect=True)
def test_encoding_equals_the_official_one(tiny_state: State, case: State) -> None:
    oobleck = open_oobleck(split_state(tiny_state)[1])
    mean, spread = oobleck.encode_stats(case["wav"])
    scale = case["z_stats"][:, 64:]
    assert torch.equal(mean, oobleck.encode_mean(case["wav"]))
    assert deviation(mean, case["z_mean"]) < 5e-6  # measured 1.2e-6
    assert deviation(oobleck.encoder(case["wav"]), case["z_stats"]) < 5e-6  # measured 1.2e-6
    assert deviation(spread, torch.log1p(scale.exp()) + 1e-4) < 1e-6  # measured 2e-7


@pytest.mark.parametrize("case", ["ae"], indirect=True)
@pytest.mark.parametrize("is_folded", [False, True])
def test_decoding_equals_the_official_one(tiny_state: State, case: State, is_folded: bool) -> None:
    oobleck = open_oobleck(split_state(tiny_state)[1])
    if is_folded:
        fold_weight_norm(oobleck)
    assert deviation(oobleck.decode(case["z_mean"]), case["dec"]) < 3e-6  # measured 4.4e-7, folded the same


@pytest.mark.parametrize("frames", [1, 2, 5])
def test_lengths_are_exact(frames: int) -> None:
    oobleck, waves = small(), noise(2, 1, frames * SMALL.hop)
    latents = oobleck.encode_mean(waves)
    assert latents.shape == (2, 6, frames)
    assert oobleck.decode(latents).shape == waves.shape
    assert torch.equal(oobleck(waves), oobleck.decode(latents))


@pytest.mark.parametrize(
    "convolution",
    [
        lambda: nn.Conv1d(5, 3, 7, dilation=3, padding=9),
        lambda: nn.Conv1d(5, 3, 8, stride=4, padding=2, bias=False),
        lambda: nn.ConvTranspose1d(5, 3, 8, stride=4, padding=2),
    ],
)
def test_a_normed_convolution_is_torchs_weight_norm(convolution: Callable[[], Convolution]) -> None:
    torch.manual_seed(3)
    theirs = weight_norm(convolution(), dim=0)
    ours = NormedConv(convolution())
    stored = theirs.parametrizations.weight
    stored.original0.mul_(1 + torch.rand_like(stored.original0))
    ours.load_state_dict({"weight_g": stored.original0, "weight_v": stored.original1, **bias_of(theirs)})
    waves = noise(2, 5, 40)
    assert deviation(ours(waves), theirs(waves)) < 1e-6  # measured 2.0e-7
    assert deviation(ours.folded()(waves), theirs(waves)) < 1e-6


def bias_of(convolution: Convolution) -> State:
    return {} if convolution.bias is None else {"bias": convolution.bias}


def test_a_normed_convolution_starts_as_the_plain_one() -> None:
    plain = nn.Conv1d(5, 3, 7, padding=3)
    assert deviation(NormedConv(plain)(noise(2, 5, 40)), plain(noise(2, 5, 40))) < 1e-6  # measured 0


def test_folding_leaves_no_normed_convolution_and_the_same_sound() -> None:
    oobleck, waves = small(), noise(1, 1, 2 * SMALL.hop)
    before = oobleck(waves)
    folded = fold_weight_norm(oobleck)
    assert not any(isinstance(module, NormedConv) for module in folded.modules())
    assert not any(key.endswith(("weight_g", "weight_v")) for key in folded.state_dict())
    assert deviation(folded(waves), before) < 1e-6  # measured 0


def test_snake_is_its_formula() -> None:
    snake, x = Snake(2), torch.tensor([[[0.5, -1.0], [2.0, 3.0]]])
    snake.load_state_dict({"alpha": torch.tensor([0.0, 0.7]), "beta": torch.tensor([-0.3, 0.2])})
    expected = [
        [value + math.sin(math.exp(alpha) * value) ** 2 / math.exp(beta) for value in row]
        for row, alpha, beta in zip(x[0].tolist(), (0.0, 0.7), (-0.3, 0.2), strict=True)
    ]
    torch.testing.assert_close(snake(x)[0], torch.tensor(expected), rtol=1e-6, atol=1e-6)


def test_residual_units_look_one_three_and_nine_frames_apart_and_keep_a_skip() -> None:
    waves = noise(1, 4, 80)
    units = [layer for layer in small().encoder.layers[1].layers if isinstance(layer, Residual)]
    assert len(units) == 3
    for unit, dilation in zip(units, (1, 3, 9), strict=True):
        first, wide, second, point = unit.layers
        rows = np.pad(first(waves)[0].numpy(), ((0, 0), (3 * dilation, 3 * dilation)))
        kernel, weight = wide.weight().numpy(), point.weight()[..., 0].numpy()
        taps = [rows[:, tap * dilation : tap * dilation + 80] for tap in range(7)]
        inner = sum(kernel[..., tap] @ taps[tap] for tap in range(7)) + wide.bias.numpy()[:, None]
        outer = weight @ second(torch.from_numpy(inner)).numpy() + point.bias.numpy()[:, None]
        assert np.abs(unit(waves)[0].numpy() - waves[0].numpy() - outer).max() < 3e-6  # measured 4.2e-7


def test_the_deviation_of_a_posterior_is_a_softplus_with_a_floor() -> None:
    oobleck, waves = small(), noise(1, 1, SMALL.hop)
    scale = oobleck.encoder(waves)[:, SMALL.latent_channels :]
    _, spread = oobleck.encode_stats(waves)
    assert (spread - torch.log1p(scale.exp()) - 1e-4).abs().max() < 2e-7  # measured 1.7e-8
