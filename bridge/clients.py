"""Who is on the other side: where their events go, for how long, and whether they may ask at all."""

from __future__ import annotations

import hmac
import ipaddress
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from stemwright.bridge.grammar import BAD_ARGS, BUSY, FORBIDDEN, BadMessage
from stemwright.bridge.server import Peer

LEASE = 60.0  # seconds a Notify holds
TOKEN_LEASE = 3600.0  # seconds a shown token holds
MOST_LISTENERS = 16
MOST_GUESTS = 1024  # peers that have shown the token
LEAST_PORT = 1024
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass
class Clients:
    """Leases of those who listen. Any thread."""

    clock: Callable[[], float] = time.monotonic
    _leases: dict[Peer, tuple[Peer, float]] = field(default_factory=dict)  # who asked → where to, until
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def listen(self, peer: Peer, port: int) -> None:
        """Lend `peer` a lease; events go to `port` of its own host, 0: to the peer itself."""
        if port and not LEAST_PORT <= port < 2**16:
            raise BadMessage(BAD_ARGS, f"the reply port is {port}; it may be {LEAST_PORT} to 65535, or 0")
        target = replace(peer, port=port, kind="udp", number=0) if port else peer
        with self._lock:
            self._forget_old()
            if peer not in self._leases and len(self._leases) >= MOST_LISTENERS:
                raise BadMessage(BUSY, f"{MOST_LISTENERS} clients listen already; wait for a lease to end")
            self._leases[peer] = (target, self.clock() + LEASE)

    def leave(self, peer: Peer) -> None:
        with self._lock:
            self._leases.pop(peer, None)

    def target(self, peer: Peer) -> Peer:
        """Where events for this peer go: to its explicit port while its lease holds, else to itself."""
        with self._lock:
            self._forget_old()
            return self._leases.get(peer, (peer, 0.0))[0]

    def listeners(self) -> set[Peer]:
        with self._lock:
            self._forget_old()
            return {target for target, _ in self._leases.values()}

    def _forget_old(self) -> None:
        now = self.clock()
        for peer in [peer for peer, (_, until) in self._leases.items() if until <= now]:
            del self._leases[peer]


def written(peer: Peer) -> str:
    """A peer as the journal keeps it."""
    return f"{peer.kind} {peer.host} {peer.port} {peer.number}"


def read(text: str) -> Peer | None:
    """What `written` wrote; None for anything else."""
    words = text.split(" ")
    if len(words) != 4 or not (words[2].isdigit() and words[3].isdigit()):
        return None
    return Peer(words[0], words[1], int(words[2]), int(words[3]))


@dataclass
class Gate:
    """Who may ask: everybody on this machine; others by allow-list and token. Any thread.

    allowed  networks beyond this machine that may talk to us at all
    token    what they must show first; "" admits nobody from beyond
    """

    allowed: Sequence[Network] = ()
    token: str = ""
    clock: Callable[[], float] = time.monotonic
    _guests: dict[tuple[str, int], float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def check(self, peer: Peer, *, is_open: bool) -> None:
        """BadMessage unless the peer may; `is_open`: ping, status, version and token need no token."""
        if peer.kind not in ("udp", "tcp") or is_here(peer.host):
            return
        if not self.is_allowed(peer.host):
            raise BadMessage(
                FORBIDDEN, f"{peer.host} is not on the allow-list; start with --allow {peer.host}"
            )
        if is_open:
            return
        with self._lock:
            if self._guests.get((peer.host, peer.port), 0.0) > self.clock():
                return
        raise BadMessage(FORBIDDEN, "show the token first: /stemwright/token s:token")

    def is_allowed(self, host: str) -> bool:
        try:
            address = ipaddress.ip_address(host.partition("%")[0])
        except ValueError:
            return False
        return any(address in network for network in self.allowed)

    def admit(self, peer: Peer, token: str) -> None:
        """BadMessage for a wrong token; compared in a time that does not depend on it."""
        if is_here(peer.host):
            return
        if not self.token or not hmac.compare_digest(self.token.encode(), token.encode()):
            raise BadMessage(FORBIDDEN, "this is not the token")
        with self._lock:
            now = self.clock()
            for guest in [guest for guest, until in self._guests.items() if until <= now]:
                del self._guests[guest]
            if len(self._guests) >= MOST_GUESTS:
                raise BadMessage(BUSY, f"{MOST_GUESTS} clients have shown the token; try again later")
            self._guests[(peer.host, peer.port)] = now + TOKEN_LEASE


def is_here(host: str) -> bool:
    """Whether a source address is this machine's loopback."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
