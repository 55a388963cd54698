"""Small networks as graphs whose weights are stored in half precision and computed with in single."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.func import functional_call

OPSET = 18


class Packed(nn.Module):
    """A network that keeps its parameters in half precision and widens them on use.

    A runtime widens them once, when it loads the graph.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.held = [network]  # in a list, so that its own parameters are not stored again
        self.names = [name for name, _ in network.named_parameters()]
        for place, parameter in enumerate(network.parameters()):
            self.register_buffer(f"half{place}", parameter.detach().half())

    def widened(self) -> dict[str, Tensor]:
        halves = [self.get_buffer(f"half{place}") for place in range(len(self.names))]
        return {name: half.float() for name, half in zip(self.names, halves, strict=True)}

    def forward(self, x: Tensor) -> Any:
        return functional_call(self.held[0], self.widened(), (x,))


def save_halves(network: nn.Module, path: Path) -> None:
    """The parameters as float16 safetensors."""
    save_file({name: value.detach().half().contiguous() for name, value in network.named_parameters()}, path)


def export_graph(
    packed: nn.Module,
    example: Tensor,
    path: Path,
    *,
    inputs: Mapping[str, Mapping[int, str]],
    outputs: Sequence[str],
) -> None:
    """Write the graph. Nothing is folded here, or the weights would be stored as floats.

    inputs  the one input's name, with the names of its axes of any length
    """
    ((name, axes),) = inputs.items()
    program = torch.onnx.export(
        packed.eval(),
        (example,),
        input_names=[name],
        output_names=list(outputs),
        opset_version=OPSET,
        dynamo=True,
        optimize=False,
        external_data=False,
        verbose=False,
        dynamic_shapes=({axis: torch.export.Dim(word) for axis, word in axes.items()},),
    )
    assert program is not None
    graph = program.model_proto
    for node in (*graph.graph.node, *(node for function in graph.functions for node in function.node)):
        del node.metadata_props[:]  # where in the source it came from: a sixth of the file
    path.write_bytes(graph.SerializeToString())
