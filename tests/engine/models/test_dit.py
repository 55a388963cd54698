"""The official denoiser, against the official code's numbers and against what its design promises."""

import numpy as np
import pytest
import torch
from einops import rearrange
from torch import Tensor

from stemwright.engine import schedule
from stemwright.engine.contracts import Array, Denoiser
from stemwright.engine.guidance import guided, held
from stemwright.engine.models.dit import Dit, DitConfig, Rotation, rotate, start_training
from stemwright.engine.models.official import open_dit, split_state
from stemwright.engine.sampler import ddim

SMALL = DitConfig(latent_channels=4, condition_width=8, width=96, depth=2, heads=6, level_features=16)
State = dict[str, Tensor]
pytestmark = pytest.mark.usefixtures("no_gradients")


def small() -> Dit:
    torch.manual_seed(1)
    return Dit(SMALL).eval()


def inputs(length: int = 10) -> tuple[Tensor, Tensor, Tensor]:
    """latents, levels, conditions for two examples"""
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(2, 3, 4, length, generator=generator)
    return latents, torch.rand(2, 3, generator=generator), torch.randn(2, 3, 8, generator=generator)


def per_tracks(flat: Tensor) -> Tensor:
    """The official code keeps the tracks on the channel axis."""
    return rearrange(flat, "b (s c) t -> b s c t", s=3)


def deviation(ours: Tensor, theirs: Tensor) -> float:
    """Largest difference, as a share of the largest value."""
    return float((ours - theirs).abs().max() / theirs.abs().max())


def denoiser(dit: Dit) -> Denoiser:
    """The network as the engine calls it."""

    def denoise(latents: Array, levels: Array, conditions: Array) -> Array:
        tensors = (torch.tensor(part, dtype=torch.float32) for part in (latents, levels, conditions))
        velocity: Array = dit(*tensors).numpy()
        return velocity

    return denoise


def test_the_defaults_have_the_official_parameters() -> None:
    with torch.device("meta"):
        dit = Dit(DitConfig())
    assert sum(parameter.numel() for parameter in dit.parameters()) == 1_023_040_640
    assert sum(buffer.numel() for buffer in dit.buffers()) == 73_744
    assert sum(parameter.numel() for parameter in dit.transformer.layers[0].parameters()) == 42_484_224


def test_the_official_size_takes_and_gives_its_shapes() -> None:
    with torch.device("meta"):
        latents, levels, conditions = torch.empty(2, 3, 64, 100), torch.empty(2, 3), torch.empty(2, 3, 512)
        dit = Dit(DitConfig())
        assert dit.modulation(conditions).shape == (2, 24, 6, 1536)
        assert dit(latents, levels, conditions).shape == latents.shape


def test_the_defaults_have_the_official_keys_and_shapes(shapes: dict[str, tuple[int, ...]]) -> None:
    with torch.device("meta"):
        ours = {
            f"model_dit.{key}": tuple(value.shape) for key, value in Dit(DitConfig()).state_dict().items()
        }
    theirs = {key: shape for key, shape in shapes.items() if key.startswith("model_dit.")}
    assert len(theirs) == 276
    assert ours == theirs


@pytest.mark.parametrize("case", ["dit_T100"], indirect=True)
def test_a_forward_equals_the_official_one(tiny_state: State, case: State) -> None:
    dit = open_dit(split_state(tiny_state)[0])
    ours = dit(per_tracks(case["x"]), case["t"], case["cond"])
    assert deviation(ours, per_tracks(case["out"])) < 3e-6  # measured 5.8e-7


@pytest.mark.parametrize("case", ["dit_T100"], indirect=True)
def test_a_guided_forward_equals_the_official_one(tiny_state: State, case: State) -> None:
    denoise = guided(denoiser(open_dit(split_state(tiny_state)[0])), case["cond"].numpy(), 3)
    ours = torch.tensor(denoise(per_tracks(case["x"]).numpy(), case["t"].numpy()))
    assert deviation(ours, per_tracks(case["out_cfg3"])) < 1e-5  # measured 2.3e-6


@pytest.mark.parametrize("case", ["total"], indirect=True)
def test_ddim_of_all_tracks_equals_the_official_sampler(tiny_state: State, case: State) -> None:
    network, noise = denoiser(open_dit(split_state(tiny_state)[0])), per_tracks(case["noise"]).numpy()
    denoise = held(guided(network, case["cond"].numpy(), 2), np.zeros_like(noise), np.zeros(3, bool))
    ours = torch.tensor(ddim(denoise, noise, schedule.levels(10)))
    assert deviation(ours, per_tracks(case["out"])) < 1e-5  # measured 1.2e-6


@pytest.mark.parametrize("case", ["given0"], indirect=True)
def test_ddim_with_a_given_mixture_equals_the_official_sampler(tiny_state: State, case: State) -> None:
    network, noise = denoiser(open_dit(split_state(tiny_state)[0])), per_tracks(case["noise"]).numpy()
    given, is_given = np.zeros_like(noise), np.array([True, False, False])
    given[:, 0] = case["given_z"].numpy()
    denoise = held(guided(network, case["cond"].numpy(), 2), given, is_given)
    ours = torch.tensor(ddim(denoise, noise[:, ~is_given], schedule.levels(10)))
    theirs = per_tracks(case["out"])
    assert torch.equal(theirs[:, 0], case["given_z"])
    assert deviation(ours, theirs[:, 1:]) < 2e-5  # measured 4.9e-6


def test_zeros_condition_nothing() -> None:
    _, _, conditions = inputs()
    assert small().modulation(torch.zeros_like(conditions)).abs().max() == 0


@pytest.mark.parametrize("track", [0, 1, 2])
def test_a_condition_modulates_its_own_track_only(track: int) -> None:
    _, _, conditions = inputs()
    conditions[:, [other for other in range(3) if other != track]] = 0
    touched = rearrange(small().modulation(conditions), "b l six (s c) -> s (b l six c)", s=3).abs().amax(1)
    assert [bool(value) for value in touched] == [index == track for index in range(3)]


def test_every_level_and_every_condition_matters() -> None:
    dit, (latents, levels, conditions) = small(), inputs()
    before = dit(latents, levels, conditions)
    for track in range(3):
        other_levels, other_conditions = levels.clone(), conditions.clone()
        other_levels[:, track] = 0
        other_conditions[:, track] = 0
        assert (dit(latents, other_levels, conditions) - before).abs().max() > 1e-4
        assert (dit(latents, levels, other_conditions) - before).abs().max() > 1e-4


def test_one_modulation_serves_every_step() -> None:
    dit, (latents, levels, conditions) = small(), inputs()
    modulation = dit.modulation(conditions)
    for level in (levels, 0.5 * levels):
        assert torch.equal(dit.denoise(latents, level, modulation), dit(latents, level, conditions))


def test_the_examples_of_a_batch_do_not_meet() -> None:
    dit, (latents, levels, conditions) = small(), inputs()
    together = dit(latents, levels, conditions)
    alone = torch.cat([dit(latents[[i]], levels[[i]], conditions[[i]]) for i in range(2)])
    assert (together - alone).abs().max() < 2e-6  # measured 2.4e-7


def test_a_frame_depends_on_the_length_so_padding_is_not_free() -> None:
    dit, (latents, levels, conditions) = small(), inputs(20)
    short = dit(latents[..., :10], levels, conditions)
    assert (dit(latents, levels, conditions)[..., :10] - short).abs().max() > 1e-3


def test_rotated_heads_see_the_distance_of_two_positions_only() -> None:
    rotation = Rotation(32)(40)
    query, key = torch.randn(2, 1, 1, 1, 32, generator=torch.Generator().manual_seed(3)).expand(
        2, 1, 1, 40, 32
    )
    scores = (rotate(query, *rotation) @ rotate(key, *rotation).mT)[0, 0]
    for distance in (-7, 0, 7):
        assert scores.diagonal(distance).std() < 1e-5  # measured 1.5e-6
    assert scores[0].std() > 1e-1


def test_training_starts_from_a_map_that_knows_no_level_and_no_condition() -> None:
    dit, (latents, levels, conditions) = small(), inputs()
    start_training(dit)
    start = dit(latents, levels, conditions)
    weights = dit.transformer.project_out.weight @ dit.transformer.project_in.weight
    straight = torch.einsum("oc,bct->bot", weights, rearrange(latents, "b s c t -> b (s c) t"))
    assert (start - per_tracks(straight)).abs().max() < 1e-6  # measured 1e-7
    assert dit.transformer.layers[0].pre_norm.gamma.unique().tolist() == [0.5]


def test_the_graph_holds_for_any_batch_and_length() -> None:
    batch, length = torch.export.Dim("batch", max=64), torch.export.Dim("length", max=4096)
    dit = small()
    program = torch.export.export(
        dit, inputs(), dynamic_shapes=({0: batch, 3: length}, {0: batch}, {0: batch})
    )
    others = tuple(torch.cat([part, part[:1]]) for part in inputs(33))
    assert torch.equal(program.module()(*others), dit(*others))
