"""torch → ONNX. Weights are stored once, in half precision, in a safetensors file the graph points into."""

from __future__ import annotations

import warnings
from collections.abc import Collection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from stemwright.export.parity import check_parity, lengths, sample
from stemwright.export.spec import GraphSpec
from stemwright.export.store import tensor_places

if TYPE_CHECKING:
    import onnx

OPSET = 20


def halve(module: nn.Module, exact: Collection[str] = ()) -> dict[str, Tensor]:
    """The weights in half precision; the module keeps the rounded ones, so parity compares like with like.

    exact  stay single, and so does what half precision cannot hold
    """
    stored = {name: narrowed(tensor, name in exact) for name, tensor in module.state_dict().items()}
    module.load_state_dict({name: tensor.float() for name, tensor in stored.items()})
    return stored


def narrowed(tensor: Tensor, is_exact: bool) -> Tensor:
    half = tensor.detach().half()
    is_kept = is_exact or not bool(half.isfinite().all())
    return (tensor.detach().float() if is_kept else half).contiguous()


def export_graph(module: nn.Module, spec: GraphSpec, folder: Path, weights: str | None = None) -> Path:
    """Write `<spec.name>.onnx` and a safetensors file with its weights into the folder, held against torch.

    weights  name of that file; None: `<spec.name>.safetensors`
    raises   ModelDamaged if the graph's names, axes or numbers are not the module's; nothing is left then
    """
    module = module.eval()
    stored, path = folder / (weights or f"{spec.name}.safetensors"), folder / f"{spec.name}.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=f"{spec.name}.part-") as name:
        made = Path(name)
        save_file(halve(module, spec.exact), made / stored.name)
        (made / stored.name).chmod(0o644)
        graph = traced(module, spec)
        point_into(graph, made / stored.name)
        (made / path.name).write_bytes(graph.SerializeToString())
        check_parity(module, spec, made / path.name)
        for file in (stored, path):
            (made / file.name).replace(file)
    return path


def traced(module: nn.Module, spec: GraphSpec) -> onnx.ModelProto:
    """The module as a graph in memory, initialisers named as its parameters."""
    free = {name: torch.export.Dim(name, min=size.least, max=size.most) for name, size in spec.sizes.items()}
    shapes = tuple(
        {place: free[axis] for place, axis in enumerate(port.axes) if isinstance(axis, str)}
        for port in spec.inputs
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of its own deprecations
        program = torch.onnx.export(
            module,
            sample(spec, lengths(spec, trial=1)),
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


def point_into(graph: onnx.ModelProto, weights: Path) -> None:
    """Replace initialisers that are parameters, or transposed ones, by the bytes in the safetensors file.

    What is stored in half precision is cast; ONNX Runtime folds the casts when it opens the graph.
    """
    from onnx import numpy_helper

    places = tensor_places(weights)
    transposed = {
        tensor.float().T.contiguous().numpy().tobytes(): name
        for name, tensor in load_file(weights).items()
        if tensor.ndim == 2
    }
    used, nodes = set(), []
    for tensor in list(graph.graph.initializer):
        is_own = tensor.name in places and places[tensor.name][1] == list(tensor.dims)
        name = tensor.name if is_own else transposed.get(numpy_helper.to_array(tensor).tobytes())
        if name is not None:
            graph.graph.initializer.remove(tensor)
            used.add(name)
            nodes.extend(drawn(tensor.name, name, is_half=places[name][0] == "F16", is_turned=not is_own))
    graph.graph.initializer.extend(external(name, places[name], weights.name) for name in sorted(used))
    nodes.extend(graph.graph.node)
    del graph.graph.node[:]
    graph.graph.node.extend(nodes)


def drawn(target: str, name: str, *, is_half: bool, is_turned: bool) -> list[onnx.NodeProto]:
    """The nodes that make `target` of the stored weight `name`."""
    from onnx import TensorProto, helper

    source, made = f"{name}.stored", []
    if is_half:
        half, source = source, f"{target}.full" if is_turned else target
        made.append(helper.make_node("Cast", [half], [source], to=TensorProto.FLOAT))
    if is_turned:
        made.append(helper.make_node("Transpose", [source], [target], perm=[1, 0]))
    elif not is_half:
        made.append(helper.make_node("Identity", [source], [target]))
    return made


def external(name: str, place: tuple[str, list[int], int, int], location: str) -> onnx.TensorProto:
    """A tensor whose bytes are in another file."""
    from onnx import TensorProto

    kind, shape, offset, length = place
    types = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}
    tensor = TensorProto(name=f"{name}.stored", data_type=types[kind], dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=value)
    return tensor


def largest_embedded(graph: onnx.ModelProto) -> int:
    """Bytes of the largest initialiser that is still inside the graph: a weight stored twice shows here."""
    return max((len(tensor.raw_data) for tensor in graph.graph.initializer), default=0)
