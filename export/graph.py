"""torch → ONNX. Weights are stored once, in half precision, in a safetensors file the graph points into."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stemwright.engine.errors import ModelDamaged
from stemwright.export.parity import check_parity
from stemwright.export.spec import GraphSpec

if TYPE_CHECKING:
    import onnx

OPSET = 20


def halve(module: nn.Module) -> dict[str, Tensor]:
    """The weights in half precision; the module keeps the rounded ones, so parity compares like with like."""
    halves = {name: tensor.detach().half().contiguous() for name, tensor in module.state_dict().items()}
    module.load_state_dict({name: tensor.float() for name, tensor in halves.items()})
    return halves


def export_graph(module: nn.Module, spec: GraphSpec, folder: Path, weights: str) -> Path:
    """Write `<spec.name>.onnx` and the safetensors file `weights` into the folder, held against torch.

    raises ModelDamaged if the graph's names, axes or numbers are not the module's; nothing is left then
    """
    module = module.eval()
    save_file(halve(module), folder / weights)
    (folder / weights).chmod(0o644)
    graph = traced(module, spec)
    point_into(graph, folder / weights)
    path = folder / f"{spec.name}.onnx"
    path.write_bytes(graph.SerializeToString())
    try:
        check_parity(module, spec, path)
    except ModelDamaged:
        path.unlink()
        (folder / weights).unlink()
        raise
    return path


def sample(spec: GraphSpec, batch: int, seed: int = 0) -> tuple[Tensor, ...]:
    """Inputs of the spec's shapes from a normal distribution; every free axis is `batch` long."""
    generator = torch.Generator().manual_seed(seed)
    shapes = [[axis if isinstance(axis, int) else batch for axis in port.axes] for port in spec.inputs]
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def traced(module: nn.Module, spec: GraphSpec) -> onnx.ModelProto:
    """The module as a graph in memory, initialisers named as its parameters."""
    free = {name: torch.export.Dim(name, min=1, max=most) for name, most in spec.largest.items()}
    shapes = tuple(
        {place: free[axis] for place, axis in enumerate(port.axes) if isinstance(axis, str)}
        for port in spec.inputs
    )
    program = torch.onnx.export(
        module,
        sample(spec, batch=2),
        dynamo=True,
        opset_version=OPSET,
        optimize=False,
        input_names=[port.name for port in spec.inputs],
        output_names=[port.name for port in spec.outputs],
        dynamic_shapes=shapes,
        verbose=False,
    )
    assert program is not None
    program.optimize()
    graph: onnx.ModelProto = program.model_proto
    strip(graph)
    return graph


def strip(graph: onnx.ModelProto) -> None:
    """Take out what only a debugger would read: where each node stood in the source, and guessed shapes."""
    del graph.metadata_props[:]
    del graph.graph.metadata_props[:]
    del graph.graph.value_info[:]
    for entry in (*graph.graph.node, *graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        del entry.metadata_props[:]
        entry.doc_string = ""


def tensor_places(path: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """name → (dtype, shape, offset in the file, bytes) of a safetensors file"""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {
        name: (
            row["dtype"],
            row["shape"],
            8 + length + row["data_offsets"][0],
            row["data_offsets"][1] - row["data_offsets"][0],
        )
        for name, row in header.items()
        if name != "__metadata__"
    }


def point_into(graph: onnx.ModelProto, weights: Path) -> None:
    """Replace initialisers that are parameters, or transposed ones, by casts of the half-precision bytes in
    the safetensors file; ONNX Runtime folds the casts when it opens the graph."""
    from onnx import TensorProto, helper, numpy_helper

    places = tensor_places(weights)
    transposed = {
        tensor.float().T.contiguous().numpy().tobytes(): name
        for name, tensor in load_file(weights).items()
        if tensor.ndim == 2
    }
    halves, nodes = set(), []
    for tensor in list(graph.graph.initializer):
        content = numpy_helper.to_array(tensor).tobytes()
        is_own = tensor.name in places and places[tensor.name][1] == list(tensor.dims)
        name = tensor.name if is_own else transposed.get(content)
        if name is None:
            continue
        graph.graph.initializer.remove(tensor)
        halves.add(name)
        if is_own:
            nodes.append(helper.make_node("Cast", [f"{name}.half"], [tensor.name], to=TensorProto.FLOAT))
        else:
            nodes.append(
                helper.make_node("Cast", [f"{name}.half"], [f"{tensor.name}.full"], to=TensorProto.FLOAT)
            )
            nodes.append(helper.make_node("Transpose", [f"{tensor.name}.full"], [tensor.name], perm=[1, 0]))
    graph.graph.initializer.extend(external(name, places[name], weights.name) for name in sorted(halves))
    nodes.extend(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def external(name: str, place: tuple[str, list[int], int, int], location: str) -> onnx.TensorProto:
    """A half-precision tensor whose bytes are in another file."""
    from onnx import TensorProto

    _, shape, offset, length = place
    tensor = TensorProto(name=f"{name}.half", data_type=TensorProto.FLOAT16, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def largest_embedded(graph: onnx.ModelProto) -> int:
    """Bytes of the largest initialiser that is still inside the graph: a weight stored twice shows here."""
    return max((len(tensor.raw_data) for tensor in graph.graph.initializer), default=0)


def as_arrays(spec: GraphSpec, inputs: tuple[Tensor, ...]) -> dict[str, np.ndarray]:
    return {port.name: tensor.numpy() for port, tensor in zip(spec.inputs, inputs, strict=True)}
