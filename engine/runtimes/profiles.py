"""How the processor computes a denoiser: in single precision ("best"), or its products in 8 bits ("fast").

What runs is made in memory at every opening: a compact denoiser is drawn anew in either profile, another
one's graph is rewritten for the fast one. Nothing of it is kept but a verdict: how near it came, on this
machine, to what the model's graph computes. Where the fast one is not near enough the best takes its place,
with a remark that says so; where the drawn one is not the same, the model's own graph.

<cache>/profiles/<key>.json   {"cosine": 0.9998}
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np

from stemwright.engine.conditioner import SCALE
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob, ModelDamaged, ModelTooNew
from stemwright.engine.partfile import put_lasting
from stemwright.engine.places import own_folder
from stemwright.engine.runtimes import ort, plans, survey
from stemwright.engine.runtimes.bandgraph import Sizes, modulation_graph, step_graph, weights_of
from stemwright.engine.runtimes.golden import NEAREST, cosine, drawn
from stemwright.engine.runtimes.graphs import Runtime
from stemwright.engine.runtimes.quantise import FIRST_BLOCK, NARROWEST, RECIPE, quantised
from stemwright.engine.runtimes.rowwise import Rowwise

PROFILES = ("best", "fast")
LOW = 0.25  # τ; below it the first block stays single
SAME = 0.99999  # cosine of what must differ by rounding alone
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
        content, self.count, self._is_for_low = quantised(path)
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
        is_usual = self._is_for_low or row["levels"].max() >= LOW
        graph = self._usual if is_usual else self._careful
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
    path: Path,
    threads: int,
    asked: str,
    hashes: Sequence[str],
    modulation: Path | None = None,
    sizes: Sizes | None = None,
) -> Computed:
    """A denoiser as it was asked for, or the best where the fast one is not near enough to its own graph.

    hashes      sha256 of the graph and its weights
    modulation  the graph that makes of conditions what the denoiser's takes in their place
    sizes       of a compact denoiser, which is drawn anew for the processor
    """
    reason = remark = ""
    if check_profile(asked) == "fast":
        fast = Candidate("fast", partial(opened_fast, path, threads, sizes))
        made, found = held_against(fast, path, threads, hashes, modulation)
        if made and found >= NEAREST:
            return Computed(made, "fast", f"products in 8 bits; cosine with full precision {found:.5f}")
        reason = "its products are too narrow for 8 bits, or ONNX Runtime is too old"
        if made:
            reason = (
                f"in 8 bits what it computes has a cosine of {found:.4f} with its full precision, "
                f"less than {NEAREST}"
            )
        del made  # before the best is opened: both may be gigabytes
        remark = f"the fast profile is not used for this model: {reason}"
    best = Candidate("best", partial(opened_compact, path, threads, sizes))
    made, found = held_against(best, path, threads, hashes, modulation) if sizes else (None, 0.0)
    if made and found >= SAME:
        return Computed(made, "best", reason or "full precision", remark)
    return Computed(ort.Graph(path, threads), "best", reason or "full precision", remark)


@dataclass(frozen=True)
class Candidate:
    """Another way to compute what the model's own graph does. opened: None where it does not go"""

    name: str
    opened: Callable[[], Runtime | None]


def opened_fast(path: Path, threads: int, sizes: Sizes | None) -> Runtime | None:
    """In 8 bits: drawn, or rewritten of the model's own graph."""
    if sizes and sizes.width >= NARROWEST and (made := opened_compact(path, threads, sizes, is_fast=True)):
        return made
    try:
        fast = Fast(path, threads)
    except (ModelDamaged, ModelTooNew):
        return None  # an ONNX Runtime without such products; a damaged graph is told of by the best profile
    return fast if fast.count else None


def opened_compact(path: Path, threads: int, sizes: Sizes | None, *, is_fast: bool = False) -> Runtime | None:
    """A compact denoiser drawn; None where the graph's weights are not those of such a one."""
    if sizes is None:
        return None

    def careful() -> ort.Graph:
        return ort.Graph(step_graph(sizes, weights_of(path), is_fast=True, singles=1), threads)

    try:
        weights = weights_of(path)
        modulation = ort.Graph(modulation_graph(sizes, weights), threads)
        step = ort.Graph(step_graph(sizes, weights, is_fast=is_fast), threads)
        return Rowwise(path.name, modulation, step, careful if is_fast else None, LOW)
    except (KeyError, ValueError, ModelDamaged):
        return None  # the graph itself is opened instead, and says what is wrong with it


def held_against(
    candidate: Candidate, path: Path, threads: int, hashes: Sequence[str], modulation: Path | None
) -> tuple[Runtime | None, float]:
    """The candidate, and its least cosine with the model's own graph: measured once for each machine.

    The two are never open at once, for either may be gigabytes.
    """
    place = verdicts() / f"{key(hashes, candidate.name)}.json"
    found = kept_verdict(place)
    cases = in_full(path, threads, modulation) if found is None else []
    made = candidate.opened()
    if found is None and made:
        found = nearness_in_use(made, cases)
        keep_verdict(place, found)
    return made, found or 0.0


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


def key(hashes: Sequence[str], candidate: str) -> str:
    """Of everything a verdict depends on."""
    import onnxruntime

    words = [*hashes, candidate, str(RECIPE), onnxruntime.__version__, np.__version__]
    words += [survey.processor(), plans.this_system()]
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
