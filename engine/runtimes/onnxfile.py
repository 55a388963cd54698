"""An ONNX graph as nodes and constants, read from its file and written again, without the onnx package.

Only what a rewriting needs is understood: what nodes are called and connected by, and the constants'
numbers. All else (attributes, inputs, outputs, versions) is carried along as it is. Field numbers are those
of onnx.proto.

What lies in a file beside the graph is mapped anew wherever it is looked at: of a model of gigabytes, memory
holds one weight at a time.

A file is untrusted here like anywhere: what does not parse is ModelDamaged.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.errors import ModelDamaged

Value = int | bytes
Constant = NDArray[np.generic]
Field = tuple[int, int, Value]  # number, wire type, value
Piece = bytes | memoryview  # of a message

VARINT, EIGHT, BYTES, FOUR = 0, 1, 2, 5  # wire types; groups (3, 4) are of no use in ONNX
GRAPH, OPSETS = 7, 8  # of a model
NODES, INITIALISERS, INPUTS, SHAPES = 1, 5, 11, 13  # of a graph
IN, OUT, NAME, KIND, ATTRIBUTE, DOMAIN = 1, 2, 3, 4, 5, 7  # of a node
KINDS = {1: "<f4", 2: "u1", 3: "i1", 6: "<i4", 7: "<i8", 10: "<f2"}  # of a tensor's numbers
BRAIN = 16  # the kind bfloat16, which NumPy does not have: read as single
RAW = 9  # of a tensor
MICROSOFT = "com.microsoft"  # operators that every ONNX Runtime brings


@dataclass(frozen=True)
class Node:
    """One operation. attributes: as written in the file, one entry each"""

    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[bytes, ...] = ()
    domain: str = ""
    name: str = ""


@dataclass(frozen=True)
class Beside:
    """Numbers in a file beside the graph, from `offset` on. kind: as in `KINDS`, or BRAIN"""

    path: Path
    kind: int
    shape: tuple[int, ...]
    offset: int

    def numbers(self) -> Constant:
        """Mapped, not read."""
        kind = KINDS.get(self.kind, "<u2")
        if 0 in self.shape:
            return np.zeros(self.shape, kind)
        found = np.memmap(self.path, kind, "r", self.offset, self.shape)
        return (found.astype("<u4") << 16).view("<f4") if self.kind == BRAIN else found


class Constants(Mapping[str, Constant]):
    """By name: those that are held, and those that lie beside the graph."""

    def __init__(self, places: Mapping[str, "Constant | Beside"]) -> None:
        self.places = places

    def __getitem__(self, name: str) -> Constant:
        found = self.places[name]
        return found.numbers() if isinstance(found, Beside) else found

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def __len__(self) -> int:
        return len(self.places)


def joined(constants: Mapping[str, Constant], made: Mapping[str, Constant]) -> Constants:
    """These, and others; nothing beside a graph is looked at."""
    places = constants.places if isinstance(constants, Constants) else constants
    return Constants({**places, **made})


@dataclass(frozen=True)
class Network:
    """A graph. constants: by name; others, model: all of either that is neither node nor constant"""

    nodes: tuple[Node, ...]
    constants: Mapping[str, Constant]
    others: tuple[Field, ...] = ()
    model: tuple[Field, ...] = field(default=())


def read(path: Path) -> Network:
    """A graph and its weights, which may lie in a file beside it."""
    try:
        return _network(path.read_bytes(), path.parent)
    except (ValueError, IndexError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise ModelDamaged(f"{path}: is no ONNX graph ({error}). Install the model again.") from error
    except OSError as error:
        raise ModelDamaged(
            f"{path}: it, or the file beside it with its weights, cannot be read ({error.strerror}). "
            "Install the model again."
        ) from error


def written(network: Network) -> bytes:
    """The same as one file's bytes, weights within; constants that no node takes are left out."""
    taken = {name for node in network.nodes for name in node.inputs}
    graph: list[Piece] = [message([(NODES, BYTES, _node_bytes(node))]) for node in network.nodes]
    for name in network.constants:
        if name in taken:
            graph += _entry(INITIALISERS, _tensor_pieces(name, network.constants[name]))
    graph.append(message(network.others))
    own = [(OPSETS, BYTES, message([(1, BYTES, MICROSOFT.encode()), (2, VARINT, 1)]))]
    return b"".join([message([*network.model, *own]), *_entry(GRAPH, graph)])


def used(network: Network, results: Iterable[str]) -> Network:
    """Without the nodes that lead to none of these results."""
    wanted, kept = set(results), []
    for node in reversed(network.nodes):
        if wanted.intersection(node.outputs):
            wanted.update(node.inputs)
            kept.append(node)
    return replace(network, nodes=tuple(reversed(kept)))


def outputs(network: Network) -> list[str]:
    """Names of the graph's results."""
    return [_text(dict(_named(value))[1]) for number, _, value in network.others if number == 12]


def attribute(node: Node, name: str) -> tuple[int, ...]:
    """The whole numbers of an attribute: one, or a list; () where there is none of the name."""
    for content in node.attributes:
        entries = list(_fields(content))
        if (1, BYTES, name.encode()) in entries:
            return tuple(_numbers(entries, 3) or _numbers(entries, 8))
    return ()


def real(node: Node, name: str, otherwise: float) -> float:
    """An attribute that is one fraction."""
    for content in node.attributes:
        entries = list(_fields(content))
        if (1, BYTES, name.encode()) in entries:
            return float(np.frombuffer(_content(dict(_named(content))[2]), "<f4")[0])
    return otherwise


def _network(content: bytes, folder: Path) -> Network:
    entries = list(_fields(content))
    graphs = [value for number, _, value in entries if number == GRAPH]
    if len(graphs) != 1:
        raise ValueError(f"it has {len(graphs)} graphs")
    parts = list(_fields(_content(graphs[0])))
    constants = dict(_tensor(_content(value), folder) for number, _, value in parts if number == INITIALISERS)
    return Network(
        nodes=tuple(_node(_content(value)) for number, _, value in parts if number == NODES),
        constants=Constants(constants),
        others=tuple(
            part
            for part in parts
            if part[0] not in (NODES, INITIALISERS, SHAPES) and not _is_default(part, constants)
        ),
        model=tuple(entry for entry in entries if entry[0] != GRAPH and not _is_ours(entry)),
    )


def _is_default(entry: Field, constants: Iterable[str]) -> bool:
    """Whether it is an input that need not be given, for a constant has its name."""
    return entry[0] == INPUTS and _text(dict(_named(entry[2]))[1]) in constants


def _is_ours(entry: Field) -> bool:
    """Whether it is the line that names the version of Microsoft's operators."""
    return entry[0] == OPSETS and (1, BYTES, MICROSOFT.encode()) in _fields(_content(entry[2]))


def _node(content: bytes) -> Node:
    texts: dict[int, list[bytes]] = {}
    for number, _, value in _fields(content):
        texts.setdefault(number, []).append(_content(value))
    inputs, results = (tuple(map(_text, texts.get(number, []))) for number in (IN, OUT))
    kind, domain, name = (_text(texts.get(number, [b""])[-1]) for number in (KIND, DOMAIN, NAME))
    return Node(kind, inputs, results, tuple(texts.get(ATTRIBUTE, ())), domain, name)


def _node_bytes(node: Node) -> bytes:
    parts: list[Field] = [(IN, BYTES, name.encode()) for name in node.inputs]
    parts += [(OUT, BYTES, name.encode()) for name in node.outputs]
    parts += [(NAME, BYTES, node.name.encode()), (KIND, BYTES, node.kind.encode())]
    parts += [(ATTRIBUTE, BYTES, content) for content in node.attributes]
    return message([*parts, (DOMAIN, BYTES, node.domain.encode())])


def _tensor(content: bytes, folder: Path) -> tuple[str, "Constant | Beside"]:
    """Its name and numbers: raw, in a typed list, or in a file of the same folder."""
    entries = list(_fields(content))
    single = dict(_named(content))
    name, number, shape = _text(single[8]), int(single[2]), _numbers(entries, 1)
    if single.get(14):
        pairs = [_content(value) for place, _, value in entries if place == 13]
        return name, _beside(pairs, folder, number, tuple(shape))
    kind = KINDS[number]
    raw = _content(single[RAW]) if RAW in single else _typed(entries, kind)
    return name, np.frombuffer(raw, kind).reshape(shape)


def _typed(entries: list[Field], kind: str) -> bytes:
    """float_data, int32_data or int64_data as raw bytes."""
    if kind == "<f4":
        return b"".join(_content(value) for number, _, value in entries if number == 4)
    return np.asarray(_numbers(entries, 7 if kind == "<i8" else 5)).astype(kind).tobytes()


def _beside(pairs: list[bytes], folder: Path, kind: int, shape: tuple[int, ...]) -> Beside:
    """External data: {"location", "offset", "length"}"""
    about = {_text(dict(_named(pair))[1]): _text(dict(_named(pair))[2]) for pair in pairs}
    path = folder / about["location"]
    if path.name != about["location"]:
        raise ValueError(f"its weights are said to be in {about['location']!r}, outside its folder")
    offset, length = int(about.get("offset", 0)), int(about["length"])
    if min(offset, *shape, 0) < 0 or length != math.prod(shape) * (2 if kind == BRAIN else _width(kind)):
        raise ValueError(f"{length} bytes at {offset} of {path.name} are no tensor of the shape {shape}")
    if path.stat().st_size < offset + length:
        raise ValueError(f"{path.name} is cut short")
    return Beside(path, kind, shape, offset)


def _width(kind: int) -> int:
    """Bytes of one number."""
    return np.dtype(KINDS[kind]).itemsize


def _tensor_pieces(name: str, array: Constant) -> list[Piece]:
    number = next(number for number, kind in KINDS.items() if np.dtype(kind) == array.dtype)
    parts: list[Field] = [(1, VARINT, size) for size in array.shape]
    parts += [(2, VARINT, number), (8, BYTES, name.encode())]
    raw: Piece = memoryview(np.ascontiguousarray(array).data).cast("B") if array.size else b""
    return [message(parts), *_entry(RAW, [raw])]


def _entry(number: int, pieces: list[Piece]) -> list[Piece]:
    """A message's entry whose content is in pieces: nothing is copied before all of them are put together."""
    return [_number(number << 3 | BYTES), _number(sum(map(len, pieces))), *pieces]


def _fields(content: bytes) -> Iterator[Field]:
    """A protobuf message's entries in their order."""
    place = 0
    while place < len(content):
        key, place = _varint(content, place)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, place = _varint(content, place)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, place = _varint(content, place)
        elif wire in (EIGHT, FOUR):
            size = 8 if wire == EIGHT else 4
        else:
            raise ValueError(f"wire type {wire}")
        if place + size > len(content):
            raise ValueError("it is cut short")
        yield number, wire, content[place : place + size]
        place += size


def message(entries: Iterable[Field]) -> bytes:
    """A message of these entries."""
    parts = []
    for number, wire, value in entries:
        parts.append(_number(number << 3 | wire))
        if isinstance(value, int):
            parts.append(_number(value))
        else:
            parts += [_number(len(value)), value] if wire == BYTES else [value]
    return b"".join(parts)


def _varint(content: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = content[place]
        value |= (byte & 127) << shift
        place, shift = place + 1, shift + 7
        if byte < 128:
            return value, place
        if shift > 63:
            raise ValueError("a number without an end")


def _number(value: int) -> bytes:
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def _numbers(entries: Iterable[Field], number: int) -> list[int]:
    """Whole numbers, one by one or packed."""
    found: list[int] = []
    for place, wire, value in entries:
        if place != number:
            continue
        if wire == VARINT:
            found.append(_signed(value))
            continue
        packed, at = _content(value), 0
        while at < len(packed):
            one, at = _varint(packed, at)
            found.append(_signed(one))
    return found


def _signed(value: Value) -> int:
    """Of 64 bits."""
    return int(value) - (1 << 64) if int(value) >= 1 << 63 else int(value)


def _named(content: Value) -> Iterator[tuple[int, Value]]:
    return ((number, value) for number, _, value in _fields(_content(content)))


def _content(value: Value) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError("a number where a message belongs")
    return value


def _text(value: Value) -> str:
    return _content(value).decode()
