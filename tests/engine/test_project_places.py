"""`--project` with a fake model: where a project and its files lie, and what is refused or taken back."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from stemwright.engine.cli import main
from tests.engine.command_line import PARTS, write_song
from tests.engine.opened_project import (
    KINDS,
    each_kind,
    read_folder,
    read_rpp,
    tracks_of,
)

Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("loads")


def test_paths_are_relative_so_that_the_folder_can_move(song: Path) -> None:
    assert main(["extract", str(song), "bass", "--project", f"{song.parent}/song.rpp"]) == 0
    moved = song.parent.rename(song.parent.parent / "moved")
    tracks = read_rpp(moved / "song.rpp")[1]
    assert [track.file.is_file() for track in tracks] == [True] * 3
    assert str(song.parent) not in (moved / "song.rpp").read_text()


def test_paths_hold_across_a_linked_folder(song: Path) -> None:
    (song.parent / "deep" / "deeper").mkdir(parents=True)
    (song.parent / "link").symlink_to(song.parent / "deep" / "deeper")
    assert main(["extract", str(song), "bass", "--project", f"{song.parent}/link/s.rpp"]) == 0
    tracks = read_rpp(song.parent / "deep" / "deeper" / "s.rpp")[1]
    assert [track.file.is_file() for track in tracks] == [True] * 3
    assert "link" not in (song.parent / "link" / "s.rpp").read_text()


def test_output_puts_the_stems_elsewhere_and_the_project_finds_them(song: Path) -> None:
    out = song.parent / "stems"
    words = ["--output", str(out), "--project", f"{song.parent}/daw/s.rpp"]
    assert main(["extract", str(song), "bass", *words]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["song.bass.wav", "song.rest.wav"]
    assert [path.name for path in (song.parent / "daw").iterdir()] == ["s.rpp"]
    assert all(track.file.is_file() for track in read_rpp(song.parent / "daw" / "s.rpp")[1])


@pytest.mark.parametrize(
    ("place", "projects"),
    [
        ("all/.rpp", ["all/one.rpp", "all/two.rpp"]),
        ("all/album.dawproject", ["all/one.dawproject", "all/two.dawproject"]),
        ("all", ["all/one/one.project.json", "all/two/two.project.json"]),
    ],
)
def test_several_inputs_have_a_project_each_named_after_the_song(
    tmp_path: Path, place: str, projects: list[str], capsys: Captured
) -> None:
    songs = [write_song(tmp_path / f"{name}.wav", seconds=0.5) for name in ("one", "two")]
    words = ["--input", str(songs[1]), "--input", str(tmp_path / "missing.wav"), "--json"]
    assert main(["extract", str(songs[0]), "bass", *words, "--project", str(tmp_path / place)]) == 3
    out, err = capsys.readouterr()
    first, second, failed = map(json.loads, out.splitlines())
    assert [first["project"], second["project"]] == [str(tmp_path / project) for project in projects]
    assert "missing.wav" in failed["error"]
    assert err.count("120") == 1
    there = sorted(path for path in tmp_path.rglob("*") if path.suffix in (".rpp", ".dawproject", ".json"))
    assert there == [tmp_path / project for project in projects]
    assert not (tmp_path / "all" / "missing").exists()


def test_a_kind_without_a_name_is_named_after_the_song(song: Path) -> None:
    assert main(["extract", str(song), "bass", "--project", f"{song.parent}/daw/.rpp"]) == 0
    assert (song.parent / "daw" / "song.rpp").is_file()


def test_the_printed_paths_are_all_that_was_written(song: Path, capsys: Captured) -> None:
    folder = song.parent / "daw"
    assert main(["extract", str(song), "bass", "--spectrogram", "--project", f"{folder}/"]) == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(map(str, folder.iterdir()))


@each_kind
def test_a_project_that_is_there_is_kept_and_nothing_is_computed(
    song: Path, kind: str, loads: list[str], capsys: Captured
) -> None:
    place, file, read = KINDS[kind]
    folder = song.parent / "daw"
    folder.mkdir()
    (folder / file).write_text("mine")
    words = ["extract", str(song), "bass", "--project", f"{folder}/{place}"]
    assert main(words) == 5
    assert "--overwrite" in capsys.readouterr().err
    assert ((folder / file).read_text(), len(list(folder.iterdir())), loads) == ("mine", 1, [])
    assert main([*words, "--overwrite"]) == 0
    assert len(read(folder / file)[1]) == 3


def test_a_copy_of_the_original_is_not_written_over_anything(song: Path, capsys: Captured) -> None:
    (song.parent / "daw").mkdir()
    (song.parent / "daw" / "song.original.wav").write_text("mine")
    assert main(["extract", str(song), "bass", "--project", f"{song.parent}/daw/"]) == 5
    assert "song.original.wav" in capsys.readouterr().err


def test_a_prompt_called_original_does_not_meet_the_copy(song: Path) -> None:
    assert len({track.file for track in tracks_of(song, "folder", "original", "rest")}) == 4


def test_a_folder_that_holds_the_song_gets_no_copy(song: Path) -> None:
    assert main(["extract", str(song), "bass", "--project", str(song.parent)]) == 0
    tracks = read_folder(song.parent / "song.project.json")[1]
    assert tracks[0].file == song
    assert not list(song.parent.glob("*original*"))


@each_kind
def test_a_project_that_cannot_be_written_takes_its_stems_with_it(
    song: Path, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    """The last file to be named finds its name taken, by whoever was faster."""
    place, file, _ = KINDS[kind]
    folder = song.parent / "daw"
    original = os.link

    def link(source: Path, target: Path) -> None:
        if Path(target).name == file:
            Path(target).write_text("theirs")
        original(source, target)

    monkeypatch.setattr(os, "link", link)
    assert main(["extract", str(song), "bass", "--project", f"{folder}/{place}"]) == 5
    assert "exists already" in capsys.readouterr().err
    assert [(path.name, path.read_text()) for path in folder.iterdir()] == [(file, "theirs")]


@each_kind
def test_a_stop_while_the_project_is_written_leaves_nothing(
    song: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from stemwright.engine.commands.project_files import ProjectFile

    original = ProjectFile._complete

    def stopped(self: ProjectFile, *words: Any) -> Any:
        signal.raise_signal(signal.SIGINT)
        return original(self, *words)

    monkeypatch.setattr(ProjectFile, "_complete", stopped)
    folder = song.parent / "daw"
    assert main(["extract", str(song), "bass", "--project", f"{folder}/{KINDS[kind][0]}"]) == 130
    assert not folder.exists() or list(folder.iterdir()) == []


def test_a_song_that_fails_leaves_no_project(song: Path) -> None:
    song.write_text("no music")
    assert main(["extract", str(song), "bass", "--project", f"{song.parent}/daw/s.rpp"]) == 3
    assert list((song.parent / "daw").glob("*")) == list(song.parent.glob(PARTS)) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["--project", "x.als"], 5, ".dawproject"),
        (["--project", "x.mp4"], 5, ".stem.mp4"),
        (["--project", ""], 5, ".rpp"),
        (["--project", "taken/s.rpp"], 5, "cannot be made"),
        (["--project", "taken"], 5, "cannot be made"),
        (["--project", "daw", "--output", "out"], 3, "--output"),
        (["--project", "s.rpp", "--ray"], 3, "--ray"),
        (["--tempo", "120"], 3, "--project"),
        (["--project", "s.rpp", "--tempo", "5"], 2, "20 to 666"),
        (["--project", "s.rpp", "--tempo", "nan"], 2, "above 0"),
    ],
)
def test_a_wrong_wish_is_refused_with_the_way_out(
    song: Path,
    words: list[str],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(song.parent)
    Path("taken").write_text("a file")
    assert main(["extract", "song.wav", "bass", *words]) == code
    assert said in capsys.readouterr().err
    assert sorted(path.name for path in song.parent.iterdir()) == ["song.wav", "taken"]


def test_a_project_without_any_stem_is_refused(song: Path, loads: list[str], capsys: Captured) -> None:
    assert main(["extract", str(song), "--project", f"{song.parent}/s.rpp"]) == 3
    assert "no PROMPT" in capsys.readouterr().err
    assert (loads, list(song.parent.iterdir())) == ([], [song])


def test_a_project_may_not_be_an_input(tmp_path: Path, capsys: Captured) -> None:
    song = write_song(tmp_path / "song.wav").rename(tmp_path / "song.rpp")
    assert main(["extract", str(song), "bass", "--project", str(song), "--overwrite"]) == 5
    assert "itself an input" in capsys.readouterr().err
