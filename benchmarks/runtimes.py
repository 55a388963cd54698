"""The denoiser by every runtime and precision that is installed, taken in turns, beside the core's own peak.

torch eager is what the others are held against; OpenVINO is no part of Stemwright and is run where somebody
has installed it, in single precision and in what it takes by default.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
from flops import products
from peak import peak

ROUNDS = 12
FEW = (768, 1024)  # squares, beside the network's own shapes
Run = Callable[[], Any]


def runtimes() -> dict[str, Any]:
    """Milliseconds of CPU time of one forward (batch 1) by runtime, how near each comes, and the peak."""
    from stemwright.engine.modelfolder import open_model

    model = open_model(threads=1)
    graph = model.folder / model.manifest.denoiser["graph"]
    feeds = _feeds(model)
    counted = products(graph, feeds)
    runs = {
        "ONNX Runtime, fp32": _ours(feeds, "best"),
        "ONNX Runtime, 8 bits (fast)": _ours(feeds, "fast"),
        **_torch(feeds),
        **_openvino(graph, feeds),
    }
    peaks = [peak(counted, FEW)]
    answers = {name: np.asarray(run()) for name, run in runs.items()}
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.process_time()
            run()
            times[name].append(time.process_time() - begin)
    peaks.append(peak(counted, FEW))
    reference = answers["ONNX Runtime, fp32"]
    return {
        "gflop": sum(product.flops for product in counted) / 1e9,
        "peak": max(rate for one in peaks for rate in one.values()),
        "forward": {
            name: {
                "milliseconds": 1000 * median(taken),
                "least": 1000 * min(taken),
                "cosine": _cosine(answers[name][:, 1:], reference[:, 1:]),
            }
            for name, taken in times.items()
        },
    }


def _feeds(model: Any) -> dict[str, Any]:
    """What an extraction asks: a mixture's place, noise, one prompt."""
    noise = np.random.default_rng(0)
    tracks, width = len(model.tracks.names), model.conditioner.width
    conditions = np.zeros((1, tracks, width), np.float32)
    conditions[0, -1] = model.conditioner.text(["the sound of the bass"])[0] * model.manifest.scale
    shape = (1, tracks, model.codec.channels, model.manifest.window)
    levels = np.array([[0] + [1] * (tracks - 1)], np.float32)
    return {"latents": noise.standard_normal(shape, np.float32), "levels": levels, "conditions": conditions}


def _ours(feeds: dict[str, Any], profile: str) -> Run:
    from stemwright.engine.modelfolder import open_model

    denoiser = open_model(threads=1, device="cpu", profile=profile).denoiser
    return lambda: denoiser(feeds["latents"], feeds["levels"], feeds["conditions"])


def _torch(feeds: dict[str, Any]) -> dict[str, Run]:
    """torch eager, where it is installed."""
    try:
        import torch
    except ImportError:
        return {}
    from stemwright.engine.manifest import read_manifest
    from stemwright.engine.modelfolder import find, network_of

    torch.set_num_threads(1)
    folder = find()
    network = network_of(folder, read_manifest(folder)).eager()
    return {"torch eager, fp32": lambda: network(feeds["latents"], feeds["levels"], feeds["conditions"])}


def _openvino(graph: Any, feeds: dict[str, Any]) -> dict[str, Run]:
    try:
        import openvino
    except ImportError:
        return {}
    core = openvino.Core()
    found: dict[str, Run] = {}
    for precision in ("f32", "bf16"):
        settings = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 1}
        compiled = core.compile_model(graph, "CPU", settings)
        found[f"OpenVINO, {precision}"] = lambda compiled=compiled: compiled(feeds)[0]
    return found


def _cosine(one: Any, other: Any) -> float:
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))
