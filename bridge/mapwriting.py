"""Writing a MIDI map back after MIDI learn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from stemwright.bridge.midimap import BadMap, Binding, Lights, MidiMap, PortChoice, parse
from stemwright.engine.partfile import put_lasting

WRITTEN = "# Written by MIDI learn. What stood here before is in the file beside it that ends in .bak"


def save(found: MidiMap, path: Path, learned: Binding) -> None:
    """`found` at `path`, by part-file and rename; what lay there is kept beside it as .bak.

    `learned` is added to the text that is there, comments and all, where that gives the same map; else the
    file is written anew. OSError where it cannot be written.
    """
    text = written(found)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file():
        old = path.read_bytes()
        put_lasting(path.with_name(path.name + ".bak"), old)
        text = _appended(old.decode("utf-8", "replace"), learned, found) or text
    put_lasting(path, text.encode())


def written(found: MidiMap) -> str:
    """The whole map as TOML."""
    parts = [WRITTEN + "\n"]
    parts.append(
        _section("ports", {each.name: getattr(found.ports, each.name) for each in fields(PortChoice)})
    )
    parts.append(_section("lights", {each.name: getattr(found.lights, each.name) for each in fields(Lights)}))
    parts.append(_section("clock", {"beats_per_bar": found.beats_per_bar}))
    parts.append(_section("defaults", dict(found.defaults)))
    parts.extend(_block(each) for each in found.bindings)
    return "\n".join(parts)


def _section(name: str, content: Mapping[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in content.items())


def _block(binding: Binding) -> str:
    trigger = binding.trigger
    lines = [f"[[{trigger.kind}]]", f"{trigger.kind} = {trigger.number}"]
    lines += [f"channel = {trigger.channel}"] if trigger.channel else []
    lines += [f"light = {binding.light}"] if binding.light is not None else []
    return "\n".join([*lines, f"do = {_toml(binding.action.text)}"]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escaped(letter) for letter in value) + '"'
    if isinstance(value, tuple):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return repr(value)


def _escaped(letter: str) -> str:
    if letter in '"\\':
        return "\\" + letter
    return letter if letter.isprintable() and letter != "\x7f" else f"\\U{ord(letter):08x}"


def _appended(old: str, learned: Binding, wanted: MidiMap) -> str:
    """The old text with the learned binding behind it; empty where that is not the wanted map."""
    text = old.rstrip("\n") + "\n\n" + _block(learned)
    try:
        found = parse(text, "")
    except BadMap:
        return ""
    return text if _sorted(found) == _sorted(wanted) else ""


def _sorted(found: MidiMap) -> MidiMap:
    return replace(
        found, bindings=tuple(sorted(found.bindings, key=lambda each: str(each.trigger))), path=None
    )
