"""A whole sampling on the card: the network's calls and the sums between them, as one CUDA graph.

For one batch size, number of steps and set of wanted tracks everything lies at a fixed address: levels,
weights and guidance are numbers in buffers, so that another job of the same shape is the same graph with
other numbers. The first run is not captured; its outcome is what the captured graph's is held against, for
a network that cannot be captured may fail without a word.

In float32 numbers; B′ = H × B, one forward of the guidance after the other
history     (steps + 1, B, W, C, T)  the noise, then the network's answers
whole       (B′, S, C, T)            what the network is given
velocity    (B′, S, C, T)            what it answers
levels      (steps, B′ × S, padded)  every call's own
table       (steps + 1, steps + 1)   the course's weights
mixing      (S, H)                   guidance's
"""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import DeviceLost, PlanRefused
from stemwright.engine.runtimes.course import Sampling
from stemwright.engine.runtimes.cuda import Memory, Slabs
from stemwright.engine.runtimes.golden import NEAREST, cosine

FLOAT = 4  # bytes
ALIGNED = 64  # numbers: TensorRT wants tensors at multiples of 256 bytes


class Shape(NamedTuple):
    """All that a captured graph depends on."""

    rows: int  # B
    steps: int
    wanted: tuple[int, ...]  # of the S tracks
    tracks: int
    slab: int  # C × T
    width: int  # D
    forwards: int  # H

    @classmethod
    def of(cls, sampling: Sampling) -> "Shape":
        rows, tracks, *latents = sampling.given.shape
        return cls(
            rows,
            len(sampling.course.levels),
            tuple(int(track) for track in np.flatnonzero(~sampling.is_given)),
            tracks,
            int(np.prod(latents)),
            sampling.conditions.shape[3],
            len(sampling.conditions),
        )

    @property
    def level_row(self) -> int:
        """Numbers from one call's levels to the next call's."""
        return -(-self.forwards * self.rows * self.tracks // ALIGNED) * ALIGNED

    @property
    def sizes(self) -> dict[str, int]:
        """Numbers in each buffer."""
        state = self.rows * len(self.wanted) * self.slab
        whole = self.forwards * self.rows * self.tracks * self.slab
        return {
            "history": (self.steps + 1) * state,
            "whole": whole,
            "velocity": whole,
            "levels": self.steps * self.level_row,
            "conditions": self.forwards * self.rows * self.tracks * self.width,
            "table": (self.steps + 1) ** 2,
            "mixing": self.forwards * self.tracks,
            "clean": state,
        }


def filled(sampling: Sampling, shape: Shape) -> dict[str, Array]:
    """What is sent before a run; the noise goes to the head of the history."""
    levels = np.zeros((shape.steps, shape.level_row), np.float32)
    held = np.where(sampling.is_given, 0, np.array(sampling.course.levels)[:, None])
    levels[:, : shape.forwards * shape.rows * shape.tracks] = np.tile(held, shape.forwards * shape.rows)
    return {
        "history": sampling.noise,
        "whole": np.concatenate([sampling.given] * shape.forwards),
        "levels": levels,
        "conditions": sampling.conditions,
        "table": sampling.course.weights,
        "mixing": sampling.mixing,
    }


def joined(shape: Shape, at: Mapping[str, int], step: int) -> Iterator[Slabs]:
    """The state before a call, put among the given tracks, for every forward."""
    state = shape.rows * len(shape.wanted) * shape.slab
    weights = at["table"] + FLOAT * step * (shape.steps + 1)
    for forward in range(shape.forwards):
        for place, track in enumerate(shape.wanted):
            yield Slabs(
                out=at["whole"] + FLOAT * (forward * shape.rows * shape.tracks + track) * shape.slab,
                base=at["history"] + FLOAT * place * shape.slab,
                weights=weights,
                slab=state,
                in_row=len(shape.wanted) * shape.slab,
                out_row=shape.tracks * shape.slab,
                length=shape.slab,
                count=step + 1,
                rows=shape.rows,
            )


def answered(shape: Shape, at: Mapping[str, int], step: int) -> Iterator[Slabs]:
    """The network's answer for the wanted tracks, guided, put into the history."""
    state = shape.rows * len(shape.wanted) * shape.slab
    for place, track in enumerate(shape.wanted):
        yield Slabs(
            out=at["history"] + FLOAT * ((step + 1) * state + place * shape.slab),
            base=at["velocity"] + FLOAT * track * shape.slab,
            weights=at["mixing"] + FLOAT * shape.forwards * track,
            slab=shape.rows * shape.tracks * shape.slab,
            in_row=shape.tracks * shape.slab,
            out_row=len(shape.wanted) * shape.slab,
            length=shape.slab,
            count=shape.forwards,
            rows=shape.rows,
        )


def ended(shape: Shape, at: Mapping[str, int]) -> Slabs:
    """The clean latents."""
    state = shape.rows * len(shape.wanted) * shape.slab
    weights = at["table"] + FLOAT * shape.steps * (shape.steps + 1)
    return Slabs(at["clean"], at["history"], weights, state, 0, 0, state, shape.steps + 1, 1)


@dataclass
class Loop:
    """One shape's buffers, execution context and, from the second run on, captured graph."""

    name: str
    shape: Shape
    latents: tuple[int, ...]  # (C, T)
    memory: Memory
    context: Any
    output: str  # the network's
    ready: Any = None
    is_capturable: bool = True

    def __post_init__(self) -> None:
        self.at: dict[str, int] = {}
        try:
            for part, numbers in self.shape.sizes.items():
                self.at[part] = self.memory.buffer(self._buffer(part), FLOAT * numbers)
        except DeviceLost:
            self.close()
            raise
        rows, tracks = self.shape.forwards * self.shape.rows, self.shape.tracks
        shapes = {
            "latents": (rows, tracks, *self.latents),
            "levels": (rows, tracks),
            "conditions": (rows, tracks, self.shape.width),
        }
        places = {"latents": "whole", "levels": "levels", "conditions": "conditions"}
        for port, sizes in shapes.items():
            if not self.context.set_input_shape(port, sizes):
                raise PlanRefused(
                    f"{self.name}: does not take {port} {sizes}. Build it: stemwright export plan"
                )
            self._place(port, self.at[places[port]])
        self._place(self.output, self.at["velocity"])

    def run(self, sampling: Sampling) -> Array:
        """(B, W, C, T)"""
        for part, array in filled(sampling, self.shape).items():
            self.memory.send(self.at[part], np.ascontiguousarray(array, np.float32))
            self.memory.wait()  # before the array is let go
        if self.ready is not None:
            self.memory.launch(self.ready)
            return self._outcome()
        self._work()
        outcome = self._outcome()
        if self.is_capturable:
            self._capture(outcome)
        return outcome

    def close(self) -> None:
        """Give everything back."""
        if self.ready is not None:
            self.memory.forget(self.ready)
        for part in self.at:
            self.memory.free(self._buffer(part))

    def _work(self) -> None:
        """Put the whole sampling on the stream."""
        for step in range(self.shape.steps):
            for slabs in joined(self.shape, self.at, step):
                self.memory.weighted(slabs)
            self._place("levels", self.at["levels"] + FLOAT * step * self.shape.level_row)
            if not self.context.execute_async_v3(self.memory.stream):
                raise DeviceLost(f"{self.name}: the graphics card did not run it. Use --device cpu.")
            for slabs in answered(self.shape, self.at, step):
                self.memory.weighted(slabs)
        self.memory.weighted(ended(self.shape, self.at))

    def _capture(self, expected: Array) -> None:
        """Keep a graph of the work where it gives what the work itself gave; else do without from now on."""
        self.is_capturable = False
        is_able = getattr(self.context, "is_stream_capturable", None)
        if is_able is not None and not is_able(self.memory.stream):
            return
        with suppress(DeviceLost):
            ready = self.memory.captured(self._work)
            self.memory.launch(ready)
            if cosine(self._outcome(), expected) >= NEAREST:
                self.ready = ready
            else:
                self.memory.forget(ready)

    def _outcome(self) -> Array:
        clean = np.empty((self.shape.rows, len(self.shape.wanted), *self.latents), np.float32)
        self.memory.bring(clean, self.at["clean"])
        self.memory.wait()
        return clean

    def _place(self, port: str, address: int) -> None:
        if not self.context.set_tensor_address(port, address):
            raise PlanRefused(f"{self.name}: does not take {port}. Build it: stemwright export plan")

    def _buffer(self, part: str) -> str:
        return f"loop {self.shape} {part}"
