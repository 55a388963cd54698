"""Which ports are opened, and what of those that come, go, are busy or fail."""

import pytest

from stemwright.bridge.midiports import Lost, Ports, chosen
from tests.bridge.fake_midi import FakeBackend


def test_ports_are_chosen_by_name_or_part_and_a_star_takes_no_loops() -> None:
    there = ("Midi Through:Midi Through Port-0 14:0", "nanoPAD2:nanoPAD2 MIDI 1 20:0", "stemwright:in")
    assert chosen(("nanopad2",), there) == [there[1]]
    assert chosen(("*",), there) == [there[1]]
    assert chosen(("Midi Through",), there) == [there[0]]
    assert chosen((), there) == []


def test_devices_that_come_and_go_are_opened_and_closed() -> None:
    backend, heard = FakeBackend(), []
    ports = Ports(backend, ("pad",), ("*",), lambda name, data: heard.append((name, data)))
    ports.look()
    assert ports.state() == "on: Fake; stemwright:in, pad in is not there"
    backend.inputs = backend.outputs = ("Pad 1",)
    ports.look()
    ports.look()
    assert len(backend.opened) == 2
    assert ports.state() == "on: Fake; stemwright:in, Pad 1 in, Pad 1 out"
    backend.callbacks["Pad 1"](b"\x90\x01\x01")
    assert heard == [("Pad 1", b"\x90\x01\x01")]
    backend.inputs = backend.outputs = ()
    ports.look()
    assert all(port.is_closed for port in backend.opened)
    backend.inputs = backend.outputs = ("Pad 1",)
    ports.look()
    assert len(backend.opened) == 4


def test_a_busy_device_is_told_and_tried_again() -> None:
    backend = FakeBackend()
    ports = Ports(backend, ("*",), (), lambda name, data: None)
    backend.inputs, backend.busy = ("Pad 1",), {"Pad 1"}
    ports.look()
    assert "Pad 1 in does not open (busy)" in ports.state()
    backend.busy = set()
    ports.look()
    assert "Pad 1 in" in ports.state() and "does not open" not in ports.state()


def test_lights_go_to_every_output_and_one_that_fails_is_opened_anew() -> None:
    backend = FakeBackend()
    backend.outputs = ("Pad 1", "Pad 2")
    ports = Ports(backend, (), ("*",), lambda name, data: None)
    ports.look()
    first, second = backend.opened
    first.fails = True
    ports.send(b"\x90\x01\x01")
    assert second.sent == backend.virtual == [b"\x90\x01\x01"]
    assert first.is_closed
    ports.look()
    assert [port.name for port in backend.opened] == ["Pad 1", "Pad 2", "Pad 1"]


def test_a_system_that_has_gone_is_lost() -> None:
    backend = FakeBackend()
    ports = Ports(backend, (), (), lambda name, data: None)
    backend.is_gone = True
    with pytest.raises(Lost):
        ports.look()
