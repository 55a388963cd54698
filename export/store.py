"""Safetensors files written tensor by tensor, so that memory never holds more than one."""

from __future__ import annotations

import json
import os
import struct
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import torch
from torch import Tensor

KINDS = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}
PAGE = 4096  # bytes; the numbers begin at a whole one


def tensor_places(path: Path) -> dict[str, tuple[str, list[int], int, int]]:
    """name → (dtype, shape, offset in the file, bytes) of a safetensors file"""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    return {
        name: (
            row["dtype"],
            row["shape"],
            8 + length + row["data_offsets"][0],
            row["data_offsets"][1] - row["data_offsets"][0],
        )
        for name, row in header.items()
        if name != "__metadata__"
    }


class Store:
    """A safetensors file under way: `add` tensors in any order, in the precision they come in.

    Its header, which comes first, is written last, into room that is kept for `names`.
    """

    def __init__(self, path: Path, names: list[str]) -> None:
        room = sum(len(json.dumps(name)) + 160 for name in names)
        self._start = -(-(8 + room) // PAGE) * PAGE
        self._path = path
        self._header: dict[str, dict[str, object]] = {}
        self._end = 0  # bytes of tensors so far
        self._file: BinaryIO = path.open("wb")

    def add(self, name: str, tensor: Tensor) -> None:
        content = tensor.detach().contiguous()
        size = content.numel() * content.element_size()
        self._header[name] = {
            "dtype": KINDS[content.dtype],
            "shape": list(content.shape),
            "data_offsets": [self._end, self._end + size],
        }
        self._file.seek(self._start + self._end)
        self._file.write(content.reshape(-1).view(torch.uint8).numpy().data)
        self._end += size

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._file as file:
            if kind is None:
                room = self._start - 8
                text = json.dumps(self._header).encode()
                assert len(text) <= room, (len(text), room)
                file.seek(0)
                file.write(struct.pack("<Q", room) + text.ljust(room))
                file.flush()
                os.fsync(file.fileno())
