"""ONNX graphs drawn node by node in memory, without the onnx package: for ONNX Runtime alone to open.

Field numbers are those of onnx.proto. Operators of Microsoft's domain go by the prefix "microsoft.".
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from stemwright.engine.runtimes.onnxfile import (
    BYTES,
    FOUR,
    MICROSOFT,
    VARINT,
    Constant,
    Field,
    Network,
    Node,
    message,
    written,
)

OPSET, IR = 20, 10
PREFIX = "microsoft."
REAL, WHOLE, WHOLES = 1, 2, 7  # kinds of an attribute
SINGLE = 1  # a tensor's kind of number


class Sketch:
    """A graph under way. Every method that adds something gives the name of the tensor it makes."""

    def __init__(self) -> None:
        self._nodes: list[Node] = []
        self._constants: dict[str, Constant] = {}
        self._known: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def node(self, kind: str, *inputs: str, **attributes: float | Sequence[int]) -> str:
        """Add a node of one output."""
        return self.nodes(kind, 1, *inputs, **attributes)[0]

    def nodes(
        self, kind: str, outputs: int, *inputs: str, **attributes: float | Sequence[int]
    ) -> tuple[str, ...]:
        """Add a node of several outputs."""
        names = tuple(f"{kind}.{len(self._nodes)}.{place}" for place in range(outputs))
        self.named(kind, names, *inputs, **attributes)
        return names

    def named(
        self, kind: str, outputs: Sequence[str], *inputs: str, **attributes: float | Sequence[int]
    ) -> None:
        """Add a node whose outputs have these names."""
        domain = MICROSOFT if kind.startswith(PREFIX) else ""
        written_out = tuple(encoded(name, value) for name, value in attributes.items())
        self._nodes.append(
            Node(kind.removeprefix(PREFIX), tuple(inputs), tuple(outputs), written_out, domain, outputs[0])
        )

    def constant(self, values: ArrayLike) -> str:
        """Numbers that stand in the graph; the same ones once. Fractions are single, 8-bit numbers stay."""
        array: Constant = np.asarray(values)
        if array.dtype.kind == "f":
            array = array.astype(np.float32)
        elif array.dtype.itemsize > 1:
            array = array.astype(np.int64)
        key = (array.dtype.str, array.shape, array.tobytes())
        name = self._known.setdefault(key, f"constant.{len(self._known)}")
        self._constants[name] = array
        return name

    def reshaped(self, name: str, *shape: int) -> str:
        """−1 is what is left."""
        return self.node("Reshape", name, self.constant(np.array(shape, np.int64)))

    def finished(self, inputs: Mapping[str, Sequence[int]], outputs: Mapping[str, Sequence[int]]) -> bytes:
        """The graph as a file's bytes. inputs, outputs: shapes by name"""
        ports: list[Field] = [(2, BYTES, b"sketch")]
        ports += [(11, BYTES, _port(name, shape)) for name, shape in inputs.items()]
        ports += [(12, BYTES, _port(name, shape)) for name, shape in outputs.items()]
        model: list[Field] = [(1, VARINT, IR), (8, BYTES, message([(2, VARINT, OPSET)]))]
        return written(Network(tuple(self._nodes), self._constants, tuple(ports), tuple(model)))


def encoded(name: str, value: Any) -> bytes:
    """An attribute of a node: a fraction, a whole number, or a list of whole numbers."""
    entries: list[Field] = [(1, BYTES, name.encode())]
    if isinstance(value, float):
        entries += [(2, FOUR, np.float32(value).tobytes()), (20, VARINT, REAL)]
    elif isinstance(value, int):
        entries += [(3, VARINT, value % (1 << 64)), (20, VARINT, WHOLE)]
    else:
        entries += [(8, VARINT, one % (1 << 64)) for one in value]
        entries.append((20, VARINT, WHOLES))
    return message(entries)


def _port(name: str, shape: Sequence[int]) -> bytes:
    axes = message([(1, BYTES, message([(1, VARINT, size)])) for size in shape])
    tensor = message([(1, VARINT, SINGLE), (2, BYTES, axes)])
    return message([(1, BYTES, name.encode()), (2, BYTES, message([(1, BYTES, tensor)]))])
