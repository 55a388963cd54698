"""Ctrl-C and SIGTERM: nothing half-written is left, whenever they come."""

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine import writing
from stemwright.engine.cli import main
from stemwright.engine.engine import Engine
from tests.engine.command_line import PARTS, samples, start, write_song
from tests.engine.trial import Captured, Trial


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_a_stop_in_any_write_or_rename_leaves_nothing_half_written(
    tmp_path: Path,
    loads: list[str],
    kind: str,
    number: signal.Signals,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    """The signal comes in the first such call, then in the second, and so on until a run needs no more.

    In FLAC it comes inside a callback of the library's too, which lets no exception through.
    """
    calls, due = 0, 0
    song, out = write_song(tmp_path / "song.wav", seconds=0.5), tmp_path / "out"

    def watched(owner: object, name: str) -> None:
        original = getattr(owner, name)

        def call(*words: object, **options: object) -> object:
            nonlocal calls
            calls += 1
            if calls == due:
                signal.raise_signal(number)
            return original(*words, **options)

        monkeypatch.setattr(owner, name, call)

    watched(writing.AudioWriter, "write")
    watched(writing.AudioWriter, "finish")
    watched(writing._Watched, "write")
    watched(os, "link")
    watched(os, "fsync")
    while True:
        calls, due = 0, due + 1
        code = main(["extract", str(song), "bass", "--format", kind, "--output", str(out)])
        if calls < due:
            assert code == 0
            break
        assert code == 130
        assert capsys.readouterr().err == "stemwright: stopped; nothing half-written is left\n"
        assert list(out.glob(PARTS)) == []
        for path in out.iterdir():
            assert len(samples(path)) == 22050
            path.unlink()
    assert due > 5


def test_a_stop_at_any_time_of_a_real_process_leaves_nothing_half_written(song: Path) -> None:
    """From when the signals are ours on, at times spread over the whole run."""
    began = time.monotonic()
    child = start("extract", str(song), "bass", "--output", str(song.parent / "whole"))
    child.communicate()
    whole = time.monotonic() - began
    assert child.returncode == 0
    out = song.parent / "out"
    ends = set()
    for part in np.linspace(0, 1, 8):
        child = start("extract", str(song), "bass", "--output", str(out), "--overwrite")
        assert child.stderr is not None
        assert child.stderr.readline() == "started\n"
        time.sleep(part * whole)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate()
        ends.add(child.returncode)
        assert "Traceback" not in err
        assert out.is_dir() is False or list(out.glob(PARTS)) == []
        for path in out.glob("*.wav"):
            assert len(samples(path)) == 3 * 44100
    assert 130 in ends
    assert ends <= {0, 130}


def test_a_run_over_many_stops_at_the_first_signal(
    trial: Trial, song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_song(trial.folder / "later.wav")
    original = Engine.extract

    def stopped(self: Engine, *words: object, **options: object) -> object:
        signal.raise_signal(signal.SIGINT)
        return original(self, *words, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Engine, "extract", stopped)
    assert trial.extract(trial.folder) == 130
    assert trial.left() == []
