"""Programs that people make music with talk to the real server, headless, and see what the protocol promises.

Each client runs the same small session in its own language (clients/): a stem is asked for and made, a
request is wrong, a long job is cancelled. What it heard is compared with the transcript of that session.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import BAD_ARGS, Message
from tests.bridge.jack import Jack
from tests.bridge.real import (
    CLIENTS,
    ROOT,
    SONIC_PI,
    Child,
    SonicPi,
    answers_ping,
    free_ports,
    needs,
    running_server,
)
from tests.bridge.transcripts import from_columns, from_oscdump, from_pd, from_sonic_pi, normalised

SECONDS = 3.0
NOTIFIED = say.Done("/stemwright/notify", "60")
PONG = say.Pong(7)
HEADLESS = {"QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_DISABLE_SANDBOX": "1"}  # the latter for root


@dataclass(frozen=True)
class Studio:
    """A running server and a song that it may read."""

    port: int
    spool: Path
    song: Path
    server: Child

    def environment(self, reply_port: int) -> dict[str, str]:
        """What a client's script reads; its home is a new folder, so that it knows no settings of ours."""
        home = self.song.parent.parent / f"home-{reply_port}"
        home.mkdir()
        return {
            "STEMWRIGHT_PORT": str(self.port),
            "STEMWRIGHT_REPLY_PORT": str(reply_port),
            "STEMWRIGHT_SONG": str(self.song),
            "HOME": str(home),
            "XDG_RUNTIME_DIR": str(home),
        }


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    folder = tmp_path_factory.mktemp("studio")
    song = folder / "songs" / "boas.wav"
    song.parent.mkdir()
    wave, rate = soundfile.read(ROOT / "engine" / "demo" / "boas.flac", stop=round(SECONDS * 44100))
    soundfile.write(song, wave, rate)
    with running_server(folder / "spool", song.parent) as (server, port):
        yield Studio(port, folder / "spool", song, server)
        assert server.stop() == 0, server.told()
        assert not [line for line in server.lines if "Traceback" in line], server.told()


@pytest.fixture(scope="module")
def sound() -> Iterator[dict[str, str]]:
    """What leads a client to a JACK server without a sound card."""
    server = Jack()
    server.start()
    yield {"JACK_DEFAULT_SERVER": server.name}
    server.stop()


def session(name: str, first: Message, *, hears_done: bool = True) -> list[Message]:
    """The transcript of a client's session.

    first       the answer that opens it
    hears_done  not by who sends from another port than it listens on
    """
    bass, typo, long = f"{name}-bass", f"{name}-typo", f"{name}-long"
    done = [say.Done("/stemwright/cancel", long)] if hears_done else []
    return [
        first,
        say.Accepted(bass, 0),
        say.Progress(bass, 0.0, "", 0.0),
        say.Result(bass, 0, 2, "bass", ".wav", SECONDS),
        say.Result(bass, 1, 2, "rest", ".wav", SECONDS),
        say.Finished(bass, 0.0),
        say.Fail("/stemwright/extract", BAD_ARGS, "", typo),
        say.Accepted(long, 0),
        say.Progress(long, 0.0, "", 0.0),
        *done,
        say.Cancelled(long),
    ]


def check(studio: Studio, heard: list[Message], expected: list[Message]) -> None:
    """The transcript, the files it tells of, the words of the refusal, and the server's health after it."""
    assert normalised(heard) == expected
    song, rate = soundfile.read(studio.song)
    results = [message for message in heard if isinstance(message, say.Result)]
    stems = []
    for result in results:
        assert Path(result.path).is_relative_to(studio.spool)
        stem, own_rate = soundfile.read(result.path)
        assert (own_rate, stem.shape) == (rate, song.shape)
        assert np.abs(stem).max() > 1e-3, f"{result.kind} is silent"
        stems.append(stem)
    np.testing.assert_allclose(sum(stems), song, atol=1e-6)  # measured 3e-8
    (refusal,) = (message for message in heard if isinstance(message, say.Fail))
    assert "no option 'promt'; there are: prompt," in refusal.text
    (cancelled,) = (message.job for message in heard if isinstance(message, say.Cancelled))
    assert not list(studio.spool.glob(f"**/{cancelled}/**/*.wav"))
    assert answers_ping(studio.port)


@needs("liblo-tools", "bash", "oscsend", "oscdump")
def test_oscsend_submits_and_cancels_and_oscdump_hears_all_of_it(studio: Studio) -> None:
    environment = studio.environment(*free_ports(1))
    with Child(["bash", str(CLIENTS / "oscsend.sh")], environment) as client:
        assert client.ended() == 0, client.told()
    check(studio, from_oscdump(client.lines), session("shell", NOTIFIED, hears_done=False))


@needs("supercollider-language", "sclang")
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sclang_holds_a_session_on_its_own_port(studio: Studio, transport: str) -> None:
    environment = {**studio.environment(*free_ports(1)), **HEADLESS}
    name = "sclang" if transport == "udp" else "sclang-tcp"
    if transport == "tcp":
        environment["STEMWRIGHT_TCP"] = "1"
    with Child(["sclang", str(CLIENTS / "sclang.scd")], environment) as client:
        assert client.ended() == 0, client.told()
    check(studio, from_columns(client.lines), session(name, PONG))


@needs("puredata-core", "pd")
def test_pd_holds_a_session_through_netsend(studio: Studio) -> None:
    silent = ["-nogui", "-stderr", "-noprefs", "-nosound", "-noaudio", "-nomidi"]  # -batch knows no real time
    words = ["-send", f"song symbol {studio.song}", "-send", f"port {studio.port}"]
    command = ["pd", *silent, "-open", str(CLIENTS / "pd.pd"), *words]
    with Child(command, studio.environment(*free_ports(1))) as client:
        client.ended()
    check(studio, from_pd(client.lines), session("pd", PONG))


@needs("chuck jackd2", "chuck", "jackd", "jack_lsp")
def test_chuck_holds_a_session_with_a_port_for_the_answers(studio: Studio, sound: dict[str, str]) -> None:
    environment = {**studio.environment(*free_ports(1)), **sound}
    with Child(["chuck", str(CLIENTS / "chuck.ck")], environment) as client:
        assert client.ended() == 0, client.told()
    check(studio, from_columns(client.lines), session("chuck", NOTIFIED))


@needs("sonic-pi-server jackd2 procps", SONIC_PI, "ruby", "erl", "scsynth", "jackd", "jack_lsp", "ps")
def test_sonic_pi_holds_a_session_through_cues(studio: Studio, sound: dict[str, str], tmp_path: Path) -> None:
    ports = free_ports(7)
    environment = {**studio.environment(ports[0]), **sound}
    with SonicPi(tmp_path, ports, environment) as sonic_pi:
        sonic_pi.boot()
        log = sonic_pi.run((CLIENTS / "sonic_pi.rb").read_text())
    check(studio, from_sonic_pi(log), session("sonic-pi", NOTIFIED))
