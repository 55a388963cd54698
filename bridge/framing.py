"""OSC over TCP: a stream of bytes cut into packets and back, in the framing that the peer speaks.

The first byte tells: 0x00 begins a length (OSC 1.0: liblo, SuperCollider), 0xC0 is SLIP's END (OSC 1.1). What
begins otherwise is not OSC, above all not a web page's POST. Every step is linear in the bytes that came.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pythonosc import slip

from stemwright.bridge.wire import LONGEST_PACKET


class BadFrame(Exception):
    """No frame of ours: the connection is closed."""


class Framing(Protocol):
    """held: bytes of a frame that has not wholly come"""

    @property
    def held(self) -> int: ...

    def push(self, data: bytes) -> Iterator[bytes]:
        """The packets that are whole now; BadFrame after those before it."""
        ...

    def wrap(self, packet: bytes) -> bytes: ...


class Lengths:
    """Each packet after its length, 4 bytes."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def held(self) -> int:
        return len(self._bytes)

    def push(self, data: bytes) -> Iterator[bytes]:
        self._bytes += data
        at = 0
        while len(self._bytes) - at >= 4:
            size = int.from_bytes(self._bytes[at : at + 4], "big")
            if not 0 < size <= LONGEST_PACKET or size % 4:
                raise BadFrame(
                    f"a frame of {size} bytes; a multiple of 4, at most {LONGEST_PACKET}, is taken"
                )
            if len(self._bytes) - at - 4 < size:
                break
            at += 4 + size
            yield bytes(memoryview(self._bytes)[at - size : at])
        del self._bytes[:at]

    def wrap(self, packet: bytes) -> bytes:
        return len(packet).to_bytes(4, "big") + packet


class Slip:
    """Each packet between END bytes; neighbours may share one."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    @property
    def held(self) -> int:
        return len(self._bytes)

    def push(self, data: bytes) -> Iterator[bytes]:
        at, searched = 0, len(self._bytes)
        self._bytes += data
        while (end := self._bytes.find(slip.END, searched)) >= 0:
            start, at = at, end + 1
            searched = at
            if end > start:
                yield _unslipped(bytes(memoryview(self._bytes)[start:end]))
        del self._bytes[:at]
        if len(self._bytes) > 2 * LONGEST_PACKET:
            raise BadFrame(f"a frame without an end; at most {LONGEST_PACKET} bytes are taken")

    def wrap(self, packet: bytes) -> bytes:
        return slip.encode(packet)


def _unslipped(frame: bytes) -> bytes:
    try:
        packet = slip.decode(frame)
    except slip.ProtocolError:
        raise BadFrame("a SLIP escape that is none") from None
    if len(packet) > LONGEST_PACKET:
        raise BadFrame(f"a frame of {len(packet)} bytes; at most {LONGEST_PACKET} are taken")
    return packet


def framing_of(first: int) -> Framing:
    """The framing of a connection whose first byte is this."""
    if first == 0x00:
        return Lengths()
    if first == 0xC0:
        return Slip()
    raise BadFrame(f"it begins with {first:#04x}; OSC begins with 0x00 (lengths) or 0xc0 (SLIP)")
