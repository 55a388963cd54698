"""MIDI by the real driver, in its process, and through a real JACK server."""

import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import mido
import pytest

from stemwright.bridge import messages as say
from stemwright.bridge.midi import Midi
from stemwright.bridge.midiactions import Action
from stemwright.bridge.mididriver import ProcessDriver
from stemwright.bridge.midimap import parse
from tests.bridge.jack import Jack, jack_server
from tests.bridge.midi_rig import MAP
from tests.bridge.waiting import until

SPEAK = 60 / 120 / 24  # seconds between two clocks at 120


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
