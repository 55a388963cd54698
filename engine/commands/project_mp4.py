"""The boxes of an MP4 file of several ALAC tracks of one length (ISO/IEC 14496-12), a chunk for each packet.

The packets follow the index, one of each track in turn, so a player need not seek.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
UNITY = struct.pack(
    ">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30
)  # the matrix of a picture; there is none
WHOLE = 1 << 16  # 1 as 16.16
FULL_VOLUME = 0x0100  # 1 as 8.8
ENABLED, IN_MOVIE, HERE = 1, 2, 1  # flags: played, part of the whole; the sound is in this file
UNDETERMINED = 0x55C4  # "und", the language
FAR = 1 << 32  # offsets from here on need 64 bits
LONG_HEADER = 16  # bytes of a box's size and kind, the size in 64 bits


@dataclass(frozen=True)
class Sound:
    """What every track holds. lengths: of the packets, in frames; configuration: of the codec"""

    rate: int
    channels: int
    bits: int
    lengths: Sequence[int]
    configuration: bytes

    @property
    def frames(self) -> int:
        return sum(self.lengths)


def box(kind: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I4s", 8 + len(content), kind) + content


def beginning(sound: Sound, names: Sequence[str], sizes: Sequence[Sequence[int]], extra: bytes) -> bytes:
    """All that stands before the first packet.

    sizes  of each track's packets, in bytes
    extra  boxes for moov/udta
    """
    kind = box(b"ftyp", struct.pack(">4sI4s4s4s", b"isom", 512, b"isom", b"mp42", b"M4A "))
    total = sum(map(sum, sizes))
    is_far = total + sum(map(len, sizes)) * 16 + len(extra) + 65536 >= FAR  # more than there can be
    length = len(kind) + len(_index(sound, names, sizes, extra, 0, is_far)) + LONG_HEADER
    index = _index(sound, names, sizes, extra, length, is_far)
    return kind + index + struct.pack(">I4sQ", 1, b"mdat", LONG_HEADER + total)


def _index(
    sound: Sound,
    names: Sequence[str],
    sizes: Sequence[Sequence[int]],
    extra: bytes,
    place: int,
    is_far: bool,
) -> bytes:
    """place: of the first packet"""
    order = np.array(sizes, np.int64).T  # (packets, tracks), as they lie in the file
    places: Integers = (place + np.concatenate([[0], order.ravel().cumsum()[:-1]])).reshape(order.shape)
    movie = struct.pack(">6IH10x", 0, 0, 0, sound.rate, sound.frames, WHOLE, FULL_VOLUME)
    head = box(b"mvhd", movie, UNITY, bytes(24), struct.pack(">I", len(sizes) + 1))
    tracks = [
        _track(sound, number, name, order[:, number], places[:, number], is_far)
        for number, name in enumerate(names)
    ]
    return box(b"moov", head, *tracks, box(b"udta", extra))


def _track(sound: Sound, number: int, name: str, sizes: Integers, places: Integers, is_far: bool) -> bytes:
    """number: from 0; the first is the one that is played"""
    flags = IN_MOVIE | (ENABLED if number == 0 else 0)
    head = struct.pack(">6I8x2H2H", flags, 0, 0, number + 1, 0, sound.frames, 0, 0, FULL_VOLUME, 0)
    media = struct.pack(">5I2H", 0, 0, 0, sound.rate, sound.frames, UNDETERMINED, 0)
    handler = struct.pack(">2I4s12x", 0, 0, b"soun") + name.encode("utf-8", "replace") + b"\0"
    source = box(b"dref", struct.pack(">2I", 0, 1), box(b"url ", struct.pack(">I", HERE)))
    information = box(
        b"minf", box(b"smhd", bytes(8)), box(b"dinf", source), _table(sound, sizes, places, is_far)
    )
    return box(
        b"trak",
        box(b"tkhd", head, UNITY, bytes(8)),
        box(b"mdia", box(b"mdhd", media), box(b"hdlr", handler), information),
    )


def _table(sound: Sound, sizes: Integers, places: Integers, is_far: bool) -> bytes:
    """Where each packet lies and how long it lasts."""
    entry = struct.pack(">6xH8x2H4xI", 1, sound.channels, sound.bits, sound.rate * WHOLE % FAR)
    codec = box(b"alac", entry, box(b"alac", bytes(4), sound.configuration))
    count, last = len(sound.lengths), sound.lengths[-1]
    times = [(count - 1, sound.lengths[0]), (1, last)] if count > 1 else [(1, last)]
    offsets, width = (b"co64", ">u8") if is_far else (b"stco", ">u4")
    return box(
        b"stbl",
        box(b"stsd", struct.pack(">2I", 0, 1), codec),
        box(b"stts", struct.pack(">2I", 0, len(times)), *(struct.pack(">2I", *time) for time in times)),
        box(b"stsc", struct.pack(">5I", 0, 1, 1, 1, 1)),
        box(b"stsz", struct.pack(">3I", 0, 0, count), sizes.astype(">u4").tobytes()),
        box(offsets, struct.pack(">2I", 0, count), places.astype(width).tobytes()),
    )
