"""Live audio without devices: a fake sounddevice in the process that would import it, and packets by hand."""

import json
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from stemwright.bridge import soundprocess
from stemwright.bridge.errors import NoAudio
from stemwright.bridge.grammar import BadMessage
from stemwright.bridge.live import Live, devices
from tests.bridge.waiting import DEADLINE, until

LOUD = "import os\nos.write(1, b'noise on the screen')\nos.write(2, b'noise on the screen')\n"
FAKE = """
class PortAudioError(Exception): pass
class default: device = (0, 0)
def query_hostapis(): return [{"name": "Fake"}]
def query_devices():
    card = dict(name="Card", hostapi=0, default_samplerate=48000.0)
    return [card | dict(max_input_channels=2, max_output_channels=0)]
class RawInputStream:
    def __init__(self, **options): %s
    def start(self): %s
"""


@pytest.fixture
def fake(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def write(code: str) -> None:
        (tmp_path / "sounddevice.py").write_text(code)

    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    return write


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("raise OSError('PortAudio library not found')", "the PortAudio library is missing; install it: apt"),
        (
            "raise ModuleNotFoundError('sounddevice')",
            "the Python package sounddevice is missing; install it: pip",
        ),
        ("raise RuntimeError('Error -9999')", "the sound system does not start: Error -9999"),
        ("import os; os.abort()", r"the sound system ended our process for it \(status -6\)"),
        ("import os; os._exit(0)", r"the sound system ended our process for it \(status 0\)"),
        (
            FAKE.replace("[card", "[] and [card") % ("pass", "pass"),
            "this system has no sound device; plug one in",
        ),
    ],
)
def test_without_sound_there_is_a_sentence_on_what_to_do(
    fake: Callable[[str], None], code: str, words: str, capfd: pytest.CaptureFixture[str]
) -> None:
    fake(LOUD + code)
    with pytest.raises(NoAudio, match=words):
        devices()
    live = Live(input="default", output=None)
    with pytest.raises(NoAudio, match=words):
        live.start()
    assert live.state == "off"
    assert capfd.readouterr() == ("", "")


def test_a_sound_system_that_hangs_while_it_opens_is_given_up(
    fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(FAKE % ("pass", "import time; time.sleep(60)"))
    monkeypatch.setattr(soundprocess, "OPENING", 1.0)
    live = Live(input="Card", output=None)
    live._process._patience = 1.0
    with pytest.raises(NoAudio, match="the sound system does not answer"):
        live.start()


def test_stop_does_not_wait_for_a_sound_system_that_hangs(
    fake: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake(FAKE % ("pass", "import time; time.sleep(60)"))
    monkeypatch.setattr(soundprocess, "CLOSING", 0.2)
    live = Live(input="Card", output=None)
    failed: list[Exception] = []

    def start() -> None:
        try:
            live.start()
        except NoAudio as error:
            failed.append(error)

    starter = threading.Thread(target=start)
    starter.start()
    until(lambda: live._process._process is not None, "it starts")
    live.stop()
    starter.join(DEADLINE)
    assert failed


def test_sound_lost_between_the_processes_is_a_break_and_never_glued_over() -> None:
    """Packets made by hand, as a process would send them that could not keep everything."""
    live = Live(input="x", output=None, seconds=1)
    opened = json.dumps({"opened": "x", "rates": [1000, 1000], "channels": [1, 0]}).encode()
    live._take_packet(b"J", opened)
    for first in (0, 100, 250):
        live._take_packet(b"A", first.to_bytes(8, "little") + np.full(100, first + 1, "<f4").tobytes())
    assert live.now() == 350
    assert live.span(0, 200).samples.shape == (1, 200)
    assert (live.last(0.1).samples == 251).all()
    with pytest.raises(BadMessage, match=r"0\.10 s were heard since"):
        live.last(0.2)
    live._take_packet(b"J", opened)
    with pytest.raises(BadMessage, match=r"0\.00 s were heard since"):
        live.last(0.1)  # it was heard before the device came back
    assert live.span(250, 350).samples.shape == (1, 100)
