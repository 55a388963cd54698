"""`--project` with a fake model: what a DAW would find, read back by others' parsers and by Bitwig's schemas.

None of the files was opened in a DAW here.
"""

import json
import os
import signal
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
import rpp
import soundfile
import xmlschema

from stemwright.engine.cli import main
from stemwright.engine.commands.project import GREYS, PALETTE
from stemwright.engine.engine import Engine
from tests.engine.command_line import PARTS, samples, tones, write_song

Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("loads")
SCHEMAS = Path(__file__).parents[1] / "fixtures" / "dawproject"


@dataclass
class Track:
    """What a DAW would find on a track. start, seconds: of its only clip; level: linear"""

    name: str
    file: Path
    is_muted: bool
    colour: str
    channels: int
    seconds: float
    level: float
    start: float = 0.0


def read_rpp(path: Path) -> tuple[Any, list[Track]]:
    """The project and its tracks; files are found from the project's folder on, as REAPER does."""
    project = rpp.loads(os.fsdecode(path.read_bytes()))
    again = rpp.dumps(project)
    assert "`" in again or rpp.loads(again).findall("TRACK") == project.findall("TRACK")  # its writer drops `
    return project, [_rpp_track(path, track) for track in project.findall("TRACK")]


def _rpp_track(path: Path, track: Any) -> Track:
    (item,) = track.findall("ITEM")
    (source,) = item.findall("SOURCE")
    colour = int(track.find("PEAKCOL")[1])
    assert colour >> 24 == 1
    return Track(
        name=track.find("NAME")[1],
        file=path.parent / source.find("FILE")[1],
        is_muted=track.find("MUTESOLO")[1] == "1",
        colour="#" + (colour & 0xFFFFFF).to_bytes(3, "little").hex(),
        channels=int(track.find("NCHAN")[1]),
        start=float(item.find("POSITION")[1]),
        seconds=float(item.find("LENGTH")[1]),
        level=float(track.find("VOLPAN")[1]),
    )


def read_dawproject(path: Path) -> tuple[ElementTree.Element, list[Track]]:
    """The project, valid by the schemas, and its tracks; their sound is put beside the file to be heard."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(path.parent / "inside")
    for name, schema in (("project.xml", "Project.xsd"), ("metadata.xml", "MetaData.xsd")):
        xmlschema.validate(path.parent / "inside" / name, SCHEMAS / schema)
    root = ElementTree.parse(path.parent / "inside" / "project.xml").getroot()
    return root, [_daw_track(path, root, lane) for lane in root.iterfind("Arrangement/Lanes/Lanes")]


def _daw_track(path: Path, root: ElementTree.Element, lane: ElementTree.Element) -> Track:
    def one(parent: ElementTree.Element, way: str) -> ElementTree.Element:
        (found,) = parent.findall(way)
        return found

    track = one(root, f"Structure/Track[@id='{lane.get('track')}']")
    clip = one(lane, "Clips/Clip")
    audio = one(clip, "Audio")
    beat = 60 / float(one(root, "Transport/Tempo").attrib["value"])
    assert clip.get("contentTimeUnit") == "seconds"
    assert float(clip.attrib["duration"]) * beat == pytest.approx(float(audio.attrib["duration"]), rel=1e-12)
    return Track(
        name=track.attrib["name"],
        file=path.parent / "inside" / one(audio, "File").attrib["path"],
        is_muted=one(track, "Channel/Mute").get("value") == "true",
        colour=track.attrib["color"],
        channels=int(audio.attrib["channels"]),
        start=float(clip.attrib["time"]) * beat,
        seconds=float(audio.attrib["duration"]),
        level=float(one(track, "Channel/Volume").attrib["value"]),
    )


def read_folder(path: Path) -> tuple[Any, list[Track]]:
    """The manifest of one song, by its path."""
    content = json.loads(path.read_text())
    return content, [
        Track(
            name=track["name"],
            file=path.parent / track["file"],
            is_muted=track["muted"],
            colour=track["colour"],
            channels=track["channels"],
            start=track["start"],
            seconds=track["length"],
            level=track["gain"],
        )
        for track in content["tracks"]
    ]


KINDS: dict[str, tuple[str, str, Callable[[Path], tuple[Any, list[Track]]]]] = {
    "rpp": ("session.rpp", "session.rpp", read_rpp),
    "dawproject": ("session.dawproject", "session.dawproject", read_dawproject),
    "folder": ("", "song.project.json", read_folder),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def tracks_of(song: Path, kind: str, *words: str, command: str = "extract") -> list[Track]:
    """Run it into the folder `in the DAW` beside the song; → the tracks."""
    place, file, read = KINDS[kind]
    folder = song.parent / "in the DAW"
    source = [] if command == "generate" else [str(song)]
    assert main([command, *source, *words, "--project", f"{folder}/{place}"]) == 0
    return read(folder / file)[1]


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
def test_the_same_job_gives_the_same_project_bytes(song: Path, kind: str) -> None:
    place, file, _ = KINDS[kind]
    found = []
    for name in ("one", "two"):
        folder = song.parent / name
        assert main(["extract", str(song), "bass", "--project", f"{folder}/{place}"]) == 0
        found.append((folder / file).read_bytes())
    assert found[0] == found[1]


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
