"""`--project` with a fake model: what a DAW would find, read back by others' parsers and by Bitwig's schemas.

None of the files was opened in a DAW here.
"""

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.cli import main
from stemwright.engine.commands.project import GREYS, PALETTE
from stemwright.engine.engine import Engine
from tests.engine.command_line import samples, tones, write_song
from tests.engine.opened_project import (
    KINDS,
    SCHEMAS,
    each_kind,
    read_dawproject,
    read_folder,
    read_rpp,
    tracks_of,
)

Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("loads")


@each_kind
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (96000, 2), (44100, 8)])
def test_the_stems_of_a_project_sum_to_its_muted_original(
    tmp_path: Path, kind: str, rate: int, channels: int
) -> None:
    song = write_song(tmp_path / "song.wav", rate=rate, channels=channels, seconds=1.0)
    original, *sounding = tracks_of(song, kind, "bass", "hi hat")
    assert [track.name for track in (original, *sounding)] == ["song (original)", "bass", "hi hat", "rest"]
    assert (original.is_muted, [track.is_muted for track in sounding]) == (True, [False] * 3)
    for track in (original, *sounding):
        info = soundfile.info(track.file)
        assert (info.samplerate, info.channels, info.frames) == (rate, channels, rate)
        assert (track.start, track.seconds, track.level) == (0, 1.0, 1.0)
        assert track.channels == (max(2, channels) if kind == "rpp" else channels)
    # Measured: 3.0e-8, roundings of float32 at 0.3.
    total = np.sum([samples(track.file) for track in sounding], axis=0)
    np.testing.assert_allclose(total, samples(original.file), atol=1e-6, rtol=0)
    np.testing.assert_allclose(samples(original.file), tones(1.0, rate, channels), atol=1e-6, rtol=0)


@each_kind
def test_a_length_that_is_no_round_number_of_seconds_is_exact_to_the_frame(tmp_path: Path, kind: str) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, tones(1.0)[:31337], 44100, subtype="FLOAT")
    for track in tracks_of(song, kind, "bass", "--tempo", "97.3"):
        assert track.seconds * 44100 == pytest.approx(31337, abs=1e-6)


@each_kind
def test_colours_go_by_order_and_the_rest_and_the_original_are_grey(song: Path, kind: str) -> None:
    prompts = [f"sound {number}" for number in range(9)]
    original, *stems, rest = tracks_of(song, kind, *prompts)
    assert [track.colour for track in stems] == [*PALETTE, PALETTE[0]]
    assert (original.colour, rest.colour) == (GREYS["original"], GREYS["rest"])


@pytest.mark.parametrize(
    ("command", "words", "names"),
    [
        ("add", ["bass", "drum kit"], ["song (original)", "bass", "drum kit"]),
        ("accompany", ["soft drums"], ["song (original)", "soft drums"]),
        ("generate", ["funk groove", "--seconds", "1", "--rate", "48000", "--name", "song"], ["funk groove"]),
        ("generate", ["a", "b", "--stem-by-stem", "--seconds", "1", "--name", "song"], ["a", "b"]),
    ],
)
@each_kind
def test_what_was_made_for_a_song_sounds_together_with_it(
    song: Path, kind: str, command: str, words: list[str], names: list[str]
) -> None:
    tracks = tracks_of(song, kind, *words, command=command)
    assert [track.name for track in tracks] == names
    assert not any(track.is_muted for track in tracks)
    lengths = {soundfile.info(track.file).frames for track in tracks}
    assert lengths == {round(tracks[0].seconds * soundfile.info(tracks[0].file).samplerate)}


def test_the_session_has_the_song_s_rate_and_the_tempo_that_is_told(song: Path, capsys: Captured) -> None:
    assert main(["extract", str(song), "bass", "--project", f"{song.parent}/a.rpp", "--tempo", "97.5"]) == 0
    assert capsys.readouterr().err == ""
    project, _ = read_rpp(song.parent / "a.rpp")
    assert project.find("TEMPO") == ["TEMPO", "97.5", "4", "4"]
    assert project.find("SAMPLERATE")[1] == "44100"
    assert project.find("TIMELOCKMODE")[1] == "0"  # items keep their seconds when the tempo is set later


@each_kind
def test_a_tempo_nobody_told_is_120_and_that_is_said(song: Path, kind: str, capsys: Captured) -> None:
    tracks_of(song, kind, "bass", "--no-rest")
    assert "120" in capsys.readouterr().err
    _, file, read = KINDS[kind]
    project = read(song.parent / "in the DAW" / file)[0]
    if kind == "rpp":
        assert project.find("TEMPO")[1] == "120"
    elif kind == "dawproject":
        assert float(project.find("Transport/Tempo").get("value")) == 120
    else:
        assert project["tempo"] is None


def test_a_manifest_says_how_each_file_was_made(song: Path) -> None:
    clip = write_song(song.parent / "snare hit.wav", seconds=0.5)
    folder = song.parent / "session"
    words = ["extract", str(song), "bass", "--like", str(clip), "--seed", "7", "--project", f"{folder}/"]
    assert main(words) == 0
    content, _ = read_folder(folder / "song.project.json")
    assert (content["name"], content["task"], content["model"]) == ("song", "extract", "default")
    assert (content["seed"], content["rate"]) == (7, 44100)
    found = [(track["file"], track["role"], track["prompt"], track["frames"]) for track in content["tracks"]]
    assert found == [
        ("song.original.wav", "original", None, 132300),
        ("song.bass.wav", "stem", "bass", 132300),
        ("song.snare-hit.wav", "stem", None, 132300),
        ("song.rest.wav", "rest", None, 132300),
    ]
    assert (folder / "song.original.wav").read_bytes() == song.read_bytes()


@pytest.mark.parametrize(
    ("name", "prompt"),
    [
        ("it's.wav", "it's"),
        ('say "ah".wav', 'a "big" drum'),
        ("`tick`.wav", "`tick` and 'tock'"),
        ("с гитарой & <bass>.wav", "гитара и 低音 & <ベース>"),
        ("سلام\u200cها.wav", "صدای\u200cبم"),
        (" blank ends .wav", "  wide   bass "),
        ("#1;|{}.wav", "100% bass; #1 | {x}"),
        ("-- minus.wav", ">"),
    ],
)
@each_kind
def test_names_with_quotes_blanks_and_any_script_come_back_as_they_were(
    tmp_path: Path, kind: str, name: str, prompt: str
) -> None:
    song = write_song(tmp_path / name, seconds=0.5)
    place = {"folder": ""}.get(kind, f"the 'session' of {song.stem}.{kind}")
    folder = tmp_path / "in the `DAW`"
    assert main(["extract", str(song), prompt + " x", "--project", f"{folder}/{place}"]) == 0
    file = folder / (place or f"{song.stem}.project.json")
    original, stem, rest = KINDS[kind][2](file)[1]
    assert original.name == f"{song.stem} (original)"
    assert stem.name == prompt + " x"
    total = samples(stem.file) + samples(rest.file)
    np.testing.assert_allclose(total, samples(original.file), atol=1e-6, rtol=0)


@each_kind
def test_a_prompt_with_every_quote_and_a_line_end_stays_one_name(song: Path, kind: str) -> None:
    (_, stem, _) = tracks_of(song, kind, 'it\'s "a" `bass`\nline')
    expected = {
        "rpp": "it's \"a\" 'bass' line",
        "dawproject": 'it\'s "a" `bass` line',
        "folder": 'it\'s "a" `bass`\nline',
    }
    assert stem.name == expected[kind]
    assert stem.file.is_file()


def test_a_path_that_reaper_cannot_hold_is_refused_before_any_work(
    tmp_path: Path, loads: list[str], capsys: Captured
) -> None:
    song = write_song(tmp_path / "a'b\"c`d.wav")
    assert main(["extract", str(song), "bass", "--project", f"{tmp_path}/out/s.rpp"]) == 5
    assert ".dawproject" in capsys.readouterr().err
    assert (loads, list(tmp_path.iterdir())) == ([], [song])
    assert main(["extract", str(song), "bass", "--project", f"{tmp_path}/out/s.dawproject"]) == 0
    assert len(read_dawproject(tmp_path / "out" / "s.dawproject")[1]) == 3


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
@each_kind
def test_a_name_that_is_not_utf_8_is_found_again(tmp_path: Path, kind: str) -> None:
    song = write_song(tmp_path / "song.wav", seconds=0.5)
    odd = song.rename(tmp_path / os.fsdecode(b"s\xff\xfe.wav"))
    place = {"folder": ""}.get(kind, f"s.{kind}")
    assert main(["extract", str(odd), "bass", "--project", f"{tmp_path}/out/{place}"]) == 0
    tracks = KINDS[kind][2](tmp_path / "out" / (place or f"{odd.stem}.project.json"))[1]
    assert [track.file.is_file() for track in tracks] == [True] * 3


@each_kind
def test_stems_turned_down_to_fit_integers_are_turned_up_by_their_tracks(tmp_path: Path, kind: str) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, tones() * 8, 44100, subtype="FLOAT")
    original, stem, rest = tracks_of(song, kind, "bass", "--subtype", "pcm24")
    assert (original.level, stem.level) == (1.0, rest.level)
    assert stem.level > 1.5
    heard = (samples(stem.file) + samples(rest.file)) * stem.level
    # Two dithered 24-bit roundings, turned up: at most 2 × 1.5 × 2⁻²³ × 2.4.
    np.testing.assert_allclose(heard, samples(original.file), atol=2e-6, rtol=0)


@each_kind
@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_a_lossy_original_is_decoded_once_so_that_every_daw_has_it_in_place(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    song = tmp_path / f"song{suffix}"
    soundfile.write(song, tones(), 44100)
    original, stem, rest = tracks_of(song, kind, "bass")
    assert original.file.suffix == ".wav"
    total = samples(stem.file) + samples(rest.file)
    np.testing.assert_allclose(total, samples(original.file), atol=1e-6, rtol=0)


@each_kind
def test_flac_stays_flac(tmp_path: Path, kind: str) -> None:
    song = write_song(tmp_path / "song.flac")
    tracks = tracks_of(song, kind, "bass", "--format", "flac")
    assert {track.file.suffix for track in tracks} == {".flac"}
    if kind == "rpp":
        text = (tmp_path / "in the DAW" / "session.rpp").read_text()
        assert text.count("<SOURCE FLAC") == len(tracks)


@each_kind
def test_the_same_job_gives_the_same_project_bytes(song: Path, kind: str) -> None:
    place, file, _ = KINDS[kind]
    found = []
    for name in ("one", "two"):
        folder = song.parent / name
        assert main(["extract", str(song), "bass", "--project", f"{folder}/{place}"]) == 0
        found.append((folder / file).read_bytes())
    assert found[0] == found[1]


def test_the_schemas_are_the_published_ones(shared: Path) -> None:
    for name in ("Project.xsd", "MetaData.xsd"):
        assert (SCHEMAS / name).read_bytes() == (shared / "fixtures" / "dawproject" / name).read_bytes()


def test_the_default_model_makes_a_project_of_the_demo_song(
    default_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The one run with the model that comes along; two seconds."""
    monkeypatch.undo()
    assert Engine.load.__qualname__ == "Engine.load"
    song = write_song(tmp_path / "song.wav", seconds=2.0)
    original, *sounding = tracks_of(song, "dawproject", "bass", "drums", "--threads", "1", "--steps", "1")
    total = np.sum([samples(track.file) for track in sounding], axis=0)
    np.testing.assert_allclose(total, samples(original.file), atol=1e-6, rtol=0)
