"""The ways a network is run on a card, for `gpu.py`: each gives seconds, their spread, and what came out."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np

STEPS = 8
BATCHES = (1, 2, 16)  # a plan's: least, usual, most

Call = Callable[[], object]
Timed = Callable[[Call], float]  # seconds


@dataclass(frozen=True)
class Case:
    """A network, and where its graph is. `name` says whose weights they are."""

    name: str
    kind: str
    network: Any
    spec: Any
    graph: Path
    weights: Path


@dataclass
class Bench:
    """What every row needs."""

    device: str
    runs: int
    tiny: bool
    batches: tuple[int, ...]
    folder: Path
    ceilings: dict[str, float] = field(default_factory=dict)
    plans: dict[tuple[str, str], Any] = field(default_factory=dict)  # one serves every batch

    @property
    def is_card(self) -> bool:
        return self.device != "cpu"


def measured(bench: Bench, call: Call, timed: Timed | None = None) -> tuple[float, float]:
    """Median and middle half of the runs, in seconds, after a fifth as many that do not count."""
    clock = timed or (by_events if bench.is_card else by_wall)
    for _ in range(max(2, bench.runs // 5)):
        clock(call)
    times = [clock(call) for _ in range(max(2, bench.runs))]
    low, _, high = quantiles(times, n=4)
    return median(times), high - low


def by_events(call: Call) -> float:
    """On torch's own stream."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    call()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000


def by_wall(call: Call) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def on(device: Any, arrays: dict[str, Any]) -> list[Any]:
    import torch

    return [torch.from_numpy(array).to(device) for array in arrays.values()]


Way = Callable[[Bench, Case, dict[str, Any]], tuple[float, float, Any]]  # → seconds, spread, v or None


def torch_out(bench: Bench, case: Case, arrays: dict[str, Any]) -> Any:
    return case.network(*on(bench.device, arrays)).float().cpu().numpy()


def eager(bench: Bench, case: Case, arrays: dict[str, Any], half: str = "") -> tuple[float, float, Any]:
    """torch as it is; half: "fp16" or "bf16" by its own automatic casts."""
    tensors, casts = on(bench.device, arrays), autocast(bench, half)
    with casts:
        seconds, spread = measured(bench, partial(case.network, *tensors))
        return seconds, spread, case.network(*tensors).float().cpu().numpy()


def autocast(bench: Bench, half: str) -> Any:
    import torch

    kinds = {"fp16": torch.float16, "bf16": torch.bfloat16}
    return torch.autocast(bench.device, kinds[half]) if half else nullcontext()


def torch_graph(bench: Bench, case: Case, arrays: dict[str, Any], half: str) -> tuple[float, float, Any]:
    """The same captured by torch as a CUDA graph."""
    import torch

    needs_card(bench)
    tensors = on(bench.device, arrays)
    with torch.autocast(
        bench.device, getattr(torch, {"fp16": "float16", "bf16": "bfloat16"}[half]), cache_enabled=False
    ):
        aside = torch.cuda.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(3):
                case.network(*tensors)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            out = case.network(*tensors)
    seconds, spread = measured(bench, graph.replay)
    return seconds, spread, out.float().cpu().numpy()


def needs_card(bench: Bench) -> None:
    if not bench.is_card:
        raise RuntimeError("needs a card")


def onnxruntime_way(
    bench: Bench, case: Case, arrays: dict[str, Any], device: str
) -> tuple[float, float, Any]:
    """ONNX Runtime, the arrays bound on the card, on torch's stream so that its events time it."""
    import onnxruntime
    import torch

    from stemwright.engine.runtimes import ort, plugin

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    if device == "cpu":
        session = onnxruntime.InferenceSession(case.graph, options, providers=["CPUExecutionProvider"])
    elif not bench.is_card:
        raise RuntimeError("needs a card")
    elif device == ort.RTX:
        stream = str(torch.cuda.current_stream().cuda_stream)
        options.add_provider_for_devices(
            plugin.devices(), {"has_user_compute_stream": "1", "user_compute_stream": stream}
        )
        session = onnxruntime.InferenceSession(case.graph, options)
    else:
        stream = str(torch.cuda.current_stream().cuda_stream)
        provider = (ort.PROVIDERS["cuda"], {"user_compute_stream": stream, "use_tf32": "0"})
        session = onnxruntime.InferenceSession(case.graph, options, providers=[provider])
        if session.get_providers()[0] != ort.PROVIDERS["cuda"]:
            raise RuntimeError(f"ONNX Runtime is without CUDA here. {ort.CUDA_INSTALL}")
    where = "cpu" if device == "cpu" else bench.device
    tensors = [tensor.contiguous() for tensor in on(where, arrays)]
    out = torch.empty_like(tensors[0])
    binding = session.io_binding()
    for name, tensor in zip(arrays, tensors, strict=True):
        binding.bind_input(name, where, 0, np.float32, tuple(tensor.shape), tensor.data_ptr())
    binding.bind_output("velocity", where, 0, np.float32, tuple(out.shape), out.data_ptr())
    clock = by_wall if device == "cpu" else None
    seconds, spread = measured(bench, partial(session.run_with_iobinding, binding), clock)
    return seconds, spread, out.cpu().numpy()


def planned(bench: Bench, case: Case, precision: str) -> Any:
    """The plan of this case by TensorRT-RTX where the card is one of its own, else by TensorRT."""
    from stemwright.engine.runtimes import cuda, plans, tensorrt
    from stemwright.engine.runtimes.survey import RTX
    from stemwright.export import plan
    from stemwright.export.narrow import SINGLES

    key = (case.name, precision)
    if key not in bench.plans:
        here = cuda.cards()
        capability = here[0].capability if here else "SM89"
        flavour = "tensorrt_rtx" if capability in RTX else "tensorrt"
        api = tensorrt.open_api(flavour)
        singles = SINGLES[case.kind] if precision != "fp32" else ()
        with tempfile.TemporaryDirectory(dir=bench.folder) as place:
            graph = plan.prepared(case.graph, case.weights, Path(place), precision, singles)
            content, _ = plan.build(graph, plan.Target((capability,), precision, BATCHES), api)
        recipe = plans.Recipe(
            *(case.name, "denoiser", "", "", precision, singles, BATCHES, flavour, api.__version__),
            *((capability,), plans.this_system()),
        )
        built = plans.Plan(recipe, content, {})
        if here:
            memory = cuda.Memory(here[0].number)
            bench.plans[key] = (tensorrt.PlanGraph(built, api, memory), memory)
        else:
            bench.plans[key] = built
    if isinstance(bench.plans[key], plans.Plan):
        raise RuntimeError(f"needs a card; it was built, {len(bench.plans[key].content) / 1e6:.1f} MB")
    return bench.plans[key]


def plan_way(bench: Bench, case: Case, arrays: dict[str, Any], precision: str) -> tuple[float, float, Any]:
    """One call of a TensorRT plan."""
    graph, memory = planned(bench, case, precision)
    (out,) = graph.run(**arrays)
    seconds, spread = measured(bench, graph.again, memory.timed)
    return seconds, spread, out


def laid_out(arrays: dict[str, Any]) -> Any:
    """A sampling of all tracks but the first, unguided."""
    from stemwright.engine import sampler, schedule
    from stemwright.engine.runtimes.course import Sampling, course

    given = np.arange(arrays["latents"].shape[1]) == 0
    return Sampling(
        noise=np.ascontiguousarray(arrays["latents"][:, ~given]),
        given=arrays["latents"],
        is_given=given,
        conditions=arrays["conditions"][None],
        mixing=np.ones((len(given), 1), np.float32),
        course=course(sampler.unipc, schedule.grid(STEPS)),
    )


def loop_way(bench: Bench, case: Case, arrays: dict[str, Any], precision: str) -> tuple[float, float, Any]:
    """A whole sampling captured as one CUDA graph."""
    graph, memory = planned(bench, case, precision)
    sampling = laid_out(arrays)
    graph.loop(sampling)
    seconds, spread = measured(bench, partial(graph.loop_again, sampling), memory.timed)
    return seconds, spread, None


def stepwise(denoise: Callable[..., Any], arrays: dict[str, Any]) -> Call:
    """The same sampling as the engine does it step by step, the arrays coming and going each time."""
    from stemwright.engine import guidance, sampler, schedule

    one = laid_out(arrays)
    held = guidance.held(guidance.guided(denoise, one.conditions[0]), one.given, one.is_given)
    return partial(sampler.unipc, held, one.noise, schedule.grid(STEPS))


def eager_steps(bench: Bench, case: Case, arrays: dict[str, Any], half: str) -> tuple[float, float, Any]:
    from stemwright.engine.runtimes.eager import EagerDenoiser

    with autocast(bench, half):
        return (*measured(bench, stepwise(EagerDenoiser(case.network, bench.device), arrays), by_wall), None)


def plan_steps(bench: Bench, case: Case, arrays: dict[str, Any], precision: str) -> tuple[float, float, Any]:
    from stemwright.engine.runtimes.graphs import GraphDenoiser

    graph, _ = planned(bench, case, precision)
    return (*measured(bench, stepwise(GraphDenoiser(graph), arrays), by_wall), None)


WAYS: tuple[tuple[str, str, Way], ...] = (
    ("torch eager, fp32", "fp32", eager),
    ("torch eager, fp16", "fp16", partial(eager, half="fp16")),
    ("torch eager, bf16", "bf16", partial(eager, half="bf16")),
    ("torch CUDA graph, bf16", "bf16", partial(torch_graph, half="bf16")),
    ("ONNX Runtime processor, fp32", "fp32", partial(onnxruntime_way, device="cpu")),
    ("ONNX Runtime CUDA, fp32", "fp32", partial(onnxruntime_way, device="cuda")),
    ("ONNX Runtime TensorRT-RTX, fp32", "fp32", partial(onnxruntime_way, device="rtx")),
    ("plan, fp16", "fp16", partial(plan_way, precision="fp16")),
    ("plan, bf16", "bf16", partial(plan_way, precision="bf16")),
    (f"{STEPS} steps, torch eager, bf16, by wall clock", "bf16", partial(eager_steps, half="bf16")),
    (f"{STEPS} steps, plan, fp16, by wall clock", "fp16", partial(plan_steps, precision="fp16")),
    (f"{STEPS} steps in one CUDA graph, plan, fp16", "fp16", partial(loop_way, precision="fp16")),
)
