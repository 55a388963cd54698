"""The two UDP sockets, on this machine only: one to the server, one that takes orders. Neither ever waits."""

from __future__ import annotations

import socket
from contextlib import suppress

from . import osc

HERE = "127.0.0.1"
MOST_PACKETS = 64  # taken in one tick
LARGEST = 65536  # bytes of a packet


def _socket():
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


class Link:
    """To the server at a port. The system drops what comes from anywhere else."""

    def __init__(self, port):
        self.port = port
        self._socket = _socket()
        self._socket.connect((HERE, port))

    def send(self, packet):
        """Whether it went; a system may tell that nobody listens there."""
        try:
            self._socket.send(packet)
        except OSError:
            return False
        return True

    def received(self):
        """[(address, arguments)] of what has come; malformed packets are left out."""
        found = []
        for _ in range(MOST_PACKETS):
            try:
                packet = self._socket.recv(LARGEST)
            except BlockingIOError:
                break
            except OSError:  # nobody listens at the port: one such error for each packet we sent
                continue
            try:
                found.append(osc.decode(packet))
            except osc.BadPacket:
                continue
        return found

    def close(self):
        self._socket.close()


class Door:
    """Where other programs of this machine give orders. port 0: any free one; `port` is the bound one."""

    def __init__(self, port):
        self._socket = _socket()
        try:
            self._socket.bind((HERE, port))
        except (OSError, OverflowError):
            self._socket.close()
            raise
        self.port = self._socket.getsockname()[1]

    def received(self):
        """[(address, arguments, who)] of what has come; malformed packets are left out."""
        found = []
        for _ in range(MOST_PACKETS):
            try:
                packet, who = self._socket.recvfrom(LARGEST)
            except BlockingIOError:
                break
            except OSError:
                continue
            try:
                found.append((*osc.decode(packet), who))
            except osc.BadPacket:
                continue
        return found

    def answer(self, who, address, *arguments):
        with suppress(OSError, osc.BadPacket):  # who asked may have gone
            self._socket.sendto(osc.encode(address, arguments), who)

    def close(self):
        self._socket.close()
