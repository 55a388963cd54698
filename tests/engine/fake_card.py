"""A graphics card as far as a loop uses it: memory that is an array, a kernel that is a sum, captures kept.

It shows that what is put on a card's stream computes what the sampler does. No card is in it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import DeviceLost
from stemwright.engine.runtimes.cuda import Slabs

Work = Callable[[], object]


class FakeCard:
    """What `cuda.Memory` is. Addresses are bytes into one heap of float32 numbers."""

    stream = 7

    def __init__(self, numbers: int = 1 << 20, *, can_capture: bool = True) -> None:
        self.heap = np.full(numbers, np.nan, np.float32)  # what was never written shows
        self.can_capture = can_capture
        self.used, self.launches, self.freed = 64, 0, []  # type: ignore[var-annotated]
        self.buffers: dict[str, int] = {}
        self.recording: list[Work] | None = None

    def enter(self) -> None: ...

    def wait(self) -> None:
        assert self.recording is None, "a stream that is captured cannot be waited for"

    def buffer(self, name: str, size: int) -> int:
        assert self.recording is None and size % 4 == 0
        if name not in self.buffers:
            if self.used + size // 4 > len(self.heap):
                raise DeviceLost("cuMemAlloc: the graphics card is out of memory")
            self.buffers[name] = 4 * self.used
            self.used += -(-size // 256) * 64
        return self.buffers[name]

    def free(self, name: str) -> None:
        self.freed.append(name)
        del self.buffers[name]
        if not self.buffers:
            self.used = 64

    def view(self, address: int, shape: tuple[int, ...]) -> Array:
        assert address % 4 == 0
        return self.heap[address // 4 :][: int(np.prod(shape))].reshape(shape)

    def send(self, address: int, array: Array) -> None:
        assert array.dtype == np.float32 and array.flags.c_contiguous
        self.view(address, array.shape)[...] = array

    def bring(self, array: Array, address: int) -> None:
        array[...] = self.view(address, array.shape)

    def put(self, work: Work) -> None:
        """On the stream: done at once, or kept while a capture goes on."""
        if self.recording is None:
            work()
        else:
            self.recording.append(work)

    def weighted(self, slabs: Slabs) -> None:
        self.put(lambda: summed(self.heap, slabs))

    def captured(self, work: Work) -> list[Work]:
        if not self.can_capture:
            raise DeviceLost("cuStreamEndCapture: the graphics card failed (CUDA error 901)")
        self.recording = []
        work()
        made, self.recording = self.recording, None
        return made

    def launch(self, ready: list[Work]) -> None:
        self.launches += 1
        for work in ready:
            work()

    def forget(self, ready: list[Work]) -> None:
        ready.clear()


def summed(heap: Array, slabs: Slabs) -> None:
    """What the kernel does, said in NumPy."""
    columns = np.arange(slabs.length)
    for row in range(slabs.rows):
        places = slabs.base // 4 + row * slabs.in_row + columns
        total = np.zeros(slabs.length, np.float32)
        for index in range(slabs.count):
            total += heap[slabs.weights // 4 + index] * heap[places + index * slabs.slab]
        heap[slabs.out // 4 + row * slabs.out_row + columns] = total


class FakeEngine:
    """A deserialised plan whose network is a function of (latents, levels, conditions), run on a FakeCard."""

    names = ("latents", "levels", "conditions", "velocity")
    num_io_tensors = 4

    def __init__(self, card: FakeCard, network: Callable[..., Array]) -> None:
        self.card, self.network = card, network
        self.contexts = 0
        self.most_rows = 0
        self.is_lost = self.is_silent = False

    def get_tensor_name(self, place: int) -> str:
        return self.names[place]

    def get_tensor_mode(self, name: str) -> int:
        return int(name == "velocity")

    def create_execution_context(self) -> "FakeContext":
        self.contexts += 1
        return FakeContext(self)


class FakeContext:
    """Where a shape is run. `is_silent`: what it captures does nothing, and says nothing of it."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.shapes: dict[str, tuple[int, ...]] = {}
        self.places: dict[str, int] = {}

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self.shapes[name] = tuple(shape)
        return True

    def set_tensor_address(self, name: str, address: int) -> bool:
        assert address % 256 == 0, f"{name} lies at {address}; TensorRT wants multiples of 256"
        self.places[name] = address
        return True

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        return self.shapes["latents"]

    def execute_async_v3(self, stream: int) -> bool:
        if self.engine.is_lost:
            return False
        if self.engine.is_silent and self.engine.card.recording is not None:
            return True
        self.engine.most_rows = max(self.engine.most_rows, self.shapes["latents"][0])
        places, card, shapes = dict(self.places), self.engine.card, dict(self.shapes)

        def work() -> None:
            arrays = {name: card.view(places[name], shape) for name, shape in shapes.items()}
            card.view(places[self.engine.names[-1]], shapes["latents"])[...] = self.engine.network(**arrays)

        card.put(work)
        return True


def api_of(engine: FakeEngine) -> Any:
    """TensorRT's module, whose runtime gives this engine for any bytes."""

    class Api:
        __version__ = "1.7.1"

        class TensorIOMode:
            INPUT = 0

        class Logger:
            ERROR = 1

            def __init__(self, least: int) -> None: ...

        class Runtime:
            def __init__(self, logger: object) -> None: ...

            def deserialize_cuda_engine(self, content: bytes) -> FakeEngine:
                return engine

    return Api
