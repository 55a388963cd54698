"""Graphs on ONNX Runtime, on the CPU: the run time of the default install."""

import os
from pathlib import Path

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import ModelDamaged


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Graph:
    """An ONNX graph ready to run. Weights may lie in a file beside it (external data), found by its own path.

    path     the graph's file, or its bytes where it brings all its weights
    threads  at work within one run; the same graph and arrays give the same bytes with any number of them
    """

    def __init__(self, path: Path | bytes, threads: int = 1) -> None:
        import onnxruntime

        self.name = path.name if isinstance(path, Path) else "graph"
        source = os.fspath(path) if isinstance(path, Path) else path
        try:
            self._session = onnxruntime.InferenceSession(
                source, _options(threads), providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the library raises a dozen kinds, all of them its own
            raise ModelDamaged(
                f"{self.name}: ONNX Runtime {onnxruntime.__version__} cannot load it "
                f"({_first_line(error)}). Install the model again, or a newer onnxruntime."
            ) from error
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())
        self.outputs = tuple(entry.name for entry in self._session.get_outputs())

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        """Named inputs → every output, in the order of `outputs`."""
        try:
            return tuple(self._session.run(None, arrays))
        except Exception as error:
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ModelDamaged(
                f"{self.name}: does not run on {shapes} ({_first_line(error)}). Does it belong to this model?"
            ) from error


class OrtDenoiser:
    """A Denoiser whose network is a graph with the inputs latents, levels and conditions."""

    def __init__(self, graph: Graph) -> None:
        missing = {"latents", "levels", "conditions"} ^ set(graph.inputs)
        if missing or len(graph.outputs) != 1:
            raise ModelDamaged(
                f"{graph.name}: takes {', '.join(graph.inputs)}; a denoiser takes latents, levels and "
                "conditions and returns v alone. Export it again."
            )
        self._graph = graph

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        """(B, S, C, T), (B, S), (B, S, D) → v (B, S, C, T)"""
        single = [np.ascontiguousarray(array, np.float32) for array in (latents, levels, conditions)]
        (velocity,) = self._graph.run(latents=single[0], levels=single[1], conditions=single[2])
        return velocity


def _options(threads: int) -> "onnxruntime.SessionOptions":  # type: ignore[name-defined] # noqa: F821
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what goes wrong comes as an exception
    options.add_session_config_entry("session.force_spinning_stop", "1")  # a DAW shares these cores
    options.add_session_config_entry("session.set_denormal_as_zero", "1")
    return options


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
