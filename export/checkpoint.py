"""Checkpoint files → their tensors, mapped from the disk. Nothing in them is ever run.

Two forms are read: safetensors, and the zip file that torch.save writes, whose pickle may name tensors and
plain containers alone. What else it names is told, and the file refused, before anything is loaded.
"""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from stemwright.engine.errors import ModelDamaged, ModelMissing
from stemwright.engine.models.official import State, listed

FETCH = "Fetch it again."
LARGEST_HEADER = 100 << 20  # bytes of a safetensors header
BROKEN = (RuntimeError, ValueError, KeyError, TypeError, AttributeError, IndexError, EOFError, OSError)


def read_checkpoint(path: Path) -> State:
    """Every tensor of the checkpoint by its key; of a nested one, those under "state_dict"."""
    if not path.is_file():
        raise ModelMissing(f"{path}: no such file. Give the path of a checkpoint, e.g. unwrapped_DiT.ckpt")
    try:
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise ModelDamaged(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    if start[8:] == b"{" and int.from_bytes(start[:8], "little") <= LARGEST_HEADER:
        return read_safetensors(path)
    return tensors_of(read_pickled(path, start), path)


def read_safetensors(path: Path) -> State:
    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise ModelDamaged(f"{path}: its safetensors are cut short or damaged ({error}). {FETCH}") from error


def read_pickled(path: Path, start: bytes) -> Any:
    """What torch.save wrote, by its restricted reader."""
    if not zipfile.is_zipfile(path):
        raise ModelDamaged(f"{path}: {what_else(start)}")
    try:
        named = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        if named:
            raise ModelDamaged(
                f"{path}: its pickle asks to run {listed(sorted(named))}; it is not opened. Take a "
                "checkpoint of tensors alone (the authors' unwrap_model.py makes one), from whom you trust."
            )
        return torch.load(path, map_location="cpu", mmap=True, weights_only=True)
    except (*BROKEN, pickle.UnpicklingError, zipfile.BadZipFile) as error:
        line = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise ModelDamaged(f"{path}: is damaged, or no checkpoint of tensors ({line}). {FETCH}") from error


def pickle_of(path: Path) -> bytes:
    """The pickle in what torch.save wrote, as bytes to look at; nothing of any other file."""
    try:
        with zipfile.ZipFile(path) as whole:
            names = [name for name in whole.namelist() if name.endswith("/data.pkl")]
            return whole.read(names[0]) if names else b""
    except (OSError, ValueError, RuntimeError, zipfile.BadZipFile, NotImplementedError):
        return b""


def what_else(start: bytes) -> str:
    """Why a file of neither form is refused."""
    if start.startswith(b"PK"):
        return f"is cut short: the end of its zip file is missing. {FETCH}"
    if start.startswith(b"\x80"):
        return "is a bare pickle, which could run anything; it is not opened. Save it as safetensors."
    return f"is no checkpoint: neither safetensors nor what torch.save writes. {FETCH}"


def tensors_of(content: Any, path: Path) -> State:
    """The dict of tensors in what was read."""
    inner = content.get("state_dict", content) if isinstance(content, Mapping) else None
    if not isinstance(inner, Mapping):
        raise ModelDamaged(f"{path}: holds no dict of tensors. {FETCH}")
    state = {str(key): tensor for key, tensor in inner.items() if isinstance(tensor, Tensor)}
    others = [str(key) for key in inner if str(key) not in state]
    if others and inner is content:
        raise ModelDamaged(f"{path}: holds what are no tensors ({listed(others)}). {FETCH}")
    return state
