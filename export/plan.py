"""ONNX graph → TensorRT plan, by either Python API: `tensorrt` for any card, `tensorrt_rtx` for GeForce, RTX.

TensorRT-RTX builds with no card at hand and for several at once; TensorRT builds for the card it runs on, and
so does `torch_tensorrt`, the second way to a TensorRT plan (`torch_plan`).
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from stemwright.engine import modelfiles, modelfolder
from stemwright.engine.errors import BadInput, DeviceLost, ModelDamaged
from stemwright.engine.runtimes import cuda, plans, tensorrt
from stemwright.engine.runtimes.choice import wanted
from stemwright.engine.runtimes.golden import NEAREST, check_golden, nearness
from stemwright.engine.runtimes.ort import Graph
from stemwright.export.narrow import SINGLES, checked, narrowed, rounded

if TYPE_CHECKING:
    from onnx import ModelProto

PORTABLE = ("SM86", "SM89", "SM120")  # Ampere, Ada and Blackwell in one plan
TURING = "SM75"
TORCH = "torch_tensorrt"
CASES = 4


@dataclass(frozen=True)
class Target:
    """What a plan is built for.

    cards      compute capabilities; () is the card that is here
    precision  of its matrix products: "fp32", "fp16" or "bf16"
    batch      at least, usually, at most; larger ones are done in parts
    """

    cards: tuple[str, ...] = PORTABLE
    precision: str = "fp16"
    batch: tuple[int, int, int] = (1, 2, 16)


@dataclass(frozen=True)
class Ports:
    """Names and axes of a graph's inputs and outputs, −1 where free."""

    inputs: dict[str, list[int]]
    outputs: dict[str, list[int]]


def build_plan(model: str | Path, target: Target, builder: str, folder: Path | None = None) -> Path:
    """The plan of a model's denoiser, with its manifest, in the cache; → its path.

    raises  ModelDamaged if the target's precision moves the output too far, or the builder's names and axes
            are not the graph's; PlanRefused if it can be run here and computes something else. Nothing is
            left then
    """
    api = tensorrt.open_api(flavour_of(builder))
    tools = torch_tools() if builder == TORCH else ()
    target = settled(target, builder)
    where = modelfolder.find(model)
    manifest = modelfiles.verify(where)
    network = modelfolder.network_of(where, manifest)
    if network.graph is None or network.weights is None:
        raise BadInput(f"{where}: has no graph to build from. Make one: stemwright export graph")
    is_mixed = TURING not in target.cards and target.precision != "fp32"
    singles = SINGLES[manifest.denoiser["kind"]] if is_mixed else ()
    now: dict[str, Any] = wanted(network, builder, api.__version__, next(iter(cuda.cards()), None))
    recipe = plans.Recipe(
        **now,
        precision=target.precision,
        singles=singles,
        profile=target.batch,
        cards=target.cards,
        tools=tools,
    )
    begin = time.monotonic()
    with TemporaryDirectory(prefix="stemwright-plan-") as place:
        graph = prepared(network.graph, network.weights, Path(place), target.precision, singles)
        nearness = near_enough(network.graph, network.weights, Path(place), recipe)
        if builder == TORCH:
            content, ports = by_torch(where, recipe, ports_of(read(network.graph)))
        else:
            content, ports = build(graph, target, api)
    about = {
        "inputs": ports.inputs,
        "outputs": ports.outputs,
        "cosine": nearness,
        "seconds": round(time.monotonic() - begin, 1),
        "proved": proved(plans.Plan(recipe, content, {}), ports, network.graph, api),
    }
    return plans.store(folder or plans.plans_folder(), recipe, content, about)


def flavour_of(builder: str) -> str:
    """The API that runs a builder's plans."""
    return next(name for name, flavour in tensorrt.FLAVOURS.items() if builder in flavour.builders)


def torch_tools() -> tuple[str, ...]:
    from stemwright.export import torch_plan

    return torch_plan.tools(torch_plan.open_api())


def by_torch(model: Path, recipe: plans.Recipe, ports: Ports) -> tuple[bytes, Ports]:
    """torch-tensorrt's plan of the same network, from its weights; it numbers its outputs."""
    from stemwright.export import networks, torch_plan

    network, spec = networks.folders_denoiser(model)
    content = torch_plan.build(
        network.cuda(), spec, recipe.profile, recipe.precision, recipe.singles, torch_plan.open_api()
    )
    return content, Ports(ports.inputs, {f"output{n}": axes for n, axes in enumerate(ports.outputs.values())})


def proved(plan: plans.Plan, ports: Ports, graph: Path, api: Any) -> bool:
    """Whether it was run on a card that is here; PlanRefused where it computes something else than the graph.

    The bytes are loaded again as a job would load them.
    """
    card = next((card for card in cuda.cards() if card.capability in plan.recipe.cards), None)
    if card is None:
        return False
    loaded = tensorrt.PlanGraph(plan, api, cuda.Memory(card.number))
    if (set(loaded.inputs), set(loaded.outputs)) != (set(ports.inputs), set(ports.outputs)):
        raise ModelDamaged(
            f"{loaded.name}: takes {loaded.inputs} and gives {loaded.outputs}. Export it again."
        )
    check_golden(loaded, Graph(graph), ports.inputs)
    return True


def settled(target: Target, builder: str) -> Target:
    """The target with its cards named; what no builder can do is refused here."""
    checked(target.precision)
    cards = target.cards
    if not cards:
        here = cuda.cards()
        if not here:
            raise DeviceLost("there is no NVIDIA card here to build for. Name one, e.g. --cards SM89")
        cards = (here[0].capability,)
    if TURING in cards and target.precision != "fp16":
        raise BadInput(f"cards of {TURING} (Turing) take fp16 alone. Choose --precision fp16.")
    least, usual, most = target.batch
    if not 1 <= least <= usual <= most:
        raise BadInput(f"batches of at least {least}, usually {usual}, at most {most} do not fit each other.")
    if builder != "tensorrt_rtx" and cards != tuple(card.capability for card in cuda.cards()[:1]):
        raise BadInput(
            f"TensorRT builds for the card that is here alone, not for {', '.join(cards)}. "
            "Choose --cards this, or --builder tensorrt_rtx."
        )
    return Target(cards, target.precision, target.batch)


def prepared(graph: Path, weights: Path, folder: Path, precision: str, singles: Sequence[str]) -> Path:
    """The narrowed graph with its weights beside it."""
    shutil.copyfile(weights, folder / weights.name)
    return written(narrowed(read(graph), precision, singles), folder / "narrowed.onnx")


def read(graph: Path) -> ModelProto:
    import onnx

    return onnx.load(graph, load_external_data=False)


def written(graph: ModelProto, path: Path) -> Path:
    path.write_bytes(graph.SerializeToString())
    return path


def near_enough(graph: Path, weights: Path, folder: Path, recipe: plans.Recipe) -> float:
    """Least cosine between the outputs in the plan's precision and in single, on the processor."""
    whole = read(graph)
    narrow = Graph(written(rounded(whole, recipe.precision, recipe.singles), folder / "rounded.onnx"))
    least = nearness(narrow, Graph(graph), ports_of(whole).inputs, CASES)
    if not least >= NEAREST:
        raise ModelDamaged(
            f"{graph.name}: in {recipe.precision} the cosine with its own output is {least:.5f}, less than "
            f"{NEAREST}. Choose another --precision."
        )
    return least


def ports_of(graph: ModelProto) -> Ports:
    """What an ONNX graph says of itself. Inputs with a stored value (weights in half precision) are none."""
    stored = {tensor.name for tensor in graph.graph.initializer}

    def axes(entries: Any) -> dict[str, list[int]]:
        return {
            entry.name: [
                -1 if axis.dim_param else int(axis.dim_value) for axis in entry.type.tensor_type.shape.dim
            ]
            for entry in entries
            if entry.name not in stored
        }

    return Ports(axes(graph.graph.input), axes(graph.graph.output))


def build(graph: Path, target: Target, api: Any) -> tuple[bytes, Ports]:
    """A strongly typed plan of the graph's file, with one profile of batches; → its bytes and ports."""
    logger = api.Logger(api.Logger.ERROR)
    builder = api.Builder(logger)
    typed = getattr(api.NetworkDefinitionCreationFlag, "STRONGLY_TYPED", None)  # TensorRT 11 has no other way
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = api.OnnxParser(network, logger)
    if not parser.parse_from_file(str(graph)):
        told = "; ".join(str(parser.get_error(place)) for place in range(parser.num_errors))
        raise ModelDamaged(f"TensorRT {api.__version__} does not read the graph: {told[:300]}")
    ports = checked_ports(network, ports_of(read(graph)), api)
    config = configured(builder, ports.inputs, target, api)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ModelDamaged(
            f"TensorRT {api.__version__} builds no plan for {', '.join(target.cards)} in {target.precision}; "
            "what it wrote to the terminal says why. Choose another --precision or other --cards."
        )
    return bytes(plan), ports


def configured(builder: Any, inputs: Mapping[str, Sequence[int]], target: Target, api: Any) -> Any:
    """One profile for the free axis, the cards, and single precision that is really single."""
    config = builder.create_builder_config()
    config.clear_flag(api.BuilderFlag.TF32)
    own_memory = getattr(api.BuilderFlag, "REQUIRE_USER_ALLOCATION", None)
    if own_memory is not None:  # TensorRT-RTX: without it a sampling cannot be captured as a CUDA graph
        config.set_flag(own_memory)
    if hasattr(config, "set_compute_capability"):
        config.num_compute_capabilities = len(target.cards)
        for place, card in enumerate(target.cards):
            config.set_compute_capability(capability(card, api), place)
    profile = builder.create_optimization_profile()
    for name, axes in inputs.items():
        profile.set_shape(name, *([size if axis < 0 else axis for axis in axes] for size in target.batch))
    config.add_optimization_profile(profile)
    return config


def capability(card: str, api: Any) -> Any:
    known = [name for name in dir(api.ComputeCapability) if name.startswith("SM")]
    if card not in known:
        raise BadInput(
            f"TensorRT-RTX {api.__version__} builds for {', '.join(known)}, not for {card!r}. "
            "Data-centre cards need: --builder tensorrt"
        )
    return getattr(api.ComputeCapability, card)


def checked_ports(network: Any, expected: Ports, api: Any) -> Ports:
    """What the builder understood, held against the graph: names, axes, and single precision at the door."""
    sides = []
    for count, get in ((network.num_inputs, network.get_input), (network.num_outputs, network.get_output)):
        tensors = [get(place) for place in range(count)]
        if any(tensor.dtype != api.DataType.FLOAT for tensor in tensors):
            raise ModelDamaged(
                "the plan would take or give other numbers than float32. Export the graph again."
            )
        sides.append({tensor.name: [int(axis) for axis in tensor.shape] for tensor in tensors})
    found = Ports(*sides)
    if found != expected:
        raise ModelDamaged(f"the plan would have {found}; the graph has {expected}. Export it again.")
    return found
