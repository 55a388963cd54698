"""NVIDIA's driver, asked directly: which cards are there, and memory and work on one of them.

Through ctypes, so that it costs no package; where there is no driver there are no cards. The numbers are
those of cuda.h.
"""

import ctypes
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from stemwright.engine.errors import DeviceLost
from stemwright.engine.runtimes.kernel import THREADS, WEIGHTED

MULTIPROCESSORS, MAJOR, MINOR = 16, 75, 76  # attributes of a card
OUT_OF_MEMORY = 2
THIS_THREAD = 1  # how a capture treats calls of other threads: it does not mind them
LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


@dataclass(frozen=True)
class Card:
    """One graphics card; capability e.g. "SM89", memory in bytes."""

    number: int
    name: str
    capability: str
    memory: int
    multiprocessors: int

    @property
    def description(self) -> str:
        """What a plan that is tuned to one kind of card is tuned to."""
        return f"{self.name}, {self.multiprocessors} multiprocessors"


@cache
def driver() -> Any:
    """The driver, started; None where there is none, or no card it would drive."""
    try:
        library = ctypes.CDLL(LIBRARY)
    except OSError:
        return None
    return library if library.cuInit(0) == 0 else None


def cards(library: Any = None) -> tuple[Card, ...]:
    """Every card, as the driver counts them."""
    found = library or driver()
    if found is None:
        return ()
    count = ctypes.c_int()
    if found.cuDeviceGetCount(ctypes.byref(count)) != 0:
        return ()
    return tuple(_card(found, number) for number in range(count.value))


def _card(library: Any, number: int) -> Card:
    device, memory, name = ctypes.c_int(), ctypes.c_size_t(), ctypes.create_string_buffer(256)
    _check(library.cuDeviceGet(ctypes.byref(device), number), "cuDeviceGet")
    _check(library.cuDeviceGetName(name, len(name), device), "cuDeviceGetName")
    _check(library.cuDeviceTotalMem_v2(ctypes.byref(memory), device), "cuDeviceTotalMem")

    def attribute(which: int) -> int:
        value = ctypes.c_int()
        _check(library.cuDeviceGetAttribute(ctypes.byref(value), which, device), "cuDeviceGetAttribute")
        return value.value

    capability = f"SM{attribute(MAJOR)}{attribute(MINOR)}"
    return Card(
        number, name.value.decode(errors="replace"), capability, memory.value, attribute(MULTIPROCESSORS)
    )


def _check(code: int, call: str) -> None:
    if code == OUT_OF_MEMORY:
        raise DeviceLost(
            f"{call}: the graphics card is out of memory. Close what else uses it, or --device cpu."
        )
    if code != 0:
        raise DeviceLost(f"{call}: the graphics card failed (CUDA error {code}). Use --device cpu.")


@dataclass(frozen=True)
class Slabs:
    """What the kernel sums: see `kernel`. Addresses in bytes, everything else in float32 numbers."""

    out: int
    base: int
    weights: int
    slab: int
    in_row: int
    out_row: int
    length: int
    count: int
    rows: int


class Memory:
    """Buffers on one card and a stream to work on. `enter` makes the card's context this thread's own."""

    def __init__(self, number: int = 0, library: Any = None) -> None:
        self._library = library or driver()
        if self._library is None:
            raise DeviceLost("there is no NVIDIA driver here. Install it, or use --device cpu.")
        device, self._context, self._stream = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuDeviceGet", ctypes.byref(device), number)
        self._do("cuDevicePrimaryCtxRetain", ctypes.byref(self._context), device)
        self.enter()
        self._do("cuStreamCreate", ctypes.byref(self._stream), 1)  # 1: waits for no other stream
        self._buffers: dict[str, tuple[ctypes.c_uint64, int]] = {}
        self._kernel: ctypes.c_void_p | None = None

    @property
    def stream(self) -> int:
        return int(self._stream.value or 0)

    def enter(self) -> None:
        self._do("cuCtxSetCurrent", self._context)

    def buffer(self, name: str, size: int) -> int:
        """Address of `size` bytes; the same ones again, as long as they suffice."""
        address, held = self._buffers.get(name, (ctypes.c_uint64(), 0))
        if size > held:
            self.free(name)
            address = ctypes.c_uint64()
            self._do("cuMemAlloc_v2", ctypes.byref(address), ctypes.c_size_t(size))
            self._buffers[name] = (address, size)
        return address.value

    def free(self, name: str) -> None:
        """Give a buffer back, if there is one of that name."""
        address, held = self._buffers.pop(name, (ctypes.c_uint64(), 0))
        if held:
            self._do("cuMemFree_v2", address)

    def send(self, address: int, array: "np.ndarray[Any, Any]") -> None:
        self._do(
            "cuMemcpyHtoDAsync_v2", ctypes.c_uint64(address), ctypes.c_void_p(array.ctypes.data),
            ctypes.c_size_t(array.nbytes), self._stream,
        )  # fmt: skip

    def bring(self, array: "np.ndarray[Any, Any]", address: int) -> None:
        """Into the array; it is there after `wait`."""
        self._do(
            "cuMemcpyDtoHAsync_v2", ctypes.c_void_p(array.ctypes.data), ctypes.c_uint64(address),
            ctypes.c_size_t(array.nbytes), self._stream,
        )  # fmt: skip

    def wait(self) -> None:
        self._do("cuStreamSynchronize", self._stream)

    def weighted(self, slabs: Slabs) -> None:
        """Run the kernel; the driver translates it the first time."""
        if self._kernel is None:
            module, kernel = ctypes.c_void_p(), ctypes.c_void_p()
            self._do("cuModuleLoadData", ctypes.byref(module), WEIGHTED.encode())
            self._do("cuModuleGetFunction", ctypes.byref(kernel), module, b"weighted")
            self._kernel = kernel
        wide = (slabs.out, slabs.base, slabs.weights, slabs.slab, slabs.in_row, slabs.out_row)
        values = [*map(ctypes.c_uint64, wide), ctypes.c_uint32(slabs.length), ctypes.c_uint32(slabs.count)]
        places = (ctypes.c_void_p * len(values))(*(ctypes.addressof(value) for value in values))
        blocks = -(-slabs.length // THREADS)
        grid, block = (blocks, slabs.rows, 1), (THREADS, 1, 1)
        self._do("cuLaunchKernel", self._kernel, *grid, *block, 0, self._stream, places, None)

    def captured(self, work: Callable[[], object]) -> ctypes.c_void_p:
        """A CUDA graph of what `work` puts on the stream; nothing of it is done yet.

        raises  DeviceLost where it cannot be captured
        """
        graph, ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._do("cuStreamBeginCapture_v2", self._stream, THIS_THREAD)
        try:
            work()
        finally:  # the stream must leave the capture whatever happens
            code = self._library.cuStreamEndCapture(self._stream, ctypes.byref(graph))
        _check(code, "cuStreamEndCapture")
        self._do("cuGraphInstantiateWithFlags", ctypes.byref(ready), graph, ctypes.c_ulonglong(0))
        self._do("cuGraphDestroy", graph)
        return ready

    def launch(self, ready: ctypes.c_void_p) -> None:
        self._do("cuGraphLaunch", ready, self._stream)

    def forget(self, ready: ctypes.c_void_p) -> None:
        """Give a captured graph back."""
        self._do("cuGraphExecDestroy", ready)

    def timed(self, work: Callable[[], object]) -> float:
        """Seconds that the card took for what `work` puts on the stream, by its own clock."""
        begin, end, milliseconds = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_float()
        for event in (begin, end):
            self._do("cuEventCreate", ctypes.byref(event), 0)
        try:
            self._do("cuEventRecord", begin, self._stream)
            work()
            self._do("cuEventRecord", end, self._stream)
            self._do("cuEventSynchronize", end)
            self._do("cuEventElapsedTime", ctypes.byref(milliseconds), begin, end)
        finally:
            for event in (begin, end):
                self._do("cuEventDestroy_v2", event)
        return milliseconds.value / 1000

    def _do(self, call: str, *arguments: Any) -> None:
        _check(getattr(self._library, call)(*arguments), call)
