"""TensorRT and a card's memory, as fakes: where no card is, they show what is called and in which order."""

from types import SimpleNamespace
from typing import Any


class FakeApi:
    """TensorRT as far as PlanGraph uses it; v is the latents turned round. Keeps what it is given."""

    __version__ = "1.7.1"
    TensorIOMode = SimpleNamespace(INPUT=0, OUTPUT=1)

    class Logger:
        ERROR = 1

        def __init__(self, least: int) -> None:
            pass

    def __init__(
        self,
        memory: "FakeMemory",
        *,
        is_lost: bool = False,
        is_noise: bool = False,
        names: tuple[str, ...] = ("latents", "velocity"),
    ) -> None:
        self.names, self.num_io_tensors, self.is_noise = names, len(names), is_noise
        self.memory, self.is_lost, self.taken = memory, is_lost, []  # type: ignore[var-annotated]
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.addresses: dict[str, int] = {}

    def Runtime(self, logger: object) -> "FakeApi":  # noqa: N802 (theirs)
        return self

    def deserialize_cuda_engine(self, content: bytes) -> "FakeApi":
        self.taken.append(content)
        return self

    def create_execution_context(self) -> "FakeApi":
        return self

    def get_tensor_name(self, place: int) -> str:
        return self.names[place]

    def get_tensor_mode(self, name: str) -> int:
        return int(name == "velocity")

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        self.addresses[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes["latents"]

    def execute_async_v3(self, stream: int) -> bool:
        if not self.is_lost:
            if self.is_noise:
                self.memory.held[self.addresses["latents"]] **= 2
            self.memory.held[self.addresses["velocity"]] = -self.memory.held[self.addresses["latents"]]
        return not self.is_lost


class FakeMemory:
    """A card's memory in a dict."""

    stream = 5

    def __init__(self) -> None:
        self.held: dict[int, Any] = {}
        self.names: list[str] = []

    def enter(self) -> None: ...

    def wait(self) -> None: ...

    def buffer(self, name: str, size: int) -> int:
        if name not in self.names:
            self.names.append(name)
        return self.names.index(name)

    def send(self, address: int, array: Any) -> None:
        self.held[address] = array.copy()

    def bring(self, array: Any, address: int) -> None:
        array[...] = self.held[address]
