import pytest

torch = pytest.importorskip("torch", reason="the networks need the [train] extra")

from stemwright.engine.models.bandconv import BandConv, BandConvConfig, depthwise  # noqa: E402

SMALL = BandConvConfig(width=16, depth=2, hidden=24, conditioning=8)


def inputs(frames: int = 10) -> tuple["torch.Tensor", ...]:
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(2, 3, 192, frames, generator=generator)
    levels = torch.rand(2, 3, generator=generator)
    return latents, levels, torch.randn(2, 3, 8, generator=generator)


def small() -> BandConv:
    torch.manual_seed(0)
    network = BandConv(SMALL)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return network.eval()


def test_velocity_has_the_latents_shape_for_any_number_of_frames() -> None:
    for frames in (1, 7, 80):
        latents, levels, conditions = inputs(frames)
        assert small()(latents, levels, conditions).shape == latents.shape


def test_a_row_of_zeros_is_the_unprompted_condition() -> None:
    network = small()
    latents, levels, conditions = inputs()
    without = conditions.clone()
    without[:, 2] = 0
    filled = conditions.clone()
    filled[:, 2] = network.unprompted[2].detach()
    assert torch.allclose(network(latents, levels, without), network(latents, levels, filled), atol=1e-6)
    assert not torch.allclose(
        network(latents, levels, without), network(latents, levels, conditions), atol=1e-3
    )


def test_examples_of_a_batch_do_not_see_each_other() -> None:
    network = small()
    latents, levels, conditions = inputs()
    alone = network(latents[:1], levels[:1], conditions[:1])
    assert torch.allclose(network(latents, levels, conditions)[:1], alone, atol=1e-5)


def test_each_channel_is_convolved_on_its_own() -> None:
    x = torch.zeros(1, 4, 12, 9)
    x[0, 2, 5, 4] = 1.0
    out = depthwise(x, torch.ones(4, 1, 3, 3), torch.zeros(4))
    assert out[0, 2].sum() == 9
    assert out[0, [0, 1, 3]].abs().sum() == 0


def test_attention_begins_as_nothing_and_then_hears_frames_out_of_the_convolutions_reach() -> None:
    network = BandConv(BandConvConfig(width=16, depth=3, hidden=24, conditioning=8, attend_every=2))
    assert list(network.attentions) == ["2"]
    attention = network.attentions["2"]
    x = torch.randn(1, 12, 40, 16, generator=torch.Generator().manual_seed(0))
    condition = torch.zeros(1, 24)
    assert torch.equal(attention(x, condition), x)
    attention.modulation.bias.data[32:] = 1.0  # the gate
    changed = x.clone()
    changed[0, 5, 39] *= -1.0
    difference = (attention(changed, condition) - attention(x, condition)).abs().amax(dim=(0, 3))
    assert difference[5, 0] > 1e-4  # the first frame hears the last
    assert difference[4].max() == 0  # band groups do not mix here


def test_the_default_has_the_shipped_models_size() -> None:
    with torch.device("meta"):
        network = BandConv(BandConvConfig())
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_722_288
