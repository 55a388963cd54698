"""Where the time of one extraction goes: clocks where one part of the engine hands over to the next."""

import functools
import tempfile
import time
from collections import Counter
from pathlib import Path
from statistics import median
from typing import Any

PARTS = {  # what is timed, as module and name → the part it counts to
    ("stemwright.engine.runtimes.graphs", "GraphDenoiser.__call__"): "network",
    ("stemwright.engine.conditioner", "TextConditioner.text"): "text",
    ("stemwright.engine.spectral", "SpectralCodec.encode"): "codec: sound to latents",
    ("stemwright.engine.spectral", "SpectralCodec.spectrum"): "codec: latents to spectra",
    ("stemwright.engine.shares", "alone"): "masks",
    ("stemwright.engine.shares", "contested"): "masks",
    ("stemwright.engine.refine", "Refiner.push"): "mask on the mixture, at its own rate",
    ("stemwright.engine.refine", "Refiner.finish"): "mask on the mixture, at its own rate",
    ("stemwright.engine.feed", "Feed.push"): "resampling",
    ("stemwright.engine.feed", "Feed.finish"): "resampling",
    ("stemwright.engine.writing", "AudioWriter.write"): "writing",
    ("stemwright.engine.commands.deliver", "commit_all"): "writing",
}
ROUNDS = 7


def parts(song: Path) -> dict[str, dict[str, float]]:
    """CPU seconds of each part of extracting the bass, by profile; "rest" is what none of them is."""
    from stemwright.engine.commands.deliver import extract_file
    from stemwright.engine.engine import Engine

    meter: Counter[str] = Counter()
    _install(meter)
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for profile in ("best", "fast"):
            engine = Engine.load(threads=1, device="cpu", profile=profile)
            rounds: list[dict[str, float]] = []
            for _ in range(ROUNDS + 1):
                meter.clear()
                begin = time.process_time()
                extract_file(engine, song, ("bass",), Path(folder))
                whole = time.process_time() - begin
                rounds.append({**meter, "rest": whole - sum(meter.values()), "whole": whole})
            names = list(rounds[-1])
            found[profile] = {name: median(one.get(name, 0.0) for one in rounds[1:]) for name in names}
    return found


def _install(meter: "Counter[str]") -> None:
    """Put a clock around each; a call within another counts to the outer one alone."""
    depth = [0]
    for (module, path), part in PARTS.items():
        holder: Any = __import__(module, fromlist=["_"])
        *above, name = path.split(".")
        for one in above:
            holder = getattr(holder, one)
        timed = _timed(getattr(holder, name), part, meter, depth)
        for place in _places(holder, name) if not above else [holder]:
            setattr(place, name, timed)


def _places(module: Any, name: str) -> list[Any]:
    """Every module of ours that has the function under that name."""
    import sys

    function = getattr(module, name)
    ours = [one for key, one in sys.modules.items() if key.startswith("stemwright.")]
    return [one for one in ours if getattr(one, name, None) is function]


def _timed(call: Any, part: str, meter: "Counter[str]", depth: list[int]) -> Any:
    @functools.wraps(call)
    def timed(*words: Any, **named: Any) -> Any:
        if depth[0]:
            return call(*words, **named)
        depth[0] += 1
        begin = time.process_time()
        try:
            return call(*words, **named)
        finally:
            depth[0] -= 1
            meter[part] += time.process_time() - begin  # type: ignore[assignment]

    return timed
