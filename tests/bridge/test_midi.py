"""Pads, knobs, lights and learning: on a fake driver, and through a real JACK server."""

import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mido
import pytest

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import BadMessage
from stemwright.bridge.midi import Midi
from stemwright.bridge.midiactions import Action, Trigger
from stemwright.bridge.mididriver import ProcessDriver
from stemwright.bridge.midimap import parse, read_map
from stemwright.bridge.midiports import Lost, Ports, chosen
from tests.bridge.fake_midi import FakeBackend, FakeDriver
from tests.bridge.jack import Jack, jack_server
from tests.bridge.waiting import until

MAP = """
[lights]
hold_seconds = 0.2
[defaults]
last = 8
[[note]]
note = 36
channel = 10
do = "extract slap bass steps=7"
[[note]]
note = 37
light = 99
do = "preset drums"
[[program]]
program = 3
do = "generate a waltz seconds=4"
[[controller]]
controller = 20
do = "set guidance 1 to 8"
[[controller]]
controller = 21
do = "set steps 5 to 100"
[[controller]]
controller = 22
do = "cancel all"
[[note]]
note = 40
do = "capture 4 bars"
[[note]]
note = 41
do = "set steps 50"
"""
START, CLOCK, SPEAK = b"\xfa", b"\xf8", 60 / 120 / 24


class Rig:
    """A Midi on a fake driver, and what it did and said."""

    def __init__(self, path: Path, text: str = MAP, do: Callable[[Action], None] | None = None) -> None:
        self.done: list[Action] = []
        self.said: list[str] = []
        self.driver = FakeDriver()
        self.midi = Midi(
            parse(text, "test"),
            do or self.done.append,
            on_state=self.said.append,
            save_to=path,
            driver=self.driver,
        )
        self.midi.start()

    def hear(self, kind: str, at: float | None = None, **values: int) -> None:
        data = bytes(mido.Message(kind, **values).bytes())
        self.driver.heard(time.monotonic() if at is None else at, "pads", data)

    def settle(self) -> None:
        """Everything heard so far is acted on: a capture pressed behind it has come through."""
        before = len(self.captures())
        self.hear("note_on", note=40, velocity=1)
        until(lambda: len(self.captures()) > before, "the press behind the others")

    def captures(self) -> list[Action]:
        return [each for each in self.done if each.kind == "capture"]

    def jobs(self) -> list[Action]:
        return [each for each in self.done if each.kind == "job"]

    def lit(self, head: bytes) -> list[int]:
        return [data[2] for data in self.driver.sent if data[:2] == head]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    made = Rig(tmp_path / "midi.toml")
    yield made
    made.midi.stop()
    assert made.driver.is_stopped
    assert not [each for each in threading.enumerate() if each.name == "midi"]


def test_a_note_on_its_channel_starts_its_job_once(rig: Rig) -> None:
    rig.hear("note_on", note=36, channel=9, velocity=90, at=12.5)
    rig.hear("note_off", note=36, channel=9)
    rig.hear("note_on", note=36, channel=9, velocity=0)
    rig.hear("note_on", note=36, channel=8, velocity=90)
    rig.settle()
    (job,) = rig.jobs()
    assert (job.task, job.pairs) == ("extract", (("prompt", "slap bass"), ("steps", 7)))
    assert job.defaults == (("last", 8.0),)
    assert (job.trigger, job.at) == (Trigger("note", 36, 10), 12.5)


def test_a_note_of_any_channel_starts_a_preset(rig: Rig) -> None:
    for channel in range(16):
        rig.hear("note_on", note=37, channel=channel, velocity=1)
    rig.settle()
    assert [job.pairs for job in rig.jobs()] == [(("preset", "drums"),)] * 16
    assert {job.task for job in rig.jobs()} == {""}


def test_a_program_change_starts_its_job(rig: Rig) -> None:
    rig.hear("program_change", program=3)
    rig.settle()
    assert [job.task for job in rig.jobs()] == ["generate"]


def test_knobs_go_into_the_jobs_after_them_where_these_do_not_say(rig: Rig) -> None:
    rig.hear("control_change", control=20, value=127)
    rig.hear("control_change", control=21, value=0)
    rig.hear("note_on", note=36, channel=9, velocity=1)
    rig.hear("note_on", note=37, velocity=1)
    rig.hear("note_on", note=41, velocity=1)
    rig.hear("note_on", note=37, velocity=1)
    rig.settle()
    own, preset, later = (job.pairs for job in rig.jobs())
    assert own == (("prompt", "slap bass"), ("steps", 7), ("guidance", 8.0))
    assert preset == (("preset", "drums"), ("guidance", 8.0), ("steps", 5))
    assert later == (("preset", "drums"), ("guidance", 8.0), ("steps", 50))


def test_a_controller_as_a_button_acts_when_pressed_not_while_held(rig: Rig) -> None:
    for value in (0, 63, 64, 127, 100, 0, 127):
        rig.hear("control_change", control=22, value=value)
    rig.settle()
    assert [each.scope for each in rig.done if each.kind == "cancel"] == ["all", "all"]


def test_capture_says_bars(rig: Rig) -> None:
    rig.settle()
    assert [(each.length, each.unit) for each in rig.captures()] == [(4.0, "bars")]


def test_clock_messages_make_bars(rig: Rig) -> None:
    rig.driver.heard(100.0, "daw", START)
    for tick in range(2 * 96 + 1):
        rig.driver.heard(100 + tick * SPEAK, "daw", CLOCK)
    rig.settle()
    assert rig.midi.clock.bars(2, 105.0) == pytest.approx((100, 104), abs=1e-6)
    assert rig.midi.clock.tempo(104.0) == pytest.approx(120, rel=1e-6)


def test_song_position_and_continue_are_heard(rig: Rig) -> None:
    rig.hear("songpos", pos=12, at=99.0)
    rig.hear("continue", at=99.0)
    for tick in range(24 + 96 + 1):
        rig.driver.heard(100 + tick * SPEAK, "pads", CLOCK)
    rig.hear("stop", at=103.0)
    rig.settle()
    assert rig.midi.clock.bars(1, 105.0) == pytest.approx((100.5, 102.5), abs=1e-6)
    assert not rig.midi.clock.is_running


def test_bytes_that_are_no_midi_are_passed_over(rig: Rig) -> None:
    for data in (b"", b"\x00", b"\x90", b"\x90\xff\xff", b"\xf0\x01", bytes(300), b"\xff"):
        rig.driver.heard(1.0, "pads", data)
    rig.settle()
    assert rig.jobs() == []


def test_an_action_that_fails_is_told_and_the_next_one_done(tmp_path: Path) -> None:
    done: list[Action] = []

    def do(action: Action) -> None:
        done.append(action)
        if action.kind == "job":
            raise RuntimeError("the app stumbles")

    rig = Rig(tmp_path / "midi.toml", do=do)
    rig.hear("note_on", note=37, velocity=1)
    rig.hear("note_on", note=40, velocity=1)
    until(lambda: len(done) == 2, "both actions")
    rig.midi.stop()
    assert [text for text in rig.said if "the app stumbles" in text]


def test_messages_beyond_the_bound_are_dropped_and_counted_while_an_action_hangs(tmp_path: Path) -> None:
    hold = threading.Event()
    rig = Rig(tmp_path / "midi.toml", do=lambda action: bool(hold.wait(20)) and None)
    for _ in range(6000):
        rig.hear("note_on", note=40, velocity=1, at=1.0)
    assert 1900 <= rig.midi.dropped <= 1905  # of 6000, 4096 wait and one or so is in hand
    hold.set()
    rig.midi.stop()


# Lights


def test_a_pad_shows_its_job_queued_running_done_and_dark(rig: Rig) -> None:
    pad = b"\x99\x24"
    rig.hear("note_on", note=36, channel=9, velocity=90)
    rig.settle()
    rig.midi.follow("a", rig.jobs()[0])
    until(lambda: rig.lit(pad) == [1], "queued")
    rig.midi.feedback(None, say.Progress("a", 0.1, "sample", 1.0))
    until(lambda: rig.lit(pad) == [1, 64], "running")
    rig.midi.feedback(None, say.Finished("a", 1.0))
    until(lambda: rig.lit(pad) == [1, 64, 127], "done")
    until(lambda: rig.lit(pad) == [1, 64, 127, 0], "dark again by itself")


def test_failed_is_shown_and_cancelled_is_dark_at_once(rig: Rig) -> None:
    rig.midi.follow("a", Action("job", trigger=Trigger("note", 37, 2)))
    rig.midi.feedback(None, say.Fail("/stemwright/extract", "bad_job", "no", "a"))
    until(lambda: rig.lit(b"\x91\x63")[-2:] == [5, 0], "failed, then dark, on the binding's own light")
    rig.midi.follow("b", Action("job", trigger=Trigger("controller", 22, 1)))
    until(lambda: rig.lit(b"\xb0\x16") == [1], "queued, on a button")
    rig.midi.feedback(None, say.Cancelled("b"))
    until(lambda: rig.lit(b"\xb0\x16") == [1, 0], "dark")


def test_a_pad_with_two_jobs_is_lit_until_both_have_ended(rig: Rig) -> None:
    pad, action = b"\x90\x63", Action("job", trigger=Trigger("note", 37, 1))
    rig.midi.follow("a", action)
    rig.midi.follow("b", action)
    rig.midi.feedback(None, say.Progress("a", 0.1, "sample", 1.0))
    until(lambda: rig.lit(pad)[-1:] == [64], "one runs")
    rig.midi.feedback(None, say.Finished("a", 1.0))
    until(lambda: rig.lit(pad)[-1:] == [1], "the second still waits")
    rig.midi.feedback(None, say.Finished("b", 1.0))
    until(lambda: rig.lit(pad)[-2:] == [127, 0], "done, then dark")


def test_jobs_of_others_light_nothing(rig: Rig) -> None:
    rig.midi.feedback(None, say.Finished("somebody's", 1.0))
    rig.settle()
    assert rig.driver.sent == []


def test_our_own_light_come_back_through_a_patch_starts_no_job(rig: Rig) -> None:
    rig.midi.follow("a", Action("job", trigger=Trigger("note", 36, 10)))
    until(lambda: rig.lit(b"\x99\x24") == [1], "queued")
    rig.hear("note_on", note=36, channel=9, velocity=1)
    rig.settle()
    assert rig.jobs() == []
    rig.hear("note_on", note=36, channel=9, velocity=2)
    rig.settle()
    assert len(rig.jobs()) == 1


def test_a_device_that_comes_is_shown_what_is_lit_and_stop_puts_it_out(rig: Rig) -> None:
    rig.midi.follow("a", Action("job", trigger=Trigger("note", 36, 10)))
    until(lambda: rig.lit(b"\x99\x24") == [1], "queued")
    rig.driver.opened()
    until(lambda: rig.lit(b"\x99\x24") == [1, 1], "shown again")
    rig.midi.stop()
    assert rig.lit(b"\x99\x24") == [1, 1, 0]


# Learning


def test_the_next_press_learns_the_action_and_the_file_has_it(rig: Rig, tmp_path: Path) -> None:
    rig.midi.learn("preset slap-bass guidance=3")
    rig.hear("note_on", note=60, channel=4, velocity=80)
    rig.settle()
    assert rig.jobs() == []  # the press that is learned starts nothing
    rig.hear("note_on", note=60, channel=4, velocity=80)
    rig.settle()
    assert rig.jobs()[0].pairs == (("preset", "slap-bass"), ("guidance", 3.0))
    assert rig.jobs()[0].defaults == (("last", 8.0),)
    found = read_map(tmp_path / "midi.toml")
    assert found.find("note", 60, 5) and not found.find("note", 60, 6)
    assert set(found.bindings) == set(rig.midi.map.bindings)


def test_a_learned_range_waits_for_a_controller(rig: Rig) -> None:
    rig.midi.learn("set seed 0 to 127")
    rig.hear("note_on", note=61, velocity=80)
    rig.hear("control_change", control=30, value=5)
    rig.hear("control_change", control=30, value=9)
    rig.settle()
    assert rig.midi.knobs == (("seed", 9),)


def test_learning_is_given_up_with_nothing_and_refuses_nonsense(rig: Rig, tmp_path: Path) -> None:
    with pytest.raises(BadMessage, match="no action 'dance'"):
        rig.midi.learn("dance")
    rig.midi.learn("play")
    rig.midi.learn("")
    rig.hear("note_on", note=60, velocity=80)
    rig.settle()
    assert not (tmp_path / "midi.toml").exists()


def test_a_map_that_cannot_be_written_is_told_and_the_binding_holds(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    rig = Rig(tmp_path / "file" / "midi.toml")
    rig.midi.learn("play")
    rig.hear("note_on", note=60, velocity=80)
    rig.hear("note_on", note=60, velocity=80)
    until(lambda: [each for each in rig.done if each.kind == "play"], "play")
    rig.midi.stop()
    assert [text for text in rig.said if "cannot be written" in text]


# Ports


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


# The real driver


class Real:
    """A Midi on real ports."""

    def __init__(self, path: Path, text: str = MAP, **settings: Any) -> None:
        self.done: list[Action] = []
        self.said: list[str] = []
        driver = ProcessDriver(look_seconds=0.2, retry_seconds=0.2, **settings)
        self.midi = Midi(
            parse(text, "test"), self.done.append, on_state=self.said.append, save_to=path, driver=driver
        )

    def __enter__(self) -> "Real":
        self.midi.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.midi.stop()
        assert not [each for each in threading.enumerate() if each.name.startswith("midi")]

    def wait(self, beginning: str) -> None:
        until(
            lambda: self.midi.state.startswith(beginning),
            f"{beginning} (now {self.midi.state!r}, {self.said})",
        )


def test_no_midi_here_is_a_state_and_no_crash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JACK_DEFAULT_SERVER", "stemwright-nobody")
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    with Real(tmp_path / "midi.toml", api="jack") as real:
        real.wait("none: no MIDI here (")
        real.midi.feedback(None, say.Finished("a", 1.0))
    assert real.midi.state == "off"


def test_a_missing_python_rtmidi_is_a_state_and_no_crash(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rtmidi.py").write_text("raise ImportError('libasound.so.2: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Real(tmp_path / "midi.toml") as real:
        real.wait("none: no MIDI here (python-rtmidi does not load (libasound.so.2")


def test_a_midi_process_that_crashes_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rtmidi.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with Real(tmp_path / "midi.toml") as real:
        until(lambda: sum("ended by itself" in text for text in real.said) >= 2, "two crashes told")


@pytest.fixture
def jack(monkeypatch: pytest.MonkeyPatch) -> Iterator[Jack]:
    with jack_server(monkeypatch) as found:
        yield found


class Player:
    """The other side: a JACK client with an output and an input of its own, in this process."""

    def __init__(self, jack: Jack) -> None:
        import rtmidi

        self.got: list[bytes] = []
        self.output = rtmidi.MidiOut(rtapi=rtmidi.API_UNIX_JACK, name="player")
        self.output.open_virtual_port("out")
        self.input = rtmidi.MidiIn(rtapi=rtmidi.API_UNIX_JACK, name="lamps")
        self.input.open_virtual_port("in")
        self.input.set_callback(lambda event, _: self.got.append(bytes(event[0])))
        jack.connect("player:out", "stemwright:in")
        jack.connect("stemwright-lights:out", "lamps:in")

    def send(self, kind: str, **values: int) -> None:
        self.output.send_message(mido.Message(kind, **values).bytes())

    def __enter__(self) -> "Player":
        return self

    def __exit__(self, *_: object) -> None:  # before the server goes: a dead client's end is a crash
        for port in (self.output, self.input):
            port.close_port()
            port.delete()


def test_through_jack_notes_controllers_and_programs_act_and_lights_come_back(
    jack: Jack, tmp_path: Path
) -> None:
    with Real(tmp_path / "midi.toml", api="jack") as real:
        real.wait("on: Jack; stemwright-lights:out, stemwright:in")
        with Player(jack) as player:
            player.send("control_change", control=20, value=127)
            player.send("note_on", note=36, channel=9, velocity=100)
            player.send("program_change", program=3)
            until(lambda: len(real.done) == 2, "both jobs")
            first, second = real.done
            assert first.pairs == (("prompt", "slap bass"), ("steps", 7), ("guidance", 8.0))
            assert second.task == "generate"
            assert abs(first.at - time.monotonic()) < 20
            real.midi.follow("a", first)
            real.midi.feedback(None, say.Progress("a", 0.5, "sample", 1.0))
            until(lambda: b"\x99\x24\x40" in player.got, "the running light")
            real.midi.feedback(None, say.Finished("a", 1.0))
            until(lambda: player.got[-2:] == [b"\x99\x24\x7f", b"\x99\x24\x00"], "done, then dark")
            real.midi.follow("b", first)
            until(lambda: player.got[-1] == b"\x99\x24\x01", "queued")
            real.midi.stop()
            until(lambda: player.got[-1] == b"\x99\x24\x00", "dark at the end")


def test_through_jack_a_clock_of_120_gives_its_tempo_and_bars(jack: Jack, tmp_path: Path) -> None:
    with Real(tmp_path / "midi.toml", api="jack") as real:
        real.wait("on: Jack")
        with Player(jack) as player:
            player.send("start")
            begin = time.monotonic() + 0.02
            for tick in range(2 * 96 + 12):  # 4.25 s
                time.sleep(max(0, begin + tick * SPEAK - time.monotonic()))
                player.send("clock")
            until(lambda: real.midi.clock.position() == (3, 1 + 11 / 24), "the last tick")
            assert real.midi.clock.tempo() == pytest.approx(
                120, abs=3
            )  # 0.1; on a busy machine the ticks sent are late themselves
            first, last = real.midi.clock.bars(2) or (0.0, 0.0)
            assert last - first == pytest.approx(4.0, abs=0.02)
            assert first == pytest.approx(begin, abs=0.05)


def test_a_jack_server_that_dies_is_told_and_its_ports_open_again(jack: Jack, tmp_path: Path) -> None:
    with Real(tmp_path / "midi.toml", api="jack") as real:
        real.wait("on: Jack")
        jack.kill()
        until(
            lambda: [text for text in real.said if text.startswith("lost: the JACK server has gone")], "lost"
        )
        real.wait("none: no MIDI here (")
        real.midi.feedback(None, say.Finished("a", 1.0))
        jack.start()
        real.wait("on: Jack")
        until(lambda: "stemwright:in" in jack.ports(), "the port is there again")


def test_a_named_device_on_jack_is_opened_when_it_comes_and_closed_when_it_goes(
    jack: Jack, tmp_path: Path
) -> None:
    import rtmidi

    with Real(tmp_path / "midi.toml", api="jack", virtual=False, inputs=("pads",)) as real:
        real.wait("on: Jack; pads in is not there")
        for _ in range(2):
            pads = rtmidi.MidiOut(rtapi=rtmidi.API_UNIX_JACK, name="pads")
            pads.open_virtual_port("out")
            real.wait("on: Jack; pads:out in")
            until(partial(is_heard, pads, real), "the pad's job")
            pads.close_port()
            pads.delete()
            real.wait("on: Jack; pads in is not there")


def is_heard(pads: Any, real: Real) -> bool:
    """Whether a press of the pad becomes a job. JACK loses what is sent while it makes its new graph."""
    before = len(real.done)
    pads.send_message(mido.Message("note_on", note=37, velocity=9).bytes())
    deadline = time.monotonic() + 0.5
    while len(real.done) == before and time.monotonic() < deadline:
        time.sleep(0.01)
    return len(real.done) > before
