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
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from itertools import count

from stemwright.bridge.errors import PortTaken
from stemwright.bridge.framing import BadFrame, Connection
from stemwright.bridge.limiter import FewLines, Limiter
from stemwright.bridge.messages import BUSY, INTERNAL, LONGEST_REPLY, PORT, Fail, Message
from stemwright.bridge.wire import BadPacket, Incoming, decode, encode

LONGEST_DATAGRAM = 65507  # bytes, UDP's own limit
RECEIVE_BUFFER = 4 << 20  # bytes asked of the system, for bursts
TURN = 64  # datagrams or connections at a time, then it is the others' turn
MOST_CONNECTIONS = 64
MOST_HELD = 64 << 20  # bytes of half-come frames, of all connections; and of what waits to be sent
MOST_LATER = 4096  # messages that wait for their time …
MOST_LATER_BYTES = 64 << 20  # … and the packets they came in
PATIENCE = 30.0  # seconds that half a frame may rest, in or out
ERRORS_A_SECOND, ERRORS_AT_ONCE = 10, 20  # answers to malformed packets, for each source
MOST_PEERS = 1024  # remembered, only to be quick

LOG = logging.getLogger("stemwright.bridge.server")


@dataclass(frozen=True)
class Peer:
    """Who sent a message, and where answers go. number: the TCP connection's"""

    kind: str  # udp, tcp or local
    host: str
    port: int
    number: int = 0

    def __str__(self) -> str:
        if self.kind == "local":
            return "this machine"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.kind} {host}:{self.port}"


@dataclass
class Traffic:
    """Counts since the start."""

    packets: int = 0  # come, whole; malformed ones too
    refused: int = 0  # malformed packets, frames and connections
    sent: int = 0
    dropped: int = 0  # answers that could not be sent: the peer has gone or does not read
    connections: int = 0  # open now
    errors: int = 0  # of ours


class Server:
    """Calls `handle` for each message, in the receiving thread, when its time has come.

    handle  must not wait. If it raises, the sender gets Fail(internal).
    on_bad  is told of malformed packets, though of no more than ERRORS_A_SECOND from one source (all are
            counted); by default they are answered by Fail.
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
        self._limiter = Limiter(
            ERRORS_A_SECOND,
            ERRORS_AT_ONCE,
        )
        self._peers: dict[tuple[str, int], Peer] = {}
        self._connections: dict[int, Connection] = {}
        self._numbers = count(1)
        self._later: list[tuple[float, int, int, Incoming, Peer]] = []  # due, order, bytes, message, sender
        self._later_bytes = 0
        self._order = count()
        self._calls: deque[int] = deque()  # numbers of connections to look after
        self._last: tuple[Message | None, bytes] = (None, b"")
        self._lock = threading.Lock()  # of counts that any thread changes
        self._is_stopping = False
        self._thread: threading.Thread | None = None
        self._is_bound = False

    # From any thread

    def bind(self) -> None:
        """Takes the port: what arrives waits for `start`. PortTaken says why not."""
        assert not self._is_bound, "a server starts once"
        self._udp, self._tcp = _listening(self._host, self.port)
        self.port = self._udp.getsockname()[1]
        self._bell, self._ear = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        for sock, then in ((self._udp, self._read_udp), (self._tcp, self._accept), (self._ear, self._rung)):
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ, then)
        self._bell.setblocking(False)
        self._listens_again: float | None = None
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
            self._close_all()
            return
        self._ring()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def send(self, peer: Peer, message: Message) -> None:
        """Never waits, never raises; what cannot be sent is counted as dropped. Nothing to a local peer."""
        if peer.kind == "local":
            return
        try:
            packet = self._encoded(message)
            is_sent = self._send_udp(peer, packet) if peer.kind == "udp" else self._send_tcp(peer, packet)
        except Exception:
            is_sent = False
            self._fault(f"an answer could not be written: {message!r:.200}")
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
            self._few.say("unsent", f"{len(packet)} bytes to {peer} were not sent: {error}", logging.INFO)
            return False
        return True

    def _send_tcp(self, peer: Peer, packet: bytes) -> bool:
        connection = self._connections.get(peer.number)
        if connection is None:
            return False
        if connection.waiting and self._total("waiting") > MOST_HELD:
            connection.is_lost = True
        is_sent = connection.send(packet)
        if connection.waiting or not is_sent:
            self._calls.append(peer.number)
            self._ring()
        return is_sent

    def _total(self, what: str) -> int:
        return sum(getattr(connection, what) for connection in tuple(self._connections.values()))

    def _ring(self) -> None:
        with suppress(OSError):  # it rings already, or all is closed
            self._bell.send(b"!")

    def _fault(self, text: str) -> None:
        with self._lock:
            self.counts.errors += 1
        self._few.say("fault", text, logging.ERROR, trace=True)

    # In the receiving thread

    def _run(self) -> None:
        try:
            while not self._is_stopping:
                for key, mask in self._selector.select(self._pause()):
                    try:
                        key.data(mask)
                    except Exception:
                        self._fault("the receiving thread stumbled")
                self._run_due()
                self._look_after()
        finally:
            self._close_all()

    def _pause(self) -> float | None:
        """Seconds until something is to be done of itself; None: only when something comes."""
        pauses = []
        if self._later:
            pauses.append(max(self._later[0][0] - time.monotonic(), 0))
        if self._listens_again or not all(each.is_between for each in self._connections.values()):
            pauses.append(min(1.0, self._patience / 4))
        return min(pauses, default=None)

    def _read_udp(self, _: int) -> None:
        for _ in range(TURN):
            try:
                packet, source = self._udp.recvfrom(LONGEST_DATAGRAM)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # Windows: an earlier answer found nobody there
                continue
            peer = self._peers.get(source)
            self._take(packet, peer or self._new_peer(source))

    def _new_peer(self, source: tuple[str, int]) -> Peer:
        if len(self._peers) >= MOST_PEERS:
            self._peers.clear()
        peer = self._peers[source] = Peer("udp", source[0], source[1])
        return peer

    def _take(self, packet: bytes, peer: Peer) -> None:
        self.counts.packets += 1
        try:
            found = decode(packet)
            later = [incoming for incoming in found if incoming.due is not None]
            if later:
                self._keep(later, len(packet), peer)
        except BadPacket as bad:
            self._refuse(peer, bad)
            return
        for incoming in found:
            if incoming.due is None:
                self._give(incoming, peer)

    def _keep(self, later: list[Incoming], size: int, peer: Peer) -> None:
        if len(self._later) + len(later) > MOST_LATER or self._later_bytes + size > MOST_LATER_BYTES:
            raise BadPacket(BUSY, f"{len(self._later)} messages wait for their time already; send it later")
        self._later_bytes += size
        sizes = [size] + [0] * (len(later) - 1)  # the first one counts for all
        for incoming, share in zip(later, sizes, strict=True):
            assert incoming.due is not None
            heapq.heappush(self._later, (incoming.due, next(self._order), share, incoming, peer))

    def _run_due(self) -> None:
        while self._later and self._later[0][0] <= time.monotonic():
            _, _, share, incoming, peer = heapq.heappop(self._later)
            self._later_bytes -= share
            self._give(incoming, peer)

    def _give(self, incoming: Incoming, peer: Peer) -> None:
        try:
            self._handle(incoming, peer)
        except Exception:
            self._fault(f"a request of {peer} failed: {incoming.address}")
            text = "an error of ours; the server's log has more"
            self.send(peer, Fail(incoming.address, INTERNAL, text))

    def _refuse(self, peer: Peer, bad: BadPacket) -> None:
        self.counts.refused += 1
        self._few.say("packet", f"a packet of {peer} was refused: {bad}", logging.INFO)
        if self._limiter.allows(peer):
            try:
                self._on_bad(peer, bad)
            except Exception:
                self._fault("a malformed packet could not be answered")

    def _answer_bad(self, peer: Peer, bad: BadPacket) -> None:
        self.send(peer, Fail(bad.address, bad.code, str(bad)))

    # TCP

    def _accept(self, _: int) -> None:
        for _ in range(TURN):
            try:
                sock, source = self._tcp.accept()
            except (BlockingIOError, InterruptedError, ConnectionError):
                return
            except OSError as error:  # no more file descriptors: the listener would be ready for ever
                self._few.say("accept", f"no connection can be taken now: {error}")
                self._selector.unregister(self._tcp)
                self._listens_again = time.monotonic() + 1
                return
            self._welcome(sock, Peer("tcp", source[0], source[1], next(self._numbers)))

    def _welcome(self, sock: socket.socket, peer: Peer) -> None:
        if len(self._connections) >= MOST_CONNECTIONS:
            sock.close()
            self.counts.refused += 1
            self._few.say("full", f"{peer} was refused: {MOST_CONNECTIONS} connections are open")
            return
        try:
            connection = Connection(sock, time.monotonic())
        except OSError:  # gone already
            sock.close()
            return
        self._connections[peer.number] = connection
        self.counts.connections = len(self._connections)
        self._selector.register(sock, selectors.EVENT_READ, partial(self._serve, connection, peer))

    def _serve(self, connection: Connection, peer: Peer, mask: int) -> None:
        try:
            if mask & selectors.EVENT_WRITE:
                connection.flush(time.monotonic())
            if mask & selectors.EVENT_READ:
                for packet in connection.read(time.monotonic()):
                    self._take(packet, peer)
                    if connection.is_lost:
                        break
                if connection.held > MOST_CONNECTIONS and self._total("held") > MOST_HELD:
                    raise BadFrame(f"half-come frames take more than {MOST_HELD} bytes")
        except BadFrame as bad:
            self.counts.refused += 1
            self._few.say("frame", f"{peer} was closed: {bad}", logging.INFO)
            connection.is_lost = True
        except OSError:
            connection.is_lost = True
        self._calls.append(peer.number)

    def _rung(self, _: int) -> None:
        self._ear.recv(4096)

    def _look_after(self) -> None:
        """Connections that were touched are closed or watched for room to send; so are those at rest."""
        now = time.monotonic()
        while self._calls:
            self._settle(self._calls.popleft())
        for number, connection in list(self._connections.items()):
            if now - connection.moved > self._patience and not connection.is_between:
                self._few.say("idle", f"connection {number} was closed: half a frame rests", logging.INFO)
                connection.is_lost = True
                self._settle(number)
        if self._listens_again is not None and now >= self._listens_again:
            self._listens_again = None
            self._selector.register(self._tcp, selectors.EVENT_READ, self._accept)

    def _settle(self, number: int) -> None:
        connection = self._connections.get(number)
        if connection is None:
            return
        if connection.is_lost:
            del self._connections[number]
            self.counts.connections = len(self._connections)
            self._selector.unregister(connection.socket)
            connection.socket.close()
            return
        wanted = selectors.EVENT_READ | (selectors.EVENT_WRITE if connection.waiting else 0)
        key = self._selector.get_key(connection.socket)
        if key.events != wanted:
            self._selector.modify(connection.socket, wanted, key.data)

    def _close_all(self) -> None:
        self._is_stopping = True
        for connection in self._connections.values():
            connection.socket.close()
        self._connections.clear()
        self.counts.connections = 0
        self._selector.close()
        for sock in (self._udp, self._tcp, self._bell, self._ear):
            sock.close()


def _listening(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """UDP and TCP sockets of the same number; 0: any that is free for both."""
    for attempt in range(20, -1, -1):
        tcp = _bound(host, port, socket.SOCK_STREAM)
        try:
            tcp.listen(MOST_CONNECTIONS)
            return _bound(host, tcp.getsockname()[1], socket.SOCK_DGRAM), tcp
        except PortTaken:
            tcp.close()
            if port or not attempt:
                raise
    raise AssertionError


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_DGRAM:
            _widen(sock)
        elif hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a port that was left a moment ago may be taken again; on Windows this would share it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        word = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        raise PortTaken(
            f"{word} port {port} of {host} cannot be listened on: {error.strerror or error}. "
            "Another server runs there, perhaps; stop it, or choose another port by --port."
        ) from error
    return sock


def _widen(sock: socket.socket) -> None:
    """Asks for a large receive buffer; some systems refuse what others cut to their limit."""
    size = RECEIVE_BUFFER
    while size >= 1 << 18:
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
            return
        except OSError:
            size //= 2
