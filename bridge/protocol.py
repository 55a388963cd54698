"""Copies of the protocol for people and scripts, made from asks.py, answers.py and options.py:
`make protocol`.

    docs/protocol.md, README.md                         tables, between markers; the prose around them stays
    daw_scripts/protocol/stemwright_protocol.lua        for hosts with Lua 5.3 and later, REAPER too
    daw_scripts/protocol/stemwright_protocol.py         the same for Python 3.7 and later, as in hosts
    daw_scripts/protocol/oscquery.json                  the namespace that the OSCQuery port serves

A test fails when a committed copy is stale.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import fields
from pathlib import Path

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import CODES, Message, shape, signature
from stemwright.bridge.messages import EVENTS, REPLIES, REQUESTS
from stemwright.bridge.namespace import linked, meaning, namespace, short
from stemwright.bridge.options import JOB_TASKS, OPTIONS, Option
from stemwright.engine.errors import BadOutput

MADE = "Made from asks.py, answers.py and options.py of bridge/ by `make protocol`; do not edit."
LETTERS = {"i": "int32", "f": "float32", "s": "text", "b": "blob"}
NUMBERS = ("PROTOCOL", "PORT", "HTTP_PORT", "LONGEST_REPLY", "LONGEST_ID")
ALL = (*REQUESTS, *REPLIES, *EVENTS)
Data = dict[str, object]


def main() -> None:
    """Write the copies of the working tree this module lies in; names on stdout those that changed."""
    for path in write(Path(__file__).resolve().parent.parent):
        sys.stdout.write(f"{path}\n")


def write(root: Path) -> list[Path]:
    """The copies that were stale, now written."""
    changed = []
    for path, text in copies(root).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8", newline="\n")
            changed.append(path)
    return changed


def copies(root: Path) -> dict[Path, str]:
    """Every generated file of a working tree, as it should be."""
    if not (root / "docs" / "protocol.md").is_file():
        raise BadOutput(f"{root} is no working tree of Stemwright: there is no docs/protocol.md in it")
    scripts = root / "daw_scripts" / "protocol"
    found = {
        scripts / "stemwright_protocol.lua": lua(),
        root / "daw_scripts/reaper/Stemwright/lib/stemwright_protocol.lua": lua(),
        root / "daw_scripts/ardour/scripts/stemwright/stemwright_protocol.lua": lua(),
        scripts / "stemwright_protocol.py": python(),
        root / "daw_scripts/ableton/Stemwright/stemwright_protocol.py": python(),
        scripts / "oscquery.json": json.dumps(namespace(), indent=1, ensure_ascii=False) + "\n",
    }
    for path in (root / "docs" / "protocol.md", root / "README.md"):
        if path.is_file():
            found[path] = marked(path.read_text(encoding="utf-8"))
    return found


# Tables


def marked(text: str) -> str:
    """The text with its tables made anew: those after <!-- protocol:codes --> and the like."""
    for name, table in TABLES.items():
        opening, closing = f"<!-- {name} -->", f"<!-- /{name} -->"
        if opening not in text:
            continue
        if text.count(opening) != 1 or text.count(closing) != 1 or text.index(closing) < text.index(opening):
            raise BadOutput(f"the marker {opening} must come once, and after it {closing} once")
        before, _, rest = text.partition(opening)
        text = f"{before}{opening}\n{table()}\n{closing}{rest.partition(closing)[2]}"
    return text


def table(*rows: Iterable[str]) -> str:
    """Markdown; the first row is the head."""
    head, *others = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *others))


def short_table() -> str:
    """The requests on one screen, for the README."""
    rows = [(f"`{short(kind)}`", arguments(kind), answer_of(kind)) for kind in REQUESTS]
    return table(("request", "arguments", "answer"), *rows)


def long_table(kinds: Iterable[type[Message]]) -> str:
    """Every message of a kind, with what its fields mean."""
    rows = []
    for kind in kinds:
        notes = [f"`{name}`: {note}" for name, note in field_notes(kind).items()]
        rows.append((f"`{kind.address}`", arguments(kind), "<br>".join([quoted(meaning(kind)), *notes])))
    return table(("address", "arguments", "meaning"), *rows)


def options_table() -> str:
    rows = [
        (f"`{option.name}`", LETTERS[option.kind], option_range(option), option.meaning) for option in OPTIONS
    ]
    return table(("option", "type", "may be", "meaning"), *rows)


def codes_table() -> str:
    return table(("code", "meaning"), *((f"`{code}`", text) for code, text in CODES.items()))


TABLES: dict[str, Callable[[], str]] = {
    "protocol": short_table,
    "protocol:requests": lambda: long_table(REQUESTS),
    "protocol:answers": lambda: long_table(REPLIES),
    "protocol:events": lambda: long_table(EVENTS),
    "protocol:options": options_table,
    "protocol:codes": codes_table,
}


def arguments(kind: type[Message]) -> str:
    return f"`{signature(kind)}`" if shape(kind) else "–"


def option_range(option: Option) -> str:
    if option.values:
        return ", ".join(f"`{value}`" for value in option.values)
    return "" if option.low is None else f"{number(option.low)} to {number(option.high or 0)}"


def number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def answer_of(kind: type[Message]) -> str:
    """What the docstring says of the answer, in short."""
    found = re.search(r"(?:Answered|Not answered)[^.]*", meaning(kind))
    return (
        quoted(found[0]).replace("Not", "not").removeprefix("Answered ").removeprefix("by ") if found else "–"
    )


def quoted(text: str) -> str:
    return linked(text, "`").replace("CODES", "the codes below")


def field_notes(kind: type[Message]) -> dict[str, str]:
    """What the source says behind a field, and what a field is that was left out."""
    behind: dict[str, str] = {}
    for above in reversed(kind.__mro__):
        if issubclass(above, Message):
            source = inspect.getsource(above)
            behind.update(re.findall(r"^    (\w+): [^#\n]*#\s+(.+)$", source, re.MULTILINE))
    found = {}
    for field in fields(kind):
        has_default = isinstance(field.default, int | str) and field.default != ""
        parts = [quoted(behind[field.name])] if field.name in behind else []
        if parts or has_default:
            found[field.name] = "; ".join([*parts, *([f"default {field.default}"] if has_default else [])])
    return found


# Constants


def constants() -> Data:
    """What scripts need, by name: numbers, addresses, codes; then tables of requests, answers and options."""
    found: Data = {name: getattr(say, name) for name in NUMBERS}
    found |= {constant(kind): kind.address for kind in ALL}
    found |= {f"CODE_{code.upper()}": code for code in CODES}
    found["CODES"] = dict(CODES)
    found["TASKS"] = list(JOB_TASKS)
    found["REQUESTS"] = {kind.address: described(kind) for kind in REQUESTS}
    found["ANSWERS"] = {kind.address: described(kind) for kind in (*REPLIES, *EVENTS)}
    found["OPTIONS"] = {option.name: described_option(option) for option in OPTIONS}
    return found


def constant(kind: type[Message]) -> str:
    """UploadMissing → UPLOAD_MISSING"""
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", kind.__name__).upper()


def described(kind: type[Message]) -> Data:
    """types: of all arguments; needed: how many must be there; has_options: key and value pairs follow"""
    plain = [part for part in shape(kind) if part[1] != "*"]
    return {
        "types": "".join(letter for _, letter, _ in plain),
        "needed": sum(is_needed for _, _, is_needed in plain),
        "fields": [name for name, _, _ in plain],
        "has_options": len(plain) < len(shape(kind)),
    }


def described_option(option: Option) -> Data:
    found: Data = {"type": option.kind}
    if option.low is not None and option.high is not None:
        plain = int if option.kind == "i" else float
        found |= {"low": plain(option.low), "high": plain(option.high)}
    if option.values:
        found["values"] = list(option.values)
    if option.is_repeated:
        found["is_repeated"] = True
    return found


def lua() -> str:
    lines = ["-- The protocol of Stemwright's bridge.", f"-- {MADE}", "", "local protocol = {}", ""]
    for name, value in constants().items():
        lines.append(f"protocol.{name} = {lua_value(value)}")
    return "\n".join([*lines, "", "return protocol", ""])


def lua_value(value: object, indent: str = "") -> str:
    """A literal of Lua 5.3; tables with a line for each entry."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return lua_text(value)
    deeper = indent + "  "
    if isinstance(value, dict):
        entries = [f"[{lua_text(name)}] = {lua_value(each, deeper)}" for name, each in value.items()]
    else:
        assert isinstance(value, list)
        return "{" + ", ".join(lua_value(each) for each in value) + "}"
    return "{\n" + "".join(f"{deeper}{entry},\n" for entry in entries) + indent + "}"


def lua_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def python() -> str:
    """Without annotations and newer syntax: it runs inside hosts."""
    lines = ['"""The protocol of Stemwright\'s bridge.', "", MADE, '"""', ""]
    lines += [f"{name} = {python_value(value)}" for name, value in constants().items()]
    return "\n".join([*lines, ""])


def python_value(value: object, indent: str = "") -> str:
    """A literal as ruff would format it."""
    if isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    deeper = indent + "    "
    if isinstance(value, dict):
        entries = [f"{python_value(name)}: {python_value(each, deeper)}" for name, each in value.items()]
        return "{\n" + "".join(f"{deeper}{entry},\n" for entry in entries) + indent + "}"
    assert isinstance(value, list)
    inside = ", ".join(python_value(each) for each in value)
    return f"({inside},)" if len(value) == 1 else f"({inside})"


if __name__ == "__main__":
    main()
