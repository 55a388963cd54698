"""The TCP side of the server: who is connected, what has half come, what waits to go out.

Everything is the receiving thread's, but for `send`. A connection is only ever closed in `look_after`.
"""

from __future__ import annotations

import logging
import selectors
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

from stemwright.bridge.framing import BadFrame, Framing, Lengths, framing_of
from stemwright.bridge.limiter import FewLines
from stemwright.bridge.traffic import Peer, Traffic

MOST_CONNECTIONS = 64
MOST_WAITING = 8 << 20  # bytes for one peer that does not read
MOST_HELD = 64 << 20  # bytes of half-come frames of all connections; and of what waits to be sent
PATIENCE = 30.0  # seconds that half a frame may rest, in or out
READ_LEAST, READ_MOST = 16 << 10, 256 << 10  # bytes at a time
GATHERED = 32 << 10  # bytes of answers that may go out together


class Connection:
    """One TCP peer. `send` is anybody's.

    moved      monotonic seconds: when bytes last came or went
    is_lost    to be closed
    has_ended  the peer will send no more, but may still read
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self.moved = time.monotonic()
        self.is_lost = self.has_ended = False
        self._framing: Framing | None = None
        self._waiting = bytearray()
        self._is_blocked = self._is_gathering = False
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
    def is_at_rest(self) -> bool:
        """It has spoken, no frame is half here, and none half sent."""
        return self._framing is not None and not self._framing.held and not self._waiting

    def read(self) -> Iterator[bytes]:
        """The packets that one reading completes; BadFrame where the stream is none of ours.

        Answers given meanwhile go out together at the end: a call of the system costs more than they do.
        """
        try:
            data = self.socket.recv(min(max(self.held, READ_LEAST), READ_MOST))
        except (BlockingIOError, InterruptedError):
            return
        self.moved = time.monotonic()
        if not data:
            self.has_ended = True
            return
        if self._framing is None:
            self._framing = framing_of(data[0])
        self._is_gathering = True
        try:
            yield from self._framing.push(data)
        finally:
            self._is_gathering = False
            self.flush()

    def send(self, packet: bytes) -> bool:
        """Sends what goes and keeps the rest; False and lost if the peer does not keep up."""
        framed = (self._framing or Lengths()).wrap(packet)
        with self._lock:
            if self.is_lost or (self._is_blocked and len(self._waiting) + len(framed) > MOST_WAITING):
                self.is_lost = True
                return False
            if not self._waiting:
                self.moved = time.monotonic()
            self._waiting += framed
            if not self._is_blocked and not (self._is_gathering and len(self._waiting) < GATHERED):
                self._write()
            return not self.is_lost

    def flush(self) -> None:
        """Sends of what waits as much as goes."""
        with self._lock:
            self._write()

    def _write(self) -> None:
        while self._waiting:
            try:
                sent = self.socket.send(bytes(memoryview(self._waiting)[:READ_MOST]))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                self.is_lost = True
                break
            del self._waiting[:sent]
            self.moved = time.monotonic()
        self._is_blocked = bool(self._waiting)


class Connections:
    """All of them, and the socket they come in by. take: is given each packet that is whole"""

    def __init__(
        self,
        listener: socket.socket,
        selector: selectors.BaseSelector,
        take: Callable[[bytes, Peer], object],
        *,
        counts: Traffic,
        few: FewLines,
        patience: float,
    ) -> None:
        self._listener, self._selector, self._take = listener, selector, take
        self._counts, self._few, self._patience = counts, few, patience
        self._open: dict[int, Connection] = {}
        self._numbers = count(1)
        self._touched: deque[int] = deque()
        self._listens_again: float | None = None  # monotonic seconds; None: it listens
        self._next_round = 0.0
        selector.register(listener, selectors.EVENT_READ, self._accept)

    def pause(self) -> float | None:
        """Seconds until `look_after` is due; None: only after something came."""
        return min(1.0, self._patience / 4) if self._open or self._listens_again is not None else None

    def send(self, number: int, packet: bytes) -> tuple[bool, bool]:
        """Any thread. Whether it is sent or will be, and whether `look_after` is needed."""
        connection = self._open.get(number)
        if connection is None:
            return False, False
        if connection.waiting > GATHERED and self._total("waiting") > MOST_HELD:
            connection.is_lost = True
        is_sent = connection.send(packet)
        if is_sent and not connection.waiting:
            return True, False
        self._touched.append(number)
        return is_sent, True

    def look_after(self) -> None:
        """Closes those that are lost, watches others for room to send; now and then ends those that rest."""
        while self._touched:
            self._settle(self._touched.popleft())
        now = time.monotonic()
        if now < self._next_round:
            return
        self._next_round = now + min(1.0, self._patience / 4)
        for number, connection in list(self._open.items()):
            if now - connection.moved > self._patience and not connection.is_at_rest:
                self._few.say(
                    "idle", "connection %d was closed: half a frame rests", number, level=logging.INFO
                )
                connection.is_lost = True
                self._settle(number)
        if self._listens_again is not None and now >= self._listens_again:
            self._listens_again = None
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)

    def close(self) -> None:
        for connection in self._open.values():
            connection.socket.close()
        self._open.clear()
        self._counts.connections = 0
        self._listener.close()

    def _total(self, what: str) -> int:
        return sum(getattr(connection, what) for connection in tuple(self._open.values()))

    def _accept(self, _: int) -> None:
        try:
            sock, source = self._listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionError):
            return
        except OSError as error:  # no file descriptors are left: the listener would be ready for ever
            self._few.say("accept", "no connection can be taken now: %s", error)
            self._selector.unregister(self._listener)
            self._listens_again = time.monotonic() + 1
            return
        peer = Peer("tcp", source[0], source[1], next(self._numbers))
        try:
            self._welcome(sock, peer)
        except OSError:  # gone already
            sock.close()

    def _welcome(self, sock: socket.socket, peer: Peer) -> None:
        if len(self._open) >= MOST_CONNECTIONS:
            sock.close()
            self._counts.refused += 1
            self._few.say("full", "%s was refused: %d connections are open", peer, MOST_CONNECTIONS)
            return
        connection = Connection(sock)
        self._selector.register(sock, selectors.EVENT_READ, partial(self._serve, connection, peer))
        self._open[peer.number] = connection
        self._counts.connections = len(self._open)

    def _serve(self, connection: Connection, peer: Peer, mask: int) -> None:
        self._touched.append(peer.number)
        try:
            if mask & selectors.EVENT_WRITE:
                connection.flush()
            if mask & selectors.EVENT_READ:
                self._read(connection, peer)
        except BadFrame as bad:
            self._counts.refused += 1
            self._few.say("frame", "%s was closed: %s", peer, bad, level=logging.INFO)
            connection.is_lost = True
        except OSError:
            connection.is_lost = True

    def _read(self, connection: Connection, peer: Peer) -> None:
        for packet in connection.read():
            self._take(packet, peer)
            if connection.is_lost:
                return
        if connection.held > READ_MOST and self._total("held") > MOST_HELD:
            raise BadFrame(f"half-come frames of all connections take more than {MOST_HELD} bytes")

    def _settle(self, number: int) -> None:
        connection = self._open.get(number)
        if connection is None:
            return
        if connection.is_lost or (connection.has_ended and not connection.waiting):
            connection.is_lost = True
            del self._open[number]
            self._counts.connections = len(self._open)
            self._selector.unregister(connection.socket)
            connection.socket.close()
            return
        wanted = selectors.EVENT_WRITE if connection.waiting else 0
        wanted |= 0 if connection.has_ended else selectors.EVENT_READ
        key = self._selector.get_key(connection.socket)
        if key.events != wanted:
            self._selector.modify(connection.socket, wanted, key.data)
