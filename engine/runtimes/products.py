"""Products of stacks of matrices on the processor, by ONNX Runtime, into arrays that are there already.

Not by NumPy, whose threads cannot be bounded from within.
"""

from typing import Any

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.onnxfile import (
    BYTES,
    MICROSOFT,
    VARINT,
    Field,
    Network,
    Node,
    message,
    written,
)
from stemwright.engine.runtimes.ort import session_options

OPSET, IR, SINGLE, WHOLE = 20, 10, 1, 2  # the last two: a tensor's numbers, an attribute's kind
TURNED = message([(1, BYTES, b"transB"), (3, VARINT, 1), (20, VARINT, WHOLE)])


class Products:
    """a · b and a · bᵀ of float32 arrays (P, n, k) and (P, k, m) or (P, m, k): `out` is (P, n, m).

    All are C-contiguous, and of an axis P either factor may have 1. May be called from several threads at
    once, each of which adds `threads` − 1 more.
    """

    def __init__(self, threads: int = 1) -> None:
        self._plain = _session("MatMul", threads)
        self._turned = _session("FusedMatMul", threads, MICROSOFT, (TURNED,))

    def plain(self, a: Array, b: Array, out: Array) -> Array:
        """a · b"""
        return _run(self._plain, a, b, out)

    def turned(self, a: Array, b: Array, out: Array) -> Array:
        """a · bᵀ"""
        return _run(self._turned, a, b, out)


def _session(kind: str, threads: int, domain: str = "", attributes: tuple[bytes, ...] = ()) -> Any:
    import onnxruntime

    node = Node(kind, ("a", "b"), ("out",), attributes, domain, kind)
    content = written(
        Network((node,), {}, _ports(), ((1, VARINT, IR), (8, BYTES, message([(2, VARINT, OPSET)]))))
    )
    return onnxruntime.InferenceSession(content, session_options(threads), providers=["CPUExecutionProvider"])


def _ports() -> tuple[Field, ...]:
    """Of any shape."""
    kind = message([(1, BYTES, message([(1, VARINT, SINGLE)]))])
    return (
        (2, BYTES, b"product"),
        *((number, BYTES, message([(1, BYTES, name), (2, BYTES, kind)])) for number, name in PORTS),
    )


PORTS = ((11, b"a"), (11, b"b"), (12, b"out"))  # a graph's inputs are its entries 11, its outputs 12


def _run(session: Any, a: Array, b: Array, out: Array) -> Array:
    binding = session.io_binding()
    for name, array in (("a", a), ("b", b)):
        binding.bind_input(name, "cpu", 0, np.float32, array.shape, _address(array))
    binding.bind_output("out", "cpu", 0, np.float32, out.shape, _address(out))
    session.run_with_iobinding(binding)
    return out


def _address(array: Array) -> int:
    assert array.flags.c_contiguous and array.dtype == np.float32, (array.strides, array.dtype)
    return int(array.ctypes.data)
