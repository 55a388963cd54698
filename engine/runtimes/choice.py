"""Where a model's denoiser runs: the processor, a graphics card by ONNX Runtime or by a plan, or torch.

"auto" takes the fastest that is there and says nothing of what is not; a device that is named is used or
refused with the command that would bring it. What takes the processor's place is rescued by it.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemwright.engine.contracts import Denoiser
from stemwright.engine.errors import BadJob, DeviceLost, MissingExtra, ModelDamaged, PlanRefused
from stemwright.engine.runtimes import cuda, ort, plans, plugin, rebuild, tensorrt
from stemwright.engine.runtimes.bandgraph import Sizes
from stemwright.engine.runtimes.eager import EagerDenoiser, best_device
from stemwright.engine.runtimes.golden import check_golden
from stemwright.engine.runtimes.graphs import GraphDenoiser, Rescued, Runtime
from stemwright.engine.runtimes.profiles import check_profile, computed

GRAPH_DEVICES = ("auto", "cpu", "cuda", "tensorrt")
NO_CARD = "no NVIDIA card, or no driver, is here"


@dataclass(frozen=True)
class Network:
    """A model's denoiser on disk, its files held against their hashes already.

    graph, weights  paths; None where the model has no such file
    hashes          sha256 of both, as in the model's manifest
    eager           opens the network in torch
    modulation      path of the graph whose output the denoiser's takes in the conditions' place, if one does
    sizes           of a compact denoiser, which the processor has drawn anew
    profile         how the processor computes it: "best" or "fast"
    may_build       a plan that has gone out of date may be built again
    """

    model: Path
    graph: Path | None
    weights: Path | None
    hashes: tuple[str, str]
    eager: Callable[[], "EagerDenoiser"]
    threads: int = 1
    profile: str = "best"
    may_build: bool = True
    modulation: Path | None = None
    sizes: Sizes | None = None


@dataclass
class Opened:
    """A denoiser and where it runs: "cpu", "cuda", "tensorrt" or torch's device; why, and remarks so far.

    profile  of the processor: "best" or "fast", and what that is; "" elsewhere
    """

    denoiser: Denoiser
    device: str
    why: str
    told: list[str] = field(default_factory=list)
    profile: str = ""


def open_denoiser(network: Network, asked: str) -> Opened:
    """The denoiser on the device that was asked for."""
    check_profile(network.profile)
    opened = _opened(network, asked)
    if network.profile == "fast" and opened.device != "cpu":
        opened.told.append(f"the fast profile is the processor's; on {opened.device} it changes nothing")
    return opened


def _opened(network: Network, asked: str) -> Opened:
    if network.graph is None or asked not in GRAPH_DEVICES:
        return Opened(
            network.eager(), best_device(asked), "the model brings no graph, or torch was asked for"
        )
    if asked == "cpu":
        return on_processor(network, "it was asked for")
    if asked == "auto":
        return fastest(network)
    if not cuda.cards():
        raise DeviceLost(f"the device {asked}: {NO_CARD}. Use --device cpu; `stemwright doctor` says more.")
    if asked == "cuda" and not ort.has_cuda() and is_in_torch():
        return Opened(network.eager(), asked, "ONNX Runtime is without CUDA; torch has it")
    return rescued(network, asked, "it was asked for", WAYS[asked](network))


def is_in_torch() -> bool:
    """Whether torch is installed, and for CUDA."""
    try:
        return best_device("cuda") == "cuda"
    except (MissingExtra, BadJob):
        return False


def fastest(network: Network) -> Opened:
    """A plan that fits, else CUDA, else the processor."""
    if not cuda.cards():
        return on_processor(network, NO_CARD)
    told = []
    for device, way in WAYS.items():
        try:
            return rescued(network, device, "the fastest that is there", way(network))
        except (PlanRefused, MissingExtra, DeviceLost) as error:
            told.append(f"{device} is not used: {error}")
    return on_processor(network, "; ".join(told))


def on_processor(network: Network, why: str = "") -> Opened:
    assert network.graph is not None
    made = computed(
        network.graph, network.threads, network.profile, network.hashes, network.modulation, network.sizes
    )
    told = [made.remark] if made.remark else []
    return Opened(GraphDenoiser(made.graph), "cpu", why, told, f"{made.profile}: {made.why}")


def rescued(network: Network, device: str, why: str, graph: Runtime) -> Opened:
    told: list[str] = []
    return Opened(
        Rescued(GraphDenoiser(graph), lambda: on_processor(network).denoiser, told), device, why, told
    )


def by_plan(network: Network) -> Runtime:
    """The plan in the cache that fits model, builder and card, and computes what the graph does.

    One that has gone out of date is built again, in a process of its own.
    """
    card = cuda.cards()[0]
    refusals: list[Exception] = []
    for flavour, api in tensorrt.installed().items():
        for builder in tensorrt.FLAVOURS[flavour].builders:
            try:
                return opened_plan(network, api, wanted(network, builder, api.__version__, card), card)
            except PlanRefused as error:
                refusals.append(error)
    if refusals:
        raise refusals[0]
    raise MissingExtra(f"plans need: {tensorrt.FLAVOURS['tensorrt_rtx'].install}")


def opened_plan(network: Network, api: Any, now: dict[str, object], card: cuda.Card) -> Runtime:
    """The plan, held against its manifest before it is opened and against the graph after."""
    folder = plans.plans_folder()
    try:
        plan = plans.find(folder, now, card.capability)
    except PlanRefused as refusal:
        plans.check_folder(folder)
        recipe = plans.earlier(folder, now, card.capability)
        if recipe is None:
            raise
        if not network.may_build:
            raise PlanRefused(f"{refusal} The next job does.") from refusal
        rebuild.run(recipe, refusal)
        plan = plans.find(folder, now, card.capability)
    assert network.graph is not None
    graph = tensorrt.PlanGraph(plan, api, cuda.Memory(card.number))
    check_golden(graph, ort.Graph(network.graph, network.threads), plan.about["inputs"])
    return graph


def wanted(network: Network, builder: str, version: str, card: cuda.Card | None) -> dict[str, object]:
    """What must be the same in a plan's recipe as it is now. TensorRT's own plans are tuned to one card."""
    graph, weights = network.hashes
    return {
        "model": str(network.model.resolve()),
        "part": "denoiser",
        "builder": builder,
        "weights": weights,
        "graph": graph,
        "version": version,
        "system": plans.this_system(),
        "export": plans.EXPORT,
        "device": "" if builder == "tensorrt_rtx" or card is None else card.description,
    }


def by_tensorrt(network: Network) -> Runtime:
    """A plan of our own, else TensorRT-RTX inside ONNX Runtime where that is plugged in."""
    try:
        return by_plan(network)
    except (PlanRefused, MissingExtra) as error:
        if not plugin.is_installed():
            raise
        try:
            return by_onnxruntime(network, ort.RTX)
        except (PlanRefused, MissingExtra, DeviceLost) as other:
            raise type(error)(f"{error} ONNX Runtime's plug-in does not serve instead: {other}") from error


def by_cuda(network: Network) -> Runtime:
    """ONNX Runtime's CUDA provider."""
    if not ort.has_cuda():
        raise MissingExtra(f"ONNX Runtime is without CUDA here. {ort.CUDA_INSTALL}")
    return by_onnxruntime(network, "cuda")


def by_onnxruntime(network: Network, device: str) -> Runtime:
    """The graph on a card, held against itself on the processor."""
    assert network.graph is not None
    try:
        graph = ort.Graph(network.graph, network.threads, device)
    except ModelDamaged as error:  # it loads on the processor, or that says so
        raise DeviceLost(f"{error}") from error
    check_golden(graph, ort.Graph(network.graph, network.threads), graph.ports)
    return graph


WAYS: dict[str, Callable[[Network], Runtime]] = {"tensorrt": by_tensorrt, "cuda": by_cuda}
