"""TensorRT plans, run through either of its Python APIs: `tensorrt`, or `tensorrt_rtx` for GeForce and RTX.

The two are alike: a plan of one is run by that one alone. Not run on a card by our tests, which have none:
they show what is refused, what is called and in which order.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import DeviceLost, MissingExtra, PlanRefused
from stemwright.engine.runtimes.course import Sampling
from stemwright.engine.runtimes.cuda import Memory
from stemwright.engine.runtimes.looped import Loop, Shape
from stemwright.engine.runtimes.plans import BUILD, Plan

LOOPS = 4  # shapes of samplings that are kept ready


@dataclass(frozen=True)
class Flavour:
    """One of the two APIs: modules tried in turn, libraries imported before, how it is installed.

    builders  whose plans it runs
    """

    modules: tuple[str, ...]
    libraries: str
    install: str
    builders: tuple[str, ...]


FLAVOURS = {
    "tensorrt_rtx": Flavour(
        ("tensorrt_rtx", "tensorrt_rtx_bindings"),
        "tensorrt_rtx_libs",
        "pip install 'stemwright[tensorrt-rtx]'",
        ("tensorrt_rtx",),
    ),
    "tensorrt": Flavour(
        ("tensorrt", "tensorrt_bindings"),
        "tensorrt_libs",
        "pip install 'stemwright[tensorrt]'",
        ("tensorrt", "torch_tensorrt"),
    ),
}


def open_api(flavour: str) -> ModuleType:
    """The Python API; MissingExtra tells its command."""
    asked = FLAVOURS[flavour]
    with suppress(ImportError, OSError):  # a system's own libraries do as well
        import_module(asked.libraries)  # loads them, so that the bindings find them
    for name in asked.modules:
        try:
            return import_module(name)
        except (ImportError, OSError) as error:
            reason = error
    raise MissingExtra(f"plans of {flavour} need: {asked.install} ({reason})")


def installed() -> dict[str, ModuleType]:
    """Those that are here."""
    found = {}
    for flavour in FLAVOURS:
        try:
            found[flavour] = open_api(flavour)
        except MissingExtra:
            continue
    return found


class PlanGraph:
    """A plan ready to run, in the manner of `ort.Graph`. Buffers are made once and kept.

    A batch larger than the plan was built for is done in parts. Whole samplings stay on the card: `loop`.
    """

    def __init__(self, plan: Plan, api: Any, memory: Memory) -> None:
        """plan: from `plans.find`, which has held its bytes against its manifest"""
        self.name = plan.recipe.name
        self._memory, self._most = memory, plan.recipe.profile[2]
        memory.enter()
        self._runtime = api.Runtime(api.Logger(api.Logger.ERROR))
        self._api = api
        self._engine = self._runtime.deserialize_cuda_engine(plan.content)
        if self._engine is None:
            raise PlanRefused(f"{self.name}: TensorRT {api.__version__} does not take it. {BUILD}")
        self._context = self._new_context()
        names = [self._engine.get_tensor_name(place) for place in range(self._engine.num_io_tensors)]
        is_input = {name: self._engine.get_tensor_mode(name) == api.TensorIOMode.INPUT for name in names}
        self.inputs = tuple(name for name in names if is_input[name])
        self.outputs = tuple(name for name in names if not is_input[name])
        self._loops: OrderedDict[Shape, Loop] = OrderedDict()
        self.is_looping = set(self.inputs) == {"latents", "levels", "conditions"}

    def run(self, **arrays: Array) -> tuple[Array, ...]:
        """Named inputs → every output, in the order of `outputs`."""
        parts = [self._part(part) for part in self._parts(arrays)]
        return tuple(np.concatenate(pieces) for pieces in zip(*parts, strict=True))

    def again(self) -> None:
        """Put the last part of the last run on the stream once more: what a benchmark times."""
        if not self._context.execute_async_v3(self._memory.stream):
            raise DeviceLost(f"{self.name}: the graphics card did not run it. Use --device cpu.")

    def loop(self, sampling: Sampling) -> Array | None:
        """A whole sampling at once; None where the card has no room for it, or the plan no batch so small."""
        rows = self._most // len(sampling.conditions)
        if not self.is_looping or rows < 1:
            return None
        self._memory.enter()
        try:
            parts = sampling.parts(rows)
            return np.concatenate([self._loop(Shape.of(part), part).run(part) for part in parts])
        except DeviceLost:  # step by step needs less; where the card is gone, that says so
            self.is_looping = False
            with suppress(DeviceLost):
                self._forget(keep=0)
            return None

    def loop_again(self, sampling: Sampling) -> None:
        """Put the captured graph of such a sampling on the stream once more; DeviceLost if it has none."""
        made = self._loops.get(Shape.of(sampling))
        if made is None or made.ready is None:
            raise DeviceLost(f"{self.name}: the sampling was not captured. Take smaller batches.")
        self._memory.launch(made.ready)

    def _loop(self, shape: Shape, sampling: Sampling) -> Loop:
        """The loop of this shape, made or kept from before."""
        if shape not in self._loops:
            self._forget(keep=LOOPS - 1)
            latents = sampling.given.shape[2:]
            context = self._new_context()
            self._loops[shape] = Loop(self.name, shape, latents, self._memory, context, self.outputs[0])
        self._loops.move_to_end(shape)
        return self._loops[shape]

    def _forget(self, keep: int) -> None:
        """Give back those not used for longest."""
        while len(self._loops) > keep:
            self._loops.popitem(last=False)[1].close()

    def _new_context(self) -> Any:
        """Where one shape at a time is run; kernels are made for it at once, not while it is captured."""
        if hasattr(self._engine, "create_runtime_config"):
            config = self._engine.create_runtime_config()
            kinds = getattr(self._api, "DynamicShapesKernelSpecializationStrategy", None)
            if kinds is not None:
                config.dynamic_shapes_kernel_specialization_strategy = kinds.EAGER
            context = self._engine.create_execution_context(runtime_config=config)
        else:
            context = self._engine.create_execution_context()
        if context is None:
            raise DeviceLost(f"{self.name}: the graphics card has no memory for it. Use --device cpu.")
        return context

    def _parts(self, arrays: dict[str, Array]) -> Iterator[dict[str, Array]]:
        batch = len(next(iter(arrays.values())))
        for start in range(0, batch, self._most):
            yield {
                name: np.ascontiguousarray(array[start : start + self._most], np.float32)
                for name, array in arrays.items()
            }

    def _part(self, arrays: dict[str, Array]) -> list[Array]:
        memory, context = self._memory, self._context
        memory.enter()
        for name, array in arrays.items():
            address = memory.buffer(name, array.nbytes)
            memory.send(address, array)
            if not (context.set_input_shape(name, array.shape) and context.set_tensor_address(name, address)):
                raise PlanRefused(f"{self.name}: does not take {name} {array.shape}. {BUILD}")
        made = []
        for name in self.outputs:
            found = np.empty(tuple(context.get_tensor_shape(name)), np.float32)
            address = memory.buffer(name, found.nbytes)
            context.set_tensor_address(name, address)
            made.append((found, address))
        self.again()
        for found, address in made:
            memory.bring(found, address)
        memory.wait()
        return [found for found, _ in made]
