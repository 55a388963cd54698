"""Where a denoiser runs, and what happens when a card is absent, unfit or gone. Cards here are fakes."""

import ctypes
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from stemwright.engine import modelfolder
from stemwright.engine.cli import main
from stemwright.engine.errors import DeviceLost, MissingExtra, ModelTooNew, PlanRefused
from stemwright.engine.runtimes import choice, cuda, ort, plans, tensorrt
from stemwright.engine.runtimes.eager import EagerDenoiser
from stemwright.engine.runtimes.graphs import GraphDenoiser, Rescued
from tests.engine.fake_tensorrt import FakeApi, FakeMemory
from tests.engine.tiny_graph import denoiser, graph

LATENTS = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
LEVELS, CONDITIONS = np.ones((2, 3), np.float32), np.zeros((2, 3, 7), np.float32)
PORTS = {"latents": [-1, 3, 4, 5], "levels": [-1, 3], "conditions": [-1, 3, 7]}
CARD = cuda.Card(0, "GeForce RTX 4090", "SM89", 24 << 30, 128)


@pytest.fixture
def network(tmp_path: Path) -> choice.Network:
    path = tmp_path / "denoiser.onnx"
    path.write_bytes(denoiser())

    def eager() -> EagerDenoiser:
        raise AssertionError("torch was not asked for")

    return choice.Network(tmp_path, path, path, ("a", "b"), eager)


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A card that is said to be there, an empty cache of plans, and nothing that could use them."""
    monkeypatch.setattr(cuda, "cards", lambda: (CARD,))
    monkeypatch.setenv("STEMWRIGHT_PLANS", str(tmp_path / "plans"))
    monkeypatch.setattr(tensorrt, "installed", dict)
    monkeypatch.setattr(ort, "has_cuda", lambda: False)
    monkeypatch.setattr(choice, "is_in_torch", lambda: False)


@pytest.fixture
def no_card(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cards", tuple)


@pytest.mark.usefixtures("no_card")
def test_without_a_card_auto_is_the_processor_and_says_why(network: choice.Network) -> None:
    opened = choice.open_denoiser(network, "auto")
    assert (opened.device, opened.why, opened.told) == ("cpu", choice.NO_CARD, [])
    np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)


@pytest.mark.usefixtures("no_card")
@pytest.mark.parametrize("device", ["cuda", "tensorrt"])
def test_a_card_that_is_named_but_absent_is_refused(network: choice.Network, device: str) -> None:
    with pytest.raises(DeviceLost, match=rf"the device {device}: no NVIDIA card.*--device cpu"):
        choice.open_denoiser(network, device)


@pytest.mark.usefixtures("card")
def test_a_missing_package_is_named_with_its_command(network: choice.Network) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'stemwright\[tensorrt-rtx\]'"):
        choice.open_denoiser(network, "tensorrt")
    with pytest.raises(MissingExtra, match="pip install 'onnxruntime-gpu"):
        choice.open_denoiser(network, "cuda")


def test_an_api_that_is_not_installed_tells_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tensorrt", "tensorrt_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(MissingExtra, match=r"pip install 'stemwright\[tensorrt\]'"):
        tensorrt.open_api("tensorrt")


@pytest.mark.usefixtures("card")
def test_with_a_card_that_nothing_here_can_use_auto_falls_back_and_says_what_is_missing(
    network: choice.Network,
) -> None:
    opened = choice.open_denoiser(network, "auto")
    assert opened.device == "cpu"
    assert "tensorrt is not used" in opened.why and "cuda is not used" in opened.why
    np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)


@pytest.mark.usefixtures("card")
def test_a_plan_of_other_weights_is_refused_by_name_and_left_aside_by_auto(
    network: choice.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = SimpleNamespace(__version__="1.7.1")
    monkeypatch.setattr(tensorrt, "installed", lambda: {"tensorrt_rtx": api})
    now: dict[str, Any] = choice.wanted(network, "tensorrt_rtx", "1.7.1", CARD)
    recipe = plans.Recipe(
        **{**now, "weights": "older"}, precision="fp16", singles=(), profile=(1, 2, 4), cards=("SM89",)
    )
    plans.store(plans.plans_folder(), recipe, b"plan", {})
    with pytest.raises(PlanRefused, match=r"its weights was older, and is b now.*Building it again failed"):
        choice.open_denoiser(network, "tensorrt")
    opened = choice.open_denoiser(network, "auto")
    assert opened.device == "cpu" and "its weights was older" in opened.why


@pytest.mark.usefixtures("card")
@pytest.mark.parametrize("damage", ["other weights", "a flipped byte", "another version"])
def test_a_plan_that_went_out_of_date_is_built_again_as_it_was(
    network: choice.Network, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    api = with_plan(network, monkeypatch)
    path = next(plans.plans_folder().glob("*.plan"))
    right = plans.fetch(path).recipe
    if damage == "a flipped byte":
        path.write_bytes(b"plam")
    else:
        older = {"weights": "older"} if damage == "other weights" else {"version": "1.6.0"}
        plans.store(plans.plans_folder(), replace(right, **older), b"older", {})
    asked: list[list[str]] = []

    def built(command: list[str], **how: Any) -> Any:
        asked.append(command)
        plans.store(plans.plans_folder(), right, b"newer", {"inputs": PORTS})
        return SimpleNamespace(returncode=0, stderr="")

    monkeypatch.setattr(subprocess, "run", built)
    assert choice.open_denoiser(network, "auto").device == "tensorrt" and api.taken == [b"newer"]
    (command,) = asked
    assert command[3:6] == ["export", "plan", str(network.model.resolve())]
    assert command[6:] == [
        *("--builder", "tensorrt_rtx", "--cards", "SM89", "--precision", "fp16", "--largest-batch", "4")
    ]


@pytest.mark.usefixtures("card")
def test_no_plan_is_built_unasked_nor_in_a_folder_open_to_others(
    network: choice.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def built(command: list[str], **how: Any) -> Any:
        raise AssertionError("nothing is to be built")

    with_plan(network, monkeypatch)
    monkeypatch.setattr(subprocess, "run", built)
    monkeypatch.setattr(cuda, "cards", lambda: (cuda.Card(0, "another", "SM120", 1 << 30, 1),))
    with pytest.raises(PlanRefused, match="for SM89; this card is SM120"):
        choice.open_denoiser(network, "tensorrt")
    monkeypatch.setattr(cuda, "cards", lambda: (CARD,))
    plans.plans_folder().chmod(0o777)
    with pytest.raises(PlanRefused, match="open to others"):
        choice.open_denoiser(network, "tensorrt")


def with_plan(network: choice.Network, monkeypatch: pytest.MonkeyPatch, **fault: bool) -> FakeApi:
    """A plan in the cache that fits, and a fake that runs it."""
    memory = FakeMemory()
    api = FakeApi(memory, names=("latents", "levels", "conditions", "velocity"), **fault)
    monkeypatch.setattr(tensorrt, "installed", lambda: {"tensorrt_rtx": api})
    monkeypatch.setattr(cuda, "Memory", lambda number: memory)
    now: dict[str, Any] = choice.wanted(network, "tensorrt_rtx", api.__version__, CARD)
    recipe = plans.Recipe(**now, precision="fp16", singles=(), profile=(1, 2, 4), cards=("SM89",))
    plans.store(plans.plans_folder(), recipe, b"plan", {"inputs": PORTS})
    return api


@pytest.mark.usefixtures("card")
def test_auto_takes_a_plan_that_fits_and_the_processor_takes_over_when_the_card_goes(
    network: choice.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = with_plan(network, monkeypatch)
    opened = choice.open_denoiser(network, "auto")
    assert opened.device == "tensorrt" and api.taken == [b"plan"]
    np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)
    api.is_lost = True
    np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)
    assert len(opened.told) == 1 and "the processor took over" in opened.told[0]


@pytest.mark.usefixtures("card")
def test_a_plan_that_computes_something_else_is_refused_before_any_job(
    network: choice.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_plan(network, monkeypatch, is_noise=True)
    with pytest.raises(PlanRefused, match=r"less than 0\.999"):
        choice.open_denoiser(network, "tensorrt")
    assert choice.open_denoiser(network, "auto").device == "cpu"


def test_a_card_that_disappears_at_work_costs_a_remark_not_the_job() -> None:
    told: list[str] = []
    calls: list[int] = []

    def failing(latents: Any, levels: Any, conditions: Any) -> Any:
        calls.append(1)
        if len(calls) > 2:
            raise DeviceLost("cuMemAlloc: the graphics card is out of memory")
        return -latents

    work = Rescued(failing, lambda: GraphDenoiser(ort.Graph(denoiser())), told)
    for _ in range(5):
        np.testing.assert_array_equal(work(LATENTS, LEVELS, CONDITIONS), -LATENTS)
    assert len(calls) == 3 and told == [
        "the processor took over: cuMemAlloc: the graphics card is out of memory"
    ]


def test_a_processor_that_fails_as_well_is_not_tried_for_ever() -> None:
    def failing(latents: Any, levels: Any, conditions: Any) -> Any:
        raise DeviceLost("gone")

    with pytest.raises(DeviceLost, match="gone"):
        Rescued(failing, lambda: failing, [])(LATENTS, LEVELS, CONDITIONS)


def test_a_graph_of_an_opset_the_runtime_lacks_asks_for_a_newer_one() -> None:
    old, new = b"\x42\x02\x10\x11", b"\x42\x02\x10\x63"  # the opset import of 17, of 99
    content = graph("Neg", {"x": 1}, "y", ("x",))
    assert content.endswith(old)
    with pytest.raises(ModelTooNew, match="pip install --upgrade onnxruntime"):
        ort.Graph(content.removesuffix(old) + new)


class FakeDriver:
    """libcuda with one card that has no memory left."""

    def cuDeviceGetCount(self, count: Any) -> int:  # noqa: N802 (theirs)
        count._obj.value = 1
        return 0

    def cuDeviceGet(self, device: Any, number: int) -> int:  # noqa: N802
        return 0

    def cuDeviceGetName(self, name: Any, size: int, device: Any) -> int:  # noqa: N802
        name.value = CARD.name.encode()
        return 0

    def cuDeviceTotalMem_v2(self, memory: Any, device: Any) -> int:  # noqa: N802
        memory._obj.value = CARD.memory
        return 0

    def cuDeviceGetAttribute(self, value: Any, which: int, device: Any) -> int:  # noqa: N802
        value._obj.value = {75: 8, 76: 9, 16: 128}[which]
        return 0

    def cuDevicePrimaryCtxRetain(self, context: Any, device: Any) -> int:  # noqa: N802
        return 0

    def cuCtxSetCurrent(self, context: Any) -> int:  # noqa: N802
        return 0

    def cuStreamCreate(self, stream: Any, flags: int) -> int:  # noqa: N802
        return 0

    def cuMemAlloc_v2(self, address: Any, size: ctypes.c_size_t) -> int:  # noqa: N802
        return 2 if size.value > CARD.memory else 0

    def cuMemFree_v2(self, address: Any) -> int:  # noqa: N802
        return 0


def test_the_driver_is_asked_for_its_cards_and_memory_that_is_not_there_is_said() -> None:
    assert cuda.cards(FakeDriver()) == (CARD,)
    memory = cuda.Memory(0, FakeDriver())
    memory.buffer("latents", 1 << 20)
    with pytest.raises(DeviceLost, match=r"out of memory.*--device cpu"):
        memory.buffer("latents", 25 << 30)


@pytest.mark.usefixtures("no_card")
def test_doctor_says_what_is_there_what_is_used_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    used = {"device": "cpu", "why": choice.NO_CARD, "told": [], "profile": "best: full precision"}
    assert found["used"] == used and found["faster"] == ["--profile fast, a little less exact"]
    assert main(["doctor"]) == 0
    told = capsys.readouterr().out
    assert f"used           cpu: {choice.NO_CARD}" in told
    assert "--profile fast, a little less exact; there is no NVIDIA card that could do more" in told
    for name in ("ONNX Runtime", "its plug-in", "TensorRT-RTX", "TensorRT", "torch", "torch-tensorrt"):
        assert f"\n{name:15}" in told
    assert main(["doctor", "--json", "--profile", "fast"]) == 0
    assert json.loads(capsys.readouterr().out)["faster"] == []


@pytest.mark.usefixtures("card")
def test_doctor_tells_the_commands_that_would_make_use_of_a_card(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["doctor", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["faster"]
    assert steps[0] == "pip install 'stemwright[tensorrt-rtx]'" and steps[-1] == "stemwright export plan"
    monkeypatch.setattr(cuda, "cards", lambda: (cuda.Card(0, "H200", "SM90", 141 << 30, 132),))
    assert main(["doctor", "--json"]) == 0
    steps = json.loads(capsys.readouterr().out)["faster"]
    assert steps[0] == "pip install 'stemwright[tensorrt]'"
    assert steps[-1] == "stemwright export plan --builder tensorrt"


@pytest.mark.usefixtures("card")
def test_doctor_builds_nothing_and_says_that_a_plan_is_out_of_date(
    network: choice.Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    api = with_plan(network, monkeypatch)
    right = plans.fetch(next(plans.plans_folder().glob("*.plan"))).recipe
    default = modelfolder.find("default")
    older = replace(right, model=str(default.resolve()), version="1.6.0")
    plans.store(plans.plans_folder(), older, b"older", {})
    monkeypatch.setattr(subprocess, "run", None)
    assert main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["used"]["device"] == "cpu" and api.taken == []
    assert "The next job does" in found["used"]["why"] and "stemwright export plan" in found["used"]["why"]


@pytest.mark.usefixtures("no_card")
def test_doctor_ends_with_the_code_of_what_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "tensorrt"]) == DeviceLost.exit_code
    assert "no NVIDIA card" in capsys.readouterr().out
