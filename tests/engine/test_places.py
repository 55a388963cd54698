import sys
from pathlib import Path

import pytest

from stemwright.engine.places import own_folder

CASES = [
    ("linux", "data", ".local/share/stemwright"),
    ("linux", "state", ".local/state/stemwright"),
    ("linux", "config", ".config/stemwright"),
    ("linux", "cache", ".cache/stemwright"),
    ("darwin", "config", "Library/Application Support/stemwright"),
    ("darwin", "cache", ".cache/stemwright"),
    ("win32", "data", "AppData/Local/stemwright"),
    ("win32", "config", "AppData/Roaming/stemwright"),
]


@pytest.mark.parametrize(("system", "kind", "below"), CASES)
def test_each_system_has_its_own_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, kind: str, below: str
) -> None:
    for name in ("DATA", "STATE", "CONFIG", "CACHE"):
        monkeypatch.delenv(f"XDG_{name}_HOME", raising=False)
    for name in ("APPDATA", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(sys, "platform", system)
    assert own_folder(kind) == tmp_path / below


def test_the_environment_moves_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert own_folder("state") == tmp_path / "stemwright"
