"""The same inputs through two runtimes: what a plan, or a precision, is held against before it is used."""

from collections.abc import Mapping, Sequence

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import PlanRefused
from stemwright.engine.runtimes.graphs import Runtime

NEAREST = 0.999  # cosine of the outputs
BATCH = 2


def drawn(ports: Mapping[str, Sequence[int]], seed: int) -> dict[str, Array]:
    """Inputs of these shapes, a free axis (−1) as BATCH: noise levels are shares, all else is normal."""
    random = np.random.default_rng(seed)
    return {name: _drawn(name, axes, random) for name, axes in ports.items()}


def _drawn(name: str, axes: Sequence[int], random: np.random.Generator) -> Array:
    shape = [BATCH if axis < 0 else axis for axis in axes]
    draw = random.random if name == "levels" else random.standard_normal
    return draw(shape).astype(np.float32)


def nearness(one: Runtime, other: Runtime, ports: Mapping[str, Sequence[int]], cases: int) -> float:
    """Least cosine between their first outputs; 0 where a number is none or a shape differs."""
    least = 1.0
    for seed in range(cases):
        inputs = drawn(ports, seed)
        least = min(least, cosine(one.run(**inputs)[0], other.run(**inputs)[0]))
    return least


def cosine(one: Array, other: Array) -> float:
    """Of two outputs as vectors; 0 where a number is none or a shape differs."""
    if one.shape != other.shape or not (np.isfinite(one).all() and np.isfinite(other).all()):
        return 0.0
    a, b = one.astype(np.float64).ravel(), other.astype(np.float64).ravel()
    return float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))


def check_golden(graph: Runtime, reference: Runtime, ports: Mapping[str, Sequence[int]]) -> None:
    """Refuse a plan that runs but does not compute what the model's graph does."""
    found = nearness(graph, reference, ports, cases=1)
    if not found >= NEAREST:
        raise PlanRefused(
            f"{graph.name}: what it computes has a cosine of {found:.4f} with the model's own output, "
            f"less than {NEAREST}. Update the driver, use --device cpu, or build a plan with another "
            "precision: stemwright export plan --precision fp32"
        )
