"""A client's line to the server: whole packets out and in. UDP, or TCP with OSC 1.0's length prefix.

A line that is down opens itself again when the next packet is sent.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from typing import Protocol

from stemwright.engine.errors import BadJob

PATIENCE = 5.0  # seconds to connect, and for a packet to leave
LARGEST_DATAGRAM = 65507  # bytes
LARGEST_FRAME = 1 << 24  # bytes of a packet over TCP
RECEIVE_BUFFER = 1 << 20  # bytes asked of the system, so that a burst of events has room


class LineDown(Exception):
    """Nobody is at the other end."""


class Line(Protocol):
    """is_sure: what is sent arrives, once and in order, while the line holds"""

    is_sure: bool

    def send(self, packet: bytes) -> None:
        """LineDown where nobody listens."""

    def receive(self, seconds: float) -> bytes | None:
        """The next packet; None when none comes in time."""

    def close(self) -> None: ...


class UdpLine:
    """Datagrams to one server, and from it alone."""

    is_sure = False

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._socket: socket.socket | None = None

    def send(self, packet: bytes) -> None:
        try:
            self._open().send(packet)
        except ConnectionError as error:
            raise LineDown(error.strerror or str(error)) from error
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise LineDown(error.strerror or str(error)) from error
            raise BadJob(
                f"a request of {len(packet)} bytes does not go into one UDP packet. Use shorter prompts, "
                "or the transport tcp."
            ) from error

    def receive(self, seconds: float) -> bytes | None:
        line = self._open()
        try:
            if not select.select([line], [], [], max(0.0, seconds))[0]:
                return None
            return line.recv(LARGEST_DATAGRAM)
        except OSError as error:  # the system tells that the last packet found nobody
            raise LineDown(error.strerror or str(error)) from error

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _open(self) -> socket.socket:
        if self._socket is None:
            family, kind, number, _, where = _found(*self._where, socket.SOCK_DGRAM)
            line = socket.socket(family, kind, number)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
            line.connect(where)
            self._socket = line
        return self._socket


class TcpLine:
    """One connection; frames are a length of 32 bits, then the packet."""

    is_sure = True

    def __init__(self, host: str, port: int) -> None:
        self._where = (host, port)
        self._socket: socket.socket | None = None
        self._heard = bytearray()

    def send(self, packet: bytes) -> None:
        try:
            self._open().sendall(struct.pack(">I", len(packet)) + packet)
        except OSError as error:
            self.close()
            raise LineDown(error.strerror or str(error)) from error

    def receive(self, seconds: float) -> bytes | None:
        until = time.monotonic() + seconds
        while (packet := self._frame()) is None:
            if self._socket is None:
                raise LineDown("the connection is closed")
            if not select.select([self._socket], [], [], max(0.0, until - time.monotonic()))[0]:
                return None
            self._read(self._socket)
        return packet

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        self._heard.clear()

    def _open(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._where, timeout=PATIENCE)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return self._socket

    def _read(self, line: socket.socket) -> None:
        try:
            heard = line.recv(1 << 17)
        except OSError as error:
            self.close()
            raise LineDown(error.strerror or str(error)) from error
        if not heard:
            self.close()
            raise LineDown("the server closed the connection")
        self._heard += heard

    def _frame(self) -> bytes | None:
        if len(self._heard) < 4:
            return None
        (size,) = struct.unpack_from(">I", self._heard)
        if size > LARGEST_FRAME:
            self.close()
            raise LineDown(f"{size} bytes announced; this is no OSC server")
        if len(self._heard) < 4 + size:
            return None
        packet = bytes(self._heard[4 : 4 + size])
        del self._heard[: 4 + size]
        return packet


def _found(host: str, port: int, kind: socket.SocketKind) -> tuple[int, int, int, str, tuple[object, ...]]:
    """An address of a name, IPv4 before IPv6: a server is on 127.0.0.1, and "localhost" may be both."""
    try:
        every = socket.getaddrinfo(host, port, type=kind)
    except OSError as error:
        raise LineDown(f"no host {host!r}: {error.strerror}") from error
    family, found, number, name, where = min(every, key=lambda one: one[0] != socket.AF_INET)
    return family, found, number, name, tuple(where)
