"""Weights and optimiser moments: as one flat tensor, and as files that are there whole or not at all."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn


def parameters_of(network: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in network.parameters()])


def set_parameters(network: nn.Module, flat: Tensor) -> None:
    first = 0
    for parameter in network.parameters():
        last = first + parameter.numel()
        parameter.data.copy_(flat[first:last].view_as(parameter))
        first = last


def save_whole(tensors: dict[str, Tensor], path: Path) -> None:
    part = path.with_suffix(".part")
    save_file({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, part)
    part.replace(path)


def save_moments(optimisers: list[torch.optim.Optimizer], network: nn.Module, path: Path) -> None:
    """What the optimisers remember of each parameter."""
    named = {
        f"{name}/{key}": value
        for name, parameter in network.named_parameters()
        for optimiser in optimisers
        for key, value in optimiser.state.get(parameter, {}).items()
    }
    save_whole(named, path)


def restore_moments(optimisers: list[torch.optim.Optimizer], network: nn.Module, path: Path) -> None:
    """As saved, on the device of each parameter. AdamW counts its steps on the CPU."""
    stored = load_file(path)
    for name, parameter in network.named_parameters():
        found = {
            key.rpartition("/")[2]: value if key.endswith("/step") else value.to(parameter.device)
            for key, value in stored.items()
            if key.startswith(f"{name}/")
        }
        for optimiser in optimisers:
            if any(parameter is own for group in optimiser.param_groups for own in group["params"]):
                optimiser.state[parameter] = dict(found)
