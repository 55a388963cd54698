"""What a client printed → the messages it saw → a transcript that is the same on every run."""

import re
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import Message, shape

KINDS = {kind.address: kind for kind in (*say.REPLIES, *say.EVENTS)}


def parsed(address: str, values: list[str]) -> Message:
    """A message from words; how a client writes a number does not matter."""
    kind = KINDS[address]
    letters = [letter for _, letter, _ in shape(kind)]
    turned = [value if letter == "s" else float(value) for letter, value in zip(letters, values, strict=True)]
    return kind.parse(turned)


def from_columns(lines: Iterable[str]) -> list[Message]:
    """Lines of an address and its values, with tabs between; other lines are the client's own."""
    rows = [line.split("\t") for line in lines if line.startswith(f"{say.PREFIX}/")]
    return [parsed(address, values) for address, *values in rows]


def from_oscdump(lines: Iterable[str]) -> list[Message]:
    """Lines of an address, its type letters and its values; texts in quotation marks."""
    found = []
    for line in lines:
        address, letters, values = [*line.split(" ", 2), ""][:3]
        pattern = " ".join('"(.*?)"' if letter == "s" else r"(\S+)" for letter in letters)
        match = re.fullmatch(pattern, values)
        assert match, line
        found.append(parsed(address, list(match.groups())))
    return found


def from_pd(lines: Iterable[str]) -> list[Message]:
    """Lines of atoms; the address is one atom a part, and a backslash keeps what would end an atom."""
    found = []
    for line in lines:
        if line.startswith("heard: "):
            atoms = [re.sub(r"\\(.)", r"\1", atom) for atom in re.split(r"(?<!\\) ", line)[1:]]
            parts = next(n for n in (3, 2) if "/" + "/".join(atoms[:n]) in KINDS)
            found.append(parsed("/" + "/".join(atoms[:parts]), atoms[parts:]))
    return found


def from_sonic_pi(log: Iterable[str]) -> list[Message]:
    """Texts put are written as Ruby writes strings: in quotation marks, with backslashes."""
    plain = (text[1:-1].replace("\\t", "\t") for text in log if text.startswith('"'))
    return from_columns(re.sub(r"\\(.)", r"\1", text) for text in plain)


def normalised(heard: list[Message]) -> list[Message]:
    """Times and places left out; a job's progress and a lease only where they begin.

    Progress is checked on the way: 0 to 1, never less than before, none after the job's end.
    """
    kept: list[Message] = []
    done: dict[str, float] = {}
    ended: set[str] = set()
    for message in heard:
        if isinstance(message, say.Done) and message in kept:
            continue  # a client that could not know whether it was heard asked again
        if isinstance(message, say.Progress):
            assert message.job not in ended, message
            assert done.get(message.job, 0.0) <= message.done <= 1.0, message
            if message.job not in done:
                kept.append(say.Progress(message.job, 0.0, "", 0.0))
            done[message.job] = message.done
            continue
        if isinstance(message, say.Finished | say.Cancelled):
            ended.add(message.job)
        kept.append(_plain(message))
    return kept


def _plain(message: Message) -> Message:
    if isinstance(message, say.Result):
        return replace(message, path=Path(message.path).suffix)
    if isinstance(message, say.Finished):
        return replace(message, seconds=0.0)
    if isinstance(message, say.Fail):
        return replace(message, text="")
    return message
