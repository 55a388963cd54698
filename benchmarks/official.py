"""The official model at its full size with random weights: imported, opened, run, and beside torch eager.

official.py [--core N] [--runs N] [--folder DIR] [--precision KIND]    prints one JSON object
official.py --folder DIR --stage NAME [--parts NAME…]                  one stage, in a folder that is kept

Needs 10 GB of disk (5 at half precision) and 9 GB of memory, and torch. Every stage is a process of its own,
so that each has its own peak memory; "fast" is the extraction again, with the fast profile. What 250 steps
with guidance take in torch is not run: it is the sum of its measured parts.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np

SECONDS, RATE = 12.8, 44100
OFFICIAL_STEPS = 250
STAGES = ("checkpoint", "import", "extract", "fast", "compare")
PARTS = ("forward", "guided", "encode", "decode")
CHECKPOINT, MODEL = "unwrapped_DiT.ckpt", "mge-ldm"


def main() -> int:
    flags = _flags()
    if flags.stage:
        stage: Callable[[argparse.Namespace], dict[str, Any]] = globals()[f"{flags.stage}_stage"]
        print(json.dumps(stage(flags)))
        return 0
    with tempfile.TemporaryDirectory(dir=flags.folder) as folder:
        print(json.dumps(measure(Path(folder), flags.core, flags.runs, flags.precision)))
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--core", type=int, help="the core to measure on (default: all), e.g. --core 0")
    parser.add_argument("--runs", type=int, default=3, help="of each figure (default: 3), e.g. --runs 5")
    parser.add_argument(
        "--folder", type=Path, help="where there is room (default: the system's temporary one)"
    )
    parser.add_argument("--precision", default="fp32", help="of the weights (default: fp32), e.g. fp16")
    parser.add_argument("--stage", choices=STAGES, help="one stage alone, in a folder of its own")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="of compare (default: all)")
    return parser.parse_args()


def measure(
    folder: Path, core: int | None, runs: int, precision: str = "fp32", stages: Sequence[str] = STAGES
) -> dict[str, Any]:
    """Every stage in turn, each in its own process: what it found, its peak memory and its CPU seconds."""
    if find_spec("torch") is None:
        raise SystemExit("the official model's size needs torch: pip install 'stemwright[export]'")
    threads = str(1 if core is not None else len(os.sched_getaffinity(0)))
    folder = folder.resolve()
    environment = {**os.environ, "STEMWRIGHT_MODELS": str(folder), "OMP_NUM_THREADS": threads}
    found: dict[str, Any] = {"precision": precision, "threads": int(threads)}
    for stage in stages:
        command = [sys.executable, __file__, "--stage", stage, "--folder", str(folder)]
        command += ["--runs", str(runs), "--precision", precision]
        child = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
        if core is not None:
            os.sched_setaffinity(child.pid, {core})
        assert child.stdout is not None
        with child.stdout as pipe:
            text = pipe.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode:
            raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
        found[stage] = {**json.loads(text.splitlines()[-1]), "peak_gb": usage.ru_maxrss / 1e6}
    return found


def checkpoint_stage(flags: argparse.Namespace) -> dict[str, Any]:
    """Random weights under the published keys and shapes, saved as the authors' unwrap_model.py does."""
    import torch

    from stemwright.engine.models.dit import DitConfig
    from stemwright.engine.models.official import hollow_dit, hollow_oobleck
    from stemwright.engine.models.oobleck import OobleckConfig

    noise = torch.empty(1 << 24).uniform_(-1, 1, generator=torch.Generator().manual_seed(0))
    shapes = {f"model_dit.{key}": one.shape for key, one in hollow_dit(DitConfig()).state_dict().items()}
    for key, one in hollow_oobleck(OobleckConfig()).state_dict().items():
        shapes[f"pretransform.model.{key}"] = one.shape
    state = {key: _weight(key, shape, noise) for key, shape in shapes.items()}
    path = flags.folder / CHECKPOINT
    torch.save({"state_dict": state}, path)
    return {"keys": len(state), "gb": path.stat().st_size / 1e9}


def _weight(key: str, shape: Any, noise: Any) -> Any:
    """Of a size that keeps the network's numbers near 1.

    No two are the same: ONNX Runtime keeps weights that are equal once, which no real model gains by.
    """
    import torch

    if key.endswith("inv_freq"):
        return 10000.0 ** -(torch.arange(shape[0]) / shape[0])
    if key.endswith("weight_g"):
        return torch.full(shape, 0.5)
    if key.endswith("gamma"):
        return torch.ones(shape)
    count, inputs = int(np.prod(shape)), max(1, int(np.prod(shape[1:])))
    begin = crc32(key.encode()) % len(noise)
    repeated = noise.repeat(-(-(begin + count) // len(noise)))[begin : begin + count].reshape(shape)
    is_small = len(shape) == 1
    return repeated.mul(0.1 if is_small else (3 / inputs) ** 0.5)


def import_stage(flags: argparse.Namespace) -> dict[str, Any]:
    import torch

    from stemwright.export.family import FAMILIES
    from stemwright.export.importing import Request, import_model

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    begin, cpu = time.perf_counter(), time.process_time()
    request = Request(flags.folder / CHECKPOINT, FAMILIES[MODEL], precision=flags.precision)
    folder = import_model(request)
    made = {"wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu}
    return {**made, "gb": sum(path.stat().st_size for path in folder.iterdir()) / 1e9}


class Embedding:
    """In CLAP's place: a direction drawn from a prompt's length."""

    width = 512

    def text(self, prompts: list[str]) -> np.ndarray[Any, Any]:
        rows = [np.random.default_rng(len(prompt)).standard_normal(self.width) for prompt in prompts]
        return np.stack([row / np.linalg.norm(row) for row in rows]).astype(np.float32)

    def audio(self, waves: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        return self.text(["sound"] * len(waves))


def opened(threads: int, profile: str = "best") -> Any:
    from dataclasses import replace

    from stemwright.engine.modelfolder import open_model

    return replace(open_model(MODEL, threads=threads, profile=profile), conditioner=Embedding())


def fast_stage(flags: argparse.Namespace) -> dict[str, Any]:
    """`extract_stage` with the fast profile, its verdict measured before; told: why it is not used, if so."""
    told = list(opened(int(os.environ["OMP_NUM_THREADS"]), "fast").told)
    return {**extract_stage(flags, "fast"), "told": told}


def extract_stage(flags: argparse.Namespace, profile: str = "best") -> dict[str, Any]:
    """The model opened and verified, then 12.8 s of noise extracted with the model's own settings."""
    from stemwright.engine.audio import Audio
    from stemwright.engine.engine import Engine
    from stemwright.engine.job import Job, Prompt
    from stemwright.engine.tracks import Task

    begin, cpu = time.perf_counter(), time.process_time()
    model = opened(int(os.environ["OMP_NUM_THREADS"]), profile)
    engine = Engine(model)
    found: dict[str, Any] = {
        "open": {"wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu, **_memory()}
    }
    noise = 0.1 * np.random.default_rng(0).standard_normal((2, round(SECONDS * RATE)))
    job = Job(Task.EXTRACT, (Prompt("bass"),), Audio(noise.astype(np.float32), RATE))
    begin, cpu = time.perf_counter(), time.process_time()
    stems = engine.run(job).stems
    assert all(np.isfinite(stem.audio.samples).all() for stem in stems)
    found["run"] = {"wall": time.perf_counter() - begin, "cpu": time.process_time() - cpu, **_memory()}
    return {**found, "steps": model.manifest.defaults[Task.EXTRACT].steps}


def _memory() -> dict[str, float]:
    """The peak so far in GB."""
    import resource

    return {"peak_gb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6}


def compare_stage(flags: argparse.Namespace) -> dict[str, Any]:
    """CPU seconds of each part, ours and torch eager's."""
    from official_torch import compared

    return compared(flags.folder / MODEL, opened, flags.parts, flags.runs)


def official_extraction(compare: dict[str, Any]) -> float:
    """CPU seconds of the authors' extraction in torch: 250 guided steps, and both stems decoded."""
    torch = {name: one["torch"] for name, one in compare.items()}
    return float(OFFICIAL_STEPS * torch["guided"] + torch["encode"] + 2 * torch["decode"])


def table(found: dict[str, Any]) -> list[tuple[str, str, str, bool]]:
    """What, its figure, its target, and whether it holds."""
    size, made, ran, compare = (found[key] for key in ("checkpoint", "import", "extract", "compare"))
    weights, rows = made["gb"], []
    for name, least in (("forward", 2.0), ("forward, fast", 2.0), ("decode", 4.0)):
        one = compare[name]
        ratio = one["torch"] / one["ours"]
        figure = f"{ratio:.2f} x ({one['ours']:.2f} of {one['torch']:.2f} CPU s)"
        rows.append(
            (f"official size: {name}, torch eager of ours", figure, f"at least {least:g}", ratio >= least)
        )
    theirs = official_extraction(compare)
    for profile, one in (("best", ran), ("fast", found["fast"])):
        ours = one["run"]["cpu"]
        rows.append(
            (
                f"official size: extraction, {profile}, {OFFICIAL_STEPS} guided steps in torch of ours",
                f"{theirs / ours:.1f} x ({ours:.1f} s, {one['steps']} steps; theirs {theirs:.0f}, computed)",
                "at least 30",
                theirs >= 30 * ours,
            )
        )
    rows += [
        (
            "official size: import, peak memory of the checkpoint",
            f"{made['peak_gb'] / size['gb']:.2f} ({made['peak_gb']:.2f} GB, {made['wall']:.0f} s)",
            "under 1.3",
            made["peak_gb"] < 1.3 * size["gb"],
        ),
        ("official size: open (wall s)", f"{ran['open']['wall']:.1f}", "under 40", ran["open"]["wall"] < 40),
        (
            "official size: open and extract, peak memory of the weights",
            f"{ran['peak_gb'] / weights:.2f} ({ran['peak_gb']:.2f} GB)",
            "under 1.5",
            ran["peak_gb"] < 1.5 * weights,
        ),
    ]
    return rows


if __name__ == "__main__":
    sys.exit(main())
