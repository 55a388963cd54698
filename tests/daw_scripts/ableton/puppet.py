"""A server of strings: takes what a script sends, and says what a test wants, on a port of this machine."""

import socket
from typing import Any

from pythonosc.osc_message import OscMessage

from tests.bridge.real import packet


class Puppet:
    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.port: int = self._socket.getsockname()[1]
        self._who: Any = None

    def heard(self) -> list[tuple[str, list[Any]]]:
        """What has come since the last call; who sent it is spoken to from now on."""
        found = []
        while True:
            try:
                data, self._who = self._socket.recvfrom(65536)
            except BlockingIOError:
                return found
            message = OscMessage(data)
            found.append((message.address, list(message.params)))

    def jobs(self) -> list[tuple[str, list[Any]]]:
        """Requests but for those for presets."""
        return [one for one in self.heard() if one[0] != "/stemwright/presets"]

    def say(self, address: str, *arguments: Any) -> None:
        self.send(packet(f"/stemwright/{address}", *arguments))

    def send(self, data: bytes) -> None:
        self._socket.sendto(data, self._who)

    def close(self) -> None:
        self._socket.close()
