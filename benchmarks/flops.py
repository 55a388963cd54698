"""Floating-point operations of an ONNX graph's matrix products, from the shapes of one real run.

Counted: MatMul, Gemm, FusedMatMul, Conv, ConvTranspose, Attention. One multiply-add is two operations.
Everything element-wise is left out: a rate computed from this count is a lower bound.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime

Shape = tuple[int, ...]
Shapes = Callable[[str], Shape]


@dataclass(frozen=True)
class Product:
    """One matrix product of the graph, as rows × inner × columns, `batches` times."""

    operator: str
    batches: int
    rows: int
    inner: int
    columns: int

    @property
    def flops(self) -> int:
        return 2 * self.batches * self.rows * self.inner * self.columns


def products(path: Path, feeds: Mapping[str, np.ndarray[Any, Any]]) -> list[Product]:
    """Every matrix product of the graph, when run on `feeds`."""
    model = onnx.load(path)
    nodes = [node for node in model.graph.node if node.op_type in COUNTERS]
    shapes = _shapes(model, path.parent, nodes, feeds)
    return [product for node in nodes for product in COUNTERS[node.op_type](node, shapes)]


def _shapes(model: Any, folder: Path, nodes: list[Any], feeds: Mapping[str, np.ndarray[Any, Any]]) -> Shapes:
    """Run once with every input and output of the nodes as a result of the graph; that tells their shapes."""
    known = {tensor.name: tuple(tensor.dims) for tensor in model.graph.initializer}
    known |= {name: value.shape for name, value in feeds.items()}
    wanted = {name for node in nodes for name in (*node.input, *node.output) if name} - set(known)
    already = {value.name for value in model.graph.output}
    model.graph.output.extend(
        onnx.helper.make_empty_tensor_value_info(name) for name in sorted(wanted - already)
    )
    onnx.external_data_helper.load_external_data_for_model(model, str(folder))
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    names = sorted(wanted)
    known |= {name: value.shape for name, value in zip(names, session.run(names, dict(feeds)), strict=True)}
    return known.__getitem__


def _attribute(node: Any, name: str, default: Any) -> Any:
    found = [onnx.helper.get_attribute_value(one) for one in node.attribute if one.name == name]
    return found[0] if found else default


def _matmul(node: Any, shape: Shapes) -> list[Product]:
    left, out = shape(node.input[0]), shape(node.output[0])
    inner = left[-2] if _attribute(node, "transA", 0) else left[-1]
    rows = out[-2] if len(out) > 1 else 1
    batches = prod(out[:-2])
    if len(shape(node.input[1])) == 2 and not _attribute(node, "transA", 0):
        rows, batches = rows * batches, 1  # one weight for all: ONNX Runtime runs it as one product
    return [Product(node.op_type, batches, rows, inner, out[-1])]


def _conv(node: Any, shape: Shapes) -> list[Product]:
    weight, out = shape(node.input[1]), shape(node.output[0])
    groups = _attribute(node, "group", 1)
    return [Product("Conv", out[0] * groups, weight[0] // groups, prod(weight[1:]), prod(out[2:]))]


def _conv_transpose(node: Any, shape: Shapes) -> list[Product]:
    given, weight = shape(node.input[0]), shape(node.input[1])
    groups = _attribute(node, "group", 1)
    return [
        Product("ConvTranspose", given[0] * groups, prod(weight[1:]), weight[0] // groups, prod(given[2:]))
    ]


def _attention(node: Any, shape: Shapes) -> list[Product]:
    """Queries (B, H, L, E), keys (B, H, M, E), values (B, H, M, V)."""
    query, key, value = (shape(node.input[place]) for place in range(3))
    if len(query) != 4:
        raise ValueError("Attention on three axes: its heads are not counted yet; export it with four")
    batches = prod(query[:2])
    return [
        Product("Attention", batches, query[2], query[3], key[2]),
        Product("Attention", batches, query[2], key[2], value[3]),
    ]


COUNTERS: dict[str, Callable[[Any, Shapes], list[Product]]] = {
    "MatMul": _matmul,
    "FusedMatMul": _matmul,
    "Gemm": _matmul,
    "Conv": _conv,
    "ConvTranspose": _conv_transpose,
    "Attention": _attention,
}
