"""Networks run by torch itself: on a GPU, and where a model brings no graph. torch is imported on use."""

from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob, MissingExtra, ModelDamaged, ModelTooNew

if TYPE_CHECKING:
    import torch

NETWORKS = {  # kind → module, network, configuration
    "bandconv": ("stemwright.engine.models.bandconv", "BandConv", "BandConvConfig"),
    "dit": ("stemwright.engine.models.dit", "Dit", "DitConfig"),
}


class EagerDenoiser:
    """A Denoiser around a torch network of the same contract; arrays go to `device` and come back."""

    def __init__(self, network: "torch.nn.Module", device: str = "cpu") -> None:
        self._network = network.eval().to(device)
        self._device = device

    def __call__(self, latents: Array, levels: Array, conditions: Array) -> Array:
        """(B, S, C, T), (B, S), (B, S, D) → v (B, S, C, T)"""
        import torch

        with torch.inference_mode():
            tensors = [
                torch.from_numpy(np.array(array, np.float32)).to(self._device)
                for array in (latents, levels, conditions)
            ]
            velocity: Array = self._network(*tensors).float().cpu().numpy()
            return velocity


def open_network(kind: str, configuration: dict[str, Any], weights: Path) -> "torch.nn.Module":
    """The network of a manifest's denoiser with its weights from a safetensors file."""
    if kind not in NETWORKS:
        raise ModelTooNew(
            f'a network of kind "{kind}"; this Stemwright knows {", ".join(NETWORKS)}. Upgrade Stemwright.'
        )
    require_torch()
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtra(
            f"running without a graph needs: pip install 'stemwright[export]' ({error})"
        ) from error
    try:
        module, network, sizes = NETWORKS[kind]
        made: torch.nn.Module = getattr(import_module(module), network)(
            _sizes(getattr(import_module(module), sizes), configuration)
        )
        state = {name: tensor.float() for name, tensor in load_file(weights).items()}
        made.load_state_dict(state)
        return made
    except (SafetensorError, RuntimeError, TypeError, ValueError) as error:
        line = (str(error).splitlines() or [""])[0][:200]
        raise ModelDamaged(
            f'{weights.name}: not the weights of this "{kind}" ({line}). Install the model again.'
        ) from error


def require_torch() -> None:
    """Refuse early, with the command that helps."""
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingExtra("running without a graph needs torch: pip install 'stemwright[export]'") from error


def best_device(asked: str = "auto") -> str:
    """ "auto" → "cpu": graphs are faster there than torch, and a GPU must be asked for."""
    if asked in ("auto", "cpu"):
        return "cpu"
    require_torch()
    import torch

    kind = asked.partition(":")[0]
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(kind, False):
        raise BadJob(
            f'the device "{asked}" is not here; use "auto", "cpu", or "cuda" with a CUDA build of torch.'
        )
    return asked


def _sizes(kind: type, configuration: dict[str, Any]) -> Any:
    """The configuration's dataclass from JSON, whose lists are its tuples."""
    known = {field.name for field in fields(kind)}
    strangers = sorted(set(configuration) - known)
    if strangers:
        raise ModelTooNew(
            f"the network's configuration has {', '.join(strangers)}, unknown here. Upgrade Stemwright."
        )
    return kind(**{name: tuple(v) if isinstance(v, list) else v for name, v in configuration.items()})
