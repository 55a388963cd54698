import json
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [train] extra")
pytest.importorskip("safetensors", reason="training needs the [train] extra")

from stemwright.engine.spectral import SpectralCodec  # noqa: E402
from stemwright.engine.train import diffusion  # noqa: E402
from stemwright.engine.train.depthwise import EVERY, sparse_gradient_depthwise  # noqa: E402
from stemwright.engine.train.features import Tables, batch_of  # noqa: E402
from stemwright.engine.train.objective import Losses  # noqa: E402

SETTINGS = diffusion.Settings(
    run="", pool="", recordings="", bank="", test_pool="", codec="", depth=2, width=16
)


def test_the_rate_warms_up_holds_and_falls() -> None:
    rates = [
        diffusion.learning_rate(SETTINGS, *at)
        for at in ((0, 0.0), (99, 0.0), (500, 0.5), (900, 0.75), (999, 1.0))
    ]
    assert rates[0] == pytest.approx(SETTINGS.rate / 100)
    assert rates[1] == rates[2] == SETTINGS.rate
    assert rates[3] == pytest.approx(SETTINGS.rate / 2)
    assert rates[4] == pytest.approx(SETTINGS.rate * 0.02)


def test_worker_and_centre_move_half_way_towards_each_other() -> None:
    network = torch.nn.Linear(2, 1)
    diffusion.set_parameters(network, torch.tensor([1.0, 1.0, 1.0]))
    centre = torch.tensor([0.0, 0.0, 2.0])
    diffusion.meet(network, centre, torch.multiprocessing.get_context("spawn").Lock())
    assert diffusion.parameters_of(network).tolist() == [0.5, 0.5, 1.5]
    assert centre.tolist() == [0.5, 0.5, 1.5]


def test_the_sparse_gradient_is_the_full_one_when_examples_are_alike() -> None:
    torch.manual_seed(0)
    x = torch.randn(1, 6, 12, 9).repeat(2 * EVERY, 1, 1, 1).requires_grad_()
    weight, bias = torch.randn(6, 1, 3, 3, requires_grad=True), torch.zeros(6, requires_grad=True)
    upstream = torch.randn(1, 6, 12, 9).repeat(2 * EVERY, 1, 1, 1)
    full = torch.nn.functional.conv2d(x, weight, bias, padding=1, groups=6)
    expected = torch.autograd.grad(full, (x, weight, bias), upstream)
    sparse = sparse_gradient_depthwise(x, weight, bias)
    found = torch.autograd.grad(sparse, (x, weight, bias), upstream.bfloat16())
    for right, near in zip(expected, found, strict=True):
        assert float((right - near).abs().max() / right.abs().max()) < 0.02  # bfloat16; measured 0.006


def few_steps(steps: int) -> tuple["torch.nn.Module", list["torch.optim.Optimizer"], list[Losses]]:
    network = diffusion.make_network(SETTINGS)
    optimisers = diffusion.optimisers_of(network, 3e-3)
    tables = Tables.of(SpectralCodec(tuple(range(16)), (1.0,) * 16, (0.0,) * 96))
    random = np.random.default_rng(0)
    rest, source = (
        torch.from_numpy(random.standard_normal((8, 4 * 2048)).astype(np.float32)) * 0.1 for _ in range(2)
    )
    batch = batch_of(rest, source * torch.linspace(0, 1, 8192), tables)
    generator = torch.Generator().manual_seed(0)
    conditions = torch.ones(8, 3, 384)
    found = [
        diffusion.step_once(network, optimisers, batch, conditions, tables, generator) for _ in range(steps)
    ]
    return network, optimisers, found


def test_a_few_steps_on_one_batch_lower_its_loss() -> None:
    _, _, found = few_steps(40)
    assert np.mean([float(each.total.detach()) for each in found[-8:]]) < 0.8 * float(found[0].total.detach())


def test_the_optimisers_moments_come_back_from_disk(tmp_path: Path) -> None:
    network, optimisers, _ = few_steps(2)
    diffusion.save_moments(optimisers, network, tmp_path / "moments.safetensors")
    other = diffusion.make_network(SETTINGS)
    restored = diffusion.optimisers_of(other, 1e-3)
    diffusion.restore_moments(restored, other, tmp_path / "moments.safetensors")
    remembered = 0
    for mine, its in zip(network.parameters(), other.parameters(), strict=True):
        for before, after in zip(optimisers, restored, strict=True):
            moments = before.state.get(mine, {})
            assert moments.keys() == after.state.get(its, {}).keys()
            assert all(torch.equal(moments[key], after.state[its][key]) for key in moments)
            remembered += len(moments)
    assert remembered > len(list(network.parameters()))


def test_a_checkpoint_holds_the_mean_and_the_time_spent(tmp_path: Path) -> None:
    settings = diffusion.replace(SETTINGS, run=str(tmp_path))
    size = len(diffusion.parameters_of(diffusion.make_network(settings)))
    diffusion.checkpoint(settings, torch.zeros(size), torch.ones(size), elapsed=12.5)
    stored = diffusion.load_file(tmp_path / "mean.safetensors")
    assert all(bool((tensor == 1).all()) for tensor in stored.values())
    assert json.loads((tmp_path / "state.json").read_text())["elapsed"] == 12.5
    assert not list(tmp_path.glob("*.part"))
