"""The fast profile of an imported model: products in 8 bits by blocks, of weights that stay in their file."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="import needs the [export] extra")
onnx = pytest.importorskip("onnx", reason="import needs the [export] extra")

from stemwright.engine.modelfolder import Model, open_model  # noqa: E402
from stemwright.engine.runtimes import onnxfile, profiles  # noqa: E402
from stemwright.engine.runtimes.blockwise import BLOCK, in_blocks  # noqa: E402
from stemwright.engine.runtimes.golden import cosine  # noqa: E402
from stemwright.engine.runtimes.onnxfile import Node  # noqa: E402
from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.engine.runtimes.quantise import quantised, rewritten  # noqa: E402
from stemwright.export.importing import Request, import_model  # noqa: E402
from tests.export.official import SMALL, checkpoint, saved  # noqa: E402

WIDE = replace(
    SMALL,
    name="wide",
    denoiser=replace(SMALL.denoiser, width=384, depth=3, heads=12, feedforward_multiple=2),
)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return saved(checkpoint(WIDE), tmp_path_factory.mktemp("checkpoint") / "unwrapped_DiT.ckpt")


@pytest.fixture(autouse=True)
def places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models and verdicts of our own; so small a network is only just near enough."""
    monkeypatch.setattr(profiles, "NEAREST", 0.99)
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(profiles, "own_folder", lambda kind: tmp_path / kind)


def step(level: float = 1.0) -> list[np.ndarray]:
    noise = np.random.default_rng(5)
    latents = noise.standard_normal((2, 3, 4, WIDE.window), np.float32)
    return [latents, np.array([[0, level, level]] * 2, np.float32), noise.random((2, 3, 8), np.float32)]


def opened(folder: Path, profile: str) -> Model:
    return open_model(folder, threads=1, device="cpu", profile=profile)


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16"])
def test_the_fast_profile_of_an_imported_model_comes_near_the_best(file: Path, precision: str) -> None:
    folder = import_model(Request(file, WIDE, precision=precision))
    fast, best = opened(folder, "fast"), opened(folder, "best")
    assert fast.told == []
    for level in (1.0, 0.05):
        one, other = (model.denoiser(*step(level)) for model in (fast, best))
        assert cosine(one, other) > 0.998  # measured 0.9992 to 0.9995
        assert not np.array_equal(one, other)


def test_all_products_but_the_first_sixth_and_the_ways_in_and_out_are_in_8_bits(file: Path) -> None:
    path = import_model(Request(file, WIDE)) / "denoiser.onnx"
    made, count = rewritten(onnxfile.read(path))
    kinds = [node.kind for node in made.nodes]
    products = 4 * WIDE.denoiser.depth
    assert count == kinds.count("MatMulNBits") == products - products // 6
    assert kinds.count("Gemm") == products // 6 + 2
    content, _, is_for_low = quantised(path)
    assert is_for_low
    assert len(content) < path.with_name("denoiser.safetensors").stat().st_size


def test_half_the_size_on_disk_is_no_more_an_input_in_8_bits(file: Path) -> None:
    path = import_model(Request(file, WIDE, precision="fp16")) / "denoiser.onnx"
    assert Graph(quantised(path).content).inputs == ("latents", "levels", "modulation")


def test_a_product_by_blocks_is_near_the_product_and_what_is_loud_costs_its_own_block_alone(
    tmp_path: Path,
) -> None:
    noise = np.random.default_rng(1)
    weight, bias = (noise.standard_normal(shape).astype(np.float32) for shape in ((2 * BLOCK, 40), (40,)))
    weight[:BLOCK] = 0
    x = noise.standard_normal((7, 2 * BLOCK)).astype(np.float32)
    x[3, 0] = 1000
    node, constants = in_blocks(Node("Gemm", ("x", "weight", "bias"), ("y",)), weight)
    assert node.inputs[-1] == "bias" and constants["y.whole"].dtype == np.uint8
    found = alone(node, {**constants, "bias": bias}, tmp_path / "empty.onnx").run(x=x)[0]
    expected = x @ weight + bias
    assert np.abs(found - expected).max() < 0.03 * np.abs(expected).max()  # measured 0.012


def alone(node: Node, constants: dict[str, onnxfile.Constant], path: Path) -> Graph:
    """A graph of this node."""
    from onnx import TensorProto, helper

    ports = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["M", size])
        for name, size in (("x", 2 * BLOCK), ("y", 40))
    ]
    graph = helper.make_graph([], "one", ports[:1], ports[1:])
    empty = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    path.write_bytes(empty.SerializeToString())
    return Graph(onnxfile.written(replace(onnxfile.read(path), nodes=(node,), constants=constants)))
