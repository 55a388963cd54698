"""Graphs on ONNX Runtime and networks on torch, behind one contract."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.errors import BadJob, MissingExtra, ModelDamaged, ModelTooNew
from stemwright.engine.runtimes.eager import EagerDenoiser, best_device, open_network
from stemwright.engine.runtimes.graphs import GraphDenoiser
from stemwright.engine.runtimes.ort import Graph
from tests.engine.tiny_graph import denoiser, vocoder

LATENTS = np.random.default_rng(0).standard_normal((2, 3, 4, 5)).astype(np.float32)
LEVELS, CONDITIONS = np.ones((2, 3), np.float32), np.zeros((2, 3, 7), np.float32)


def test_a_graph_runs_by_name_from_bytes_and_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "tiny.onnx").write_bytes(denoiser())
    for source in (denoiser(), tmp_path / "tiny.onnx"):
        graph = Graph(source)
        assert graph.inputs == ("latents", "levels", "conditions") and graph.outputs == ("velocity",)
        (velocity,) = graph.run(latents=LATENTS, levels=LEVELS, conditions=CONDITIONS)
        np.testing.assert_array_equal(velocity, -LATENTS)


def test_a_graph_that_is_none_is_damaged_and_named(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(denoiser()[:-20])
    with pytest.raises(ModelDamaged, match=r"broken\.onnx: ONNX Runtime .* cannot load it"):
        Graph(tmp_path / "broken.onnx")


def test_a_denoiser_takes_any_layout_and_width_of_number() -> None:
    run = GraphDenoiser(Graph(denoiser()))
    strided = np.asarray(np.swapaxes(np.swapaxes(LATENTS, 2, 3).copy(), 2, 3), np.float64)
    np.testing.assert_array_equal(run(strided, LEVELS, CONDITIONS), -LATENTS)


def test_a_graph_of_another_kind_is_no_denoiser() -> None:
    with pytest.raises(ModelDamaged, match="a denoiser takes latents, levels and conditions"):
        GraphDenoiser(Graph(vocoder()))


def test_a_graph_given_wrong_shapes_says_which() -> None:
    with pytest.raises(ModelDamaged, match=r"latents \(2, 2\)"):
        Graph(vocoder()).run(latents=np.zeros((2, 2), np.float32))


def test_a_torch_network_answers_like_its_own_forward() -> None:
    torch = pytest.importorskip("torch", reason="needs the train extra")

    class Scaled(torch.nn.Module):  # type: ignore[name-defined, misc]
        def forward(self, latents, levels, conditions):  # type: ignore[no-untyped-def]
            return latents * levels[:, :, None, None] + conditions.sum()

    velocity = EagerDenoiser(Scaled())(LATENTS, LEVELS / 2, CONDITIONS)
    np.testing.assert_array_equal(velocity, LATENTS / 2)
    assert velocity.dtype == np.float32


def test_a_network_without_torch_tells_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"pip install 'stemwright\[export\]'"):
        open_network("bandconv", {}, Path("model.safetensors"))


def test_a_network_of_an_unknown_kind_needs_a_newer_stemwright() -> None:
    with pytest.raises(ModelTooNew, match="hypernet"):
        open_network("hypernet", {}, Path("model.safetensors"))


def test_weights_that_do_not_fit_the_network_are_damaged(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs the train extra")
    (tmp_path / "model.safetensors").write_bytes(b"not a tensor")
    with pytest.raises(ModelDamaged, match=r"model\.safetensors"):
        open_network("bandconv", {"width": 8, "depth": 1}, tmp_path / "model.safetensors")
    with pytest.raises(ModelTooNew, match="gates"):
        open_network("bandconv", {"gates": 8}, tmp_path / "model.safetensors")


def test_auto_is_the_processor_and_an_absent_device_is_refused() -> None:
    assert best_device("auto") == best_device("cpu") == "cpu"
    pytest.importorskip("torch", reason="needs the train extra")
    with pytest.raises(BadJob, match="tpu"):
        best_device("tpu")


def test_the_engine_is_imported_without_torch_and_without_any_runtime() -> None:
    code = (
        "import sys, stemwright.engine.engine as e; "
        "print([n for n in ('torch', 'onnxruntime', 'soundfile', 'soxr', 'tokenizers') if n in sys.modules])"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert answer.stdout.strip() == "[]"


def test_a_graph_leaves_the_caller_s_arithmetic_as_it_was() -> None:
    """Whoever opens a model in their program keeps small numbers: ONNX Runtime can flush them to zero."""
    lines = (
        "from stemwright.engine.runtimes.ort import Graph",
        "from tests.engine.tiny_graph import denoiser",
        "Graph(denoiser())",
        "print(5e-324 * 1.0)",
    )
    said = subprocess.run(
        [sys.executable, "-c", "\n".join(lines)], capture_output=True, text=True, check=True
    )
    assert said.stdout.strip() == "5e-324"
