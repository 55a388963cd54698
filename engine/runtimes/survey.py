"""What there is to run on: processor, cards, runtimes, plans. No plan is deserialised, no card worked on."""

import platform
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from stemwright.engine.errors import PlanRefused
from stemwright.engine.runtimes import cuda, ort, plans, tensorrt

RTX = ("SM75", "SM86", "SM89", "SM120", "SM121")  # TensorRT-RTX runs on these; the others need TensorRT
PLUGIN = "onnxruntime-ep-nv-tensorrt-rtx-cu13"
PACKAGES = ("onnxruntime", "onnxruntime-gpu", PLUGIN, "torch", "torch-tensorrt")


@dataclass(frozen=True)
class Survey:
    """What was found.

    runtimes  package → its version; absent ones are not in it
    has_cuda  ONNX Runtime was built for CUDA
    plans     name → "" where it is whole, else why it is not opened
    """

    processor: str
    cores: int
    cards: tuple[cuda.Card, ...]
    runtimes: dict[str, str]
    has_cuda: bool
    folder: Path
    plans: dict[str, str]


def look() -> Survey:
    found = {name: number for name in PACKAGES if (number := package(name))}
    apis = {name: str(api.__version__) for name, api in tensorrt.installed().items()}
    folder = plans.plans_folder()
    return Survey(
        processor(), ort.cores(), cuda.cards(), {**found, **apis}, ort.has_cuda(), folder, plans_in(folder)
    )


def package(name: str) -> str:
    """Its version, without importing it; nothing where it is absent."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def processor() -> str:
    """Its name where the system tells, else its kind."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or f"{platform.machine()}, {sys.platform}"


def plans_in(folder: Path) -> dict[str, str]:
    """Each plan held against its manifest; no plan is deserialised."""
    found = {}
    for path in sorted(folder.glob("*.plan")):
        try:
            plans.fetch(path)
            found[path.stem] = ""
        except PlanRefused as error:
            found[path.stem] = str(error)
    return found


def faster(found: Survey, used: str, profile: str) -> Sequence[str]:
    """What would make it faster than `used`, commands in their order; nothing where this is the fastest way.

    profile  that was asked for
    """
    if used == "tensorrt" or (used == "none" and not found.cards):
        return ()
    if not found.cards:
        return () if profile == "fast" else ("--profile fast, a little less exact",)
    capability = found.cards[0].capability
    flavour = "tensorrt_rtx" if capability in RTX else "tensorrt"
    builder = "" if flavour == "tensorrt_rtx" else " --builder tensorrt"
    has_all = flavour in found.runtimes and package("onnx")
    steps = [] if has_all else [tensorrt.FLAVOURS[flavour].install]
    return [*steps, f"stemwright export plan{builder}"]
