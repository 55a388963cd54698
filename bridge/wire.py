"""The guarded OSC codec: whatever arrives, it is either messages or a BadPacket, and soon.

python-osc writes what goes out and reads the rare types. The walk over what comes in is ours, because
python-osc 1.10 never returns from a bundle element of negative size, sleeps until a bundle's time, reads
text byte by byte (32 KiB take 4 ms) and goes on at the wrong byte after the types c, S and I.
"""

from __future__ import annotations

import functools
import math
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pythonosc.parsing import osc_types

from stemwright.bridge.grammar import BAD_ARGS, TOO_FAR, TOO_LARGE, BadMessage, Message, shape
from stemwright.bridge.messages import BY_ADDRESS, LONGEST_REPLY

LONGEST_PACKET = (8 << 20) + (64 << 10)  # bytes: 8 MiB of audio, and the message around it
LONGEST_ADDRESS = 255
MOST_ARGUMENTS = 256
MOST_ELEMENTS = 256  # messages and bundles within one packet
DEEPEST = 4  # bundles within bundles, and arrays within arrays
FARTHEST = 10.0  # seconds that a bundle's time may lie ahead

BUNDLE = b"#bundle\0"
AT_ONCE = 1  # the timetag that means now
EPOCH = 2208988800  # seconds from 1900, where timetags begin, to 1970
LARGEST_FLOAT = 3.4028234663852886e38  # of 32 bits


class BadPacket(BadMessage):
    """Bytes that are no OSC, or more than is taken; `address` is the message's, where it could be read."""

    def __init__(self, code: str, text: str, address: str = "") -> None:
        super().__init__(code, text)
        self.address = address


@dataclass(frozen=True, slots=True)
class Incoming:
    """One message as it came. due: monotonic seconds, None: now"""

    address: str
    arguments: list[Any]
    due: float | None


def decode(packet: bytes) -> list[Incoming]:
    """The messages of a packet, in order; all of it is checked before any is handed out."""
    if len(packet) > LONGEST_PACKET:
        raise BadPacket(TOO_LARGE, f"a packet of {len(packet)} bytes; at most {LONGEST_PACKET} are taken")
    if packet[:1] == b"/":
        return [_message(packet, 0, len(packet), None)]
    if packet[:8] == BUNDLE:
        found: list[Incoming] = []
        _bundle(packet, 0, len(packet), _Walk(found))
        return found
    raise BadPacket(BAD_ARGS, "no OSC: a packet begins with / or #bundle")


# Bundles


@dataclass
class _Walk:
    found: list[Incoming]
    elements: int = 0


def _bundle(
    packet: bytes, start: int, end: int, walk: _Walk, outer: float | None = None, depth: int = 1
) -> None:
    if depth > DEEPEST:
        raise BadPacket(BAD_ARGS, f"bundles {depth} deep; at most {DEEPEST} are taken")
    if end - start < 16:
        raise BadPacket(BAD_ARGS, "a bundle without its time")
    tag = int.from_bytes(packet[start + 8 : start + 16], "big")
    due = outer if tag <= AT_ONCE else _due(tag)
    at = start + 16
    while at < end:
        size = int.from_bytes(packet[at : at + 4], "big", signed=True)
        at += 4
        if size <= 0 or size % 4 or at + size > end:
            raise BadPacket(BAD_ARGS, f"a bundle's element of {size} bytes where {max(end - at, 0)} are left")
        walk.elements += 1
        if walk.elements > MOST_ELEMENTS:
            raise BadPacket(TOO_LARGE, f"a bundle of more than {MOST_ELEMENTS} messages; send several")
        if packet[at : at + 8] == BUNDLE:
            _bundle(packet, at, at + size, walk, due, depth + 1)
        else:
            walk.found.append(_message(packet, at, at + size, due))
        at += size


class _Clock:
    """Seconds since 1970 → monotonic ones. The difference is kept, so that equal times stay equal."""

    def __init__(self) -> None:
        self._ahead = 0.0

    def monotonic(self, moment: float) -> float:
        ahead = time.monotonic() - time.time()
        if abs(ahead - self._ahead) > 0.001:  # the clock was set, or has drifted so far
            self._ahead = ahead
        return moment + self._ahead


CLOCK = _Clock()


def _due(tag: int) -> float | None:
    """A timetag (seconds since 1900 and 2⁻³² of them) → monotonic seconds, or None for what is past.

    Timetags begin anew in 2036; the time is taken to lie in the same round as the present.
    """
    now = time.time() + EPOCH
    moment = now // 2**32 * 2**32 + tag / 2**32
    if moment - now > FARTHEST:
        ahead = f"{moment - now:.1f} s ahead"
        raise BadPacket(TOO_FAR, f"the bundle's time lies {ahead}; at most {FARTHEST:.0f} s are taken")
    return CLOCK.monotonic(moment - EPOCH) if moment > now else None


# Messages


def _message(packet: bytes, start: int, end: int, due: float | None) -> Incoming:
    if (end - start) % 4:
        raise BadPacket(BAD_ARGS, f"{end - start} bytes; an OSC message is a multiple of 4 long")
    address, at = _text(packet, start, end)
    if address[:1] != "/" or len(address) > LONGEST_ADDRESS or not address.isprintable():
        raise BadPacket(
            BAD_ARGS, f"an address begins with / and has at most {LONGEST_ADDRESS} printable letters"
        )
    try:
        return Incoming(address, _arguments(packet, at, end) if at < end else [], due)
    except BadPacket as bad:
        bad.address = address
        raise


def _text(packet: bytes, at: int, end: int) -> tuple[str, int]:
    """The text that begins at `at`, and where the next field begins."""
    stop = packet.find(0, at, end)
    if stop < 0:
        raise BadPacket(BAD_ARGS, "a text without its end")
    try:
        return packet[at:stop].decode(), at + ((stop - at) | 3) + 1
    except UnicodeDecodeError:
        raise BadPacket(BAD_ARGS, "a text that is not UTF-8") from None


def _blob(packet: bytes, at: int, end: int) -> tuple[bytes, int]:
    size = int.from_bytes(packet[at : at + 4], "big", signed=True)
    at += 4
    if size < 0 or at + size > end:
        raise BadPacket(BAD_ARGS, f"a blob of {size} bytes where {max(end - at, 0)} are left")
    return packet[at : at + size], at + size + -size % 4


def _letter(packet: bytes, at: int, end: int) -> tuple[str, int]:
    number = int.from_bytes(packet[at : at + 4], "big")
    if not 0 < number < 0xD800:
        raise BadPacket(BAD_ARGS, f"the letter {number}")
    return chr(number), at + 4


NUMBERS: dict[str, tuple[Callable[[bytes, int], tuple[Any, ...]], int]] = {
    letter: (struct.Struct(form).unpack_from, struct.calcsize(form))
    for letter, form in {"i": ">i", "f": ">f", "h": ">q", "d": ">d", "t": ">Q"}.items()
}
CONSTANTS: dict[str, bool | None] = {"T": True, "F": False, "N": None}
SIZED: dict[str, Callable[[bytes, int, int], tuple[Any, int]]] = {
    "s": _text,
    "S": _text,
    "b": _blob,
    "c": _letter,
    "r": lambda packet, at, _: (osc_types.get_rgba(packet[at : at + 4], 0)[0], at + 4),
    "m": lambda packet, at, _: (osc_types.get_midi(packet[at : at + 4], 0)[0], at + 4),
}


def _arguments(packet: bytes, at: int, end: int) -> list[Any]:
    """The arguments of the message that ends at `end`, from its type tags on.

    A number may be read beyond `end` and even end the packet; then the sum of lengths is wrong, which the
    last lines see.
    """
    tags, at = _text(packet, at, end)
    if tags[:1] != ",":
        raise BadPacket(BAD_ARGS, "no type tags: they begin with a comma")
    if len(tags) > MOST_ARGUMENTS + 1:
        raise BadPacket(TOO_LARGE, f"{len(tags) - 1} arguments; at most {MOST_ARGUMENTS} are taken")
    values: list[Any] = []
    arrays: list[list[Any]] = []  # those that the present one lies in
    try:
        for tag in tags[1:]:
            if tag in NUMBERS:
                unpack, size = NUMBERS[tag]
                values.append(unpack(packet, at)[0])
                at += size
            elif tag in SIZED:
                value, at = SIZED[tag](packet, at, end)
                values.append(value)
            elif tag in CONSTANTS:
                values.append(CONSTANTS[tag])
            else:
                values = _bracket(tag, values, arrays)
    except (struct.error, osc_types.ParseError):
        raise BadPacket(BAD_ARGS, "the packet ends within an argument") from None
    if at != end or arrays:
        raise BadPacket(BAD_ARGS, f"the type tags {tags[:40]!r} do not fit the {end} bytes")
    return values


def _bracket(tag: str, values: list[Any], arrays: list[list[Any]]) -> list[Any]:
    """Into a new array or out of one; returns the list that further values go into."""
    if tag == "[" and len(arrays) < DEEPEST:
        arrays.append(values)
        values.append([])
        return values[-1]  # type: ignore[no-any-return]
    if tag == "]" and arrays:
        return arrays.pop()
    raise BadPacket(BAD_ARGS, f"the type tag {tag!r}, or brackets that do not match; i, f, s and b are used")


# What goes out


def encode(message: Message) -> bytes:
    """One OSC message of i, f, s (and b).

    Always possible: an answer over LONGEST_REPLY has its longest text cut, which then ends in "…"; numbers
    beyond 32 bits become the nearest that fit.
    """
    head, writers, is_short = _plan(type(message))  # type: ignore[arg-type]  # a class is hashable
    if head is None:
        return _encoded_freely(message)
    packet = head + b"".join([write(getattr(message, name)) for name, write in writers])
    if is_short and len(packet) > LONGEST_REPLY:
        return encode(_shortened(message, len(packet) - LONGEST_REPLY))
    return packet


def _whole(value: int) -> bytes:
    return osc_types.write_int(min(max(int(value), -(2**31)), 2**31 - 1))


def _fraction(value: float) -> bytes:
    try:
        return osc_types.write_float(value)
    except OverflowError:
        return osc_types.write_float(math.copysign(LARGEST_FLOAT, value))


def _string(value: str) -> bytes:
    if "\0" in value:  # it would end the text
        value = value.replace("\0", "\ufffd")
    try:
        return osc_types.write_string(value)
    except osc_types.BuildError:  # half a surrogate pair: a file's name that is not UTF-8
        return osc_types.write_string(value.encode("utf-8", "replace").decode())


def _bytes(value: bytes) -> bytes:
    return osc_types.write_blob(value) if value else bytes(4)  # python-osc refuses the empty blob


WRITERS: dict[str, Callable[[Any], bytes]] = {"i": _whole, "f": _fraction, "s": _string, "b": _bytes}
Writer = Callable[[Any], bytes]


@functools.cache
def _plan(kind: type[Message]) -> tuple[bytes | None, tuple[tuple[str, Writer], ...], bool]:
    """Address and type tags as bytes, the writer of each field, and whether it is to be short.

    No bytes where a tail varies the tags. Answers of text and numbers are short; requests go as they are.
    """
    letters = [(name, letter) for name, letter, _ in shape(kind)]
    if any(letter == "*" for _, letter in letters):
        return None, (), False
    tags = "," + "".join(letter for _, letter in letters)
    head = osc_types.write_string(kind.address) + osc_types.write_string(tags)
    is_short = kind.address not in BY_ADDRESS and "b" not in tags
    return head, tuple((name, WRITERS[letter]) for name, letter in letters), is_short


def _encoded_freely(message: Message) -> bytes:
    """Type tags as the values are."""
    letters = {str: "s", bytes: "b", float: "f"}
    values = [(letters.get(type(value), "i"), value) for value in message.arguments()]
    head = osc_types.write_string(message.address) + osc_types.write_string(
        "," + "".join(letter for letter, _ in values)
    )
    return head + b"".join([WRITERS[letter](value) for letter, value in values])


def _shortened(message: Message, excess: int) -> Message:
    """Its longest text with at least so many bytes less."""
    texts = {
        name: str(getattr(message, name)).encode("utf-8", "replace")
        for name, letter, _ in shape(type(message))
        if letter == "s"
    }
    name = max(texts, key=lambda each: len(texts[each]))
    spared = excess + len("…".encode()) + 3  # up to 3 bytes of padding stay
    kept = texts[name][: max(len(texts[name]) - spared, 0)].decode("utf-8", "ignore")
    return replace(message, **{name: kept + "…"})
