"""Plans really built by TensorRT-RTX, with no card at hand; none is executed."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="export needs the [export] extra")

import onnx
from onnx import TensorProto, helper, numpy_helper

from stemwright.engine import modelfolder
from stemwright.engine.errors import BadInput, DeviceLost, MissingExtra, ModelDamaged
from stemwright.engine.manifest import read_manifest
from stemwright.engine.runtimes import choice, cuda, golden, plans, tensorrt
from stemwright.engine.runtimes.ort import Graph
from stemwright.export import plan
from stemwright.export.narrow import narrowed, rounded, weight_names

try:
    RTX = tensorrt.open_api("tensorrt_rtx")
except MissingExtra as error:
    RTX = None  # type: ignore[assignment]
    WHY = str(error)
else:
    WHY = ""

needs_rtx = pytest.mark.skipif(RTX is None, reason=WHY or "TensorRT-RTX is here")


def product(weight: np.ndarray) -> onnx.ModelProto:
    """y = x @ weight, (B, 2) → (B, 2)"""
    nodes = [helper.make_node("MatMul", ["x", "enter.weight"], ["y"])]
    ports = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["B", 2]) for name in "xy"]
    stored = [numpy_helper.from_array(weight.astype(np.float32), "enter.weight")]
    graph = helper.make_graph(nodes, "product", ports[:1], ports[1:], stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def outcome(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    return Graph(model.SerializeToString()).run(x=x)[0]


def test_rounding_in_single_precision_gives_what_half_precision_does() -> None:
    x = np.random.default_rng(0).standard_normal((50, 2)).astype(np.float32)
    found = outcome(rounded(product(np.eye(2)), "fp16"), x)
    np.testing.assert_array_equal(found, x.astype(np.float16).astype(np.float32))
    bits = x.view(np.uint32)
    brain = ((bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    np.testing.assert_array_equal(outcome(rounded(product(np.eye(2)), "bf16"), x), brain)


def test_what_half_precision_cannot_hold_is_infinite_and_never_passes() -> None:
    huge = outcome(rounded(product(np.eye(2)), "fp16"), np.array([[70000, -1]], np.float32))
    assert not np.isfinite(huge).all()
    assert golden.cosine(huge, huge) == 0


def test_products_are_narrowed_and_single_ones_left_alone() -> None:
    kinds = [node.op_type for node in narrowed(product(np.eye(2)), "fp16").graph.node]
    assert kinds == ["Cast", "Cast", "MatMul", "Cast"]
    assert [node.op_type for node in narrowed(product(np.eye(2)), "fp16", ("enter.",)).graph.node] == [
        "MatMul"
    ]
    assert narrowed(product(np.eye(2)), "fp32") == product(np.eye(2))
    onnx.checker.check_model(narrowed(product(np.eye(2)), "bf16"), full_check=True)


def test_the_single_products_of_the_default_denoiser_are_found_by_their_weights() -> None:
    folder = modelfolder.find("default")
    whole = onnx.load(folder / "denoiser.onnx", load_external_data=False)
    names = {name.removesuffix(".half") for name in weight_names(whole.graph).values()}
    for prefix in plan.SINGLES["bandconv"]:
        assert any(name.startswith(prefix) for name in names), prefix


def test_a_precision_that_moves_the_output_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "product.onnx"
    path.write_bytes(product(np.full((2, 2), 1e5)).SerializeToString())  # beyond fp16
    recipe = recipe_of("fp16")
    with pytest.raises(ModelDamaged, match="in fp16 the cosine"):
        plan.near_enough(path, path, tmp_path, recipe)
    assert plan.near_enough(path, path, tmp_path, recipe_of("bf16")) > 0.9999


def recipe_of(precision: str) -> plans.Recipe:
    return plans.Recipe("m", "p", "w", "g", precision, (), (1, 2, 4), "b", "v", (), "s")


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (plan.Target(("SM75",), "fp32"), "Turing.*fp16 alone"),
        (plan.Target(("SM75",), "bf16"), "Turing.*fp16 alone"),
        (plan.Target(precision="int3"), "no precision"),
        (plan.Target(batch=(1, 8, 4)), "do not fit each other"),
    ],
)
def test_what_no_builder_does_is_refused_early(target: plan.Target, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        plan.settled(target, "tensorrt_rtx")


def test_this_card_needs_a_card_and_tensorrt_builds_for_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuda, "cards", tuple)
    with pytest.raises(DeviceLost, match="no NVIDIA card here to build for"):
        plan.settled(plan.Target(()), "tensorrt_rtx")
    monkeypatch.setattr(cuda, "cards", lambda: (cuda.Card(0, "H200", "SM90", 1, 1),))
    assert plan.settled(plan.Target(()), "tensorrt").cards == ("SM90",)
    with pytest.raises(BadInput, match="for the card that is here alone, not for SM89"):
        plan.settled(plan.Target(("SM89",)), "tensorrt")


@needs_rtx
@pytest.mark.parametrize("cards", [plan.PORTABLE, (plan.TURING,)])
def test_a_plan_of_the_default_denoiser_is_built_and_found_by_its_cards(
    tmp_path: Path, cards: tuple[str, ...]
) -> None:
    path = plan.build_plan("default", plan.Target(cards, "fp16"), "tensorrt_rtx", tmp_path / "plans")
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["inputs"] == {"latents": [-1, 3, 192, 80], "levels": [-1, 3], "conditions": [-1, 3, 384]}
    assert about["outputs"] == {"velocity": [-1, 3, 192, 80]}
    assert about["cosine"] > 0.9999  # measured 0.999998
    assert about["recipe"]["cards"] == list(cards) and about["recipe"]["profile"] == [1, 2, 16]
    assert about["proved"] is False and about["seconds"] > 0  # there is no card to run it on
    assert path.stat().st_size == about["bytes"] > 10e6  # the weights, in half precision

    folder = modelfolder.find("default")
    network = modelfolder.network_of(folder, read_manifest(folder))
    now = choice.wanted(network, "tensorrt_rtx", RTX.__version__, None)
    assert plans.find(path.parent, now, cards[-1]).content == path.read_bytes()


@needs_rtx
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter of torch warns of its own deprecations
def test_attention_is_built_for_turing_too_which_has_no_single_products(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch", reason="export needs the [export] extra")
    from stemwright.engine.models.bandconv import BandConv, BandConvConfig
    from stemwright.export import graph, networks

    torch.manual_seed(0)
    config = BandConvConfig(width=64, depth=4, attend_every=3)
    network = BandConv(config)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    path = graph.export_graph(network, networks.bandconv_spec(config, 80), tmp_path)
    with pytest.raises(ModelDamaged, match="builds no plan for SM75 in fp32"):
        plan.build(path, plan.Target((plan.TURING,), "fp32"), RTX)
    weights = path.with_suffix(".safetensors")
    (tmp_path / "narrow").mkdir()
    narrow = plan.prepared(path, weights, tmp_path / "narrow", "fp16", ())
    assert plan.near_enough(path, weights, tmp_path / "narrow", recipe_of("fp16")) > 0.9999
    content, ports = plan.build(narrow, plan.Target((plan.TURING,), "fp16"), RTX)
    assert content and ports.outputs == {"velocity": [-1, 3, 192, 80]}


@needs_rtx
def test_a_plan_is_made_such_that_samplings_can_be_captured_and_single_is_single() -> None:
    builder = RTX.Builder(RTX.Logger(RTX.Logger.ERROR))
    config = plan.configured(builder, {"x": [-1, 2]}, plan.Target(), RTX)
    assert config.get_flag(RTX.BuilderFlag.REQUIRE_USER_ALLOCATION)
    assert not config.get_flag(RTX.BuilderFlag.TF32)
    assert config.num_compute_capabilities == 3 and config.num_optimization_profiles == 1


@needs_rtx
def test_a_card_the_builder_does_not_know_is_refused_with_those_it_does() -> None:
    with pytest.raises(BadInput, match=r"SM89.*not for 'SM90'.*--builder tensorrt"):
        plan.capability("SM90", RTX)


@needs_rtx
def test_a_plan_whose_names_are_not_the_graphs_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "product.onnx"
    path.write_bytes(product(np.eye(2)).SerializeToString())
    content, ports = plan.build(path, plan.Target(("SM89",), "fp32"), RTX)
    assert content and ports == plan.Ports({"x": [-1, 2]}, {"y": [-1, 2]})
    logger = RTX.Logger(RTX.Logger.ERROR)
    network = RTX.Builder(logger).create_network(1 << int(RTX.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    network.add_input("z", RTX.DataType.FLOAT, (-1, 2))
    with pytest.raises(ModelDamaged, match="the plan would have"):
        plan.checked_ports(network, ports, RTX)


@needs_rtx
def test_a_graph_the_builder_does_not_read_says_why(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    with pytest.raises(ModelDamaged, match="does not read the graph"):
        plan.build(tmp_path / "broken.onnx", plan.Target(("SM89",), "fp32"), RTX)


@needs_rtx
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the exporter of torch warns of its own deprecations
@pytest.mark.parametrize("cards", [plan.PORTABLE, (plan.TURING,)])
def test_the_official_design_is_built_for_the_same_cards(tmp_path: Path, cards: tuple[str, ...]) -> None:
    torch = pytest.importorskip("torch", reason="export needs the [export] extra")
    from stemwright.engine.models.dit import Dit, DitConfig
    from stemwright.export import graph, networks

    torch.manual_seed(0)
    config = DitConfig(latent_channels=8, condition_width=16, width=96, depth=2, heads=4, level_features=16)
    network = Dit(config)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    path = graph.export_graph(network, networks.dit_spec(config, 80), tmp_path)
    weights = path.with_suffix(".safetensors")
    singles = () if plan.TURING in cards else plan.SINGLES["dit"]
    (tmp_path / "narrow").mkdir()
    narrow = plan.prepared(path, weights, tmp_path / "narrow", "fp16", singles)
    assert plan.near_enough(path, weights, tmp_path / "narrow", recipe_of("fp16")) > 0.9999
    content, ports = plan.build(narrow, plan.Target(cards, "fp16"), RTX)
    assert content and ports.inputs == {
        "latents": [-1, 3, 8, 80],
        "levels": [-1, 3],
        "conditions": [-1, 3, 16],
    }


@pytest.fixture
def official(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Path]:
    """A small model of the official kind, imported with its weights in a precision."""
    pytest.importorskip("torch", reason="import needs the [export] extra")
    from stemwright.export.importing import Request, import_model
    from tests.export.official import SMALL, checkpoint, saved

    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path / "models"))
    file = saved(checkpoint(), tmp_path / "unwrapped_DiT.ckpt")
    return lambda precision: import_model(Request(file, SMALL, precision=precision))


@pytest.mark.parametrize("stored", ["fp32", "fp16", "bf16"])
def test_weights_of_an_official_model_are_no_ports_of_its_graph(
    official: Callable[[str], Path], stored: str
) -> None:
    ports = plan.ports_of(plan.read(official(stored) / "denoiser.onnx"))
    assert ports.inputs == {"latents": [-1, 3, 4, 12], "levels": [-1, 3], "modulation": [-1, 2, 6, 48]}
    assert ports.outputs == {"velocity": [-1, 3, 4, 12]}


@needs_rtx
@pytest.mark.parametrize("stored", ["fp32", "fp16"])
def test_a_plan_of_an_official_model_is_built(
    official: Callable[[str], Path], stored: str, tmp_path: Path
) -> None:
    target = plan.Target(("SM89",), "fp16")
    path = plan.build_plan(official(stored), target, "tensorrt_rtx", tmp_path / "plans")
    about = json.loads(path.with_suffix(".json").read_text())
    assert list(about["inputs"]) == ["latents", "levels", "modulation"]
    assert about["cosine"] > 0.99999  # measured 0.9999996 and 0.9999997
