"""One run of the command line in a folder, and what it left."""

from pathlib import Path

import pytest

from stemwright.engine.cli import main

Captured = pytest.CaptureFixture[str]


class Trial:
    """One run of the command line in a folder, and what it left."""

    def __init__(self, folder: Path, capsys: Captured) -> None:
        self.folder, self.out = folder, folder / "out"
        self._capsys = capsys

    def extract(self, song: Path | str, *words: str) -> int:
        return main(["extract", str(song), *(words or ("bass",)), "--output", str(self.out)])

    def refused(self, song: Path | str, *words: str, code: int = 3) -> str:
        """→ the message, which is one line and alone; nothing was written."""
        assert self.extract(song, *words) == code
        out, err = self._capsys.readouterr()
        (line,) = err.splitlines()
        assert line.startswith("stemwright: ")
        assert (out, self.left()) == ("", [])
        return line

    def left(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []
