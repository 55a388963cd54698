"""The sockets: UDP and TCP on one port, one receiving thread that decodes, hands over and never works.

A bundle for later waits in a heap. Nothing a peer sends or fails to read ends the thread, blocks it, or
takes memory without limit.
"""

from __future__ import annotations

import heapq
import logging
import selectors
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from itertools import count

from stemwright.bridge.connections import PATIENCE, Connections
from stemwright.bridge.grammar import BUSY, INTERNAL, Message
from stemwright.bridge.limiter import FewLines, Limiter
from stemwright.bridge.messages import LONGEST_REPLY, PORT, Fail
from stemwright.bridge.ports import listening
from stemwright.bridge.traffic import Peer, Traffic
from stemwright.bridge.wire import BadPacket, Incoming, decode, encode

__all__ = ["Peer", "Server", "Traffic"]

LONGEST_DATAGRAM = 65507  # bytes, UDP's own limit
TURN = 128  # datagrams and messages by UDP at a time, then it is the turn of connections and bundles
MOST_LATER = 4096  # messages that wait for their time …
MOST_LATER_BYTES = 64 << 20  # … and the packets they came in
ERRORS_A_SECOND, ERRORS_AT_ONCE = 10, 20  # malformed packets of one source that are answered
MOST_PEERS = 1024  # remembered, only to be quick

LOG = logging.getLogger("stemwright.bridge.server")


class Server:
    """Calls `handle` for each message, in the receiving thread, when its time has come.

    handle    must not wait. If it raises, the sender gets Fail(internal).
    on_bad    is told of malformed packets, though of no more than ERRORS_A_SECOND from one source (`counts`
              has all); by default they are answered by Fail.
    patience  seconds that half a frame may rest on a TCP connection, in or out
    """

    def __init__(
        self,
        handle: Callable[[Incoming, Peer], None],
        *,
        host: str = "127.0.0.1",
        port: int = PORT,
        on_bad: Callable[[Peer, BadPacket], None] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.port = port
        self.counts = Traffic()
        self._host, self._patience = host, patience
        self._handle, self._on_bad = handle, on_bad or self._answer_bad
        self._few = FewLines(LOG)
        self._limiter = Limiter(ERRORS_A_SECOND, ERRORS_AT_ONCE)
        self._peers: dict[tuple[str, int], Peer] = {}
        self._later = Later()
        self._last: tuple[Message | None, bytes] = (None, b"")
        self._lock = threading.Lock()  # of counts that any thread changes
        self._thread: threading.Thread | None = None
        self._is_bound = self._is_stopping = False

    def bind(self) -> None:
        """Takes the port: what arrives waits for `start`. PortTaken says why not."""
        assert not self._is_bound, "a server starts once"
        self._udp, tcp = listening(self._host, self.port)
        self.port = self._udp.getsockname()[1]
        self._bell, self._ear = socket.socketpair()
        for sock in (self._udp, tcp, self._bell, self._ear):
            sock.setblocking(False)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._udp, selectors.EVENT_READ, self._read_udp)
        self._selector.register(self._ear, selectors.EVENT_READ, lambda _: self._ear.recv(4096))
        self._connections = Connections(
            tcp, self._selector, self._take, counts=self.counts, few=self._few, patience=self._patience
        )
        self._is_bound = True

    def start(self) -> None:
        """Serves from now on, after `bind` or with it."""
        if not self._is_bound:
            self.bind()
        self._thread = threading.Thread(target=self._run, name="bridge-rx", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread and frees the port. Bundles that wait for their time are forgotten."""
        if not self._is_bound or self._is_stopping:
            return
        self._is_stopping = True
        if self._thread is None:
            self._close()
            return
        self._ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    # From any thread

    def send(self, peer: Peer, message: Message) -> None:
        """Never waits, never raises; what cannot be sent is counted as dropped. Nothing to a local peer."""
        if peer.kind == "local":
            return
        try:
            packet = self._encoded(message)
            is_sent = self._send_udp(peer, packet) if peer.kind == "udp" else self._send_tcp(peer, packet)
        except Exception:
            is_sent = False
            self._fault("an answer could not be written: %.200r", message)
        with self._lock:
            if is_sent:
                self.counts.sent += 1
            else:
                self.counts.dropped += 1

    def _encoded(self, message: Message) -> bytes:
        """The same message goes to several peers, or again and again: the last one is kept."""
        last, packet = self._last
        if last is not message:
            packet = encode(message)
            if len(packet) <= LONGEST_REPLY:
                self._last = (message, packet)
        return packet

    def _send_udp(self, peer: Peer, packet: bytes) -> bool:
        try:
            self._udp.sendto(packet, (peer.host, peer.port))
        except OSError as error:
            text = "%d bytes to %s were not sent: %s"
            self._few.say("unsent", text, len(packet), peer, error, level=logging.INFO)
            return False
        return True

    def _send_tcp(self, peer: Peer, packet: bytes) -> bool:
        is_sent, is_work = self._connections.send(peer.number, packet)
        if is_work and threading.current_thread() is not self._thread:
            self._ring()
        return is_sent

    def _ring(self) -> None:
        with suppress(OSError):  # it rings already, or all is closed
            self._bell.send(b"!")

    def _fault(self, text: str, *values: object) -> None:
        with self._lock:
            self.counts.errors += 1
        self._few.say("fault", text, *values, level=logging.ERROR)

    # In the receiving thread

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                try:
                    self._turn()
                except Exception:
                    self._fault("the receiving thread stumbled")
        finally:
            self._close()

    def _turn(self) -> None:
        pauses = [self._later.pause(), self._connections.pause()]
        for key, mask in self._selector.select(
            min((each for each in pauses if each is not None), default=None)
        ):
            try:
                key.data(mask)
            except Exception:
                self._fault("the receiving thread stumbled")
        for incoming, peer in self._later.due():
            self._give(incoming, peer)
        self._connections.look_after()

    def _read_udp(self, _: int) -> None:
        left = TURN
        while left > 0:
            try:
                packet, source = self._udp.recvfrom(LONGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # Windows: an earlier answer found nobody there
                left -= 1
                continue
            left -= 1 + self._take(packet, self._peers.get(source) or self._new_peer(source))

    def _new_peer(self, source: tuple[str, int]) -> Peer:
        if len(self._peers) >= MOST_PEERS:
            self._peers.clear()
        peer = self._peers[source] = Peer("udp", source[0], source[1])
        return peer

    def _take(self, packet: bytes, peer: Peer) -> int:
        """Handles a packet or keeps it for later; returns how many messages it held."""
        self.counts.packets += 1
        try:
            found = decode(packet)
            self._later.keep(found, len(packet), peer)
        except BadPacket as bad:
            self._refuse(peer, bad)
            return 0
        for incoming in found:
            if incoming.due is None:
                self._give(incoming, peer)
        return len(found)

    def _give(self, incoming: Incoming, peer: Peer) -> None:
        try:
            self._handle(incoming, peer)
        except Exception:
            self._fault("a request of %s failed: %s", peer, incoming.address)
            text = "an error of ours; the server's log has more"
            self.send(peer, Fail(incoming.address, INTERNAL, text))

    def _refuse(self, peer: Peer, bad: BadPacket) -> None:
        self.counts.refused += 1
        self._few.say("packet", "a packet of %s was refused: %s", peer, bad, level=logging.INFO)
        if self._limiter.allows(peer):
            try:
                self._on_bad(peer, bad)
            except Exception:
                self._fault("a malformed packet could not be answered")

    def _answer_bad(self, peer: Peer, bad: BadPacket) -> None:
        self.send(peer, Fail(bad.address, bad.code, str(bad)))

    def _close(self) -> None:
        self._is_stopping = True
        self._connections.close()
        self._selector.close()
        for sock in (self._udp, self._bell, self._ear):
            sock.close()


class Later:
    """Messages that wait for their time; those of the same time keep their order."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, int, Incoming, Peer]] = []  # due, order, bytes, message, sender
        self._bytes = 0
        self._order = count()

    def pause(self) -> float | None:
        """Seconds until the first; None: there is none."""
        return max(self._heap[0][0] - time.monotonic(), 0) if self._heap else None

    def keep(self, found: list[Incoming], size: int, peer: Peer) -> None:
        """Those of a packet that have a time; BadPacket when too many wait."""
        later = [(incoming.due, incoming) for incoming in found if incoming.due is not None]
        if not later:
            return
        if len(self._heap) + len(later) > MOST_LATER or self._bytes + size > MOST_LATER_BYTES:
            raise BadPacket(BUSY, f"{len(self._heap)} messages wait for their time already; send it later")
        share = size // len(later)
        for due, incoming in later:
            self._bytes += share
            heapq.heappush(self._heap, (due, next(self._order), share, incoming, peer))

    def due(self) -> list[tuple[Incoming, Peer]]:
        """Those whose time has come, the earliest first."""
        ready = []
        while self._heap and self._heap[0][0] <= time.monotonic():
            _, _, share, incoming, peer = heapq.heappop(self._heap)
            self._bytes -= share
            ready.append((incoming, peer))
        return ready
