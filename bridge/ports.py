"""The listening sockets: UDP and TCP of one number."""

import socket

from stemwright.bridge.errors import PortTaken

RECEIVE_BUFFER = 4 << 20  # bytes asked of the system, for bursts of datagrams
BACKLOG = 64  # connections that wait to be accepted
ATTEMPTS = 20  # to find a number that is free for both


def listening(host: str, port: int) -> tuple[socket.socket, socket.socket]:
    """(UDP, TCP) on `port`; 0: any that is free for both. PortTaken says what is in the way."""
    for attempt in range(ATTEMPTS):
        tcp = _bound(host, port, socket.SOCK_STREAM)
        tcp.listen(BACKLOG)
        try:
            return _bound(host, tcp.getsockname()[1], socket.SOCK_DGRAM), tcp
        except PortTaken:
            tcp.close()
            if port or attempt == ATTEMPTS - 1:
                raise
    raise AssertionError


def _bound(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, kind)
    try:
        if kind == socket.SOCK_DGRAM:
            _widen(sock)
        elif hasattr(socket, "SO_EXCLUSIVEADDRUSE"):  # Windows, where the other option would share the port
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        else:  # a port that was left a moment ago may be taken again
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        word = "UDP" if kind == socket.SOCK_DGRAM else "TCP"
        why = getattr(error, "strerror", None) or error
        raise PortTaken(
            f"{word} port {port} of {host} cannot be listened on: {why}. "
            "Another server runs there, perhaps: stop it, or choose another port by --port."
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
