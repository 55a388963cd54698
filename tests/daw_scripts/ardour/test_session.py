"""The script without a window: a session on the disk, Ardour's Lua, the real server and model."""

import importlib.util
import json
import subprocess
import sys
import xml.etree.ElementTree as Tree
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import soundfile

from tests.bridge.real import ROOT, free_ports, running_server
from tests.daw_scripts.ardour import desk
from tests.daw_scripts.ardour.studio import (
    LUA,
    PATIENCE,
    Home,
    environment,
    export,
    lua,
    make_home,
    make_session,
    needs_ardour,
)  # fmt: skip

pytestmark = [needs_ardour, pytest.mark.slow]
SCRIPT = ROOT / "daw_scripts" / "ardour" / "headless" / "stemwright_session.py"
EXACT = 2e-7  # of full scale; measured 6e-8


def run(home: Home, session: Path, *words: str, port: int) -> subprocess.CompletedProcess[str]:
    program = home.path / "stemwright"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m stemwright.engine.cli "$@"\n')
    program.chmod(0o755)
    command = [
        sys.executable,
        str(SCRIPT),
        str(session),
        *words,
        "--port",
        str(port),
        "--stemwright",
        str(program),
    ]
    return subprocess.run(
        command, env=environment(home.path) | {"PATH": "/usr/bin:/bin"}, capture_output=True, text=True,
        timeout=4 * PATIENCE, check=False,
    )  # fmt: skip


def made(home: Home, folder: Path, rate: int, channels: int) -> tuple[Path, np.ndarray]:
    """A session with a track of three seconds at sample 1001, and another below → its file and its mixdown"""
    session = make_session(home, folder / "Stücke 'neu' 曲", rate=rate)
    lua(home.path, LUA / "tracks.lua", str(session.parent), session.stem, str(channels))
    samples = desk.write_song(folder / "song.wav", 3.0, channels=channels)
    root = Tree.parse(session).getroot()
    [audio] = (session.parent / "interchange").glob("*/audiofiles")
    names = ["mix.wav"] if channels == 1 else ["mix%L.wav", "mix%R.wav"]
    for name, column in zip(names, samples.T, strict=True):
        soundfile.write(audio / name, column, rate, subtype="FLOAT")
    playlist = next(one.get("id") for one in root.iter("Playlist") if one.get("name") == "Der Mix")
    parts = sessionfile()
    parts.insert(root, [parts.Piece(playlist, "mix", names, 1001, len(samples))])
    end = f"a{4 * parts.TICKS}"  # without a range of the session there is nothing to export
    facts = {
        "id": "999999",
        "name": "session",
        "start": "a0",
        "end": end,
        "flags": "IsSessionRange",
        "locked": "0",
    }
    Tree.SubElement(root.find("Locations"), "Location", facts)
    parts.save(root, session)
    return session, export(home, session, folder / "before.wav")[0]


def sessionfile() -> ModuleType:
    """The module beside the script, which is no package."""
    spec = importlib.util.spec_from_file_location("sessionfile", SCRIPT.with_name("sessionfile.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


@pytest.mark.parametrize(("rate", "channels"), [(48000, 2), (44100, 1)])
def test_a_session_gets_stem_and_rest_that_sum_to_the_track_in_its_export(
    home: Home, tmp_path: Path, rate: int, channels: int
) -> None:
    session, original = made(home, tmp_path, rate, channels)
    prompt = 'o\'bass "$(touch x)"'
    with running_server(tmp_path / "spool", tmp_path) as (_, port):
        words = ["extract", prompt, "--track", "Der Mix", "--from", "0.5", "--to", "2.25"]
        done = run(home, session, *words, "--option", "variations=2", port=port)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    start, frames = rate // 2, round(2.25 * rate) - rate // 2
    assert (told["start"], told["frames"]) == (start, frames)
    assert [len(track["takes"]) for track in told["tracks"]] == [2, 2]

    rows = lua(home.path, LUA / "list.lua", str(session.parent), session.stem).splitlines()
    rows = [row.split("\t")[1:] for row in rows if row.startswith("ROW")]
    stem = told["tracks"][0]["track"]
    assert [row[0] for row in rows] == ["Der Mix", stem, "rest - Der Mix", "darunter"]
    assert [row[1:] for row in rows[1:3]] == [[str(start), str(frames), str(channels), "2"]] * 2
    assert not list(tmp_path.rglob("x"))

    desk.empty_track(session, "Der Mix")
    stems, _ = export(home, session, tmp_path / "after.wav")
    inside = slice(start, start + frames)
    error = np.abs(stems[inside] - original[inside]).max()
    print(f"stem + rest against the track, exported at {rate} Hz: largest difference {error:.2e}")
    assert error <= EXACT
    assert np.abs(original[inside]).max() > 0.1
    assert np.abs(stems[start + frames :]).max() == 0


def test_a_wrong_track_or_no_server_is_told_and_leaves_the_session_as_it_was(
    home: Home, tmp_path: Path
) -> None:
    session, _ = made(home, tmp_path, 48000, 1)
    before = session.read_bytes()
    [port] = free_ports(1)
    wrong = run(home, session, "extract", "bass", "--track", "Nobody", port=port)
    alone = run(home, session, "extract", "bass", "--track", "Der Mix", port=port)
    assert wrong.returncode == alone.returncode == 1
    assert "there are: Der Mix, darunter" in wrong.stderr
    assert "stemwright serve" in alone.stderr
    assert session.read_bytes() == before
