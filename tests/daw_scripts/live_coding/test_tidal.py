"""Tidal asks, SuperDirt gets the samples.

tidal.txt holds what Tidal 1.7.10 sent for the three lines of `session` below, a packet a line, recorded from
GHCi with our snippet. Where Tidal is installed it is asked again and must say the same, but for the time.
SuperDirt itself is not packaged: its method that loads a sample is played by a stand-in.
"""

import os
import shutil
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from pythonosc.osc_message import OscMessage

from tests.bridge.real import PATIENCE, Child, free_ports, packet
from tests.daw_scripts.live_coding.studio import BAR, HERE, SCRIPTS, Studio, said, sound_of
from tests.daw_scripts.live_coding.test_supercollider import NEEDS as SUPERCOLLIDER
from tests.daw_scripts.live_coding.test_supercollider import sclang

PACKETS = [bytes.fromhex(line) for line in (HERE / "tidal.txt").read_text().split()]
TIME = slice(8, 16)  # bytes of a bundle


def session(port: int) -> str:
    """A user's GHCi, with a target of another port."""
    return f"""
:set -XOverloadedStrings
import Sound.Tidal.Context
import Control.Concurrent
:script {SCRIPTS / "tidal" / "BootStemwright.hs"}
let target = stemwrightTarget {{oPort = {port}}}
tidal <- startStream defaultConfig {{cCtrlListen = False}} [(target, stemwrightShapes)]
let once = streamOnce tidal
once $ stemOf "verse" "bass" "songs/bar.wav"
once $ stemOfLast "jam" "electric guitar" 4
once $ noStem "jam"
threadDelay 1000000
"""


def has_tidal() -> bool:
    """Whether GHC knows Tidal; asked before the test, so that it is skipped and does not fail."""
    if shutil.which("ghc-pkg") is None or shutil.which("ghci") is None:
        return False
    found = subprocess.run(["ghc-pkg", "latest", "tidal"], capture_output=True, timeout=PATIENCE, check=False)
    return found.returncode == 0


def without_time(bundle: bytes) -> bytes:
    return bundle[: TIME.start] + bundle[TIME.stop :]


@pytest.mark.skipif(not has_tidal(), reason="needs Tidal: apt-get install ghc libghc-tidal-dev")
def test_tidal_sends_what_was_recorded_of_it(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(PATIENCE)
        script = tmp_path / "session.ghci"
        script.write_text(session(server.getsockname()[1]))
        command = f"ghci -ignore-dot-ghci -v0 < '{script}'"
        with Child(["sh", "-c", command], {"HOME": str(tmp_path)}) as ghci:
            assert ghci.ended() == 0, ghci.told()
        server.settimeout(1)
        heard = []
        with suppress(TimeoutError):
            heard = [server.recv(1 << 16) for _ in PACKETS]
        assert [without_time(one) for one in heard] == [without_time(one) for one in PACKETS], ghci.told()


def test_the_server_does_what_tidal_asks_for(studio: Studio) -> None:
    """The recorded bytes, replayed; their time is long past, so they are done at once."""
    heard: dict[str, list[tuple[str, list[object]]]] = {}
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as tidal:
        tidal.connect(("127.0.0.1", studio.port))
        tidal.settimeout(PATIENCE)
        for one in PACKETS:
            tidal.send(one)
        end = time.monotonic() + PATIENCE
        while "finished" not in heard or len(heard.get("fail", [])) < 2:
            assert time.monotonic() < end, heard
            message = OscMessage(tidal.recv(1 << 16))
            heard.setdefault(message.address.rpartition("/")[2], []).append((message.address, message.params))
    assert [row[1] for row in heard["accepted"]] == [["verse", 0]]
    results = [row[1] for row in heard["result"]]
    assert [row[3] for row in results] == ["bass", "rest"]
    assert sound_of(str(results[0][4])).shape == (1, BAR)
    live, cancel = (row[1] for row in heard["fail"])
    assert (live[:2], live[3]) == (["/stemwright/extract", "no_audio"], "jam")
    assert cancel[:2] == ["/stemwright/cancel", "not_found"]


@SUPERCOLLIDER
def test_stems_that_somebody_asked_for_become_samples_of_a_stand_in_for_superdirt(
    studio: Studio, sound: dict[str, str]
) -> None:
    out = studio.out("dirt")
    environment = {
        **studio.environment(out, studio.bar, scsynth=free_ports(1)[0]),
        **sound,
    }
    with sclang("dirt.scd", environment, out, HERE / "fakes") as client:
        client.wait_for("said:\tlistens")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as somebody:
            words = ("samples", "prompt", "drums", "path", str(studio.bar))
            somebody.sendto(packet("/stemwright/extract", *words), ("127.0.0.1", studio.port))
            assert client.ended() == 0, client.told()
    samples = said(client.lines)["sample"]
    assert [os.path.basename(path) for path, _ in samples] == ["drums.wav", "rest.wav"]
    assert [frames for _, frames in samples] == [str(BAR)] * 2
