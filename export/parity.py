"""A graph beside the network it came from: the same names, the same axes, the same numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from stemwright.engine.errors import ModelDamaged
from stemwright.export.spec import GraphSpec


def check_parity(module: nn.Module, spec: GraphSpec, path: Path) -> float:
    """Largest relative difference found; ModelDamaged names what differs."""
    import onnxruntime

    from stemwright.export.graph import as_arrays, sample

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    check_ports(session.get_inputs(), spec.inputs, path)
    check_ports(session.get_outputs(), spec.outputs, path)
    worst = 0.0
    for batch in (1, 2, 3):
        inputs = sample(spec, batch, seed=batch)
        with torch.no_grad():
            expected = module(*inputs).numpy()
        (found,) = session.run(None, as_arrays(spec, inputs))
        worst = max(worst, float(np.abs(found - expected).max() / expected.std()))
    if not worst <= spec.tolerance:
        raise ModelDamaged(f"{path.name} differs from torch by {worst:.2g}, more than {spec.tolerance:.2g}")
    return worst


def check_ports(found: list, expected: tuple, path: Path) -> None:  # type: ignore[type-arg]
    names = [(port.name, list(port.shape)) for port in found]
    wanted = [(port.name, list(port.axes)) for port in expected]
    if names != wanted:
        raise ModelDamaged(f"{path.name} has {names}; its specification says {wanted}")
