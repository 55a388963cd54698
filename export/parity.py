"""A graph beside the network it came from: the same names, the same axes, the same numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from stemwright.engine.errors import ModelDamaged
from stemwright.export.spec import GraphSpec, Port

TRIALS = 3  # lengths of every free axis that are tried


def lengths(spec: GraphSpec, trial: int) -> dict[str, int]:
    """Of every free axis: a batch of 1, 2, 3; other axes from their least, in uneven steps."""
    return {
        name: min(size.least + (trial if name == "B" else 13 * trial), size.most)
        for name, size in spec.sizes.items()
    }


def sample(spec: GraphSpec, free: Mapping[str, int], seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs of the spec's shapes: shares and whole numbers evenly distributed, the rest normally."""
    generator = torch.Generator().manual_seed(seed)
    return tuple(drawn(port, sized(port, free), generator) for port in spec.inputs)


def drawn(port: Port, size: list[int], generator: torch.Generator) -> Tensor:
    if port.below:
        return torch.randint(port.below, size, generator=generator)
    return (torch.rand if port.is_share else torch.randn)(size, generator=generator)


def sized(port: Port, free: Mapping[str, int]) -> list[int]:
    return [axis if isinstance(axis, int) else free[axis] for axis in port.axes]


def as_arrays(spec: GraphSpec, inputs: Sequence[Tensor]) -> dict[str, np.ndarray]:
    return {port.name: tensor.numpy() for port, tensor in zip(spec.inputs, inputs, strict=True)}


def check_parity(module: nn.Module, spec: GraphSpec, path: Path, trials: int = TRIALS) -> float:
    """Largest relative difference found; ModelDamaged names what differs.

    trials  lengths of every free axis that are tried, the shortest first
    """
    session = opened(path)
    check_ports(session.get_inputs(), spec.inputs, path)
    check_ports(session.get_outputs(), spec.outputs, path)
    worst = 0.0
    for trial in range(trials):
        inputs = sample(spec, lengths(spec, trial), seed=trial)
        with torch.no_grad():
            expected = module(*inputs)
        found = session.run(None, as_arrays(spec, inputs))
        both = zip(found, [expected] if isinstance(expected, Tensor) else expected, strict=True)
        worst = max([worst, *(difference(mine, theirs.numpy()) for mine, theirs in both)])
    if not worst <= spec.tolerance:
        raise ModelDamaged(
            f"{path.name} differs from torch by {worst:.2g}, more than {spec.tolerance:.2g}; it is not kept."
        )
    return worst


def opened(path: Path) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # weights that are inputs with a default are meant so
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """Largest, relative to the standard deviation of what is expected; a number that is none is infinite."""
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(float(expected.std()), 1e-9))


def check_ports(found: Sequence[Any], expected: Sequence[Port], path: Path) -> None:
    """The same names with the same axes in the same order."""
    names = [(port.name, list(port.shape)) for port in found]
    wanted = [(port.name, list(port.axes)) for port in expected]
    if names != wanted:
        raise ModelDamaged(f"{path.name} has {names}; its specification says {wanted}")
