"""Graphs drawn node by node, for networks too large to be traced: their weights are never in memory.

Weights stay in a safetensors file beside the graph, once, and are read from it as they are needed. What is
stored in half precision is widened at every use, not once at the start: the file's size is then what the
network takes of memory.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from stemwright.export.spec import Port
from stemwright.export.store import tensor_places

OPSET = 20
IR = 10
TYPES = {"F32": TensorProto.FLOAT, "F16": TensorProto.FLOAT16, "BF16": TensorProto.BFLOAT16}


class Drawing:
    """A graph under way. Every method that adds something gives the name of the tensor it makes."""

    def __init__(self, weights: Path) -> None:
        """weights: the safetensors file the graph will lie beside"""
        self._places, self._file = tensor_places(weights), weights.name
        self._nodes: list[NodeProto] = []
        self._constants: dict[bytes, TensorProto] = {}
        self._stored: dict[str, TensorProto] = {}

    def node(self, kind: str, *inputs: str, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; → its output's name, or a tuple of them where it has several."""
        place = len(self._nodes)
        names = tuple(f"{kind}.{place}" + (f".{one}" if outputs > 1 else "") for one in range(outputs))
        self._nodes.append(helper.make_node(kind, list(inputs), list(names), **attributes))
        return names if outputs > 1 else names[0]

    def constant(self, values: Any) -> str:
        """Numbers that stand in the graph itself; the same ones once. Whole numbers are shapes and axes."""
        array = np.array(values)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        key = repr((array.dtype.str, array.shape)).encode() + array.tobytes()
        if key not in self._constants:
            self._constants[key] = numpy_helper.from_array(array, f"constant.{len(self._constants)}")
        return str(self._constants[key].name)

    def stored(self, name: str, after: str = "") -> str:
        """A weight of the file, in single precision.

        after  a tensor with a free first axis: the weight is widened when that is there, not before. Else
               the runtime would widen all at once, and keep them
        """
        if name not in self._stored:
            kind, shape, offset, length = self._places[name]
            tensor = TensorProto(name=name, data_type=TYPES[kind], dims=shape)
            tensor.data_location = TensorProto.EXTERNAL
            for key, value in (("location", self._file), ("offset", offset), ("length", length)):
                tensor.external_data.add(key=key, value=str(value))
            self._stored[name] = tensor
        if self._stored[name].data_type == TensorProto.FLOAT:
            return name
        waiting = self._waiting(name, after) if after else name
        return str(self.node("Cast", waiting, to=TensorProto.FLOAT))

    def _waiting(self, name: str, after: str) -> str:
        """The same weight, reshaped to the shape it has, which is said to depend on `after`."""
        nothing = self.node("Mul", self.node("Shape", after, start=0, end=1), self.constant([0]))
        shape = self.node("Add", nothing, self.constant(self.shape(name)))
        return str(self.node("Reshape", name, shape))

    def shape(self, name: str) -> Sequence[int]:
        """Of a stored weight."""
        return self._places[name][1]

    def reshaped(self, name: str, *shape: int) -> str:
        """0 keeps an axis, −1 is what is left."""
        return str(self.node("Reshape", name, self.constant(shape)))

    def named(self, name: str, output: str) -> None:
        """Give the graph's output its name."""
        self._nodes.append(helper.make_node("Identity", [name], [output]))

    def finished(self, title: str, inputs: Sequence[Port], outputs: Sequence[Port]) -> ModelProto:
        """The graph.

        Weights in half precision are inputs with a default, which ONNX Runtime does not compute with when it
        opens the graph: it would keep the widened ones.
        """
        narrow = [
            helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims))
            for tensor in self._stored.values()
            if tensor.data_type != TensorProto.FLOAT
        ]
        graph = helper.make_graph(
            self._nodes,
            title,
            [*map(_information, inputs), *narrow],
            [*map(_information, outputs)],
            [*self._constants.values(), *self._stored.values()],
        )
        made: ModelProto = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="stemwright"
        )
        return made


def _information(port: Port) -> ValueInfoProto:
    return helper.make_tensor_value_info(port.name, TensorProto.FLOAT, list(port.axes))
