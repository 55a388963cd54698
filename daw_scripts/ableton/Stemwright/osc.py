"""OSC 1.0 messages with the types i, f and s: all that the server's answers hold.

`d` is written too: a place in a file needs more digits than a float32 has.
"""

from __future__ import annotations

import struct

LONGEST = 9000  # bytes of a message; macOS sends no more than 9216 over UDP
MOST_ARGUMENTS = 256


class BadPacket(ValueError):
    """Not an OSC message of ours."""


class Double(float):
    """A number that goes as `d`."""


def encode(address, arguments=()):
    """address, numbers and texts → bytes; BadPacket where they do not fit into one packet."""
    tags, body = [","], []
    for argument in arguments:
        tag, data = _encoded(argument)
        tags.append(tag)
        body.append(data)
    packet = _text(address) + _text("".join(tags)) + b"".join(body)
    if len(packet) > LONGEST:
        raise BadPacket(f"a message of {len(packet)} bytes; at most {LONGEST} can be sent")
    return packet


def _encoded(argument):
    if isinstance(argument, str):
        return "s", _text(argument)
    if isinstance(argument, Double):
        return "d", struct.pack(">d", argument)
    if isinstance(argument, float):
        return "f", struct.pack(">f", argument)
    return "i", struct.pack(">i", int(argument))


def _text(text):
    data = text.encode("utf-8", "replace")
    if b"\0" in data:
        raise BadPacket("text must not hold NUL")
    return data + b"\0" * (4 - len(data) % 4)


def decode(packet):
    """bytes → address, list of arguments; BadPacket on bundles, other types and anything malformed."""
    if not packet.startswith(b"/"):
        raise BadPacket("no OSC message")
    address, at = _read_text(packet, 0)
    tags, at = _read_text(packet, at)
    if not tags.startswith(",") or len(tags) > MOST_ARGUMENTS + 1:
        raise BadPacket("no types, or too many")
    arguments = []
    for tag in tags[1:]:
        value, at = _read(packet, at, tag)
        arguments.append(value)
    if at != len(packet):
        raise BadPacket(f"{len(packet) - at} bytes after the last argument")
    return address, arguments


def _read(packet, at, tag):
    if tag == "s":
        return _read_text(packet, at)
    if tag not in "if":
        raise BadPacket(f"type {tag!r}; only i, f and s are known")
    if at + 4 > len(packet):
        raise BadPacket("an argument is cut off")
    return struct.unpack_from(">" + tag, packet, at)[0], at + 4


def _read_text(packet, at):
    end = packet.find(b"\0", at)
    if end < 0:
        raise BadPacket("text without an end")
    following = end + 4 - end % 4
    if following > len(packet) or packet[end:following].strip(b"\0"):
        raise BadPacket("text is not padded with zeros")
    try:
        return packet[at:end].decode("utf-8"), following
    except UnicodeDecodeError as error:
        raise BadPacket("text is not UTF-8") from error
