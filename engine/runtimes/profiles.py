"""How the processor computes a denoiser: in single precision ("best"), or its products in 8 bits ("fast").

The fast graph is made of the model's own in memory, at every opening; nothing of it is kept but a verdict:
how near it came, on this machine, to what the model's graph computes. A model or a machine where that is not
near enough has the best profile instead, and a remark that says so.

<cache>/profiles/<key>.json   {"cosine": 0.9998}
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from stemwright.engine.conditioner import SCALE
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob
from stemwright.engine.partfile import put_lasting
from stemwright.engine.places import own_folder
from stemwright.engine.runtimes import ort, plans, survey
from stemwright.engine.runtimes.golden import NEAREST, cosine, drawn
from stemwright.engine.runtimes.graphs import Runtime
from stemwright.engine.runtimes.quantise import FIRST_BLOCK, RECIPE, quantised

PROFILES = ("best", "fast")
LOW = 0.25  # τ; below it the first block stays single
CASES = 2  # batches of two drawn rows that the fast graph is held against
MOST = 1 << 10  # bytes of a verdict

Cases = list[tuple[dict[str, Array], Array]]  # named inputs, and the best profile's output


@dataclass(frozen=True)
class Computed:
    """A graph ready to run on the processor. remark: what the user is told, "" where there is nothing"""

    graph: Runtime
    profile: str
    why: str
    remark: str = ""


class Fast:
    """A Runtime in 8 bits that takes one row after the other: what a row gets never depends on the others.

    count  products in 8 bits; where it is 0 nothing is opened
    """

    def __init__(self, path: Path, threads: int) -> None:
        self._path, self._threads = path, threads
        content, self.count = quantised(path)
        if self.count:
            self._usual = ort.Graph(content, threads)
            self.name, self.inputs, self.outputs = path.name, self._usual.inputs, self._usual.outputs

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        """Named inputs → every output, in the order of `outputs`."""
        rows = [
            self._one({name: array[row : row + 1] for name, array in arrays.items()})
            for row in range(len(next(iter(arrays.values()))))
        ]
        return rows[0] if len(rows) == 1 else tuple(map(np.concatenate, zip(*rows, strict=True)))

    def _one(self, row: dict[str, Array]) -> tuple[Array, ...]:
        graph = self._careful if row["levels"].max() < LOW else self._usual
        return graph.run(**row)

    @cached_property
    def _careful(self) -> ort.Graph:
        """For low levels, which an extraction in one step never visits."""
        return ort.Graph(quantised(self._path, FIRST_BLOCK)[0], self._threads)


def check_profile(asked: str) -> str:
    if asked not in PROFILES:
        raise BadJob(f'there is no profile "{asked:.60}"; give {" or ".join(PROFILES)}.')
    return asked


def computed(
    path: Path, threads: int, asked: str, hashes: Sequence[str], modulation: Path | None = None
) -> Computed:
    """A denoiser's graph as it was asked for, or the best where the fast one is not near enough.

    hashes      sha256 of the graph and its weights
    modulation  the graph that makes of conditions what the denoiser's takes in their place
    """
    if check_profile(asked) == "best":
        return Computed(ort.Graph(path, threads), "best", "full precision")
    fast, found = held_against(path, threads, hashes, modulation)
    if not fast.count:
        reason = "none of its products is wide enough for 8 bits"
    elif not found >= NEAREST:
        reason = (
            f"in 8 bits what it computes has a cosine of {found:.4f} with its full precision, "
            f"less than {NEAREST}"
        )
    else:
        return Computed(
            fast, "fast", f"{fast.count} products in 8 bits; cosine with full precision {found:.5f}"
        )
    del fast  # before the best is opened: both may be gigabytes
    remark = f"the fast profile is not used for this model: {reason}"
    return Computed(ort.Graph(path, threads), "best", reason, remark)


def held_against(
    path: Path, threads: int, hashes: Sequence[str], modulation: Path | None
) -> tuple[Fast, float]:
    """The fast graph, and its least cosine with the model's own; measured once for a model and a machine.

    The two are never open at once, for either may be gigabytes.
    """
    place = verdicts() / f"{key(hashes)}.json"
    found = kept_verdict(place)
    cases = in_full(path, threads, modulation) if found is None else []
    fast = Fast(path, threads)
    if found is None and fast.count:
        found = nearness_in_use(fast, cases)
        keep_verdict(place, found)
    return fast, found or 0.0


def kept_verdict(place: Path) -> float | None:
    """None where there is none, or none that can be read."""
    try:
        with place.open("rb") as file:
            return float(json.loads(file.read(MOST))["cosine"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def keep_verdict(place: Path, found: float) -> None:
    try:
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        put_lasting(place, json.dumps({"cosine": found}).encode(), 0o600)
    except OSError:
        pass  # a cache: without it, it is measured again


def in_full(path: Path, threads: int, modulation: Path | None) -> Cases:
    """Drawn inputs such as a job has, and what the model's own graph makes of them: the first track given,
    conditions as long as they are, a low level and a high one.
    """
    best = ort.Graph(path, threads)
    told = ort.Graph(modulation, threads) if modulation else None
    cases = []
    for seed in range(CASES):
        inputs = drawn(best.ports, seed)
        inputs["levels"][:, 0], inputs["levels"][:, 1:] = 0, np.array([[LOW / 4], [1]], np.float32)
        if "conditions" in inputs:
            inputs["conditions"] = unit(inputs["conditions"]) * np.float32(SCALE)
        if told:
            conditions = {name: unit(one) for name, one in drawn(told.ports, seed).items()}
            inputs["modulation"] = told.run(**conditions)[0]
        cases.append((inputs, best.run(**inputs)[0]))
    return cases


def nearness_in_use(fast: Runtime, cases: Cases) -> float:
    """Least cosine of the wanted tracks' v."""
    return min(
        cosine(one[1:], other[1:])
        for inputs, full in cases
        for one, other in zip(fast.run(**inputs)[0], full, strict=True)
    )


def unit(vectors: Array) -> Array:
    """Each (…, D) of length 1."""
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def verdicts() -> Path:
    return own_folder("cache") / "profiles"


def key(hashes: Sequence[str]) -> str:
    """Of everything a verdict depends on."""
    import onnxruntime

    words = [*hashes, str(RECIPE), onnxruntime.__version__, np.__version__]
    words += [survey.processor(), plans.this_system()]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
