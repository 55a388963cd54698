"""A TCP connection: its bytes cut into OSC packets and back, in the framing that the peer speaks.

The first byte tells: 0x00 begins a length (OSC 1.0: liblo, SuperCollider), 0xC0 is SLIP's END (OSC 1.1). What
begins otherwise is not OSC, above all not a web page's POST. Every step is linear in the bytes that came.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from typing import Protocol

from pythonosc import slip

from stemwright.bridge.wire import LONGEST_PACKET

READ_LEAST, READ_MOST = 16 << 10, 256 << 10  # bytes at a time
MOST_WAITING = 8 << 20  # bytes for a peer that does not read


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


class Connection:
    """One TCP peer. `read` and `flush` are the receiving thread's; `send` may be anybody's.

    moved  monotonic seconds: when bytes last came or went
    """

    def __init__(self, sock: socket.socket, now: float) -> None:
        self.socket = sock
        self.moved = now
        self.is_lost = False
        self._framing: Framing | None = None
        self._waiting = bytearray()
        self._lock = threading.Lock()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)

    @property
    def held(self) -> int:
        """Bytes of a frame that has not wholly come."""
        return self._framing.held if self._framing else 0

    @property
    def waiting(self) -> int:
        """Bytes not sent yet."""
        return len(self._waiting)

    @property
    def is_between(self) -> bool:
        """At rest: it has spoken, no frame is half here, and none half sent."""
        return self._framing is not None and not self._framing.held and not self._waiting

    def read(self, now: float) -> Iterator[bytes]:
        """The packets that one reading completes. ConnectionError: the peer has gone; BadFrame: close it."""
        try:
            data = self.socket.recv(min(max(self.held, READ_LEAST), READ_MOST))
        except (BlockingIOError, InterruptedError):
            return
        if not data:
            raise ConnectionAbortedError("closed by the peer")
        self.moved = now
        if self._framing is None:
            self._framing = framing_of(data[0])
        yield from self._framing.push(data)

    def send(self, packet: bytes) -> bool:
        """Sends what goes at once and keeps the rest; False and lost if the peer does not keep up."""
        framed = (self._framing or Lengths()).wrap(packet)
        with self._lock:
            if self.is_lost:
                return False
            if self._waiting and len(self._waiting) + len(framed) > MOST_WAITING:
                self.is_lost = True
                return False
            sent = 0 if self._waiting else self._sent(framed)
            self._waiting += framed[sent:]
            return not self.is_lost

    def flush(self, now: float) -> None:
        """Sends of what waits as much as goes."""
        with self._lock:
            sent = self._sent(bytes(memoryview(self._waiting)[:READ_MOST]))
            del self._waiting[:sent]
            self.moved = now if sent else self.moved

    def _sent(self, data: bytes) -> int:
        try:
            return self.socket.send(data)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:
            self.is_lost = True
            return 0
