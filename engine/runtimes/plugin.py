"""ONNX Runtime's plug-in for GeForce and RTX: TensorRT-RTX, which builds its plan when a model is opened.

A package of its own beside the plain onnxruntime; nothing is built beforehand and nothing kept, so opening
takes longer than with a plan of our own. Not run on a card by our tests.
"""

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

from stemwright.engine.errors import DeviceLost, MissingExtra

PACKAGE = "onnxruntime_ep_nv_tensorrt_rtx"
INSTALL = "pip install onnxruntime-ep-nv-tensorrt-rtx-cu13"


def provider() -> str:
    """The provider's name; MissingExtra tells the command where the package is not installed."""
    return str(_package().get_ep_name())


def devices() -> Sequence[Any]:
    """The cards it can use; DeviceLost where there is none."""
    import onnxruntime

    name = provider()
    if not hasattr(onnxruntime, "get_ep_devices"):
        raise MissingExtra(
            f"ONNX Runtime {onnxruntime.__version__} takes no plug-in providers. "
            "Upgrade it: pip install --upgrade onnxruntime"
        )
    _register(name)
    found = [device for device in onnxruntime.get_ep_devices() if device.ep_name == name]
    if not found:
        raise DeviceLost(f"{name} knows no card here: it takes GeForce 16 and later. Use --device cpu.")
    return found[:1]


def is_installed() -> bool:
    try:
        _package()
    except MissingExtra:
        return False
    return True


def _package() -> Any:
    try:
        return import_module(PACKAGE)
    except (ImportError, OSError) as error:
        raise MissingExtra(f"TensorRT-RTX in ONNX Runtime needs: {INSTALL} ({error})") from error


@cache
def _register(name: str) -> None:
    """Tell ONNX Runtime of it; once in a process."""
    import onnxruntime

    try:
        onnxruntime.register_execution_provider_library(name, str(_package().get_library_path()))
    except Exception as error:  # theirs, of many kinds
        line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise DeviceLost(f"{name} does not start here ({line}). Use --device cpu.") from error
