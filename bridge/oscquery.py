"""The protocol for those who ask by HTTP: OSCQuery's JSON on a port of its own, for reading only.

A web page can send requests to this machine's ports, and by a name it controls (DNS rebinding) could read
the answers; so the Host header must name this machine, and no other site is given leave to read.
"""

from __future__ import annotations

import json
import re
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

from stemwright.bridge.errors import PortTaken
from stemwright.bridge.messages import HTTP_PORT, PORT
from stemwright.bridge.namespace import Node, find, namespace, with_values

LONGEST_HEAD = 8192  # bytes of a request line and its headers
LONGEST_WAIT = 5.0  # seconds for a request to come whole, and for its answer to be taken
MOST_WORKERS = 8  # requests at once
LINGER = 0.3  # seconds a refused sender has to read why
ATTRIBUTES = {
    "FULL_PATH", "CONTENTS", "DESCRIPTION", "TYPE", "ACCESS", "VALUE", "RANGE", "OVERLOADS", "OPTIONS",
    "TAGS", "EXTENDED_TYPE", "UNIT", "CLIPMODE", "CRITICAL", "HTML",
}  # fmt: skip
HERE = frozenset({"localhost", "127.0.0.1", "[::1]"})
HOST = re.compile(r"(?P<name>\[[0-9a-f:.%]+\]|[^:\[\]\s/@]+)(?::\d{1,5})?")
REASONS = {
    200: "OK", 204: "No Content", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
    405: "Method Not Allowed", 408: "Request Timeout", 431: "Request Header Fields Too Large",
    500: "Internal Server Error", 503: "Service Unavailable",
}  # fmt: skip

Values = Callable[[], dict[str, list[Any]]]


@dataclass(frozen=True)
class Reply:
    """What goes back. body: None for none"""

    status: int
    body: Any = None


class Refused(Exception):
    """A request that is not answered with what it asks for."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.reply = Reply(status, {"error": text})


class OscQuery:
    """The HTTP server: one thread that accepts, one for each request, both joined by `stop`.

    values  what can be read now, by the address of the answer that tells it ("/stemwright/status.reply")
    names   more that Host may say than localhost, its addresses and the address bound
    allows  whether a host may connect at all; default: all
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = HTTP_PORT,
        osc_port: int = PORT,
        values: Values = dict,
        *,
        names: Sequence[str] = (),
        allows: Callable[[str], bool] = lambda host: True,
        name: str = "Stemwright",
    ) -> None:
        self._host, self.port = host, port
        self._values, self._allows = values, allows
        self._names = HERE | {_as_in_url(one) for one in (host, *names)} - {"0.0.0.0", "[::]"}
        self._root = namespace()
        self._host_info = host_info(name, osc_port)
        self._slots = threading.BoundedSemaphore(MOST_WORKERS)
        self._lock = threading.Lock()
        self._open: dict[socket.socket, threading.Thread] = {}
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None
        self._wake: tuple[socket.socket, socket.socket] | None = None

    def start(self) -> None:
        """Listens from here on; `port` is then the bound one. PortTaken when it cannot be had."""
        self._listener = _bound(self._host, self.port)
        self.port = self._listener.getsockname()[1]
        self._wake = socket.socketpair()
        self._thread = threading.Thread(target=self._accept, name="oscquery", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends running requests too; may be called twice."""
        if self._listener is None or self._thread is None or self._wake is None:
            return
        self._wake[1].send(b"!")
        self._thread.join()
        with self._lock:
            running = dict(self._open)
        for connection in running:
            _shut(connection, socket.SHUT_RDWR)
        for thread in running.values():
            thread.join()
        for one in (self._listener, *self._wake):
            one.close()
        self._listener = self._thread = self._wake = None

    def _accept(self) -> None:
        assert self._listener is not None and self._wake is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake[0], selectors.EVENT_READ)
            while self._wake[0] not in [key.fileobj for key, _ in selector.select()]:
                try:
                    connection, address = self._listener.accept()
                except BlockingIOError:
                    continue
                except OSError:  # out of files: the next try must not come at once
                    time.sleep(0.05)
                    continue
                self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, host: str) -> None:
        """Give a connection its thread, or turn it away."""
        if not self._allows(host):
            connection.close()
        elif not self._slots.acquire(blocking=False):
            connection.settimeout(0)
            busy = Refused(503, f"{MOST_WORKERS} requests are being answered; ask again").reply
            with connection, suppress(OSError):
                _send(connection, busy, has_body=True)
        else:
            thread = threading.Thread(target=self._work, args=[connection], name="oscquery", daemon=True)
            with self._lock:
                self._open[connection] = thread
            thread.start()

    def _work(self, connection: socket.socket) -> None:
        try:
            self._converse(connection)
        except OSError:
            pass  # gone, or too slow to take the answer
        finally:
            connection.close()
            self._slots.release()
            with self._lock:
                del self._open[connection]

    def _converse(self, connection: socket.socket) -> None:
        has_body = True
        try:
            head = _head(connection)
            if head is None:
                return
            verb, target, host = parsed(head)
            has_body = verb != "HEAD"
            reply = self._answer(verb, target, host, connection.getsockname()[0])
        except Refused as error:
            reply = error.reply
        connection.settimeout(LONGEST_WAIT)
        _send(connection, reply, has_body=has_body)
        if reply.status >= 400:
            _let_read(connection)

    def _answer(self, verb: str, target: str, host: str, local: str) -> Reply:
        """What a request gets. local: the address of ours it came to, which Host may name too"""
        named = HOST.fullmatch(host.lower())
        if named is None or named["name"] not in self._names | {_as_in_url(local)}:
            raise Refused(403, f"Host is {host[:80]!r}; ask for localhost")
        if verb not in ("GET", "HEAD"):
            raise Refused(405, "there is only GET and HEAD here; requests for stems go by OSC")
        path, _, query = target.partition("?")
        node = find(self._root, unquote(path))
        if not path.startswith("/") or node is None:
            raise Refused(404, f"nothing is at {unquote(path)[:120]!r}; / lists all there is")
        if not query:
            return Reply(200, self._read(node))
        return self._attribute(node, unquote(query))

    def _attribute(self, node: Node, name: str) -> Reply:
        if name == "HOST_INFO":
            return Reply(200, self._host_info)
        if name not in ATTRIBUTES:
            known = ", ".join(sorted({"HOST_INFO", *ATTRIBUTES}))
            raise Refused(400, f"no attribute {name[:40]!r}; one at a time of {known}")
        found = self._read(node) if name in ("VALUE", "CONTENTS") else node
        return Reply(200, {name: found[name]}) if name in found else Reply(204)

    def _read(self, node: Node) -> Node:
        try:
            values = self._values()
            json.dumps(values, allow_nan=False)
        except Exception as error:  # the values are the server's own; a fault of theirs must not end ours
            raise Refused(500, f"the values cannot be read ({type(error).__name__})") from error
        return with_values(node, values)


def host_info(name: str, osc_port: int) -> Node:
    """Where OSC goes, and which of the proposal's attributes and extensions there are."""
    has = ["ACCESS", "VALUE", "RANGE", "DESCRIPTION", "TYPE", "OVERLOADS", "OPTIONS"]
    lacks = ["TAGS", "EXTENDED_TYPE", "UNIT", "CLIPMODE", "CRITICAL", "HTML", "LISTEN", "PATH_CHANGED"]
    return {
        "NAME": name,
        "EXTENSIONS": dict.fromkeys(has, True) | dict.fromkeys(lacks, False),
        "OSC_PORT": osc_port,
        "OSC_TRANSPORT": "UDP",
    }


def parsed(head: bytes) -> tuple[str, str, str]:
    """A request's head → verb, target, Host; Refused when it is not HTTP/1 or names no host or several."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise Refused(400, "this port speaks HTTP/1.1; OSC goes to another")
    headers = [line.partition(":") for line in lines if line]
    if any(not name or not colon or name != name.strip() for name, colon, _ in headers):
        raise Refused(400, "a header line is malformed")
    hosts = [value.strip() for name, _, value in headers if name.lower() == "host"]
    if len(hosts) != 1:
        raise Refused(403, f"{len(hosts)} Host headers; one is needed")
    return words[0], words[1], hosts[0]


def _head(connection: socket.socket) -> bytes | None:
    """All up to the empty line; None when the other side went away."""
    until = time.monotonic() + LONGEST_WAIT
    data = b""
    while b"\r\n\r\n" not in data:
        if len(data) > LONGEST_HEAD:
            raise Refused(431, f"over {LONGEST_HEAD} bytes of headers")
        connection.settimeout(max(until - time.monotonic(), 0.001))
        try:
            more = connection.recv(4096)
        except TimeoutError as error:
            raise Refused(408, f"the request was not whole after {LONGEST_WAIT:g} s") from error
        if not more:
            return None
        data += more
    return data.partition(b"\r\n\r\n")[0]


def _send(connection: socket.socket, reply: Reply, *, has_body: bool) -> None:
    lines = [
        f"HTTP/1.1 {reply.status} {REASONS[reply.status]}",
        "Connection: close",
        "Cache-Control: no-store",
    ]
    body = b""
    if reply.body is not None:
        body = json.dumps(reply.body, ensure_ascii=False, allow_nan=False).encode()
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    lines += ["X-Content-Type-Options: nosniff", "Cross-Origin-Resource-Policy: same-origin"]
    if reply.status == 405:
        lines.append("Allow: GET, HEAD")
    connection.sendall("\r\n".join([*lines, "", ""]).encode() + (body if has_body else b""))


def _let_read(connection: socket.socket) -> None:
    """Take what a refused sender still sends, for a moment: closing at once would destroy the answer."""
    _shut(connection, socket.SHUT_WR)
    until = time.monotonic() + LINGER
    while (left := until - time.monotonic()) > 0:
        connection.settimeout(left)
        if not connection.recv(4096):
            return


def _shut(connection: socket.socket, how: int) -> None:
    with suppress(OSError):  # not connected any more
        connection.shutdown(how)


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":  # there it would let two servers share the port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(16)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise PortTaken(
            f"OSCQuery cannot listen on {host} port {port} ({error.strerror or error}). "
            "Is another server running? Choose another port with --http-port, or go without: --no-http."
        ) from error
    return listener


def _as_in_url(host: str) -> str:
    """A host as Host says it: lower case, IPv6 in brackets."""
    return f"[{host.lower()}]" if ":" in host and not host.startswith("[") else host.lower()
