"""What a message is on the wire: a frozen dataclass, its fields in their order; what does not fit is refused.

On the wire a field is `i` (int), `f` (float), `s` (str) or `b` (bytes). Whole numbers may come as `f` and
fractions as `i`; flags are 0 or 1. The last field may be a tail of key and value pairs, which can grow
without breaking anybody. The messages themselves: messages.py
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, ClassVar, TypeVar

Value = int | float | str
Argument = int | float | str | bytes
Pairs = tuple[tuple[str, Value], ...]

BAD_ARGS = "bad_args"
UNKNOWN_ADDRESS = "unknown_address"
UNKNOWN_MODEL = "unknown_model"
UNKNOWN_PRESET = "unknown_preset"
NOT_FOUND = "not_found"
FORBIDDEN_PATH = "forbidden_path"
FORBIDDEN = "forbidden"
TOO_LARGE = "too_large"
BUSY = "busy"
QUEUE_FULL = "queue_full"
DISK_FULL = "disk_full"
TOO_FAR = "too_far"
ID_IN_USE = "id_in_use"
NO_AUDIO = "no_audio"
BAD_INPUT = "bad_input"
BAD_JOB = "bad_job"
MODEL = "model"
WORKER_LOST = "worker_lost"
INTERNAL = "internal"

CODES = {
    BAD_ARGS: "arguments missing, too many, of a wrong type or out of range",
    UNKNOWN_ADDRESS: "no such request",
    UNKNOWN_MODEL: "no model of that name",
    UNKNOWN_PRESET: "no preset of that name",
    NOT_FOUND: "no such job, upload, capture or file",
    FORBIDDEN_PATH: "the path is outside the allowed folders, or not a plain audio file",
    FORBIDDEN: "the sender may not do this: no token, or not on the allow-list",
    TOO_LARGE: "over a size limit",
    BUSY: "too many requests at once; ask again in a moment",
    QUEUE_FULL: "the queue has no room; ask again when a job has ended",
    DISK_FULL: "no room on the disk, or the spool's limit is reached",
    TOO_FAR: "the bundle's time lies too far ahead",
    ID_IN_USE: "a job or upload of that id exists and is another one",
    NO_AUDIO: "no live input or output runs, or it has not heard that much yet",
    BAD_INPUT: "the audio cannot be read or used",
    BAD_JOB: "the engine cannot do what is asked",
    MODEL: "the model cannot be opened",
    WORKER_LOST: "the engine's process ended twice while it worked on the job",
    INTERNAL: "an error of ours; the server's log has more",
}


class BadMessage(Exception):
    """A message that cannot be accepted; `code` is one of CODES, the text says what would be."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


Self = TypeVar("Self", bound="Message")


@dataclass(frozen=True)
class Message:
    """What all messages share."""

    address: ClassVar[str]

    @classmethod
    def parse(cls: type[Self], arguments: list[Any]) -> Self:
        """Arguments as decoded → the message; BadMessage names the field, what came and what may come."""
        shapes = shape(cls)
        has_tail = bool(shapes) and shapes[-1][1] == "*"
        plain = shapes[:-1] if has_tail else shapes
        needed = sum(1 for _, _, is_needed in plain if is_needed)
        if len(arguments) < needed or (len(arguments) > len(plain) and not has_tail):
            raise BadMessage(BAD_ARGS, f"{cls.address} takes {signature(cls)}; {len(arguments)} came")
        values: list[Any] = [
            _fitted(cls, name, kind, value) for (name, kind, _), value in zip(plain, arguments, strict=False)
        ]
        if has_tail:
            values.append(_pairs(cls, arguments[len(plain) :]))
        return cls(*values)

    def arguments(self) -> list[Argument]:
        """As they go on the wire."""
        flat: list[Any] = []
        for field in fields(self):
            value = getattr(self, field.name)
            flat.extend([part for pair in value for part in pair] if isinstance(value, tuple) else [value])
        return flat


def shape(kind: type[Message]) -> list[tuple[str, str, bool]]:
    """(name, "i" | "f" | "s" | "b" | "*" for a tail, whether it must be there) of each field"""
    letters = {"int": "i", "float": "f", "str": "s", "bytes": "b", "Pairs": "*"}
    return [
        (field.name, letters[str(field.type)], field.default is field.default_factory)  # both MISSING
        for field in fields(kind)
    ]


def signature(kind: type[Message]) -> str:
    """For people: "s:job [i:port] [s:key value]*"; "nothing" without fields"""
    words = []
    for name, letter, is_needed in shape(kind):
        word = "s:key value" if letter == "*" else f"{letter}:{name}"
        words.append(f"[{word}]*" if letter == "*" else word if is_needed else f"[{word}]")
    return " ".join(words) or "nothing"


def fitted(letter: str, value: Any) -> Argument:
    """A decoded value as i, f, s or b; ValueError says what came."""
    if letter in "if":
        if isinstance(value, bool):
            value = int(value)
        if not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"a number is needed, {value!r:.40} came")
        if letter == "f":
            return float(value)
        if value != int(value) or not -(2**31) <= value < 2**31:
            raise ValueError(f"a whole number of 32 bits is needed, {value!r:.40} came")
        return int(value)
    wanted = str if letter == "s" else bytes
    if not isinstance(value, wanted):
        raise ValueError(f"{'text' if letter == 's' else 'a blob'} is needed, {value!r:.40} came")
    if isinstance(value, str) and "\0" in value:
        raise ValueError("text must not hold NUL")
    return value


def _fitted(cls: type[Message], name: str, letter: str, value: Any) -> Argument:
    try:
        return fitted(letter, value)
    except ValueError as error:
        raise BadMessage(BAD_ARGS, f"{cls.address} {name}: {error}") from error


def _pairs(cls: type[Message], values: list[Any]) -> Pairs:
    if len(values) % 2:
        raise BadMessage(BAD_ARGS, f"{cls.address}: a key without a value; keys and values come in pairs")
    pairs = []
    for key, value in zip(values[::2], values[1::2], strict=True):
        if not isinstance(key, str):
            raise BadMessage(BAD_ARGS, f"{cls.address}: {key!r:.40} stands where a key is needed")
        letter = "s" if isinstance(value, str) else "f" if isinstance(value, float) else "i"
        pairs.append((key, _fitted(cls, key, letter, value)))
    return tuple(pairs)  # type: ignore[arg-type]
