"""`stemwright doctor`: what is there to run on, what is used and why, and what would make it faster."""

import json
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from stemwright.engine import modelfiles, modelfolder
from stemwright.engine.commands.show import put
from stemwright.engine.errors import StemwrightError
from stemwright.engine.runtimes.choice import open_denoiser
from stemwright.engine.runtimes.survey import PLUGIN, Survey, faster, look

ABSENT = "not installed"
NAMES = {
    "onnxruntime": "ONNX Runtime",
    PLUGIN: "its plug-in",
    "tensorrt_rtx": "TensorRT-RTX",
    "tensorrt": "TensorRT",
    "torch": "torch",
    "torch-tensorrt": "torch-tensorrt",
}
WIDTH = 14  # of the names' column


def run(flags: Namespace) -> int:
    """→ 0, or the exit code of what keeps the model from running."""
    found = look()
    used, code = _used(flags.model, flags.device, flags.profile)
    steps = list(faster(found, used["device"], flags.profile))
    if flags.json:
        put(json.dumps({**asdict(found), "folder": str(found.folder), "used": used, "faster": steps}))
        return code
    for name, value in [*_there(found), ("used", f"{used['device']}: {used['why']}")]:
        put(f"{name:{WIDTH}} {value}")
    if used["profile"]:
        put(f"{'profile':{WIDTH}} {used['profile']}")
    for remark in used["told"]:
        put(f"{'':{WIDTH}} {remark}")
    put(f"{'faster':{WIDTH}} {_advice(found, steps)}")
    return code


def _used(model: str, device: str, profile: str) -> tuple[dict[str, Any], int]:
    """What a job would run on, found by opening the denoiser."""
    try:
        folder = modelfolder.find(model)
        manifest = modelfiles.verify(folder)
        network = modelfolder.network_of(folder, manifest, device=device, profile=profile)
        opened = open_denoiser(replace(network, may_build=False), device)
    except StemwrightError as error:
        return {"device": "none", "why": str(error), "told": [], "profile": ""}, error.exit_code
    return {
        "device": opened.device,
        "why": opened.why,
        "told": opened.told,
        "profile": opened.profile,
    }, 0


def _there(found: Survey) -> Iterator[tuple[str, str]]:
    yield "processor", f"{found.processor}, {found.cores} cores for this process"
    for card in found.cards:
        yield "card", f"{card.name}, {card.capability}, {card.memory / 2**30:.0f} GiB"
    if not found.cards:
        yield "card", "none: no NVIDIA card, or no driver"
    runtimes = dict(found.runtimes)
    if "onnxruntime-gpu" in runtimes:
        runtimes["onnxruntime"] = runtimes.pop("onnxruntime-gpu")
    for package, name in NAMES.items():
        remark = (", with CUDA" if found.has_cuda else ", processor only") if package == "onnxruntime" else ""
        yield name, runtimes[package] + remark if package in runtimes else ABSENT
    yield "plans", str(found.folder) if found.plans else f"none in {found.folder}"
    for plan, trouble in found.plans.items():
        yield "", f"{plan}: {trouble or 'whole'}"


def _advice(found: Survey, steps: list[str]) -> str:
    told = "; then ".join(steps) or "nothing to do"
    return told if found.cards else f"{told}; there is no NVIDIA card that could do more"
