"""A server with a small handler, and clients that speak raw bytes to it."""

import logging
import os
import socket
import struct
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from pythonosc import slip
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

from stemwright.bridge.framing import Lengths, Slip
from stemwright.bridge.messages import Ping, Pong
from stemwright.bridge.server import Peer, Server, Traffic
from stemwright.bridge.wire import Incoming, encode
from tests.bridge.waiting import DEADLINE

ROOT = Path(__file__).resolve().parents[2]
NTP = 2208988800  # seconds from 1900 to 1970


def built(address: str, *arguments: tuple[str, Any]) -> bytes:
    """A message by python-osc itself. arguments: (type tag, value)"""
    builder = OscMessageBuilder(address)
    for tag, value in arguments:
        builder.add_arg(value, tag)
    return bytes(builder.build().dgram)


def bundle(*elements: bytes, tag: int = 1) -> bytes:
    sized = [struct.pack(">i", len(element)) + element for element in elements]
    return b"#bundle\0" + struct.pack(">Q", tag) + b"".join(sized)


def tag_in(seconds: float) -> int:
    """The timetag of so many seconds from now."""
    return int((time.time() + NTP + seconds) * 2**32)


class Small:
    """Answers /stemwright/ping, raises on /raise, remembers the rest: (address, arguments, time, peer)."""

    def __init__(self, **options: Any) -> None:
        self.heard: list[tuple[str, list[Any], float, Peer]] = []
        self.server = Server(self.handle, port=0, **options)

    def handle(self, incoming: Incoming, peer: Peer) -> None:
        if incoming.address == Ping.address:
            number = incoming.arguments[0] if incoming.arguments else 0
            self.server.send(peer, Pong(number if isinstance(number, int) else 0))
        elif incoming.address == "/raise":
            raise RuntimeError("on request")
        else:
            self.heard.append((incoming.address, incoming.arguments, time.monotonic(), peer))


@contextmanager
def serving(**options: Any) -> Iterator[Small]:
    small = Small(**options)
    small.server.start()
    try:
        yield small
    finally:
        small.server.stop()


class Apart:
    """The same server in a process of its own, with nothing else in its memory."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.bridge.wires"]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self._process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]
        self.port = int(self._answer("port"))

    def __enter__(self) -> "Apart":
        return self

    def __exit__(self, *_: object) -> None:
        """It must end by itself and have said nothing."""
        _, said = self._process.communicate(timeout=DEADLINE)
        assert (self._process.returncode, said) == (0, "")

    def counts(self) -> Traffic:
        """Of the server."""
        return Traffic(*[int(word) for word in self._answer("counts").split()])

    @property
    def process(self) -> int:
        return self._process.pid

    def _answer(self, question: str) -> str:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return str(self._process.stdout.readline())


def memory(process: int) -> int:
    """Its resident bytes; 0 where the system does not tell."""
    pages = Path(f"/proc/{process}/statm")
    return int(pages.read_text().split()[1]) * os.sysconf("SC_PAGESIZE") if pages.exists() else 0


def apart() -> None:
    """The other end of Apart: until its input ends."""
    logging.disable(logging.WARNING)  # errors are told
    with serving() as small:
        small.heard = deque(maxlen=100)  # type: ignore[assignment]
        for question in sys.stdin:
            counts = " ".join(str(count) for count in astuple(small.server.counts))
            print(small.server.port if question.strip() == "port" else counts, flush=True)


class Datagrams:
    """A UDP client."""

    def __init__(self, port: int) -> None:
        self.to = ("127.0.0.1", port)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(DEADLINE)
        self.socket.bind(("127.0.0.1", 0))

    def __enter__(self) -> "Datagrams":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, packet: bytes) -> None:
        self.socket.sendto(packet, self.to)

    def receive(self) -> tuple[str, list[Any]]:
        message = OscMessage(self.socket.recv(65536))
        return message.address, message.params

    def ping(self, number: int) -> list[tuple[str, list[Any]]]:
        """Waits for the pong; returns what came before it."""
        self.send(encode(Ping(number)))
        before = []
        while (answer := self.receive()) != (Pong.address, [number]):
            before.append(answer)
        return before


FRAMINGS = {"lengths": Lengths, "slip": Slip}


class Stream:
    """A TCP client in one of the framings."""

    def __init__(self, port: int, framing: str = "lengths", receive_buffer: int | None = None) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.connect(("127.0.0.1", port))
        self.framing = framing
        self._rest = b""

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def framed(self, packet: bytes) -> bytes:
        return struct.pack(">I", len(packet)) + packet if self.framing == "lengths" else slip.encode(packet)

    def send(self, packet: bytes) -> None:
        self.socket.sendall(self.framed(packet))

    def receive_packet(self) -> bytes:
        if self.framing == "lengths":
            return self._exactly(struct.unpack(">I", self._exactly(4))[0])
        assert self._exactly(1) == slip.END
        chunks = [self._rest]
        while slip.END not in chunks[-1]:
            chunks.append(self._more())
        frame, _, self._rest = b"".join(chunks).partition(slip.END)
        return bytes(slip.decode(frame))

    def receive(self) -> tuple[str, list[Any]]:
        message = OscMessage(self.receive_packet())
        return message.address, message.params

    def ping(self, number: int) -> None:
        self.send(encode(Ping(number)))
        assert self.receive() == (Pong.address, [number])

    def is_closed(self) -> bool:
        """Waits for the server to close, and reads what it says before."""
        try:
            while self.socket.recv(65536):
                pass
        except ConnectionError:
            return True
        return True

    def _exactly(self, size: int) -> bytes:
        chunks, have = [self._rest], len(self._rest)
        while have < size:
            chunks.append(self._more())
            have += len(chunks[-1])
        whole = b"".join(chunks)
        self._rest = whole[size:]
        return whole[:size]

    def _more(self) -> bytes:
        data = self.socket.recv(1 << 20)
        assert data, "the server closed the connection"
        return data


if __name__ == "__main__":
    apart()
