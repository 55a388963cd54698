"""WAV files of 32-bit floats, taken apart into one file a channel, as Ardour keeps them."""

import array
import struct
import sys
from pathlib import Path
from typing import NamedTuple

FLOAT = 3
EXTENSIBLE = 0xFFFE


class Sound(NamedTuple):
    """samples: one array a channel"""

    rate: int
    samples: list[array.array]

    @property
    def frames(self) -> int:
        return len(self.samples[0])


def read(path: Path) -> Sound:
    data = path.read_bytes()
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        raise ValueError(f"{path} is no WAV file")
    at, form, body = 12, b"", None
    while at + 8 <= len(data) and body is None:
        name, size = struct.unpack("<4sI", data[at : at + 8])
        if name == b"fmt ":
            form = data[at + 8 : at + 8 + size]
        elif name == b"data":
            body = data[at + 8 : at + 8 + size]
        at += 8 + size + size % 2
    if body is None or len(form) < 16:
        raise ValueError(f"{path} is not whole")
    kind, channels, rate, _, _, bits = struct.unpack("<HHIIHH", form[:16])
    if kind == EXTENSIBLE and len(form) >= 26:
        kind = struct.unpack("<H", form[24:26])[0]
    if (kind, bits) != (FLOAT, 32):
        raise ValueError(f"{path} holds no 32-bit floats")
    mixed = array.array("f", body[: len(body) // (4 * channels) * 4 * channels])
    if sys.byteorder == "big":
        mixed.byteswap()
    return Sound(rate, [mixed[channel::channels] for channel in range(channels)])


def write_mono(path: Path, rate: int, samples: array.array) -> None:
    data = array.array("f", samples)
    if sys.byteorder == "big":
        data.byteswap()
    body = data.tobytes()
    form = struct.pack("<HHIIHH", FLOAT, 1, rate, rate * 4, 4, 32)
    fact = struct.pack("<I", len(samples))
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in ((b"fmt ", form), (b"fact", fact), (b"data", body))
    )
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
