"""MIDI ports that come and go, behind a small interface; and the one real thing behind it, RtMidi.

A JACK client outlives its server: it sends into nothing, lists what was there, and crashes the process when
it is closed after another was opened. So nothing of JACK is closed or opened once its server is gone: that
is Lost, and the process that holds the ports ends and begins anew (mididriver.py).
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

CLIENT = "stemwright"
THROUGH = "midi through"  # what goes in comes out again: never taken for a device


class NoMidi(Exception):
    """There is no MIDI here; the text says what was tried."""


class Lost(Exception):
    """The MIDI system has gone, and our ports with it."""


@dataclass(frozen=True)
class Names:
    """Ports of others, and our own where they are listed. inputs: what can be heard; outputs: sent to"""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


class Port(Protocol):
    """An open port; `send` of an input is never called."""

    def send(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Backend(Protocol):
    """A MIDI system. name: for people; own: the names of its virtual ports, empty where it has none"""

    name: str
    own: tuple[str, ...]

    def names(self) -> Names:
        """Lost when the system has gone."""

    def open_input(self, name: str, heard: Callable[[bytes], None]) -> Port:
        """OSError when it cannot be opened."""

    def open_output(self, name: str) -> Port: ...
    def send_virtual(self, data: bytes) -> None: ...
    def close(self) -> None: ...


class Ports:
    """Keeps those open that are chosen and there. choice: patterns, see PortChoice"""

    def __init__(
        self,
        backend: Backend,
        inputs: tuple[str, ...],
        outputs: tuple[str, ...],
        heard: Callable[[str, bytes], None],
    ) -> None:
        self._backend, self._heard = backend, heard
        self._wanted = {"in": inputs, "out": outputs}
        self._open: dict[tuple[str, str], Port] = {}  # by ("in" | "out", name)
        self._problems: dict[tuple[str, str], str] = {}
        self._lock = threading.Lock()  # nothing is sent into a port that is being closed

    def look(self) -> None:
        """Open what has come, close what has gone; Lost when all has."""
        names = self._backend.names()
        there = {("in", name) for name in chosen(self._wanted["in"], names.inputs)}
        there |= {("out", name) for name in chosen(self._wanted["out"], names.outputs)}
        self._problems = {key: text for key, text in self._problems.items() if key in there}
        with self._lock:
            for key in set(self._open) - there:
                with suppress(Exception):
                    self._open.pop(key).close()
            for key in sorted(there - set(self._open)):
                self._try(key)

    def send(self, data: bytes) -> None:
        """To every output; one that fails is closed, and opened anew when it can."""
        with self._lock:
            with suppress(Exception):
                self._backend.send_virtual(data)
            for key in [key for key in self._open if key[0] == "out"]:
                try:
                    self._open[key].send(data)
                except Exception:
                    with suppress(Exception):
                        self._open.pop(key).close()

    def close(self) -> None:
        with self._lock:
            for port in self._open.values():
                with suppress(Exception):
                    port.close()
            self._open.clear()
            with suppress(Exception):
                self._backend.close()

    def state(self) -> str:
        """For people: "on: JACK; stemwright:in, stemwright-lights:out, nanoPAD2 in" """
        opened = [f"{name} {side}" for side, name in sorted(self._open)]
        failed = [
            f"{name} {side} does not open ({text})" for (side, name), text in sorted(self._problems.items())
        ]
        missing = [f"{pattern} {side} is not there" for side, pattern in self._missing()]
        return f"on: {self._backend.name}; " + (
            ", ".join([*self._backend.own, *opened, *failed, *missing]) or "no ports"
        )

    def _missing(self) -> list[tuple[str, str]]:
        known = [*self._open, *self._problems]
        return [
            (side, pattern)
            for side, patterns in self._wanted.items()
            for pattern in patterns
            if pattern != "*" and not chosen((pattern,), tuple(name for way, name in known if way == side))
        ]

    def _try(self, key: tuple[str, str]) -> None:
        side, name = key
        try:
            if side == "in":
                self._open[key] = self._backend.open_input(name, lambda data: self._heard(name, data))
            else:
                self._open[key] = self._backend.open_output(name)
            self._problems.pop(key, None)
        except Exception as error:
            self._problems[key] = f"{error}" or type(error).__name__


def chosen(patterns: tuple[str, ...], names: tuple[str, ...]) -> list[str]:
    """The names that a pattern is, or is a part of; "*": all but our own and loops through."""
    found = []
    for name in names:
        small = name.lower()
        if small.startswith(CLIENT):
            continue
        if any(pattern.lower() in small or (pattern == "*" and THROUGH not in small) for pattern in patterns):
            found.append(name)
    return found


class RtMidi:
    """A system that python-rtmidi knows; NoMidi when none of them opens. api: alsa, jack …; empty: any"""

    def __init__(self, api: str, virtual: bool, heard: Callable[[str, bytes], None]) -> None:
        try:
            self._rtmidi: Any = importlib.import_module("rtmidi")
        except Exception as error:  # broken libraries raise all sorts
            raise NoMidi(f"python-rtmidi does not load ({error}); try: pip install python-rtmidi") from error
        self._api = self._first(api)
        self.name = self._label(self._api)
        self._input = self._rtmidi.MidiIn(rtapi=self._api, name=CLIENT)
        self._output = self._rtmidi.MidiOut(rtapi=self._api, name=f"{CLIENT}-lights")
        before = self._listed()
        self.own: tuple[str, ...] = ()
        if virtual:
            self._open_virtual(heard)
        self._ours = self._listed() - before
        self.own = tuple(sorted(self._ours)) or self.own

    def names(self) -> Names:
        try:
            found = Names(tuple(self._input.get_ports()), tuple(self._output.get_ports()))
        except Exception as error:
            raise Lost(f"{self.name} lists no ports any more ({error})") from error
        if self._ours - {*found.inputs, *found.outputs}:
            raise Lost(f"{self.name} has gone, or was started anew")
        return found

    def open_input(self, name: str, heard: Callable[[bytes], None]) -> Port:
        made = self._rtmidi.MidiIn(rtapi=self._api, name=CLIENT)
        listen(made, heard)
        return _Opened(made, name, "in")

    def open_output(self, name: str) -> Port:
        return _Opened(self._rtmidi.MidiOut(rtapi=self._api, name=f"{CLIENT}-lights"), name, "out")

    def send_virtual(self, data: bytes) -> None:
        if self.own:
            self._output.send_message(data)

    def close(self) -> None:
        for each in (self._input, self._output):
            each.close_port()
            each.delete()

    def _open_virtual(self, heard: Callable[[str, bytes], None]) -> None:
        try:
            listen(self._input, lambda data: heard(CLIENT, data))
            self._input.open_virtual_port("in")
            self._output.open_virtual_port("out")
            self.own = (f"{CLIENT}:in", f"{CLIENT}-lights:out")
        except NotImplementedError:  # Windows
            self.own = ()

    def _listed(self) -> set[str]:
        return {*self._input.get_ports(), *self._output.get_ports()}

    def _first(self, api: str) -> int:
        """The first system that answers; None but `api` if it is named."""
        tried = []
        for each in self._rtmidi.get_compiled_api():
            if api and self._rtmidi.get_api_name(each) != api.lower():
                continue
            try:
                self._rtmidi.MidiIn(rtapi=each, name=f"{CLIENT}-probe").delete()
                return int(each)
            except Exception as error:
                tried.append(f"{self._label(each)}: {error}")
        there = ", ".join(self._rtmidi.get_api_name(each) for each in self._rtmidi.get_compiled_api())
        raise NoMidi("; ".join(tried) or f"no system {api!r}; python-rtmidi here knows {there}")

    def _label(self, api: int) -> str:
        return str(self._rtmidi.get_api_display_name(api))


def listen(port: Any, heard: Callable[[bytes], None]) -> None:
    """Hear all but sysex and active sensing; clock ticks too. `heard` is called by the driver's thread."""
    port.ignore_types(sysex=True, timing=False, active_sense=True)
    port.set_callback(lambda event, _: heard(bytes(event[0])))


class _Opened:
    def __init__(self, made: Any, name: str, label: str) -> None:
        self._made, self._is_input = made, label == "in"
        try:
            made.open_port(made.get_ports().index(name), name=label)
        except Exception as error:
            made.delete()
            raise OSError(str(error)) from error

    def send(self, data: bytes) -> None:
        self._made.send_message(data)

    def close(self) -> None:
        if self._is_input:
            self._made.cancel_callback()
        self._made.close_port()
        self._made.delete()
