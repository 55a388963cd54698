"""Which files the command line reads, and what it calls those it writes."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stemwright.engine.commands.inputs import find
from stemwright.engine.commands.outputs import LONGEST, distinct, fitted, refuse_collisions
from stemwright.engine.errors import BadOutput


@given(st.text(max_size=300), st.text(max_size=90))
def test_any_song_and_prompt_make_one_plain_name_that_fits(song: str, prompt: str) -> None:
    song = song.replace("/", "").replace("\0", "")
    song = song.encode("utf-8", "ignore").decode()
    (part,) = distinct([prompt], taken=["rest"])
    name = fitted(song, f".{part}.wav")
    assert Path(name).name == name
    assert part != "rest"
    assert name.endswith(".wav")
    assert len(name.encode()) <= LONGEST


def test_names_that_are_not_utf_8_survive() -> None:
    odd = b"song-\xff\xfe".decode("utf-8", "surrogateescape")
    assert fitted(odd, ".bass.wav") == odd + ".bass.wav"


@given(st.lists(st.sampled_from(["bass", "Bass", "bass 2", "rest", "!"]), max_size=8))
def test_names_of_one_run_are_distinct(prompts: list[str]) -> None:
    names = distinct(prompts, taken=["rest"])
    assert len({*names, "rest"}) == len(prompts) + 1


def test_a_folder_gives_its_audio_files_by_name(tmp_path: Path) -> None:
    for name in ("b.flac", "a.WAV", "notes.txt", ".hidden"):
        (tmp_path / name).touch()
    (tmp_path / "deeper").mkdir()
    (tmp_path / "deeper" / "c.wav").touch()
    assert [one.path.name for one in find([str(tmp_path)])] == ["a.WAV", "b.flac"]


def test_a_folder_without_audio_is_a_problem_of_that_input(tmp_path: Path) -> None:
    (one,) = find([str(tmp_path)])
    assert "no WAV" in str(one.problem)


def test_a_glob_gives_what_matches_and_its_letters_may_stand_in_a_name(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav", "c[1].wav"):
        (tmp_path / name).touch()
    assert [one.path.name for one in find([str(tmp_path / "[ab].wav")])] == ["a.wav", "b.wav"]
    assert [one.path.name for one in find([str(tmp_path / "c[1].wav")])] == ["c[1].wav"]
    (nothing,) = find([str(tmp_path / "*.ogg")])
    assert "no file matches" in str(nothing.problem)


def test_an_input_named_twice_is_taken_once(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert len(find([str(tmp_path / "a.wav"), str(tmp_path), str(tmp_path / "*.wav")])) == 1


def test_an_empty_name_is_a_problem_and_not_this_folder() -> None:
    (one,) = find([""])
    assert one.problem is not None


def test_a_result_never_replaces_an_input_even_with_overwrite(tmp_path: Path) -> None:
    song = tmp_path / "song.bass.wav"
    song.touch()
    with pytest.raises(BadOutput, match="itself an input"):
        refuse_collisions([("song.wav", song)], [song], overwrite=True)


def test_two_inputs_that_would_write_one_file_are_refused(tmp_path: Path) -> None:
    claims = [("song.wav", tmp_path / "song.bass.wav"), ("song.flac", tmp_path / "song.bass.wav")]
    with pytest.raises(BadOutput, match=r"song\.flac and song\.wav"):
        refuse_collisions(claims, [], overwrite=True)


def test_a_result_that_is_there_is_kept_unless_told(tmp_path: Path) -> None:
    there = tmp_path / "song.bass.wav"
    there.touch()
    with pytest.raises(BadOutput, match="--overwrite"):
        refuse_collisions([("song.wav", there)], [], overwrite=False)
    refuse_collisions([("song.wav", there)], [], overwrite=True)
