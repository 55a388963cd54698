"""The server in a studio without hardware: MIDI and live audio through JACK's dummy driver, nothing faked."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.client import Client, Refused
from stemwright.bridge.errors import NoAudio
from stemwright.bridge.grammar import NO_AUDIO
from stemwright.bridge.live import Live, devices
from stemwright.engine.contracts import Array
from tests.bridge.real import ROOT, Child, server_command
from tests.bridge.waiting import DEADLINE, until

RATE, PERIOD = 48000, 512


class Card:
    """jackd with a loopback: what is played is heard, one period later."""

    def __init__(self) -> None:
        self.name = f"stemwright-{os.getpid()}"  # that of jack.py: JACK knows eight names
        self.environment = {
            "JACK_DEFAULT_SERVER": self.name,
            "JACK_NO_START_SERVER": "1",
            "OMP_NUM_THREADS": "1",
        }

    def __enter__(self) -> "Card":
        words = f"jackd -n {self.name} --no-realtime --sync -L 2 -d dummy -r {RATE} -p {PERIOD}"
        self.process = subprocess.Popen(words.split(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until(lambda: "loopback:" in self.run("jack_lsp"), "jackd answers")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()  # a name that is killed stays taken, and JACK knows eight
        self.process.wait(DEADLINE)

    def run(self, *command: str) -> str:
        environment = {**os.environ, **self.environment}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        ).stdout


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Iterator[Card]:
    for program in ("jackd", "jack_lsp", "jack_connect"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install jackd2 jack-tools")
    pytest.importorskip("rtmidi", reason="needs python-rtmidi and libasound2")
    with Card() as card:
        for name, value in card.environment.items():
            monkeypatch.setenv(name, value)
        try:
            devices()
        except NoAudio as error:
            pytest.skip(f"needs sounddevice and PortAudio with JACK: {error}")
        yield card


@pytest.fixture
def server(card: Card, tmp_path: Path) -> Iterator[tuple[Child, int]]:
    """On the card, with MIDI; → the server and its port"""
    (tmp_path / "songs").mkdir()
    command = server_command(tmp_path / "spool", tmp_path / "songs")
    command.remove("--no-midi")
    command += ["--input", "loopback", "--output", "loopback", "--latency", "0"]
    with Child(command, {**card.environment, "HOME": str(tmp_path)}) as server:
        port = int(server.wait_for(r"listening on \S+ port (\d+)")[1])
        server.wait_for("ready on")
        yield server, port


@pytest.fixture
def musician(card: Card) -> Iterator[Live]:
    """Somebody else on the same card, who plays and records."""
    live = Live(input="loopback", output="loopback", seconds=30, latency=0)
    live.start()
    yield live
    live.stop()


def music(seconds: float) -> Array:
    """(2, N) of the demo song at the card's rate, quiet enough to be played twice at once"""
    sound, _ = soundfile.read(ROOT / "engine/demo/boas.flac", dtype="float32", frames=round(seconds * RATE))
    return np.ascontiguousarray(sound.T) * np.float32(0.4)


def place_of(part: Array, whole: Array) -> int:
    """Where (N,) begins in a longer (M,), to the sample"""
    size = 1 << (len(whole) + len(part)).bit_length()
    product = np.fft.irfft(np.fft.rfft(whole, size) * np.conj(np.fft.rfft(part, size)), size)
    return int(np.argmax(product[: len(whole)]))


@pytest.mark.slow
def test_live_sound_is_captured_to_the_sample_extracted_played_back_in_phase_and_recorded(
    server: tuple[Child, int], musician: Live
) -> None:
    _, port = server
    sound = music(3.0)
    until(lambda: musician.now() > 6 * RATE, "six seconds were heard")
    begin = musician.now()
    musician.play(sound, begin_frame=None, loops=1)
    until(lambda: musician.now() > begin + 4 * RATE, "the music is over")
    with Client(port=port) as client:
        (captured,) = client.ask(say.Capture("take", 6.0))
        assert isinstance(captured, say.Captured)
        heard, rate = soundfile.read(captured.path, dtype="float32", always_2d=True)
        assert (rate, len(heard)) == (RATE, 6 * RATE)
        first = int(np.flatnonzero(np.abs(heard).sum(1))[0])
        offset = int(np.flatnonzero(np.abs(sound).sum(0))[0])
        np.testing.assert_array_equal(heard[first - offset :][: sound.shape[1]].T, sound)

        asked_at = musician.now()
        client.submit("played", "extract", [("prompt", "drums"), ("capture", "take"), ("play", 1)])
        results = [event for event in client.follow("played") if isinstance(event, say.Result)]
        stem = soundfile.read(results[0].path, dtype="float32", always_2d=True)[0]
        rest = soundfile.read(results[1].path, dtype="float32", always_2d=True)[0]
        assert np.abs(stem + rest - heard).max() < 1e-6
        until(lambda: musician.now() > asked_at + 14 * RATE, "the stem was played")
        recorded = musician.span(asked_at, asked_at + 14 * RATE).samples
        at = place_of(stem[:, 0], recorded[0])
        np.testing.assert_array_equal(recorded[:, at : at + len(stem)].T, stem)


@pytest.mark.slow
def test_a_pad_extracts_what_was_just_played_and_its_light_tells(
    server: tuple[Child, int], musician: Live, card: Card
) -> None:
    import rtmidi

    child, port = server
    child.wait_for("MIDI: on")
    lights: list[bytes] = []
    pads = rtmidi.MidiOut(rtapi=rtmidi.API_UNIX_JACK, name="pads")
    pads.open_virtual_port("out")
    lamps = rtmidi.MidiIn(rtapi=rtmidi.API_UNIX_JACK, name="lamps")
    lamps.open_virtual_port("in")
    lamps.set_callback(lambda event, _: lights.append(bytes(event[0])))
    try:
        wire(card, "pads:out", "stemwright:in")
        wire(card, "stemwright-lights:out", "lamps:in")
        musician.play(music(2.0), begin_frame=None, loops=1)
        until(lambda: musician.now() > 11 * RATE, "ten seconds were heard")
        pads.send_message(mido.Message("note_on", note=36, velocity=100).bytes())
        with Client(port=port) as client:
            until(lambda: states(client) == ["finished"], "the pad's job is done")
            (row,) = [one for one in client.ask(say.AskJobs()) if isinstance(one, say.JobState)]
            results = [one for one in client.follow(row.job) if isinstance(one, say.Result)]
        assert row.job.startswith("midi-")
        assert results[0].kind == "drums"
        assert results[0].seconds == pytest.approx(10.0)
        until(lambda: b"\x90\x24\x7f" in lights, "the done light")
    finally:
        for one in (pads, lamps):
            one.close_port()
            one.delete()


def test_without_the_sound_card_the_server_lives_and_says_so(server: tuple[Child, int], card: Card) -> None:
    child, port = server
    card.process.terminate()
    card.process.wait()
    child.wait_for("live audio: lost")
    with Client(port=port) as client:
        with pytest.raises(Refused) as refused:
            client.ask(say.Capture("gone", 100.0), 20)
        assert refused.value.fail.code == NO_AUDIO
        assert client.ask(say.Ping(3)) == [say.Pong(3)]


def states(client: Client) -> list[str]:
    return [row.state for row in client.ask(say.AskJobs()) if isinstance(row, say.JobState) and row.job]


def wire(card: Card, output: str, into: str) -> None:
    until(lambda: {output, into} <= set(card.run("jack_lsp").split("\n")), f"{output} and {into} are there")
    card.run("jack_connect", output, into)
    until(lambda: into in card.run("jack_lsp", "-c", output), "they are connected")
