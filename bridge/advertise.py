"""The server's name on the local network (zeroconf), for tablets and hosts that look for OSC: optional.

Only a server that listens beyond this machine is advertised. An advertisement gives nobody leave: the
allow-list and the token stay (docs/bridge-security.md).
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from importlib import import_module
from typing import Any

from stemwright.engine.errors import BadJob, MissingExtra

HTTP_KIND = "_oscjson._tcp.local."  # OSCQuery
OSC_KIND = "_osc._udp.local."
EVERY_ADDRESS = ("0.0.0.0", "::")


class Advertisement:
    """Tells the network of the two ports until it is stopped.

    host        the address bound; 0.0.0.0 or ::, and all of this machine's but loopback are told
    http_port   None: no OSCQuery, OSC alone is told
    interfaces  addresses to speak from; default all
    """

    def __init__(
        self,
        host: str,
        osc_port: int,
        http_port: int | None,
        *,
        name: str = "Stemwright",
        interfaces: Sequence[str] | None = None,
    ) -> None:
        self._host, self._interfaces = host, interfaces
        self._ports = {OSC_KIND: osc_port} | ({HTTP_KIND: http_port} if http_port is not None else {})
        self.name = f"{name} on {socket.gethostname().partition('.')[0]}"[:63]  # DNS's longest label
        self._zeroconf: Any = None

    def start(self) -> None:
        """BadJob on loopback, MissingExtra without the package, OSError without a network.

        The server goes on without.
        """
        if not is_beyond_this_machine(self._host):
            raise BadJob(f"nobody else can reach {self._host}; to be found on the network, --bind beyond it")
        try:
            zeroconf: Any = import_module("zeroconf")
        except ImportError as error:
            raise MissingExtra("advertising needs zeroconf: pip install 'stemwright[zeroconf]'") from error
        addresses = _addresses(self._host)
        interfaces = list(self._interfaces) if self._interfaces else zeroconf.InterfaceChoice.Default
        self._zeroconf = zeroconf.Zeroconf(interfaces=interfaces)
        try:
            for kind, port in self._ports.items():
                info = zeroconf.ServiceInfo(
                    kind, f"{self.name}.{kind}", port=port, parsed_addresses=addresses,
                    server=f"{socket.gethostname().partition('.')[0]}.local.",
                )  # fmt: skip
                self._zeroconf.register_service(info, allow_name_change=True)
        except zeroconf.Error as error:
            self.stop()
            raise OSError(f"zeroconf does not work here: {error or type(error).__name__}") from error

    def stop(self) -> None:
        """Takes the advertisement back; may be called twice."""
        if self._zeroconf is not None:
            self._zeroconf.unregister_all_services()
            self._zeroconf.close()
            self._zeroconf = None


def _addresses(host: str) -> list[str]:
    """Where the server can be reached."""
    if host not in EVERY_ADDRESS:
        return [str(each[4][0]) for each in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)]
    adapters = import_module("ifaddr").get_adapters()  # comes with zeroconf
    found = [address.ip for adapter in adapters for address in adapter.ips]
    return [one for one in found if isinstance(one, str) and is_beyond_this_machine(one)]  # the rest is IPv6


def is_beyond_this_machine(host: str) -> bool:
    """Whether an address bound can be reached from elsewhere."""
    try:
        return not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() != "localhost"
