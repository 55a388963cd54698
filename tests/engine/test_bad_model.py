"""A model that is missing, cut, altered or too new: one line, the right exit code, and nothing written."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from stemwright.engine import modelfiles
from stemwright.engine.cli import main
from tests.engine.command_line import write_song
from tests.engine.trial import Captured


def model_folder(folder: Path) -> Path:
    """A folder whose manifest and hashes hold. Its graph is none: files are verified before."""
    folder.mkdir()
    (folder / "denoiser.onnx").write_bytes(bytes(range(256)) * 16)
    content = {
        "name": "tiny",
        "family": "bandconv",
        "tracks": ["mix", "submix", "source"],
        "rate": 16000,
        "hop": 2048,
        "window": 80,
        "codec": {"kind": "spectral"},
        "conditioning": {"kind": "text", "scale": 1},
        "denoiser": {"kind": "bandconv", "graph": "denoiser.onnx"},
    }
    modelfiles.write_manifest(folder, content, ["denoiser.onnx"])
    return folder


def cut_graph(folder: Path) -> None:
    os.truncate(folder / "denoiser.onnx", 1000)


def alter_graph(folder: Path) -> None:
    content = bytearray((folder / "denoiser.onnx").read_bytes())
    content[2000] ^= 1
    (folder / "denoiser.onnx").write_bytes(content)


def cut_manifest(folder: Path) -> None:
    os.truncate(folder / "manifest.json", 100)


def make_newer(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"format": 1', '"format": 2'))


def remove_graph(folder: Path) -> None:
    (folder / "denoiser.onnx").unlink()


def remove_folder(folder: Path) -> None:
    shutil.rmtree(folder)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (remove_folder, "there is no model"),
        (remove_graph, "is missing"),
        (cut_graph, "1000 bytes where 4096 belong"),
        (alter_graph, "was altered"),
        (cut_manifest, "cut short"),
        (make_newer, "Upgrade Stemwright"),
    ],
)
@pytest.mark.parametrize("command", ["extract", "models verify"])
def test_a_model_that_is_missing_cut_altered_or_too_new(
    tmp_path: Path, capsys: Captured, spoil: Callable[[Path], None], words: str, command: str
) -> None:
    folder = model_folder(tmp_path / "tiny")
    spoil(folder)
    song = write_song(tmp_path / "song.wav")
    if command == "extract":
        line = ["extract", str(song), "bass", "--model", str(folder), "--output", str(tmp_path / "out")]
    else:
        line = ["models", "verify", str(folder)]
    assert main(line) == 4
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)
    assert "tiny" in err
    assert words in err
    assert not (tmp_path / "out").exists()


def test_models_are_listed_shown_and_verified(
    tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path))
    model_folder(tmp_path / "tiny")
    cut_manifest(model_folder(tmp_path / "broken"))
    assert main(["models"]) == 4
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "16000 Hz" in lines["tiny"]
    assert "cut short" in lines["broken"]
    assert main(["models", "verify", "tiny"]) == 0
    assert "all 1 files are whole" in capsys.readouterr().out
    assert main(["models", "show", "tiny"]) == 0
    assert "10.24 s" in capsys.readouterr().out
    assert main(["models", "show", "tiny", "--json"]) == 0
    assert '"format": 1' in capsys.readouterr().out
