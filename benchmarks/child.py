"""What is measured in a process of its own, pinned to one core: prints one JSON object.

child.py CORE extract RUNS SHORT LONG   → extraction of a 10.24 s region, of SHORT and of LONG, model loaded
child.py CORE denoiser                  → the network's GFLOP/s beside the core's own
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

Times = list[tuple[float, float]]  # CPU and wall seconds of each run


def timed(call: Callable[[], object]) -> tuple[float, float]:
    cpu, wall = time.process_time(), time.perf_counter()
    call()
    return time.process_time() - cpu, time.perf_counter() - wall


def extract(runs: int, region: Path, short: Path, long: Path) -> dict[str, Any]:
    """From reading the file to the renamed stem and rest, the model loaded; the three taken in turns."""
    from stemwright.engine.commands.deliver import extract_file
    from stemwright.engine.engine import Engine

    engine = Engine.load(threads=1)
    with tempfile.TemporaryDirectory() as folder:

        def once(song: Path, prompts: tuple[str, ...] = ("bass",)) -> tuple[float, float]:
            return timed(lambda: extract_file(engine, song, prompts, Path(folder)))

        once(region)
        rounds = [
            (once(region), once(short), once(region, ("bass", "drums", "vocals", "piano")))
            for _ in range(runs)
        ]
        longs = [once(long) for _ in range(2)]
        rounds += [
            (once(region), once(short), once(region, ("bass", "drums", "vocals", "piano")))
            for _ in range(runs)
        ]
    by_kind: dict[str, Times] = {"region": [], "short": [], "four": []}
    for one in rounds:
        for kind, times in zip(by_kind, one, strict=True):
            by_kind[kind].append(times)
    return {**by_kind, "long": longs}


def denoiser() -> dict[str, Any]:
    """GFLOP/s of the shipped graph, by CPU time, the core's peak measured before and after it."""
    from flops import products
    from peak import peak

    from stemwright.engine.modelfolder import open_model

    model = open_model(threads=1)
    graph = model.folder / model.manifest.denoiser["graph"]
    rates: dict[str, Any] = {}
    feeds = {size: _feeds(model, size) for size in (1, 4)}
    counts = {size: products(graph, one) for size, one in feeds.items()}
    peaks = [peak(counts[1])]
    for size, one in feeds.items():
        model.denoiser(one["latents"], one["levels"], one["conditions"])
        call = lambda one=one: model.denoiser(one["latents"], one["levels"], one["conditions"])  # noqa: E731
        times = [timed(call)[0] for _ in range(40 // size)]
        flops = sum(product.flops for product in counts[size])
        rates[f"batch {size}"] = {
            "gflop": flops / 1e9,
            "milliseconds": 1000 * median(times),
            "gflops": flops / median(times) / 1e9,
            "best_gflops": flops / min(times) / 1e9,
        }
    peaks.append(peak(counts[1]))
    best = {name: max(one[name] for one in peaks) for name in peaks[0]}
    return {"forward": rates, "peak": best, "weights_mb": graph.stat().st_size / 1e6}


def _feeds(model: Any, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    noise = np.random.default_rng(0)
    tracks = len(model.tracks.names)
    width = model.conditioner.width
    return {
        "latents": noise.standard_normal(
            (batch, tracks, model.codec.channels, model.manifest.window), np.float32
        ),
        "levels": np.full((batch, tracks), 0.5, np.float32),
        "conditions": noise.standard_normal((batch, tracks, width), np.float32) / np.float32(width**0.5),
    }


def main(words: list[str]) -> None:
    core, what, *rest = words
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {int(core)})
    found = denoiser() if what == "denoiser" else extract(int(rest[0]), *map(Path, rest[1:]))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
