"""Live audio on real devices: JACK's dummy driver, whose loopback gives back what is played."""

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from stemwright.bridge import soundprocess
from stemwright.bridge.errors import NoAudio
from stemwright.bridge.grammar import NO_AUDIO, BadMessage
from stemwright.bridge.live import Live, devices
from tests.bridge.loopback import DELAY, PERIOD, RATE, Jack, heard_after, play_and_hear, undisturbed, unique
from tests.bridge.waiting import until


@pytest.fixture(scope="module")
def card() -> Iterator[Jack]:
    if not shutil.which("jackd") or not shutil.which("jack_lsp"):
        pytest.skip("needs jackd and jack_lsp: apt install jackd2 jack-tools")
    card = Jack()
    yield card
    card.unplug()  # a name that is killed stays taken, and JACK knows eight


@pytest.fixture
def jack(card: Jack, monkeypatch: pytest.MonkeyPatch) -> Jack:
    """Plugged in; what a test before did to it is undone."""
    monkeypatch.setenv("JACK_DEFAULT_SERVER", card.name)
    monkeypatch.setenv("JACK_NO_START_SERVER", "1")
    monkeypatch.setattr(soundprocess, "AGAIN", 0.1)
    if card.rate != RATE:
        card.unplug(signal.SIGKILL)
        card.plug()
        try:
            devices()
        except NoAudio as error:
            pytest.skip(f"needs sounddevice and PortAudio with JACK: {error}")
    return card


@pytest.fixture
def opened(jack: Jack) -> Iterator[Callable[..., Live]]:
    """Makes a Live on the loopback, started, and stops it at the end."""
    made: list[Live] = []

    def open_live(**options: object) -> Live:
        live = Live(**{"input": "loopback", "output": "loopback", "seconds": 10, "latency": 0.0} | options)  # type: ignore[arg-type]
        made.append(live)
        live.start()
        return live

    before = set(threading.enumerate())
    yield open_live
    for live in made:
        live.stop()
    assert set(threading.enumerate()) <= before, "a thread is left"


@undisturbed
def test_what_is_played_is_captured_to_the_sample_in_phase_with_its_region(
    opened: Callable[..., Live],
) -> None:
    live = opened()
    until(lambda: live.now() > RATE, "a second is heard")
    sound = unique(10_000)
    begin = live.now() - 7000
    first, heard = play_and_hear(live, sound, begin=begin, loops=3)
    assert (first - DELAY - begin) % 10_000 == 0
    assert np.array_equal(heard[:, :30_000], np.tile(sound, 3))
    assert not heard[:, 30_000:].any()
    until(lambda: not live.is_playing, "the news that it ended")


@undisturbed
def test_a_captured_region_is_played_back_over_itself(opened: Callable[..., Live]) -> None:
    """Capture, play back, record: what comes is the capture, a whole number of its lengths later."""
    live = opened()
    until(lambda: live.now() > RATE // 2, "half a second is heard")
    noise = unique(24_000)
    live.play(noise, begin_frame=None, loops=1)
    asked = live.now()
    until(lambda: heard_after(live, asked).any(), "it plays")
    first = asked + int(np.flatnonzero(heard_after(live, asked)[0])[0])
    until(lambda: live.now() > first + 24_000, "it is through")
    region = live.span(first - 300, first + 24_000)
    assert np.array_equal(region.samples[:, 300:], noise)
    again, heard = play_and_hear(live, region.samples, begin=region.begin, loops=2)
    assert (again - 300 - DELAY - region.begin) % 24_300 == 0  # the first 300 frames are silent
    assert np.array_equal(heard[:, :24_000], noise)
    assert np.array_equal(heard[:, 24_300:48_300], noise)


@undisturbed
def test_a_busy_server_costs_no_sample(opened: Callable[..., Live]) -> None:
    """Python code that never rests in our process for a second, while a loop is played and heard."""
    live = opened()
    sound = unique(3000)
    live.play(sound, begin_frame=0, end_frame=3000, loops=0)
    until(lambda: live.is_playing and live.now() > RATE and live.last(0.1).samples.all(), "it plays")
    begin = live.now()
    rest = time.monotonic() + 1.0
    while time.monotonic() < rest:
        sum(range(1000))
    until(lambda: live.now() > begin + RATE, "a second is heard")
    heard = live.span(begin, begin + RATE).samples
    assert np.array_equal(heard, np.roll(np.tile(sound, 17), DELAY - begin % 3000, axis=1)[:, :RATE])


@undisturbed
def test_the_latency_that_the_device_tells_is_made_good(opened: Callable[..., Live]) -> None:
    """JACK's dummy driver tells three periods; its loopback takes one; so two are left, early."""
    live = opened(latency=None)
    until(lambda: live.now() > RATE // 2, "half a second is heard")
    begin = live.now()
    first, heard = play_and_hear(live, unique(6000), begin=begin, loops=1)
    assert (first - DELAY + 3 * PERIOD - begin) % 6000 == 0
    assert np.array_equal(heard[:, :6000], unique(6000))


def test_a_stop_fades_and_the_loop_ends(opened: Callable[..., Live]) -> None:
    live = opened()
    live.play(np.full((1, 5000), 0.5, np.float32), begin_frame=None, loops=0)
    until(lambda: live.is_playing and live.now() > RATE // 2 and live.last(0.1).samples.all(), "it plays")
    live.stop_playing()
    until(lambda: not live.is_playing and not live.last(0.1).samples.any(), "it stops")
    heard = heard_after(live, 0)
    falls = -np.diff(heard)
    assert 0 < falls.max() < 0.002  # 0.5 over 480 frames is 0.00104 each


def test_more_than_was_heard_or_is_kept_is_refused_with_both_lengths(opened: Callable[..., Live]) -> None:
    live = opened(seconds=2)
    with pytest.raises(BadMessage, match=r"\d s were heard so far, 2.00 s are asked for") as caught:
        live.last(2)
    assert caught.value.code == NO_AUDIO
    with pytest.raises(BadMessage, match=r"the last 2 s of the input are kept, 2.10 s are asked for"):
        live.last(2.1)
    with pytest.raises(BadMessage, match="is not heard yet; the input is at"):
        live.span(0, live.now() + RATE)
    until(lambda: live.now() > 3.1 * RATE, "three seconds are heard")
    assert live.last(2).samples.shape == (2, 2 * RATE)
    with pytest.raises(BadMessage, match="the last 2 s of the input are kept; frame 100 is older"):
        live.span(100, 200)


def test_a_span_whose_end_is_just_being_heard_is_waited_for(opened: Callable[..., Live]) -> None:
    live = opened()
    until(lambda: live.now() > RATE // 4, "it runs")
    end = live.now() + 4000
    assert live.span(0, end).end == end


def test_moments_and_frames_belong_together(opened: Callable[..., Live]) -> None:
    live = opened()
    until(lambda: live.now() > RATE, "a second is heard")
    moment = time.monotonic()
    frame = live.frame_at(moment)
    assert live.monotonic_at(frame) == pytest.approx(moment, abs=1e-3)
    until(lambda: live.now() > frame, "it is heard")
    assert time.monotonic() >= moment
    heard_late = live.now() - live.frame_at(time.monotonic())
    assert -RATE < heard_late <= PERIOD  # a frame is captured before we have it


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_a_device_that_goes_is_noticed_and_taken_again_when_it_comes(
    jack: Jack, opened: Callable[..., Live], how: signal.Signals
) -> None:
    states: list[str] = []
    live = opened(tell=states.append)
    until(lambda: live.now() > RATE // 2, "half a second is heard")
    sound = unique(4000)
    first, _ = play_and_hear(live, sound, begin=live.now(), loops=1)
    jack.unplug(how)
    until(lambda: live.state != "on", "the loss is noticed")
    assert live.state.startswith("lost: ")
    end = live.now()
    assert live.last(0.2).end == end
    assert np.array_equal(live.span(first, first + 4000).samples, sound)
    with pytest.raises(BadMessage, match="the live output is lost: ") as caught:
        live.play(sound, begin_frame=None, loops=1)
    assert caught.value.code == NO_AUDIO
    until(
        lambda: live.state.startswith("lost: this system has no sound device") or _has_hardware(), "it tries"
    )

    jack.plug()
    until(lambda: live.state == "on", "it is taken again")
    with pytest.raises(BadMessage, match="since the device came back"):
        live.last(9)
    until(lambda: live.now() > end + RATE // 2, "half a second is heard")
    assert np.array_equal(live.span(first, first + 4000).samples, sound)  # still there, under its old number
    with pytest.raises(BadMessage, match="since the device came back"):
        live.span(end - 10, end + 10)
    begin = live.now()
    again, heard = play_and_hear(live, sound, begin=begin, loops=1)
    assert (again - DELAY - begin) % 4000 == 0
    assert np.array_equal(heard[:, :4000], sound)
    assert (states[0], states[-1]) == ("on", "on")
    assert all(state.startswith("lost: ") for state in states[1:-1])


def _has_hardware() -> bool:
    return Path("/proc/asound").exists()


def test_a_device_may_come_back_with_another_rate(jack: Jack, opened: Callable[..., Live]) -> None:
    live = opened()
    until(lambda: live.now() > RATE // 4, "it runs")
    jack.unplug()
    until(lambda: live.state != "on", "the loss is noticed")
    end = live.now()
    jack.plug(rate=44_100)
    until(lambda: live.state == "on" and live.now() > end + 44_100 // 4, "it is taken again")
    heard = live.last(0.2)
    assert (heard.rate, heard.samples.shape[1]) == (44_100, 8820)
    with pytest.raises(BadMessage):
        live.span(0, 100)


def test_a_sound_server_that_hangs_is_a_loss_and_no_wait(jack: Jack, opened: Callable[..., Live]) -> None:
    live = opened()
    until(lambda: live.now() > RATE // 4, "it runs")
    assert jack.process is not None
    jack.process.send_signal(signal.SIGSTOP)
    until(lambda: live.state != "on", "the silence is noticed")
    assert live.state == "lost: the device was silent for 2 s"
    jack.process.send_signal(signal.SIGCONT)
    until(lambda: live.state == "on", "it is taken again")


def test_a_crash_inside_the_sound_library_does_not_reach_us(opened: Callable[..., Live]) -> None:
    live = opened()
    until(lambda: live.now() > RATE // 4, "it runs")
    child = live._process._process
    assert child is not None
    child.send_signal(signal.SIGABRT)
    until(lambda: live.state != "on", "the loss is noticed")
    assert live.state == "lost: the sound system ended our process for it (status -6)"
    until(lambda: live.state == "on", "it is taken again")


def test_an_input_alone_and_an_output_alone_say_what_they_cannot(opened: Callable[..., Live]) -> None:
    source = opened(output=None, channels=1)
    until(lambda: source.now() > RATE // 4, "it runs")
    assert source.last(0.1).samples.shape == (1, RATE // 10)
    with pytest.raises(BadMessage, match="no live output is open"):
        source.play(unique(100), begin_frame=None, loops=1)
    source.stop()
    sink = opened(input=None)
    assert sink.play(unique(4000), begin_frame=None, loops=1) == ""
    until(lambda: sink.now() > RATE // 4, "it runs")
    with pytest.raises(BadMessage, match="no live input is open"):
        sink.last(0.1)


def test_input_and_output_may_be_two_devices(opened: Callable[..., Live]) -> None:
    """What goes to the system's output does not come back through the loopback."""
    live = opened(output="system")
    live.play(unique(2000), begin_frame=None, loops=1)
    until(lambda: live.is_playing, "it plays")
    until(lambda: not live.is_playing, "it is through")
    assert not heard_after(live, 0).any()


def test_two_outputs_hear_the_first_two_of_six_channels(opened: Callable[..., Live]) -> None:
    note = opened().play(np.zeros((6, 100), np.float32), begin_frame=None, loops=1)
    assert note == "the output has 2 channels: the first 2 of 6 are played"


def test_devices_are_listed(jack: Jack) -> None:
    found = {device.name: device for device in devices()}
    assert (found["loopback"].inputs, found["loopback"].outputs, found["loopback"].rate) == (2, 2, RATE)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"input": "nonsuch"}, "no input is called 'nonsuch'; there are .*loopback"),
        ({"output": "nonsuch"}, "no output is called 'nonsuch'; there are .*loopback"),
        ({"rate": 44_100}, r"loopback .*\(48000 Hz\) cannot be opened at 44100 Hz: .*; leave the rate out"),
        ({"channels": 3}, "loopback has 2 inputs, 3 are asked for; ask for fewer channels"),
        ({"input": None, "output": None}, "neither an input nor an output is named"),
    ],
)
def test_what_cannot_be_opened_is_refused_with_what_can(
    opened: Callable[..., Live], options: dict[str, object], words: str
) -> None:
    with pytest.raises(NoAudio, match=words):
        opened(**options)


def test_the_sound_process_ends_when_its_parent_is_killed(jack: Jack) -> None:
    code = (
        "import time; from stemwright.bridge.live import Live\n"
        "live = Live(input='loopback', output=None); live.start()\n"
        "print(live._process._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.kill(child, 0)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    until(lambda: not is_running(child), "it ends")


def is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
        return "\nState:\tZ" not in Path(f"/proc/{process}/status").read_text()
    except (ProcessLookupError, FileNotFoundError):
        return False
