"""What is measured in a process of its own, pinned to one core: prints one JSON object.

child.py CORE extract RUNS SHORT LONG   → extraction of a 10.24 s region, of SHORT and of LONG, model loaded
child.py CORE denoiser                  → the network's GFLOP/s beside the core's own
child.py CORE runtimes                  → the network by every runtime and precision that is installed
child.py CORE parts REGION              → where the time of an extraction goes, in both profiles
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
    fast = Engine.load(threads=1, profile="fast")
    with tempfile.TemporaryDirectory() as folder:

        def once(song: Path, *prompts: str, by: Engine = engine) -> tuple[float, float]:
            return timed(lambda: extract_file(by, song, prompts or ("bass",), Path(folder)))

        def turn() -> None:
            by_kind["region"].append(once(region))
            by_kind["fast"].append(once(region, by=fast))
            by_kind["short"].append(once(short))
            by_kind["four"].append(once(region, "bass", "drums", "vocals", "piano"))

        by_kind: dict[str, Times] = {"region": [], "fast": [], "short": [], "four": []}
        for engine_of_turn in (engine, fast):
            once(region, by=engine_of_turn)
        for _ in range(runs):
            turn()
        longs = [once(long) for _ in range(2)]
        for _ in range(runs):
            turn()
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
    print(json.dumps(_measured(what, rest)))


def _measured(what: str, words: list[str]) -> Any:
    if what == "denoiser":
        return denoiser()
    if what == "runtimes":
        from runtimes import runtimes

        return runtimes()
    if what == "parts":
        from parts import parts

        return parts(Path(words[0]))
    return extract(int(words[0]), *map(Path, words[1:]))


if __name__ == "__main__":
    main(sys.argv[1:])
