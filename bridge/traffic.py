"""Who talks to the server, and how much."""

from dataclasses import dataclass


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
