import contextlib
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch", reason="training needs the [train] extra")
pytest.importorskip("safetensors", reason="training needs the [train] extra")

from stemwright.engine.errors import BadJob, StemwrightError  # noqa: E402
from stemwright.engine.spectral import SpectralCodec  # noqa: E402
from stemwright.engine.train import diffusion  # noqa: E402
from stemwright.engine.train.depthwise import EVERY, sparse_gradient_depthwise  # noqa: E402
from stemwright.engine.train.features import Tables, batch_of  # noqa: E402
from stemwright.engine.train.feeding import stack  # noqa: E402
from stemwright.engine.train.mixing import Example  # noqa: E402
from stemwright.engine.train.objective import Losses  # noqa: E402
from stemwright.engine.train.stopping import heeding  # noqa: E402
from tests.train.small_pool import write_codec, write_pool, write_small_bank  # noqa: E402

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


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool, a bank and a codec's tables."""
    place = tmp_path_factory.mktemp("diffusion")
    write_pool(place / "pool")
    write_codec(place / "codec.json")
    write_small_bank(place / "bank.npz")
    (place / "guitar").mkdir()
    soundfile.write(place / "guitar" / "a.flac", np.full(16000, 0.1), 16000)
    return place


def small(folder: Path, name: str, **changes: object) -> diffusion.Settings:
    places = {"pool": "pool", "test_pool": "pool", "bank": "bank.npz", "codec": "codec.json", "run": name}
    paths = {field: str(folder / place) for field, place in places.items()}
    return replace(
        SETTINGS, **paths, recordings=str(folder), batch=4, frames=4 * 2048, minutes=60.0, **changes
    )


def wait_for(path: Path) -> None:
    for _ in range(600):
        if path.exists():
            return
        time.sleep(0.1)
    raise AssertionError(f"{path.name} never came")


def state(settings: diffusion.Settings) -> dict[str, float]:
    found: dict[str, float] = json.loads((Path(settings.run) / "state.json").read_text("utf-8"))
    return found


def test_a_fed_run_is_logged_probed_and_gone_on_with_and_leaves_no_process(folder: Path) -> None:
    settings = small(folder, "fed", feeders=1, compile=False, tie=2)
    run = Path(settings.run)
    told: list[str] = []

    def stop_when_logged(line: str) -> None:
        told.append(line)
        if (run / "log0.jsonl").exists():
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(StemwrightError, match=r"stopped after .* the same command goes on") as stop:
        diffusion.train(settings, stop_when_logged)
    assert stop.value.exit_code == 130
    assert not multiprocessing.active_children()
    assert told[-1].startswith("5") and "mask loss" in told[-1]
    assert {"mask", "error", "waited", "feeders"} <= json.loads(
        (run / "log0.jsonl").read_text().splitlines()[0]
    ).keys()
    before = state(settings)["elapsed"]
    first = diffusion.load_file(run / "centre.safetensors")

    diffusion.train(replace(settings, minutes=(before + 0.001) / 60))  # over before its first step
    assert not multiprocessing.active_children()
    assert json.loads((run / "probe.jsonl").read_text())["seconds"] >= int(before)
    assert state(settings)["elapsed"] > before
    again = diffusion.load_file(run / "centre.safetensors")
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], fresh) for name, fresh in new_weights(settings).items())


def new_weights(settings: diffusion.Settings) -> dict[str, "torch.Tensor"]:
    return dict(diffusion.make_network(settings).state_dict())


def running_in(group: int) -> list[str]:
    """Processes of a group that are not yet dead, by /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, _, its_group = path.read_text("utf-8", "replace").rpartition(")")[2].split()[:3]
            if int(its_group) == group and state not in "ZX":
                found.append(path.parent.name)
    return found


def test_ctrl_c_leaves_a_checkpoint_and_one_line(folder: Path) -> None:
    settings = small(folder, "tied", workers=1)
    flags = [
        word
        for name, value in asdict(settings).items()
        if value not in (None, "")
        for word in (f"--{name.replace('_', '-')}", str(value))
    ]
    words = [sys.executable, "-m", "stemwright.engine.train.cli", "diffusion", *flags]
    program = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        wait_for(Path(settings.run) / "settings.json")
        os.killpg(program.pid, signal.SIGINT)  # as a terminal does: to the workers too
        _, said = program.communicate(timeout=300)
    finally:
        program.kill()
        program.communicate()
    assert program.returncode == 130
    assert said.startswith("stemwright: stopped after") and said.count("\n") == 1
    assert state(settings)["elapsed"] > 0
    assert {path.name for path in Path(settings.run).glob("*.safetensors")} == {
        "centre.safetensors",
        "mean.safetensors",
        "moments0.safetensors",
    }
    for _ in range(200):  # multiprocessing's own tracker ends a moment after its parent
        if not (left := running_in(program.pid)):
            break
        time.sleep(0.05)
    assert not left


def test_a_feeder_that_cannot_mix_says_why(folder: Path) -> None:
    (folder / "empty").mkdir()
    settings = replace(small(folder, "starved", feeders=1, compile=False), pool=str(folder / "empty"))
    with pytest.raises(StemwrightError, match="no more examples: ValueError"):
        diffusion.train(settings)
    assert not multiprocessing.active_children()


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    with pytest.raises(BadJob, match="no device 'tpu'"):
        diffusion.train(small(folder, "nowhere", device="tpu"))
    assert not (folder / "nowhere").exists()


def test_only_the_second_ctrl_c_interrupts() -> None:
    stopped = torch.zeros(1)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job begins without it
    try:
        with pytest.raises(KeyboardInterrupt), heeding(stopped):
            signal.raise_signal(signal.SIGINT)
            assert stopped[0] == 1
            signal.raise_signal(signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_half_floats_keep_a_waveform_to_within_70_decibels() -> None:
    rest, source = np.random.default_rng(0).standard_normal((2, 81920)).astype(np.float32) * 0.1
    found = stack([Example(rest, source, np.zeros((3, 384), np.float32))], np.float16)
    error = 20 * np.log10(np.std(found.rest[0].float().numpy() - rest) / np.std(rest))
    assert error < -70  # measured −73
    assert found.is_absent.tolist() == [False]


def test_tables_move_to_a_device_whole() -> None:
    tables = Tables.of(SpectralCodec(tuple(range(16)), (1.0,) * 16, (0.0,) * 96))
    moved = tables.to(torch.device("meta"))
    tensors = [value for value in vars(moved).values() if isinstance(value, torch.Tensor)]
    assert len(tensors) == 5 and all(tensor.is_meta for tensor in tensors)
    assert moved.floor == tables.floor
