"""The compact denoiser drawn for the processor: the same numbers as the exported graph, a row at a time."""

from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.contracts import Array
from stemwright.engine.manifest import read_manifest
from stemwright.engine.modelfolder import find
from stemwright.engine.runtimes.bandgraph import Sizes, modulation_graph, sizes_of, step_graph, weights_of
from stemwright.engine.runtimes.golden import cosine
from stemwright.engine.runtimes.ort import Graph
from stemwright.engine.runtimes.rowwise import Rowwise

LEVELS = np.array([[0, 1, 1], [0.3, 0.3, 0.3], [0, 0.02, 0.02]], np.float32)


def rows(sizes: Sizes, seed: int = 0) -> dict[str, Array]:
    """Three: an extraction's first step, a generation's, and an extraction's last."""
    random = np.random.default_rng(seed)
    conditions = random.standard_normal((3, sizes.tracks, sizes.conditioning)).astype(np.float32)
    conditions[:, 0] = 0
    latents = random.standard_normal((3, *sizes.latents[1:])).astype(np.float32)
    return {"latents": latents, "levels": LEVELS, "conditions": conditions}


def drawn(sizes: Sizes, weights: dict[str, Array], *, is_fast: bool = False) -> Rowwise:
    step = Graph(step_graph(sizes, weights, is_fast=is_fast))
    return Rowwise("drawn", Graph(modulation_graph(sizes, weights)), step)


@pytest.fixture(scope="module")
def shipped(default_model: Path) -> tuple[Sizes, Path]:
    folder = find()
    manifest = read_manifest(folder)
    return sizes_of(manifest.denoiser["network"], manifest.window), folder / manifest.denoiser["graph"]


def test_the_default_network_drawn_computes_what_its_exported_graph_does(shipped: tuple[Sizes, Path]) -> None:
    sizes, path = shipped
    given = rows(sizes)
    wanted = Graph(path).run(**given)[0]
    found = drawn(sizes, weights_of(path)).run(**given)[0]
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()  # measured: 2e-7


def test_in_8_bits_it_comes_near(shipped: tuple[Sizes, Path]) -> None:
    sizes, path = shipped
    given = rows(sizes)
    wanted = Graph(path).run(**given)[0]
    found = drawn(sizes, weights_of(path), is_fast=True).run(**given)[0]
    nearness = [cosine(one[1:], other[1:]) for one, other in zip(found, wanted, strict=True)]
    assert min(nearness) >= 0.999  # measured: 0.9998
    assert max(nearness) < 1, "nothing was put on 8 bits"


def test_a_row_gets_the_same_whatever_stands_beside_it(shipped: tuple[Sizes, Path]) -> None:
    sizes, path = shipped
    network, given = drawn(sizes, weights_of(path)), rows(sizes)
    together = network.run(**given)[0]
    for row in range(3):
        alone = network.run(**{name: array[row : row + 1] for name, array in given.items()})[0]
        assert np.array_equal(alone[0], together[row])


def test_what_prompts_do_is_computed_once_for_each_and_not_mixed_up(shipped: tuple[Sizes, Path]) -> None:
    sizes, path = shipped
    weights, given = weights_of(path), rows(sizes)
    network = drawn(sizes, weights)
    first = network.run(**given)[0]
    calls = []
    modulation = network._modulation
    network._modulation = type(
        "Counted", (), {"run": lambda _, **arrays: calls.append(1) or modulation.run(**arrays)}
    )()
    assert np.array_equal(network.run(**given)[0], first)
    assert not calls
    changed = {**given, "conditions": given["conditions"] * np.float32([[[1]], [[1]], [[0.5]]])}
    second = network.run(**changed)[0]
    assert len(calls) == 1
    assert np.array_equal(second[:2], first[:2])
    assert not np.allclose(second[2], first[2], atol=1e-3)


def test_only_low_levels_take_the_careful_step(shipped: tuple[Sizes, Path]) -> None:
    sizes, path = shipped
    weights, given, opened = weights_of(path), rows(sizes), []

    def careful() -> Graph:
        opened.append(1)
        return Graph(step_graph(sizes, weights))

    fast = Graph(step_graph(sizes, weights, is_fast=True))
    network = Rowwise("drawn", Graph(modulation_graph(sizes, weights)), fast, careful, low=0.25)
    best, usual = drawn(sizes, weights), drawn(sizes, weights, is_fast=True)
    one = {name: array[:2] for name, array in given.items()}
    assert np.array_equal(network.run(**one)[0], usual.run(**one)[0])
    assert not opened
    last = {name: array[2:] for name, array in given.items()}
    assert np.array_equal(network.run(**last)[0], best.run(**last)[0])
    assert opened == [1]


@pytest.mark.parametrize(
    "shape",
    [
        {"depth": 1},
        {"depth": 5, "attend_every": 2, "heads": 2},
        {"depth": 4, "attend_every": 0, "kernel": (3, 7)},
        {"tracks": 2, "groups": 6, "coefficients": 8, "octaves": 4},
    ],
)
def test_networks_of_other_sizes_compute_what_torch_does(shape: dict[str, int]) -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")
    from stemwright.engine.models.bandconv import BandConv, BandConvConfig

    config = BandConvConfig(**{"width": 16, "hidden": 24, "conditioning": 8, "depth": 3, **shape})
    torch.manual_seed(0)
    network = BandConv(config).eval()
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    sizes = sizes_of(vars(config), window=10)
    given = rows(sizes)
    given["levels"] = given["levels"][:, : sizes.tracks].copy()
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    found = drawn(sizes, weights).run(**given)[0]
    with torch.inference_mode():
        wanted = network(*(torch.from_numpy(given[name]) for name in Rowwise.inputs)).numpy()
    assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()  # measured: 1e-6
