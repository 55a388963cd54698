"""Pads, knobs, lights and learning, on a fake driver."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import BadMessage
from stemwright.bridge.midiactions import Action, Trigger
from stemwright.bridge.midimap import read_map
from tests.bridge.midi_rig import Rig
from tests.bridge.waiting import until

START, CLOCK, SPEAK = b"\xfa", b"\xf8", 60 / 120 / 24


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
