"""A denoiser's products in 8 bits, for one row at a time: the graph of the fast profile, made in memory.

Every wide product with constant weights becomes one DynamicQuantizeMatMul. Weights have 7 bits and a sign, a
scale a column; what comes in is put on 8 bits by its own range at every run. Seven, because processors
without VNNI add two 8-bit products in 16 bits, which overflow: so the same numbers come out everywhere.
Into the product goes what follows it: the bias, and the gate of a block, as factors of its columns. A norm
takes the scale and shift that followed it. Both are vectors only where the batch is one row.

Single stay: the narrow products, by which latents come in and go out; of the layers of the condition all but
those that scale and shift; products that are not of a weight; and at low levels the first block, for there
noise is a small part of what comes in, and in 8 bits it is lost (at τ = 0.02 cosine of v 0.992, so 0.9996).

That is for graphs that were traced, whose products of the latents are MatMuls. In one that was drawn
(`export.drawing`) they are Gemms between two Reshapes, and become products by blocks (`blockwise`); their
weights lie in a file of gigabytes, and one is in memory at a time.
"""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.blockwise import BLOCK, EARLY, in_blocks
from stemwright.engine.runtimes.onnxfile import (
    MICROSOFT,
    Constant,
    Network,
    Node,
    attribute,
    joined,
    outputs,
    read,
    real,
    used,
    written,
)

RECIPE = 1  # raised whenever graphs are quantised, or drawn for the processor, in another way
FIRST_BLOCK = 2  # wide products of the latents
LARGEST = 63  # of a weight: 7 bits with its sign
PRODUCTS = ("MatMul", "Gemm")
NARROWEST = 96  # rows and columns a product must have
FLAT = "quantise.flat"


class InEightBits(NamedTuple):
    """A graph's bytes, how many of its products are in 8 bits, and whether it does for low levels as well."""

    content: bytes
    products: int
    is_for_low: bool


def quantised(path: Path, singles: int = 0) -> InEightBits:
    """The graph of a file in 8 bits, for a batch of one row.

    singles  how many wide products of the latents stay single, from the first: FIRST_BLOCK for low levels
    """
    network = read(path)
    made, count = rewritten(network, singles)
    is_drawn = any(map(View(network).is_drawn, network.nodes))
    return InEightBits(written(used(made, outputs(network))), count, is_drawn)


def rewritten(network: Network, singles: int = 0) -> tuple[Network, int]:
    """Products in 8 bits, norms with what follows them, and how many products there are."""
    view = View(network)
    made: dict[str, Constant] = {FLAT: np.array([-1], np.int64)}
    places: dict[str, tuple[Node, ...]] = {node.outputs[0]: (node,) for node in network.nodes}
    narrow = set()
    for node, weight in in_8_bits(view, network.nodes, singles):
        name = node.outputs[0]
        narrow.add(name)
        if view.is_drawn(node):
            block, constants = in_blocks(node, weight)
            places[name] = (block,)
        else:
            last, places[last] = product(view, node)
            constants = stored(name, weight)
        made.update(constants)
    for node in network.nodes:
        if node.kind == "LayerNormalization" and (found := modulated(view, node)):
            last, places[last] = found
    kept = [node for nodes in (places[node.outputs[0]] for node in network.nodes) for node in nodes]
    return replace(network, nodes=tuple(kept), constants=joined(network.constants, made)), len(narrow)


def in_8_bits(view: "View", nodes: Sequence[Node], singles: int) -> Iterator[tuple[Node, Array]]:
    """The products that are to be, each with its weight."""
    drawn = list(filter(view.is_drawn, nodes))
    return of_drawing(view, drawn[1:-1]) if drawn else of_tracing(view, nodes, singles)


def of_drawing(view: "View", inner: Sequence[Node]) -> Iterator[tuple[Node, Array]]:
    """inner: the products of the latents but the way in and the way out"""
    for node in inner[len(inner) // EARLY :]:
        weight = view.weight(node)
        if weight is not None and weight.shape[0] % BLOCK == 0:
            yield node, weight


def of_tracing(view: "View", nodes: Sequence[Node], singles: int) -> Iterator[tuple[Node, Array]]:
    """Wide products, after those that stay single."""
    for node in nodes:
        is_of_latents = node.kind == "MatMul"
        if not is_of_latents and (singles or not view.only_taker(node.outputs[0], "Unsqueeze")):
            continue
        weight = view.weight(node)
        if weight is not None and singles:
            singles -= 1
        elif weight is not None:
            yield node, weight


class View:
    """Who makes a value, who takes it, and what is constant."""

    def __init__(self, network: Network) -> None:
        self.constants: Mapping[str, Constant] = network.constants
        self.makers = {name: node for node in network.nodes for name in node.outputs}
        self.takers: dict[str, list[Node]] = defaultdict(list)
        for node in network.nodes:
            for name in node.inputs:
                self.takers[name].append(node)

    def only_taker(self, name: str, kind: str) -> Node | None:
        """The one node that takes a value, if it is of that kind."""
        takers = self.takers[name]
        return takers[0] if len(takers) == 1 and takers[0].kind == kind else None

    def constant(self, name: str) -> Array | None:
        """A constant, or one that is cast or turned, in single precision."""
        if name in self.constants:
            found = self.constants[name]
            return np.array(found, np.float32) if found.dtype.kind == "f" else None
        node = self.makers.get(name)
        if node is None or node.kind not in ("Cast", "Transpose", "Identity", "Reshape"):
            return None
        inner = self.constant(node.inputs[0])
        if inner is None or node.kind in ("Cast", "Identity"):
            return inner
        if node.kind == "Transpose":
            return np.transpose(inner, attribute(node, "perm") or None)
        shape = self._shape(node.inputs[1])
        return inner.reshape(shape) if shape and math.prod(shape) == inner.size else None

    def _shape(self, name: str) -> tuple[int, ...]:
        """That of a Reshape, where it is known: a constant, to which a drawing may have added nothing."""
        if name in self.constants:
            return tuple(map(int, self.constants[name]))
        node = self.makers.get(name)
        is_sum = node is not None and node.kind == "Add" and self._is_nothing(node.inputs[0])
        return self._shape(node.inputs[1]) if node and is_sum else ()

    def _is_nothing(self, name: str) -> bool:
        """Whether it is something times 0."""
        node = self.makers.get(name)
        inputs = node.inputs if node and node.kind == "Mul" else ()
        return any(one in self.constants and not self.constants[one].any() for one in inputs)

    def is_drawn(self, node: Node) -> bool:
        """Whether it is a drawing's product of the latents."""
        maker = self.makers.get(node.inputs[0]) if node.kind == "Gemm" else None
        return (
            maker is not None
            and maker.kind == "Reshape"
            and bool(self.only_taker(node.outputs[0], "Reshape"))
        )

    def weight(self, node: Node) -> Array | None:
        """Of a product that is wide enough and nothing but that, as x @ (rows, columns)"""
        found = self.constant(node.inputs[1]) if node.kind in PRODUCTS else None
        if found is None or found.ndim != 2 or min(found.shape) < NARROWEST:
            return None
        if node.kind == "MatMul":
            return found
        is_plain = real(node, "alpha", 1) == real(node, "beta", 1) == 1 and not any(attribute(node, "transA"))
        return (found.T if any(attribute(node, "transB")) else found) if is_plain else None

    def other(self, node: Node, name: str) -> str:
        """What a node of two inputs takes beside this one."""
        first, second = node.inputs
        return second if first == name else first

    def is_vector(self, name: str) -> bool:
        """Whether it is a row's own vector of channels: a layer of the condition, perhaps split, plus 1."""
        node = self.makers.get(name)
        if node is None:
            return False
        if node.kind == "Add":
            return any(self._is_one(one) and self.is_vector(self.other(node, one)) for one in node.inputs)
        if node.kind == "Split":
            return self.is_vector(node.inputs[0])
        return node.kind == "Unsqueeze" and self._is_layer(node.inputs[0])

    def _is_one(self, name: str) -> bool:
        found = self.constant(name)
        return found is not None and found.size == 1 and float(found.reshape(())) == 1

    def _is_layer(self, name: str) -> bool:
        node = self.makers.get(name)
        return node is not None and node.kind == "Gemm"


def stored(name: str, weight: Array) -> dict[str, Constant]:
    """A weight in 7 bits and a sign: whole numbers, and a scale and a zero for each column."""
    scales = np.maximum(np.abs(weight).max(axis=0), np.finfo(np.float32).tiny) / np.float32(LARGEST)
    scaled = weight / scales
    return {
        f"{name}.whole": np.rint(scaled, out=scaled).astype(np.int8, order="C"),
        f"{name}.scales": scales.astype(np.float32),
        f"{name}.zeros": np.zeros(weight.shape[1], np.int8),
    }


def product(view: View, node: Node) -> tuple[str, tuple[Node, ...]]:
    """In 8 bits, with bias and gate; → the value it makes, and its nodes."""
    name = node.outputs[0]
    scales, bias, last = f"{name}.scales", *biased(view, node)
    nodes: list[Node] = []
    gated = view.only_taker(last, "Mul")
    if bias and gated and view.is_vector(view.other(gated, last)):
        gate = f"{name}.gate"
        nodes = [
            Node("Reshape", (view.other(gated, last), FLAT), (gate,)),
            Node("Mul", (scales, gate), (f"{scales}.gated",)),
            Node("Mul", (bias, gate), (f"{name}.bias.gated",)),
        ]
        scales, bias, last = f"{scales}.gated", f"{name}.bias.gated", gated.outputs[0]
    given = (node.inputs[0], f"{name}.whole", scales, f"{name}.zeros", bias)
    return last, (*nodes, Node("DynamicQuantizeMatMul", given, (last,), domain=MICROSOFT, name=node.name))


def biased(view: View, node: Node) -> tuple[str, str]:
    """The bias of a product, "" where it has none, and the value it makes with it."""
    name = node.outputs[0]
    if node.kind == "Gemm":
        return node.inputs[2] if len(node.inputs) > 2 else "", name
    following = view.only_taker(name, "Add")
    if following and _is_bias(view.constant(view.other(following, name))):
        return view.other(following, name), following.outputs[0]
    return "", name


def _is_bias(found: Array | None) -> bool:
    return found is not None and found.ndim == 1


def modulated(view: View, node: Node) -> tuple[str, tuple[Node, ...]] | None:
    """A norm that takes the scale and shift after it; None where there are none, or it has its own."""
    name = node.outputs[0]
    own = view.constant(node.inputs[1])
    scaled = view.only_taker(name, "Mul")
    if len(node.inputs) > 2 or own is None or not (own == 1).all() or scaled is None:
        return None
    shifted = view.only_taker(scaled.outputs[0], "Add")
    if shifted is None:
        return None
    vectors = [view.other(scaled, name), view.other(shifted, scaled.outputs[0])]
    if not all(map(view.is_vector, vectors)):
        return None
    flat = [f"{name}.scale", f"{name}.shift"]
    nodes = [Node("Reshape", (vector, FLAT), (to,)) for vector, to in zip(vectors, flat, strict=True)]
    last = shifted.outputs[0]
    norm = Node(node.kind, (node.inputs[0], *flat), (last,), node.attributes, node.domain, node.name)
    return last, (*nodes, norm)
