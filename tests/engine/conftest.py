"""Fixtures for the engine and its command line."""

from pathlib import Path

import pytest

from stemwright.engine.engine import Engine
from stemwright.engine.modelfolder import DEFAULT, list_models
from tests.engine import command_line
from tests.engine.trial import Captured, Trial


@pytest.fixture(scope="session")
def default_model() -> Path:
    """The folder of the model that comes along; without its weights the package is not whole."""
    folder = list_models().get(DEFAULT)
    assert folder is not None, "the default model is missing: engine/weights/default"
    return folder


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The command line gets an engine with a fake model; → the models it asked for."""
    asked: list[str] = []

    def load(name: str, **options: object) -> Engine:
        asked.append(name)
        return command_line.fake_engine()

    monkeypatch.setattr(Engine, "load", load)
    return asked


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """Three seconds of a low and a high tone, 44.1 kHz stereo."""
    return command_line.write_song(tmp_path / "song.wav")


@pytest.fixture
def trial(tmp_path: Path, capsys: Captured, loads: list[str]) -> Trial:
    return Trial(tmp_path, capsys)
