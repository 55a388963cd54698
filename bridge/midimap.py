"""The MIDI map: a TOML file that says which note, controller or program does what.

`[[note]]`, `[[controller]]` and `[[program]]` tables bind one trigger each to an action (midiactions.py);
`[ports]`, `[lights]`, `[clock]` and `[defaults]` say the rest. maps/default.toml shows all of it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import Any

from stemwright.bridge.grammar import BAD_ARGS, BadMessage, Pairs
from stemwright.bridge.midiactions import HIGHEST, KINDS, Action, Trigger, parsed
from stemwright.bridge.options import checked
from stemwright.engine.errors import StemwrightError
from stemwright.engine.places import own_folder


class BadMap(StemwrightError):
    """A MIDI map that cannot be used; the text names file, table, value and what may be."""

    exit_code = 3


@dataclass(frozen=True)
class Binding:
    """light: the note that shows the jobs of this binding; None: the trigger itself, where it can"""

    trigger: Trigger
    action: Action
    light: int | None = None


@dataclass(frozen=True)
class PortChoice:
    """Names are whole port names, or a part of them; "*" is every port but our own and loops through."""

    virtual: bool = True  # a port of our own, where the system has such
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    api: str = ""  # alsa, jack, …; empty: the first that works


@dataclass(frozen=True)
class Lights:
    """Velocities by the state of a job; 0 is dark. channel: 1 to 16; 0: that of the press"""

    queued: int = 1
    running: int = 64
    done: int = 127
    failed: int = 5
    channel: int = 0
    hold_seconds: float = 4.0  # how long done and failed stay lit


@dataclass(frozen=True)
class MidiMap:
    """path: the file it was read from, and that learning rewrites; None: the shipped one, which is never"""

    bindings: tuple[Binding, ...] = ()
    ports: PortChoice = field(default_factory=PortChoice)
    lights: Lights = field(default_factory=Lights)
    defaults: Pairs = ()  # options of every job that names them not itself, nor does its preset
    beats_per_bar: int = 4
    path: Path | None = None

    def find(self, kind: str, number: int, channel: int) -> Binding | None:
        """That of the channel, or else that of any."""
        found = [each for each in self.bindings if (each.trigger.kind, each.trigger.number) == (kind, number)]
        for wanted in (channel, None):
            for each in found:
                if each.trigger.channel == wanted:
                    return each
        return None

    def bound(self, trigger: Trigger, action: Action) -> MidiMap:
        """The map in which `trigger` does `action`, whatever it did before."""
        check_pairing(trigger, action)
        rest = tuple(each for each in self.bindings if each.trigger != trigger)
        return replace(self, bindings=(*rest, _with_defaults(Binding(trigger, action), self.defaults)))


def user_map() -> Path:
    """Where a user's own map lies: midi.toml in the configuration folder."""
    return own_folder("config") / "midi.toml"


def read_map(path: Path | None = None) -> MidiMap:
    """The map at `path`; None: the user's own, or the shipped one where there is none. BadMap otherwise."""
    if path is None and not user_map().is_file():
        text = (files("stemwright.bridge") / "maps" / "default.toml").read_text(encoding="utf-8")
        return parse(text, "the shipped MIDI map")
    path = path or user_map()
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise BadMap(f"{path}: cannot be read: {error.strerror}; give another by --midi-map") from error
    except UnicodeDecodeError as error:
        raise BadMap(f"{path}: is not UTF-8 text (byte {error.start})") from error
    return replace(parse(text, str(path)), path=path)


def parse(text: str, name: str) -> MidiMap:
    """The map of a TOML text; `name` says in errors where it stands."""
    try:
        content = _toml()(text)
    except ValueError as error:
        raise BadMap(f"{name}: is not TOML: {error}") from error
    top = _Table(name, "the top", content)
    ports, lights, clock = (top.table(each) for each in ("ports", "lights", "clock"))
    found = MidiMap(
        bindings=tuple(_binding(kind, table) for kind in KINDS for table in top.tables(kind)),
        ports=PortChoice(
            virtual=ports.flag("virtual", True),
            inputs=ports.texts("inputs"),
            outputs=ports.texts("outputs"),
            api=ports.text("api", ""),
        ),
        lights=_lights(lights),
        defaults=_defaults(top),
        beats_per_bar=clock.whole("beats_per_bar", 4, 1, 32),
    )
    for table in (top, ports, lights, clock):
        table.done()
    _refuse_twins(name, found)
    return replace(found, bindings=tuple(_with_defaults(each, found.defaults) for each in found.bindings))


def check_pairing(trigger: Trigger, action: Action) -> None:
    """BadMessage where the trigger has no position for a value that needs one."""
    if action.is_scaled and trigger.kind != "controller":
        raise BadMessage(
            BAD_ARGS,
            f"{action.text!r:.60} follows a controller; a {trigger.kind} needs a value, "
            f"as in: set {action.option} 3",
        )


def _toml() -> Callable[[str], dict[str, Any]]:
    """The parser; its errors are ValueErrors."""
    try:
        return importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli").loads  # type: ignore[no-any-return]
    except ImportError as error:
        raise BadMap("MIDI maps need on Python 3.10: pip install tomli") from error


class _Table:
    """A table of the file that knows its name for errors, and what of it was read."""

    def __init__(self, file: str, name: str, content: Any) -> None:
        self.file, self.name = file, name
        if not isinstance(content, Mapping):
            raise BadMap(f"{file}, {name}: is {content!r:.40}; it must be a table")
        self._content, self._read = content, set[str]()

    def bad(self, key: str, value: object, may: str) -> BadMap:
        return BadMap(f"{self.file}, {self.name}, {key}: is {value!r:.60}; it may be {may}")

    def table(self, key: str) -> _Table:
        self._read.add(key)
        return _Table(self.file, f"[{key}]", self._content.get(key, {}))

    def tables(self, key: str) -> list[_Table]:
        self._read.add(key)
        content = self._content.get(key, [])
        if not isinstance(content, list):
            raise self.bad(key, content, f"tables, each headed [[{key}]]")
        return [_Table(self.file, f"[[{key}]] {index}", each) for index, each in enumerate(content, 1)]

    def whole(self, key: str, default: int | None, low: int, high: int) -> int:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise self.bad(key, value, f"a whole number from {low} to {high}")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self.bad(key, value, f"a number from {low:g} to {high:g}")
        return float(value)

    def flag(self, key: str, default: bool) -> bool:
        value = self._value(key, default)
        if not isinstance(value, bool):
            raise self.bad(key, value, "true or false")
        return value

    def text(self, key: str, default: str | None) -> str:
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.bad(key, value, "text in quotes")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self._value(key, [])
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.bad(key, value, 'a list of names, as in ["nanoPAD2"], or ["*"] for all')
        return tuple(value)

    def channel(self) -> int | None:
        if self._content.get("channel", "any") == "any":
            self._read.add("channel")
            return None
        return self.whole("channel", None, 1, 16)

    def has(self, key: str) -> bool:
        return key in self._content

    def items(self) -> list[tuple[str, Any]]:
        self._read.update(self._content)
        return list(self._content.items())

    def done(self) -> None:
        """BadMap when something stands there that nobody read."""
        for key in self._content:
            if key not in self._read:
                there = ", ".join(sorted(self._read))
                raise BadMap(f"{self.file}, {self.name}: no {key!r:.40} here; there are {there}")

    def _value(self, key: str, default: Any) -> Any:
        self._read.add(key)
        value = self._content.get(key, default)
        if value is None:
            raise BadMap(f"{self.file}, {self.name}: {key} is missing")
        return value


def _binding(kind: str, table: _Table) -> Binding:
    trigger = Trigger(kind, table.whole(kind, None, 0, HIGHEST), table.channel())
    text = table.text("do", None)
    light = table.whole("light", None, 0, HIGHEST) if table.has("light") else None
    table.done()
    try:
        action = parsed(text)
        check_pairing(trigger, action)
    except BadMessage as error:
        raise BadMap(f"{table.file}, {table.name}, do: {error}") from error
    return Binding(trigger, action, light)


def _lights(table: _Table) -> Lights:
    plain = Lights()
    velocities = {
        key: table.whole(key, getattr(plain, key), 0, HIGHEST)
        for key in ("queued", "running", "done", "failed")
    }
    return Lights(
        **velocities,
        channel=table.whole("channel", plain.channel, 0, 16),
        hold_seconds=table.number("hold_seconds", plain.hold_seconds, 0, 3600),
    )


def _defaults(top: _Table) -> Pairs:
    table, pairs = top.table("defaults"), []
    for key, value in table.items():
        try:
            pairs.append((key, checked(key, value)))
        except BadMessage as error:
            raise BadMap(f"{table.file}, {table.name}: {error}") from error
    return tuple(pairs)


def _refuse_twins(name: str, found: MidiMap) -> None:
    seen = set[Trigger]()
    for each in found.bindings:
        if each.trigger in seen:
            raise BadMap(f"{name}: {each.trigger} is bound twice; one trigger does one thing")
        seen.add(each.trigger)


def _with_defaults(binding: Binding, defaults: Pairs) -> Binding:
    return replace(binding, action=replace(binding.action, defaults=defaults))
