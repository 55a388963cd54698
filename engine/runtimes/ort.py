"""Graphs on ONNX Runtime: on the CPU in the default install; on a card by onnxruntime-gpu or a plug-in."""

import os
from pathlib import Path

from stemwright.engine.contracts import Array
from stemwright.engine.errors import DeviceLost, ModelDamaged, ModelError, ModelTooNew
from stemwright.engine.runtimes import plugin

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
RTX = "rtx"  # a device: TensorRT-RTX as a plug-in
CUDA_INSTALL = "Install it: pip uninstall onnxruntime; pip install 'onnxruntime-gpu[cuda,cudnn]'"
NO_WEIGHTS = ("External data path", "external data", "out of bounds", "External initializer")
NO_MEMORY = ("out of memory", "failed to allocate memory", "available memory", "cudaerrormemoryallocation")
TOO_NEW = ("is under development and support", "Unsupported model IR version", "is not a registered function")


def cores() -> int:
    """Processor cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Graph:
    """An ONNX graph ready to run. Weights may lie in a file beside it (external data), found by its own path.

    path     the graph's file, or its bytes where it brings all its weights
    threads  at work within one run; the same graph and arrays give the same bytes with any number of them
    device   "cpu"; "cuda" where the library is onnxruntime-gpu; "rtx" where TensorRT-RTX is plugged in
    ports    of each input its axes, −1 where one is free
    """

    def __init__(self, path: Path | bytes, threads: int = 1, device: str = "cpu") -> None:
        import onnxruntime

        self.name = path.name if isinstance(path, Path) else "graph"
        self._device = device
        source = os.fspath(path) if isinstance(path, Path) else path
        options = session_options(threads)
        if device == RTX:
            provider, named = plugin.provider(), {}
            options.add_provider_for_devices(plugin.devices(), {})
        else:
            provider = PROVIDERS[device]
            named = {"providers": [provider]}
        try:
            self._session = onnxruntime.InferenceSession(source, options, **named)
        except Exception as error:  # the library raises a dozen kinds, all of them its own
            raise _refused(self.name, error, onnxruntime.__version__) from error
        if self._session.get_providers()[0] != provider:
            raise DeviceLost(
                f"{self.name}: ONNX Runtime {onnxruntime.__version__} cannot use the card (CUDA libraries "
                f"are missing or too old). {CUDA_INSTALL}"
            )
        self.inputs = tuple(entry.name for entry in self._session.get_inputs())
        self.outputs = tuple(entry.name for entry in self._session.get_outputs())
        self.ports = {
            entry.name: tuple(size if isinstance(size, int) else -1 for size in entry.shape)
            for entry in self._session.get_inputs()
        }

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        """Named inputs → every output, in the order of `outputs`."""
        try:
            return tuple(self._session.run(None, arrays))
        except Exception as error:
            if self._device != "cpu" and not _is_ours(error):
                raise DeviceLost(f"{self.name}: {_trouble(error)}") from error
            shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
            raise ModelDamaged(
                f"{self.name}: does not run on {shapes} ({_first_line(error)}). Does it belong to this model?"
            ) from error


def has_cuda() -> bool:
    """Whether the installed ONNX Runtime was built for CUDA; not whether there is a card."""
    import onnxruntime

    return PROVIDERS["cuda"] in onnxruntime.get_available_providers()


def _refused(name: str, error: Exception, version: str) -> ModelError:
    """What opening a graph failed with, said for the user."""
    line = _first_line(error)
    if any(words in str(error) for words in TOO_NEW):
        return ModelTooNew(
            f"{name}: is written for a newer ONNX Runtime than {version} ({line}). "
            "Upgrade it: pip install --upgrade onnxruntime"
        )
    if any(words in str(error) for words in NO_WEIGHTS):
        return ModelDamaged(
            f"{name}: the file beside it that holds its weights is missing or cut short. "
            "Install the model again, or export the graph again."
        )
    return ModelDamaged(
        f"{name}: ONNX Runtime {version} cannot load it ({line}). "
        "Install the model again, or a newer onnxruntime."
    )


def _is_ours(error: Exception) -> bool:
    """Whether the arrays were wrong, not the card."""
    return "INVALID_ARGUMENT" in str(error)


def _trouble(error: Exception) -> str:
    """What a card failed with."""
    if any(words in str(error).lower() for words in NO_MEMORY):
        return "the graphics card is out of memory. Close what else uses it, or --device cpu."
    return f"the graphics card failed ({_first_line(error)})"


def session_options(threads: int) -> "onnxruntime.SessionOptions":  # type: ignore[name-defined] # noqa: F821
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 4  # what goes wrong comes as an exception
    options.add_session_config_entry("session.force_spinning_stop", "1")  # a DAW shares these cores
    return options


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
