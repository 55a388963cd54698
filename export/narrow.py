"""A graph whose matrix products are done in half precision; everything between them stays single.

Norms and their statistics, softmax, the levels' sines, modulation and sums stay float32: they are where half
precision goes wrong, and they cost little. Products go out as single again, so nothing overflows on the way
to a norm. Strongly typed builders (TensorRT 11, TensorRT-RTX) take precision from the graph alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from stemwright.engine.errors import BadInput

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

PRECISIONS = ("fp32", "fp16", "bf16")
PRODUCTS = ("MatMul", "Gemm", "Conv", "ConvTranspose")
SINGLES = {  # kind of network → weights whose products stay single where a card can: levels, the way out
    "bandconv": ("noise.", "leave.", "skips."),
    "dit": ("to_timestep_embed.", "transformer.project_out.", "postprocess_conv."),
}
DIGITS = {"fp16": 11, "bf16": 8}  # binary ones, the leading one too
LARGEST = {"fp16": 65504.0, "bf16": 3.38e38}

Narrow = Callable[[str, str], Iterable["NodeProto"]]  # (source, target) → nodes


def narrowed(graph: ModelProto, precision: str, singles: Iterable[str] = ()) -> ModelProto:
    """A copy with every product in that precision, but for those with a weight whose name begins so."""
    from onnx import TensorProto, helper

    if precision == "fp32":
        return changed(graph, singles, None)
    kind = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[checked(precision)]

    def before(source: str, target: str) -> Iterable[NodeProto]:
        return [helper.make_node("Cast", [source], [target], to=kind)]

    def after(source: str, target: str) -> Iterable[NodeProto]:
        return [helper.make_node("Cast", [source], [target], to=TensorProto.FLOAT)]

    return changed(graph, singles, (before, after))


def rounded(graph: ModelProto, precision: str, singles: Iterable[str] = ()) -> ModelProto:
    """The same rounding, done in single precision: what the narrowed graph gives, on any runtime.

    ONNX Runtime leaves casts out where its kernels are single, so a narrowed graph shows nothing there.
    Sums within a product are single, as a card's are or better.
    """
    if precision == "fp32":
        return changed(graph, singles, None)
    digits, largest = DIGITS[checked(precision)], LARGEST[precision]

    def split(source: str, target: str) -> Iterable[NodeProto]:
        return veltkamp(source, target, 2.0 ** (24 - digits) + 1, largest)

    return changed(graph, singles, (split, split))


def checked(precision: str) -> str:
    if precision not in PRECISIONS:
        raise BadInput(f'there is no precision "{precision}"; known are {", ".join(PRECISIONS)}.')
    return precision


def veltkamp(source: str, target: str, factor: float, largest: float) -> Iterator[NodeProto]:
    """x rounded to fewer digits by x·f − (x·f − x), and infinite beyond the largest (Veltkamp 1968)."""
    from onnx import helper

    def constant(name: str, value: float) -> NodeProto:
        return helper.make_node("Constant", [], [f"{target}.{name}"], value_float=value)

    yield from (constant("factor", factor), constant("largest", largest), constant("beyond", float("inf")))
    for kind, inputs, name in (
        ("Mul", (source, f"{target}.factor"), "up"),
        ("Sub", (f"{target}.up", source), "rest"),
        ("Sub", (f"{target}.up", f"{target}.rest"), "near"),
        ("Abs", (source,), "size"),
        ("Greater", (f"{target}.size", f"{target}.largest"), "is_beyond"),
    ):
        yield helper.make_node(kind, list(inputs), [f"{target}.{name}"])
    choice = [f"{target}.is_beyond", f"{target}.beyond", f"{target}.near"]
    yield helper.make_node("Where", choice, [target])


def changed(graph: ModelProto, singles: Iterable[str], narrow: tuple[Narrow, Narrow] | None) -> ModelProto:
    """A copy with these nodes before and after every product that is not to stay single."""
    import onnx

    made = onnx.ModelProto()
    made.CopyFrom(graph)
    if narrow is None:
        return made
    weights, skipped = weight_names(made.graph), tuple(singles)
    del made.graph.node[:]
    for node in graph.graph.node:
        own = [weights[name] for name in node.input if name in weights]
        if node.op_type not in PRODUCTS or any(name.startswith(skipped) for name in own):
            made.graph.node.append(node)
        else:
            made.graph.node.extend(surrounded(node, *narrow))
    return made


def weight_names(graph: GraphProto) -> dict[str, str]:
    """Tensor → the stored weight it is made of, by casts and turns alone."""
    found = {tensor.name: tensor.name.removesuffix(".stored") for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type in ("Cast", "Transpose", "Identity", "Reshape") and node.input[0] in found:
            found[node.output[0]] = found[node.input[0]]
    return found


def surrounded(node: NodeProto, before: Narrow, after: Narrow) -> Iterator[NodeProto]:
    import onnx

    inner = onnx.NodeProto()
    inner.CopyFrom(node)
    (output,) = node.output
    for place, name in enumerate(node.input):
        if name:
            inner.input[place] = f"{output}.narrow{place}"
            yield from before(name, inner.input[place])
    inner.output[0] = f"{output}.narrow"
    yield inner
    yield from after(inner.output[0], output)
