"""A fake MIDI system: ports are names, and what is sent is kept."""

from collections.abc import Callable
from dataclasses import dataclass, field

from stemwright.bridge.midiports import Lost, Names, Port


class FakeDriver:
    """In the place of ProcessDriver: the test says what arrives."""

    def __init__(self) -> None:
        self.sent: list[bytes] = []
        self.is_stopped = False

    def start(
        self,
        heard: Callable[[float, str, bytes], None],
        state: Callable[[str], None],
        opened: Callable[[], None],
    ) -> None:
        self.heard, self.opened = heard, opened
        state("on: fake")

    def send(self, data: bytes) -> None:
        self.sent.append(data)

    def stop(self) -> None:
        self.is_stopped = True


@dataclass
class FakePort:
    name: str
    sent: list[bytes] = field(default_factory=list)
    is_closed: bool = False
    fails: bool = False

    def send(self, data: bytes) -> None:
        if self.fails:
            raise OSError("unplugged")
        self.sent.append(data)

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True


class FakeBackend:
    """A MIDI system whose devices the test plugs and unplugs."""

    name = "Fake"
    own = ("stemwright:in",)

    def __init__(self) -> None:
        self.inputs: tuple[str, ...] = ()
        self.outputs: tuple[str, ...] = ()
        self.opened: list[FakePort] = []
        self.callbacks: dict[str, Callable[[bytes], None]] = {}
        self.busy: set[str] = set()
        self.is_gone = False
        self.virtual: list[bytes] = []

    def names(self) -> Names:
        if self.is_gone:
            raise Lost("fake has gone")
        return Names(self.inputs, self.outputs)

    def open_input(self, name: str, heard: Callable[[bytes], None]) -> Port:
        self.callbacks[name] = heard
        return self._open(name)

    def open_output(self, name: str) -> Port:
        return self._open(name)

    def send_virtual(self, data: bytes) -> None:
        self.virtual.append(data)

    def close(self) -> None:
        pass

    def _open(self, name: str) -> Port:
        if name in self.busy:
            raise OSError("busy")
        self.opened.append(FakePort(name))
        return self.opened[-1]
