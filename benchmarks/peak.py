"""What one core can do at most in fp32 matrix products: the best of two libraries on several shapes."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from flops import Product

SQUARES = (768, 1024, 1536, 2048)
AT_LEAST = 0.15  # CPU seconds per measurement


def peak(network: Iterable[Product], squares: Sequence[int] = SQUARES) -> dict[str, float]:
    """GFLOP/s by library and shape; `network` adds the shapes where the network spends most."""
    shapes = [(size, size, size) for size in squares]
    heaviest = sorted(network, key=lambda product: -product.flops)
    for product in heaviest:
        shape = (product.rows, product.inner, product.columns)
        if shape not in shapes and len(shapes) < len(squares) + 4:
            shapes.append(shape)
    rates = {}
    for rows, inner, columns in shapes:
        name = f"{rows} x {inner} x {columns}"
        rates[f"NumPy {name}"] = _rate(_numpy(rows, inner, columns), 2 * rows * inner * columns)
        rates[f"ONNX Runtime {name}"] = _rate(_onnxruntime(rows, inner, columns), 2 * rows * inner * columns)
    return rates


def _rate(call: Callable[[], object], flops: int) -> float:
    """GFLOP/s by CPU time, the best of five: the peak is what the core can do, not what it mostly does."""
    call()
    repeats = max(1, round(AT_LEAST / max(_seconds(call, 1), 1e-6)))
    return flops / min(_seconds(call, repeats) for _ in range(5)) / 1e9


def _seconds(call: Callable[[], object], repeats: int) -> float:
    start = time.process_time()
    for _ in range(repeats):
        call()
    return (time.process_time() - start) / repeats


def _matrices(rows: int, inner: int, columns: int) -> tuple[Any, Any]:
    noise = np.random.default_rng(0)
    return noise.random((rows, inner), np.float32), noise.random((inner, columns), np.float32)


def _numpy(rows: int, inner: int, columns: int) -> Callable[[], object]:
    left, right = _matrices(rows, inner, columns)
    out = np.empty((rows, columns), np.float32)
    return lambda: np.matmul(left, right, out=out)


def _onnxruntime(rows: int, inner: int, columns: int) -> Callable[[], object]:
    """The right matrix is a constant, so that the runtime may pack it beforehand, as it does with weights."""
    left, right = _matrices(rows, inner, columns)
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("MatMul", ["left", "right"], ["out"])],
        "product",
        [onnx.helper.make_tensor_value_info("left", kind, left.shape)],
        [onnx.helper.make_tensor_value_info("out", kind, (rows, columns))],
        [onnx.numpy_helper.from_array(right, "right")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    binding = session.io_binding()
    binding.bind_cpu_input("left", left)
    binding.bind_output("out")
    return lambda: session.run_with_iobinding(binding)
