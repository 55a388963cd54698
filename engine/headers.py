"""The chunks of WAV and AIFF files: what a header promises, and the WAV header we write.

EBU Tech 3306 (RF64), Microsoft RIFF, AIFF 1.3.
"""

import struct
from pathlib import Path
from typing import BinaryIO

UNKNOWN = 0x7FFF0000  # bytes; programs that write into a pipe put this or more where the length should be
LONGEST_RIFF = 0xFFFFFFFE  # bytes; a longer WAV is RF64
IN_DS64 = 0xFFFFFFFF  # stands where the ds64 chunk holds the length


def missing_bytes(path: Path) -> int:
    """How many bytes of sound a WAV or AIFF header promises beyond the end of the file; else 0.

    A length that a pipe's writer could not know (0, or UNKNOWN and up) promises nothing.
    """
    with path.open("rb") as file:
        size = path.stat().st_size
        head = file.read(12)
        if head[:4] in (b"RIFF", b"RIFX", b"RF64") and head[8:] == b"WAVE":
            return _missing(file, size, b"data", ">" if head[:4] == b"RIFX" else "<")
        if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
            return _missing(file, size, b"SSND", ">")
    return 0


def _missing(file: BinaryIO, size: int, wanted: bytes, order: str) -> int:
    long_size = 0  # from a ds64 chunk: the data's true size when 32 bits do not hold it
    while len(head := file.read(8)) == 8:
        name, length = head[:4], int(struct.unpack(order + "I", head[4:])[0])
        if name == wanted:
            if length == IN_DS64 and long_size:
                length = long_size
            elif length >= UNKNOWN and file.tell() + length > size:
                return 0
            return max(0, file.tell() + length - size)
        body = file.tell()
        if name == b"ds64":
            long_size = struct.unpack("<Q", file.read(16)[8:].ljust(8, b"\0"))[0]
        file.seek(body + length + length % 2)
    return 0


def wav_header(frames: int, rate: int, channels: int, bits: int, is_float: bool) -> bytes:
    """Everything before the samples of a WAV file; its length does not depend on `frames`.

    A JUNK chunk keeps the place of the ds64 chunk that turns the file into RF64 beyond 4 GiB.
    No PEAK chunk: it holds the time of day, and the same job is to give the same bytes.
    """
    align = channels * bits // 8
    data = frames * align
    kind = 3 if is_float else 1
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, kind, channels, rate, rate * align, align, bits)
    if is_float:
        fmt += struct.pack("<4sII", b"fact", 4, min(frames, IN_DS64))
    whole = 4 + 36 + len(fmt) + 8 + data + data % 2
    if whole > LONGEST_RIFF:
        start = struct.pack("<4sI4s", b"RF64", IN_DS64, b"WAVE")
        start += struct.pack("<4sIQQQI", b"ds64", 28, whole, data, frames, 0)
        return start + fmt + struct.pack("<4sI", b"data", IN_DS64)
    start = struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + struct.pack("<4sI28x", b"JUNK", 28)
    return start + fmt + struct.pack("<4sI", b"data", data)
