"""The second builder, torch-tensorrt. It needs CUDA, so here it is a fake that takes what the documented call
takes and nothing else; the program it is handed is really run, on the processor.
"""

import inspect
import json
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs the [export] extra")
pytest.importorskip("onnx", reason="export needs the [export] extra")

from stemwright.engine import modelfolder  # noqa: E402
from stemwright.engine.cli import main  # noqa: E402
from stemwright.engine.errors import MissingExtra, ModelDamaged, PlanRefused  # noqa: E402
from stemwright.engine.models.bandconv import BandConv, BandConvConfig  # noqa: E402
from stemwright.engine.models.dit import Dit, DitConfig  # noqa: E402
from stemwright.engine.runtimes import cuda, plans, tensorrt  # noqa: E402
from stemwright.engine.runtimes.golden import cosine  # noqa: E402
from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.export import plan, torch_plan  # noqa: E402
from stemwright.export.narrow import SINGLES  # noqa: E402
from stemwright.export.parity import sample  # noqa: E402
from stemwright.export.spec import GraphSpec, denoiser_spec  # noqa: E402
from tests.engine.fake_card import FakeCard, FakeEngine, api_of  # noqa: E402

CARD = cuda.Card(0, "H200", "SM90", 141 << 30, 132)
# torch-tensorrt 2.13.0: what dynamo.convert_exported_program_to_serialized_trt_engine takes by name
NAMED = (
    "arg_inputs kwarg_inputs device disable_tf32 assume_dynamic_shape_support sparse_weights "
    "engine_capability num_avg_timing_iters workspace_size dla_sram_size dla_local_dram_size "
    "dla_global_dram_size truncate_double require_full_compilation min_block_size torch_executed_ops "
    "torch_executed_modules pass_through_build_failures max_aux_streams version_compatible "
    "optimization_level use_python_runtime use_fast_partitioner enable_experimental_decompositions dryrun "
    "hardware_compatible timing_cache_path lazy_engine_init cache_built_engines reuse_cached_engines "
    "engine_cache_dir engine_cache_size custom_engine_cache use_fp32_acc refit_identical_engine_weights "
    "strip_engine_weights immutable_weights enable_weight_streaming tiling_optimization_level "
    "l2_limit_for_tiling offload_module_to_cpu use_distributed_mode_trace decompose_attention "
    "attn_bias_is_causal"
).split()
KIND = inspect.Parameter.KEYWORD_ONLY
CONVERT = inspect.Signature(
    [inspect.Parameter("exported_program", inspect.Parameter.POSITIONAL_OR_KEYWORD)]
    + [inspect.Parameter(name, KIND, default=None) for name in NAMED]
)
INPUT = ("min_shape", "opt_shape", "max_shape", "dtype", "name")


class FakeTorchTensorRT:
    """torch-tensorrt as far as it is called. Keeps what it was given; gives a name for a plan."""

    __version__ = "2.13.0"

    def __init__(self, error: Exception | None = None) -> None:
        self.error, self.given = error, {}  # type: ignore[var-annotated]
        self.dynamo = SimpleNamespace(convert_exported_program_to_serialized_trt_engine=self.convert)

    def Input(self, **named: Any) -> dict[str, Any]:  # noqa: N802 (theirs)
        assert set(named) <= set(INPUT)
        return named

    def convert(self, *arguments: Any, **named: Any) -> bytes:
        self.given = CONVERT.bind(*arguments, **named).arguments
        if self.error:
            raise self.error
        assert Path(self.given["engine_cache_dir"]).is_dir()
        return b"a plan of torch-tensorrt"


def shaken(network: Any) -> Any:
    torch.manual_seed(0)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return network.eval()


def band_network() -> tuple[Any, GraphSpec]:
    return shaken(BandConv(BandConvConfig(width=32, depth=2, attend_every=1))), denoiser_spec(3, 192, 16, 384)


def transformer() -> tuple[Any, GraphSpec]:
    sizes = DitConfig(latent_channels=4, condition_width=6, width=24, depth=1, heads=4, level_features=8)
    return shaken(Dit(sizes)), denoiser_spec(3, 4, 16, 6)


@pytest.mark.parametrize(
    ("kind", "made", "precision"),
    [("dit", transformer, precision) for precision in ("fp32", "fp16", "bf16")]
    + [("bandconv", band_network, "fp16")],
)
def test_the_program_computes_what_the_network_does_for_any_batch(
    kind: str, made: Any, precision: str
) -> None:
    network, spec = made()
    program = torch_plan.program(network, spec, (1, 2, 16), precision, SINGLES[kind])
    inputs = sample(spec, {"B": 5})
    with torch.no_grad():
        found, expected = program.module()(*inputs), network(*inputs)
    least = {"fp32": 0.9999999, "fp16": 0.99999, "bf16": 0.9995}[precision]  # measured 1, 0.9999996, 0.99998
    assert cosine(found.numpy(), expected.numpy()) > least
    assert [node.name for node in program.graph.nodes if node.op == "placeholder"][-3:] == [
        port.name for port in spec.inputs
    ]


def test_products_are_half_and_those_of_the_levels_and_the_way_out_single() -> None:
    network, spec = transformer()
    program = torch_plan.program(network, spec, (1, 2, 16), "fp16", SINGLES["dit"])
    kinds: Counter[tuple[str, str]] = Counter()
    for node in program.graph.nodes:
        name = str(node.target).removeprefix("aten.").removesuffix(".default")
        if name in ("linear", "conv1d", "scaled_dot_product_attention"):
            kinds[name, str(node.args[0].meta["val"].dtype)] += 1
    assert kinds == {
        ("linear", "torch.float16"): 5,
        ("linear", "torch.float32"): 1,  # the way out
        ("conv1d", "torch.float16"): 4,
        ("conv1d", "torch.float32"): 3,  # two of the levels, one of the way out
        ("scaled_dot_product_attention", "torch.float16"): 1,
    }
    assert not network._forward_hooks and not any(one._forward_pre_hooks for one in network.modules())


def test_the_call_is_the_documented_one_and_keeps_out_of_their_cache() -> None:
    network, spec = transformer()
    api = FakeTorchTensorRT()
    assert torch_plan.build(network, spec, (1, 2, 16), "fp16", SINGLES["dit"], api)
    given = api.given
    assert isinstance(given["exported_program"], torch.export.ExportedProgram)
    assert given["require_full_compilation"] is True and given["immutable_weights"] is True
    assert given["cache_built_engines"] is False and given["reuse_cached_engines"] is False
    assert given["attn_bias_is_causal"] is False and given["disable_tf32"] is True
    assert Path(given["timing_cache_path"]).parent == Path(given["engine_cache_dir"])
    assert not Path(given["engine_cache_dir"]).exists()  # of this build alone
    latents, levels, conditions = given["arg_inputs"]
    assert (latents["min_shape"], latents["opt_shape"], latents["max_shape"]) == (
        [1, 3, 4, 16],
        [2, 3, 4, 16],
        [16, 3, 4, 16],
    )
    assert levels["max_shape"] == [16, 3] and conditions["max_shape"] == [16, 3, 6]
    assert latents["dtype"] == torch.float32


def test_what_it_cannot_build_is_refused_with_another_builder() -> None:
    network, spec = transformer()
    api = FakeTorchTensorRT(RuntimeError("Conversion of module not currently fully supported\nmore"))
    with pytest.raises(ModelDamaged, match=r"not currently fully supported\). Choose --builder tensorrt"):
        torch_plan.build(network, spec, (1, 2, 16), "fp32", (), api)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_cuda_the_builder_is_refused_with_its_command(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'stemwright\[tensorrt\]'"):
        torch_plan.open_api()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    with pytest.raises(MissingExtra, match=r"this builder needs: pip install 'stemwright\[tensorrt\]'"):
        torch_plan.open_api()
    for name in ("tensorrt", "tensorrt_bindings"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["export", "plan", "--builder", "torch_tensorrt"]) == MissingExtra.exit_code
    assert "pip install 'stemwright[tensorrt]'" in capsys.readouterr().err


@pytest.fixture
def built_here(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """A card and both packages, all fakes; the plan computes what the default's graph does."""
    folder = modelfolder.find("default")
    graph = Graph(folder / "denoiser.onnx")
    card = FakeCard(1 << 21)
    engine = FakeEngine(card, lambda **arrays: graph.run(**arrays)[0])
    engine.names = ("latents", "levels", "conditions", "output0")
    monkeypatch.setattr(FakeEngine, "get_tensor_mode", lambda self, name: int(name == "output0"))
    monkeypatch.setattr(cuda, "cards", lambda: (CARD,))
    monkeypatch.setattr(cuda, "Memory", lambda number: card)
    monkeypatch.setattr(tensorrt, "open_api", lambda flavour: api_of(engine))
    monkeypatch.setattr(torch_plan, "open_api", FakeTorchTensorRT)
    monkeypatch.setattr(torch.nn.Module, "cuda", lambda self: self)
    return engine


@pytest.mark.slow
def test_its_plan_is_saved_loaded_again_and_held_against_the_graph(
    built_here: FakeEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "plans"
    path = plan.build_plan("default", plan.Target((), "fp16"), "torch_tensorrt", folder)
    about = json.loads(path.with_suffix(".json").read_text())
    assert about["proved"] is True and about["outputs"] == {"output0": [-1, 3, 192, 80]}
    recipe = plans.fetch(path).recipe
    assert recipe.tools == ("torch-tensorrt 2.13.0", f"torch {torch.__version__}")
    assert (recipe.builder, recipe.device) == ("torch_tensorrt", "H200, 132 multiprocessors")
    assert plans.fetch(path).content == b"a plan of torch-tensorrt"

    built_here.network = lambda **arrays: np.zeros_like(arrays["latents"])
    ports = plan.Ports(about["inputs"], about["outputs"])
    graph = modelfolder.find("default") / "denoiser.onnx"
    with pytest.raises(PlanRefused, match=r"less than 0\.999"):
        plan.proved(plans.fetch(path), ports, graph, tensorrt.open_api("tensorrt"))
    with pytest.raises(ModelDamaged, match=r"takes .* and gives"):
        plan.proved(plans.fetch(path), plan.Ports(ports.inputs, {"v": []}), graph, tensorrt.open_api("any"))
