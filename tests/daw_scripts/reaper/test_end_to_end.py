"""The REAPER scripts in a fake REAPER, with the real server and the default model: sound in, tracks out."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.bridge.real import Child, needs, server_command

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
SCRIPTS = ROOT / "daw_scripts" / "reaper" / "Stemwright"
NAME = 'Söng "eins" 歌'
PATIENCE = 500  # seconds; a job takes a few on a machine with nothing else to do
QUIET = {"OMP_NUM_THREADS": "1"}
SOCKETS = Path("/usr/lib/x86_64-linux-gnu/lua/5.4/socket/core.so")
pytestmark = needs("lua5.4")


@dataclass
class Session:
    """A folder that is home, with an inbox, a song, and what the fake made of it."""

    folder: Path
    kept: dict[str, str] = field(default_factory=dict)
    port: int = 0  # of the server
    child: Child | None = None  # the server itself

    @property
    def media(self) -> Path:
        return self.folder / NAME

    @property
    def inbox(self) -> Path:
        return self.folder / "in box"

    def left_over(self) -> list[Path]:
        """What lies in the inbox beside the server's own card."""
        return [path for path in self.inbox.iterdir() if not path.name.startswith(".")]

    def song(self, seconds: float, rate: int = 44100) -> Path:
        """A piece of real music, stereo."""
        self.media.mkdir(exist_ok=True)
        wave, _ = soundfile.read(
            ROOT / "engine" / "demo" / "boas.flac", stop=round(seconds * 44100), always_2d=True
        )
        path = self.media / "song.wav"
        soundfile.write(path, np.repeat(wave, 2, axis=1)[:, :2] * [1.0, 0.7], rate, subtype="FLOAT")
        return path

    @property
    def command(self) -> list[str]:
        return ["lua5.4", str(HERE / "real.lua"), str(SCRIPTS), str(self.folder / "order.json")]

    def whole(self, order: dict[str, Any]) -> dict[str, Any]:
        """An order with what all have in common."""
        kept = {"inbox": str(self.inbox), **self.kept, **order.get("kept", {})}
        return {"folder": str(self.folder), "media": str(self.media), **order, "kept": kept}

    def start(self, order: dict[str, Any]) -> subprocess.Popen[str]:
        """The same, going on while the test does other things."""
        (self.folder / "order.json").write_text(json.dumps(self.whole(order)))
        return subprocess.Popen(self.command, stdout=subprocess.PIPE, text=True)

    def run(self, order: dict[str, Any]) -> dict[str, Any]:
        """What the project holds afterwards."""
        (self.folder / "order.json").write_text(json.dumps(self.whole(order)))
        done = subprocess.run(self.command, check=False, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, done.stderr[-3000:]
        result: dict[str, Any] = json.loads(done.stdout)
        return result


@pytest.fixture(scope="module")
def session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Session]:
    """The real server with the default model watches the session's inbox."""
    folder = tmp_path_factory.mktemp("session")
    session = Session(folder)
    command = [*server_command(folder / "spool", folder), "--inbox", str(session.inbox)]
    with Child(command, QUIET) as child:
        session.port, session.child = int(child.wait_for(r"ready on \S+ port (\d+)")[1]), child
        yield session
        assert child.stop() == 0, child.told()
        assert not [line for line in child.lines if "Traceback" in line], child.told()


def sounds(made: dict[str, Any], *tracks: int) -> list[np.ndarray]:
    """The files of the first takes of those tracks, (frames, channels) each."""
    return [
        soundfile.read(made["tracks"][track]["items"][0]["takes"][0]["path"], always_2d=True)[0]
        for track in tracks
    ]


def test_stem_and_rest_of_a_time_selection_add_up_to_it(session: Session) -> None:
    song = session.song(2.5)
    item = {"path": str(song), "position": 1.0, "length": 2.5}
    made = session.run(
        {
            "rate": 44100,
            "time": [1.500013, 3.000021],  # between samples
            "tracks": [{"name": NAME, "is_selected": True, "items": [item]}, {"name": "below", "items": []}],
            "answers": [{"prompts": 'the "low" bass; drums', "seed": "3"}],
        }
    )
    assert made["messages"] == []
    names = [f'the "low" bass - {NAME}', f"drums - {NAME}", f"rest - {NAME}"]
    assert [track["name"] for track in made["tracks"]] == [NAME, *names, "below"]
    first, last = round(1.500013 * 44100), round(3.000021 * 44100)
    for track in made["tracks"][1:4]:
        assert track["items"][0]["position"] == pytest.approx(first / 44100, abs=1e-12)
        assert track["items"][0]["length"] == pytest.approx((last - first) / 44100, abs=1e-12)
    stems = sounds(made, 1, 2, 3)
    part = soundfile.read(song, always_2d=True)[0][first - 44100 : last - 44100]
    assert [stem.shape for stem in stems] == [part.shape] * 3
    assert all(np.abs(stem).max() > 1e-4 for stem in stems)
    np.testing.assert_allclose(sum(stems), part, atol=2**-23)  # measured 3.0e-8
    assert made["undo"] == 1 and made["loose"] == 0 and made["accessors"] == 0
    assert session.left_over() == []  # no temporary files


def test_an_item_at_another_rate_with_offset_gives_variations_as_takes(session: Session) -> None:
    song = session.song(2.5)
    item = {
        "path": str(song),
        "position": 7.25,
        "length": 0.8,
        "offset": 0.5,
        "play_rate": 1.25,
        "is_selected": True,
    }
    made = session.run(
        {
            "rate": 48000,
            "tracks": [{"name": "Gtr", "items": [item]}],
            "answers": [{"prompts": "electric guitar", "variations": "2"}],
        }
    )
    assert made["messages"] == []
    stem, rest = made["tracks"][1]["items"][0], made["tracks"][2]["items"][0]
    assert (stem["position"], stem["length"]) == (7.25, 0.8)
    assert [take["name"] for take in stem["takes"]] == ["electric guitar, seed 0", "electric guitar, seed 1"]
    sums = []
    for ours, others in zip(stem["takes"], rest["takes"], strict=True):
        (one, rate), (other, _) = soundfile.read(ours["path"]), soundfile.read(others["path"])
        assert rate == 48000 and one.shape == other.shape == (38400, 2)
        sums.append(one + other)
    np.testing.assert_allclose(sums[0], sums[1], atol=2**-23)  # measured 5.6e-8: both are the item


def test_a_mono_item_in_a_project_of_96_khz_comes_back_as_mono_at_96_khz(session: Session) -> None:
    song = session.song(1.0, rate=96000).with_name("mono.wav")
    wave = soundfile.read(session.media / "song.wav")[0][:, 0]
    soundfile.write(song, wave, 96000, subtype="FLOAT")
    seconds = len(wave) / 96000
    item = {"path": str(song), "position": 2.0, "length": seconds, "is_selected": True}
    track = {"name": "Mono", "channels": 2, "items": [item]}
    made = session.run({"rate": 96000, "tracks": [track], "answers": [{"prompts": "bass"}]})
    assert made["messages"] == []
    for one in made["tracks"][1:]:
        assert soundfile.info(one["items"][0]["takes"][0]["path"]).samplerate == 96000
    stems = sounds(made, 1, 2)
    assert [stem.shape for stem in stems] == [(len(wave), 1)] * 2
    np.testing.assert_allclose(sum(stems)[:, 0], wave, atol=2**-23)  # measured 2.5e-8


def test_the_server_says_what_is_wrong_in_its_own_words(session: Session) -> None:
    item = {"path": str(session.song(1.0)), "position": 0.0, "length": 1.0, "is_selected": True}
    made = session.run(
        {
            "rate": 44100,
            "tracks": [{"name": "Vox", "items": [item]}],
            "answers": [{"prompts": "bass", "preset": "no-such-preset"}],
        }
    )
    assert "(unknown_preset)" in made["messages"][0]
    assert len(made["tracks"]) == 1 and made["undo"] == 0
    assert session.left_over() == []


def test_cancel_stops_the_job_in_the_server(session: Session) -> None:
    item = {"path": str(session.song(2.5)), "position": 0.0, "length": 2.5, "is_selected": True}
    made = session.run(
        {
            "rate": 44100,
            "tracks": [{"name": "Vox", "items": [item]}],
            "answers": [{"prompts": "bass", "steps": "1000", "variations": "16"}],
            "click": ["making the sound", "Cancel"],
        }
    )
    assert made["messages"] == [] and len(made["tracks"]) == 1
    assert session.left_over() == []
    assert session.child is not None
    session.child.wait_for(r"reaper-\S+.* cancelled|cancelled.*reaper-")


@pytest.mark.skipif(not SOCKETS.exists(), reason="needs the package lua-socket")
def test_with_sockets_the_presets_come_from_the_server(session: Session) -> None:
    item = {"path": str(session.song(1.0)), "position": 0.0, "length": 1.0, "is_selected": True}
    made = session.run(
        {
            "rate": 44100,
            "tracks": [{"name": "Vox", "items": [item]}],
            "answers": [{"prompts": "", "preset": "drums"}],
            "kept": {"port": str(session.port)},
            "lua_sockets": str(SOCKETS.parents[1]),
        }
    )
    presets = {preset["name"]: preset for preset in json.loads(made["presets"])}
    assert presets["drums"] == {"name": "drums", "task": "extract", "prompt": "drums", "colour": "#e4572e"}
    assert made["messages"] == []
    assert made["tracks"][1]["colour"] == 0x1000000 | 0x2E57E4


def test_a_server_that_is_not_running_is_started_from_the_window(tmp_path: Path) -> None:
    session = Session(tmp_path)
    program, pid = tmp_path / "my stemwright", tmp_path / "pid"
    words = [
        "--port",
        "0",
        "--http-port",
        "0",
        "--spool",
        str(tmp_path / "spool"),
        "--no-midi",
        "--threads",
        "1",
    ]
    command = " ".join(f"'{word}'" for word in [sys.executable, "-m", "stemwright.engine.cli"])
    flags = " ".join(f"'{word}'" for word in [*words, "--root", str(tmp_path)])
    program.write_text(f"#!/bin/sh\necho $$ > '{pid}'\nOMP_NUM_THREADS=1 exec {command} \"$@\" {flags}\n")
    program.chmod(0o755)
    item = {"path": str(session.song(1.0)), "position": 0.0, "length": 1.0, "is_selected": True}
    try:
        made = session.run(
            {
                "rate": 44100,
                "tracks": [{"name": "Vox", "items": [item]}],
                "answers": [{"prompts": "bass"}],
                "kept": {"command": str(program)},
                "click": ["no Stemwright server takes the job", "Start the server"],
            }
        )
    finally:
        with suppress(FileNotFoundError, ProcessLookupError, ValueError):
            os.kill(int(pid.read_text()), signal.SIGTERM)
    assert made["commands"] == [f'"{program}" serve --inbox "{session.inbox}"']
    assert made["messages"] == []
    assert [track["name"] for track in made["tracks"]] == ["Vox", "bass - Vox", "rest - Vox"]


def test_several_tracks_are_jobs_at_once_and_each_adds_up(session: Session) -> None:
    song = session.song(1.0)
    item = {"path": str(song), "position": 0.0, "length": 1.0}
    louder = {**item, "volume": 0.5}
    tracks = [
        {"name": "A", "is_selected": True, "items": [item]},
        {"name": "B", "is_selected": True, "items": [louder]},
    ]
    made = session.run(
        {"rate": 44100, "time": [0.0, 1.0], "tracks": tracks, "answers": [{"prompts": "bass"}]}
    )
    assert made["messages"] == []
    assert [track["name"] for track in made["tracks"]] == [
        "A",
        "bass - A",
        "rest - A",
        "B",
        "bass - B",
        "rest - B",
    ]
    part = soundfile.read(song, always_2d=True)[0]
    np.testing.assert_allclose(sum(sounds(made, 1, 2)), part, atol=2**-23)  # measured 2.6e-8
    np.testing.assert_allclose(sum(sounds(made, 4, 5)), part * 0.5, atol=2**-23)  # measured 1.3e-8
    assert made["undo"] == 1


def until(is_so: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.05)


def test_a_server_killed_midway_and_started_again_finishes_the_job(tmp_path: Path) -> None:
    session = Session(tmp_path)
    item = {"path": str(session.song(1.0)), "position": 0.0, "length": 1.0, "is_selected": True}
    tracks = [{"name": "Vox", "items": [item]}]
    order = {
        "rate": 44100,
        "tracks": tracks,
        "answers": [{"prompts": "bass", "steps": "40", "variations": "2"}],
    }
    command = [*server_command(tmp_path / "spool", tmp_path), "--inbox", str(session.inbox)]
    with Child(command, QUIET) as child:
        child.wait_for(r"ready on \S+ port (\d+)")
        script = session.start(order)
        until(
            lambda: any('"running"' in one.read_text() for one in session.inbox.glob("*/status.json")),
            "not begun",
        )
        os.killpg(child._process.pid, signal.SIGKILL)
        assert child.ended() == -signal.SIGKILL
    assert not list(session.inbox.glob("*/done.json"))
    with Child(command, QUIET):
        told, _ = script.communicate(timeout=PATIENCE)
    made = json.loads(told)
    assert made["messages"] == []
    assert len(made["tracks"][1]["items"][0]["takes"]) == 2
