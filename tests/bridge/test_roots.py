"""Paths that come in messages: nothing but plain audio files inside the roots."""

import os
import sys
from pathlib import Path

import pytest

from stemwright.bridge.grammar import FORBIDDEN_PATH, NOT_FOUND, TOO_LARGE, BadMessage
from stemwright.bridge.roots import Roots

posix = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX files")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a song in a folder of it, and a secret beside the root."""
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    (folder / "album" / "song.wav").write_bytes(b"RIFF")
    (tmp_path / "secret.wav").write_bytes(b"RIFF")
    return folder


def refusal(path: str, *roots: Path, **options: int) -> tuple[str, str]:
    return refused(Roots(roots), path, **options)


def refused(roots: Roots, path: str, **options: int) -> tuple[str, str]:
    """Code and text."""
    with pytest.raises(BadMessage) as caught:
        roots.resolve(path, **options)
    return caught.value.code, str(caught.value)


def test_a_file_inside_a_root_is_found_by_its_whole_and_by_its_relative_path(
    root: Path, tmp_path: Path
) -> None:
    song = root / "album" / "song.wav"
    assert Roots([root]).resolve(str(song)) == song
    assert Roots([tmp_path / "none", root]).resolve("album/song.wav") == song
    assert Roots([root]).resolve(str(root / "album" / ".." / "album" / "song.wav")) == song
    assert Roots([root]).resolve("album/SONG.WAV" if sys.platform == "win32" else "album/song.wav") == song


def test_what_leads_out_is_forbidden_whether_it_exists_or_not(root: Path) -> None:
    for path in (
        "../secret.wav",
        "../nothing.wav",
        str(root.parent / "secret.wav"),
        "/etc/passwd",
        "../../../../../../etc/passwd",
        "album/../../secret.wav",
        str(root),
        ".",
        f"{root}2/song.wav",
    ):
        code, text = refusal(path, root)
        assert code == FORBIDDEN_PATH and "outside the folders" in text, path


@posix
def test_links_may_lead_to_places_inside_and_not_out(root: Path) -> None:
    (root / "inner.wav").symlink_to(root / "album" / "song.wav")
    assert Roots([root]).resolve("inner.wav") == root / "album" / "song.wav"
    (root / "file.wav").symlink_to(root.parent / "secret.wav")
    (root / "above").symlink_to(root.parent)
    (root / "circle.wav").symlink_to(root / "circle.wav")
    for path in ("file.wav", "above/secret.wav", "circle.wav"):
        assert refusal(path, root)[0] == FORBIDDEN_PATH, path


@posix
def test_a_root_may_itself_be_a_link(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert Roots([tmp_path / "link"]).resolve(str(tmp_path / "link" / "album" / "song.wav"))
    assert Roots([tmp_path / "link"]).resolve(str(root / "album" / "song.wav"))


@posix
def test_a_root_that_is_made_or_moved_later_is_found(root: Path, tmp_path: Path) -> None:
    roots = Roots([tmp_path / "link"])
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    (tmp_path / "empty").mkdir()
    assert refused(roots, "album/song.wav")[0] == NOT_FOUND
    (tmp_path / "link").unlink()
    (tmp_path / "link").symlink_to(root)
    assert roots.resolve("album/song.wav") == root / "album" / "song.wav"
    assert roots.resolve(str(tmp_path / "link" / "album" / "song.wav"))
    assert refused(roots, str(tmp_path / "empty" / "song.wav"))[0] == FORBIDDEN_PATH


@posix
def test_pipes_devices_and_folders_are_forbidden_without_waiting_for_them(root: Path) -> None:
    os.mkfifo(root / "pipe.wav")
    (root / "folder.wav").mkdir()
    for path in ("pipe.wav", "folder.wav"):
        code, text = refusal(path, root)
        assert code == FORBIDDEN_PATH and "not a plain file" in text, path
    assert refusal("null.wav", Path("/dev"))[0] == NOT_FOUND
    assert refusal("/dev/null", Path("/dev"))[0] == FORBIDDEN_PATH


@posix
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_forbidden(root: Path) -> None:
    (root / "album" / "song.wav").chmod(0)
    assert refusal("album/song.wav", root)[0] == FORBIDDEN_PATH


@pytest.mark.parametrize(
    "path",
    ["", "a\0.wav", "\\\\server\\share\\a.wav", "//server/share/a.wav", "\\/server/a.wav", "~/a.wav",
     "~root/a.wav", "\\\\?\\C:\\a.wav", "x" * 5000],
)  # fmt: skip
def test_words_that_are_no_plain_path_are_not_even_looked_up(
    root: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(*_: object, **__: object) -> Path:
        raise AssertionError("looked up")

    roots = Roots([root])
    monkeypatch.setattr(Path, "resolve", never)
    assert refused(roots, path)[0] == FORBIDDEN_PATH


def test_only_audio_by_its_name(root: Path) -> None:
    (root / "notes.txt").write_text("x")
    (root / "wav").write_text("x")
    for path in ("notes.txt", "wav"):
        code, text = refusal(path, root)
        assert code == FORBIDDEN_PATH and ".flac" in text


def test_a_file_that_is_not_there_is_not_found(root: Path) -> None:
    assert refusal("album/other.wav", root)[0] == NOT_FOUND
    assert refusal(str(root / "no" / "folder.wav"), root)[0] == NOT_FOUND


def test_a_file_over_the_limit_is_too_large_and_the_limit_is_told(root: Path) -> None:
    with (root / "long.wav").open("wb") as file:
        file.truncate(3 << 30)
    code, text = refusal("long.wav", root)
    assert code == TOO_LARGE and str(3 << 30) in text and str(2 << 30) in text
    assert refusal("album/song.wav", root, largest=3)[0] == TOO_LARGE
    assert Roots([root]).resolve("album/song.wav", largest=4)


def test_without_roots_nothing_may_be_read(root: Path) -> None:
    code, text = refusal(str(root / "album" / "song.wav"))
    assert code == FORBIDDEN_PATH and "none" in text
