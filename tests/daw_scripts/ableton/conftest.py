"""The real server with the default model for the fake Live's script, and desks to ask it from."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.bridge.real import running_server

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path.insert(0, str(HERE))  # the fake imports its table as a host's module would
NAME = 'Söng "eins" – 歌'


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    """→ a folder that the running server may read, and its port"""
    folder = tmp_path_factory.mktemp("ableton studio")
    with running_server(folder / "spool", folder) as (server, port):
        yield folder, port
        assert server.stop() == 0, server.told()
        assert not [line for line in server.lines if "Traceback" in line], server.told()


@pytest.fixture
def songs(studio: tuple[Path, int]) -> Callable[..., Path]:
    """Writes a piece of real music: → its path. channels, rate, seconds"""

    def write(seconds: float = 2.0, rate: int = 44100, channels: int = 2, name: str = NAME) -> Path:
        folder = studio[0] / NAME.replace('"', "'")
        folder.mkdir(exist_ok=True)
        path = folder / f"{name} {seconds} {rate} {channels}.wav"
        frames = round(seconds * rate)
        wave, _ = soundfile.read(ROOT / "engine" / "demo" / "boas.flac", stop=frames, always_2d=True)
        wave = np.repeat(wave, 2, axis=1)[:, :channels] * np.linspace(1, 0.7, channels)
        soundfile.write(path, wave, rate, subtype="FLOAT")
        return path

    return write


@pytest.fixture
def desks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """Makes desks: port and what `Desk` takes. All are closed at the end; no error is in their log."""
    from desk import Desk

    monkeypatch.setenv("STEMWRIGHT_ABLETON", "")
    kept = set(sys.modules)
    made: list[Any] = []

    def make(port: int, **more: Any) -> Any:
        made.append(Desk(tmp_path / f"home {len(made)}", port, **more))
        return made[-1]

    yield make
    for one in made:
        if one.app.link is not None:
            one.close()
        assert not [line for line in one.c_instance.log if "Traceback" in line], one.c_instance.log
    for name in set(sys.modules) - kept:
        if name.split(".")[0] in ("Stemwright", "Live", "ableton"):
            del sys.modules[name]


@pytest.fixture
def free_port() -> int:
    from tests.bridge.real import free_ports

    return free_ports(1)[0]


os.environ.setdefault("OMP_NUM_THREADS", "1")
