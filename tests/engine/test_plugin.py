"""TensorRT-RTX inside ONNX Runtime, and CUDA there. No card: the plug-in's package is a fake that names the
processor's own provider, so that everything after its name is ONNX Runtime's real interface.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

onnxruntime = pytest.importorskip("onnxruntime")

from stemwright.engine.errors import DeviceLost, MissingExtra, ModelDamaged, PlanRefused  # noqa: E402
from stemwright.engine.runtimes import choice, cuda, ort, plugin, tensorrt  # noqa: E402
from stemwright.engine.runtimes.eager import EagerDenoiser  # noqa: E402
from tests.engine.tiny_graph import denoiser  # noqa: E402

CARD = cuda.Card(0, "GeForce RTX 4090", "SM89", 24 << 30, 128)
LATENTS = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
LEVELS, CONDITIONS = np.ones((2, 3), np.float32), np.zeros((2, 3, 7), np.float32)

needs_plugins = pytest.mark.skipif(
    not hasattr(onnxruntime, "get_ep_devices"), reason="this ONNX Runtime takes no plug-in providers"
)


class Package:
    """The plug-in's package, but for whose provider it names."""

    def __init__(self, name: str) -> None:
        self.name = name

    def get_ep_name(self) -> str:
        return self.name

    def get_library_path(self) -> Path:
        return Path("/no/such/library.so")


@pytest.fixture
def plugged(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """A package that is installed, and a library that loads; what was registered."""
    seen: list[str] = []
    plugin._register.cache_clear()
    monkeypatch.setattr(plugin, "_package", lambda: Package("CPUExecutionProvider"))
    monkeypatch.setattr(
        onnxruntime, "register_execution_provider_library", lambda name, path: seen.append(name)
    )
    return seen


@pytest.fixture
def network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> choice.Network:
    """On a machine with a card, and nothing else that could use it."""
    monkeypatch.setattr(cuda, "cards", lambda: (CARD,))
    monkeypatch.setattr(tensorrt, "installed", dict)
    monkeypatch.setattr(ort, "has_cuda", lambda: False)
    monkeypatch.setattr(choice, "is_in_torch", lambda: False)
    path = tmp_path / "denoiser.onnx"
    path.write_bytes(denoiser())

    def eager() -> EagerDenoiser:
        raise AssertionError("torch was not asked for")

    return choice.Network(tmp_path, path, path, ("a", "b"), eager)


@needs_plugins
def test_a_plugged_in_provider_is_registered_once_and_serves_where_there_is_no_plan(
    plugged: list[str], network: choice.Network
) -> None:
    for device in ("auto", "tensorrt"):
        opened = choice.open_denoiser(network, device)
        assert opened.device == "tensorrt" and opened.told == []
        np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)
    assert plugged == ["CPUExecutionProvider"]


@needs_plugins
def test_a_plug_in_whose_library_does_not_start_is_no_crash(
    monkeypatch: pytest.MonkeyPatch, network: choice.Network
) -> None:
    plugin._register.cache_clear()
    monkeypatch.setattr(plugin, "_package", lambda: Package("NvTensorRTRTXExecutionProvider"))
    with pytest.raises(DeviceLost, match=r"does not start here.*--device cpu"):
        ort.Graph(denoiser(), device=ort.RTX)
    opened = choice.open_denoiser(network, "auto")
    assert opened.device == "cpu" and "plug-in does not serve" in opened.why
    with pytest.raises(MissingExtra, match=r"plug-in does not serve instead.*does not start"):
        choice.open_denoiser(network, "tensorrt")


@needs_plugins
def test_a_plug_in_that_knows_no_card_says_so(plugged: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnxruntime, "get_ep_devices", list)
    with pytest.raises(DeviceLost, match="knows no card here"):
        ort.Graph(denoiser(), device=ort.RTX)


def test_without_the_package_its_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, plugin.PACKAGE, None)
    with pytest.raises(MissingExtra, match="pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"):
        plugin.provider()
    assert not plugin.is_installed()
    monkeypatch.setattr(plugin, "_package", lambda: Package("any"))
    monkeypatch.delattr(onnxruntime, "get_ep_devices", raising=False)
    with pytest.raises(MissingExtra, match="pip install --upgrade onnxruntime"):
        plugin.devices()


class Session:
    """ONNX Runtime with CUDA as far as `ort.Graph` uses it: the processor's real session, by its name."""

    def __init__(self, source: Any, options: Any, providers: list[str] | None = None) -> None:
        self.inner = REAL(source, options, providers=["CPUExecutionProvider"])
        self.name = (providers or ["?"])[0]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get_providers(self) -> list[str]:
        return [self.name]

    def run(self, *arguments: Any) -> Any:
        if self.name.startswith("CUDA") and FAULT.words:
            raise RuntimeError(FAULT.words)
        factor = -1 if self.name.startswith("CUDA") and FAULT.is_wrong else 1
        return [factor * array for array in self.inner.run(*arguments)]


REAL = onnxruntime.InferenceSession
FAULT = SimpleNamespace(words="", is_wrong=False)


@pytest.fixture
def with_cuda(monkeypatch: pytest.MonkeyPatch, network: choice.Network) -> choice.Network:
    monkeypatch.setattr(ort, "has_cuda", lambda: True)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    monkeypatch.setattr(FAULT, "words", "")
    monkeypatch.setattr(FAULT, "is_wrong", False)
    return network


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("CUDA failure 2: out of memory ; GPU=0", "the graphics card is out of memory. Close what else"),
        (
            "BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 1073741824",
            "the graphics card is out of memory. Close what else",
        ),
        ("CUDA failure 719: unspecified launch failure", "the graphics card failed (CUDA failure 719"),
    ],
)
def test_cuda_that_fails_or_has_no_memory_left_costs_a_remark_not_the_job(
    with_cuda: choice.Network, monkeypatch: pytest.MonkeyPatch, words: str, told: str
) -> None:
    opened = choice.open_denoiser(with_cuda, "auto")
    assert opened.device == "cuda"
    np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)
    monkeypatch.setattr(FAULT, "words", words)
    for _ in range(2):
        np.testing.assert_array_equal(opened.denoiser(LATENTS, LEVELS, CONDITIONS), -LATENTS)
    assert len(opened.told) == 1 and told in opened.told[0]


def test_cuda_that_has_no_memory_when_it_is_opened_is_left_aside(
    with_cuda: choice.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: Any, options: Any, providers: list[str] | None = None) -> Any:
        if (providers or [""])[0].startswith("CUDA"):
            raise RuntimeError("CUDA failure 2: out of memory")
        return REAL(source, options, providers=providers)

    monkeypatch.setattr(onnxruntime, "InferenceSession", full)
    opened = choice.open_denoiser(with_cuda, "auto")
    assert opened.device == "cpu" and "out of memory" in opened.why
    with pytest.raises(DeviceLost, match="out of memory"):
        choice.open_denoiser(with_cuda, "cuda")


def test_cuda_that_computes_something_else_is_refused(
    with_cuda: choice.Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FAULT, "is_wrong", True)
    with pytest.raises(PlanRefused, match=r"a cosine of -1\.0000"):
        choice.open_denoiser(with_cuda, "cuda")
    assert choice.open_denoiser(with_cuda, "auto").device == "cpu"


def test_arrays_that_are_wrong_are_not_blamed_on_the_card(with_cuda: choice.Network) -> None:
    assert with_cuda.graph is not None
    graph = ort.Graph(with_cuda.graph, 1, "cuda")
    with pytest.raises(ModelDamaged, match="does not run on latents"):
        graph.run(latents=LATENTS[0], levels=LEVELS, conditions=CONDITIONS)
