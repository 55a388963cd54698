"""`stemwright extract, add, accompany, generate` with a fake model: which files come, and what is told."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine.cli import main
from stemwright.engine.engine import Engine
from tests.engine.command_line import ROOT, samples, start, tones, write_song

Captured = pytest.CaptureFixture[str]
pytestmark = pytest.mark.usefixtures("loads")


def extract(song: Path, *words: str) -> int:
    return main(["extract", str(song), *words, "--output", str(song.parent / "out")])


def written(song: Path) -> list[str]:
    return sorted(path.name for path in (song.parent / "out").iterdir())


def test_extract_writes_a_stem_per_prompt_and_the_rest(song: Path) -> None:
    assert extract(song, "bass", "slap bass guitar") == 0
    assert written(song) == ["song.bass.wav", "song.rest.wav", "song.slap-bass-guitar.wav"]


@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (48000, 1), (96000, 2)])
def test_stem_and_rest_are_as_long_as_the_song_and_sum_to_it(
    tmp_path: Path, rate: int, channels: int
) -> None:
    song = write_song(tmp_path / "song.wav", rate=rate, channels=channels)
    assert extract(song, "bass") == 0
    stem, rest = (samples(tmp_path / "out" / f"song.{name}.wav") for name in ("bass", "rest"))
    assert soundfile.info(tmp_path / "out" / "song.bass.wav").samplerate == rate
    # Measured: 1.5e-8, a rounding of float32 at 0.3.
    np.testing.assert_allclose(stem + rest, tones(rate=rate, channels=channels), atol=1e-6, rtol=0)


def test_the_stem_holds_what_the_prompt_asks_for(song: Path) -> None:
    """The fake model gives half of what lies below 1 kHz: of the 200 Hz tone, nothing of the 3 kHz one."""
    assert extract(song, "bass") == 0
    stem = samples(song.parent / "out" / "song.bass.wav")[:, 0]
    spectrum = np.abs(np.fft.rfft(stem)) / len(stem) * 2
    low, high = spectrum[200 * 3], spectrum[3000 * 3]
    assert low == pytest.approx(0.1, rel=0.1)  # measured 0.1000
    assert high < 0.005  # measured 0.0010


def test_paths_are_printed_and_nothing_else(song: Path, capsys: Captured) -> None:
    assert extract(song, "bass", "--spectrogram") == 0
    out, err = capsys.readouterr()
    names = ("song.bass.wav", "song.rest.wav", "song.spectrogram.png")
    assert out.splitlines() == [str(song.parent / "out" / name) for name in names]
    assert err == ""


def test_json_has_one_object_per_input_with_what_was_made(song: Path, capsys: Captured) -> None:
    other = write_song(song.parent / "other.flac")
    assert extract(song, "bass", "--input", str(other), "--json", "--seed", "3") == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert first["stems"] == [
        {"prompt": "bass", "name": "bass", "path": str(song.parent / "out" / "song.bass.wav")}
    ]
    assert first["rest"] == str(song.parent / "out" / "song.rest.wav")
    assert (first["task"], first["seed"], first["rate"], first["channels"]) == ("extract", 3, 44100, 2)
    assert (first["frames"], first["gain"], first["notes"]) == (3 * 44100, 1.0, [])
    assert second["input"] == str(other)


def test_the_model_is_loaded_once_for_all_inputs_and_prompts(song: Path, loads: list[str]) -> None:
    write_song(song.parent / "second.wav")
    assert main(["extract", str(song.parent), "bass", "hat", "--output", str(song.parent / "out")]) == 0
    assert len(written(song)) == 6
    assert loads == ["default"]


def test_the_same_seed_gives_the_same_bytes_whatever_the_format(song: Path) -> None:
    for kind in ("wav", "flac"):
        for folder in ("one", "two"):
            words = ["extract", str(song), "bass", "--format", kind, "--output", str(song.parent / folder)]
            assert main(words) == 0
        names = [song.parent / folder / f"song.bass.{kind}" for folder in ("one", "two")]
        assert names[0].read_bytes() == names[1].read_bytes()


@pytest.mark.parametrize(
    ("words", "kind", "subtype"),
    [
        ((), "WAV", "FLOAT"),
        (("--subtype", "pcm24"), "WAV", "PCM_24"),
        (("--subtype", "pcm16"), "WAV", "PCM_16"),
        (("--format", "flac"), "FLAC", "PCM_24"),
        (("--format", "flac", "--subtype", "pcm16"), "FLAC", "PCM_16"),
    ],
)
def test_formats(song: Path, words: tuple[str, ...], kind: str, subtype: str) -> None:
    assert extract(song, "bass", *words) == 0
    info = soundfile.info(next((song.parent / "out").glob("song.bass.*")))
    assert (info.format, info.subtype) == (kind, subtype)


def test_flac_in_float_is_refused_with_the_way_out(song: Path, capsys: Captured) -> None:
    assert extract(song, "bass", "--format", "flac", "--subtype", "float") == 5
    assert "pcm24" in capsys.readouterr().err


def test_integers_are_turned_down_rather_than_clipped_and_the_user_is_told(
    tmp_path: Path, capsys: Captured
) -> None:
    soundfile.write(tmp_path / "hot.wav", tones() * 8, 44100, subtype="FLOAT")
    assert extract(tmp_path / "hot.wav", "bass", "--subtype", "pcm24", "--json") == 0
    out, err = capsys.readouterr()
    gain = json.loads(out)["gain"]
    assert 0.3 < gain < 0.9
    assert "turned down" in err
    stem, rest = (samples(tmp_path / "out" / f"hot.{name}.wav") for name in ("bass", "rest"))
    # Two dithered 24-bit roundings: at most 2 × 1.5 steps of 2⁻²³.
    np.testing.assert_allclose(stem + rest, tones() * 8 * gain, atol=1e-6, rtol=0)


def test_no_rest_leaves_the_rest_out(song: Path) -> None:
    assert extract(song, "bass", "--no-rest", "--spectrogram") == 0
    assert written(song) == ["song.bass.wav", "song.spectrogram.png"]


def test_decoded_stems_are_as_long_as_the_song(song: Path) -> None:
    assert extract(song, "bass", "--render", "decode") == 0
    assert written(song) == ["song.bass.wav", "song.rest.wav"]
    assert samples(song.parent / "out" / "song.bass.wav").shape == tones().shape
    assert extract(song, "bass", "hat", "--render", "decode", "--overwrite") == 0


def test_a_reference_sound_is_a_prompt_alone_or_with_words(song: Path) -> None:
    clip = write_song(song.parent / "snare hit.wav", seconds=0.5)
    assert extract(song, "--like", str(clip), "--like", f"slap bass={clip}", "--no-rest") == 0
    assert written(song) == ["song.slap-bass.wav", "song.snare-hit.wav"]


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["add", "SONG", "bass", "drum kit"], ["song.bass.wav", "song.drum-kit.wav"]),
        (["accompany", "SONG", "soft drums"], ["song.soft-drums.wav"]),
        (["generate", "funk groove", "--seconds", "2"], ["generated.funk-groove.wav"]),
        (
            ["generate", "drums", "bass", "--stem-by-stem", "--seconds", "2", "--name", "a sketch"],
            ["a sketch.bass.wav", "a sketch.drums.wav"],
        ),
    ],
)
def test_the_other_tasks_write_a_file_per_prompt(song: Path, words: list[str], names: list[str]) -> None:
    words = [str(song) if word == "SONG" else word for word in words]
    assert main([*words, "--spectrogram", "--output", str(song.parent / "out")]) == 0
    picture = names[0].split(".")[0] + ".spectrogram.png"
    assert written(song) == sorted([*names, picture])


def test_generate_takes_a_length_and_a_rate(tmp_path: Path) -> None:
    assert main(["generate", "bass", "--seconds", "1.5", "--rate", "48000", "--output", str(tmp_path)]) == 0
    info = soundfile.info(tmp_path / "generated.bass.wav")
    assert (info.frames, info.samplerate) == (72000, 48000)


@pytest.mark.parametrize("there", ["song.bass.wav", "song.rest.wav", "song.spectrogram.png"])
def test_what_is_there_is_kept_and_nothing_is_computed(
    song: Path, loads: list[str], there: str, capsys: Captured
) -> None:
    (song.parent / "out").mkdir()
    (song.parent / "out" / there).write_text("mine")
    assert extract(song, "bass", "--spectrogram") == 5
    message = capsys.readouterr().err
    assert there in message
    assert "--overwrite" in message
    assert (written(song), (song.parent / "out" / there).read_text(), loads) == ([there], "mine", [])


def test_overwrite_replaces(song: Path) -> None:
    assert extract(song, "bass") == 0
    (song.parent / "out" / "song.bass.wav").write_text("old")
    assert extract(song, "bass", "--overwrite") == 0
    assert len(samples(song.parent / "out" / "song.bass.wav")) == 3 * 44100


def test_a_run_over_many_goes_on_after_a_bad_one_and_ends_with_its_code(song: Path, capsys: Captured) -> None:
    (song.parent / "broken.wav").write_text("no music")
    write_song(song.parent / "zebra.wav")
    words = [
        "extract",
        str(song.parent),
        "bass",
        "--input",
        "missing.wav",
        "--output",
        str(song.parent / "out"),
    ]
    assert main(words) == 3
    out, err = capsys.readouterr()
    assert [Path(line).name for line in out.splitlines()] == [
        f"{name}.{part}.wav" for name in ("song", "zebra") for part in ("bass", "rest")
    ]
    lines = err.splitlines()
    assert len(lines) == 3
    assert "broken.wav" in lines[0]
    assert "missing.wav" in lines[1]
    assert lines[2] == "stemwright: 2 of 4 done, 2 failed"


def test_json_tells_of_failures_too(song: Path, capsys: Captured) -> None:
    assert main(["extract", "missing.wav", "bass", "--json", "--output", str(song.parent)]) == 3
    told = json.loads(capsys.readouterr().out)
    assert (told["input"], told["exit_code"]) == ("missing.wav", 3)
    assert "missing.wav" in told["error"]


def test_an_unforeseen_error_is_one_line_that_asks_for_a_report(
    song: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*words: object, **options: object) -> None:
        raise RuntimeError("the moon\nis full")

    monkeypatch.setattr(Engine, "extract", broken)
    assert extract(song, "bass") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "RuntimeError: the moon\\nis full" in line
    assert "report" in line
    monkeypatch.setenv("STEMWRIGHT_DEBUG", "1")
    with pytest.raises(RuntimeError):
        extract(song, "bass")


def test_too_little_memory_is_no_bug_report(
    song: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(*words: object, **options: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Engine, "extract", greedy)
    assert extract(song, "bass") == 1
    assert "not enough memory" in capsys.readouterr().err


def test_progress_is_drawn_on_a_terminal_and_not_elsewhere(
    song: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert extract(song, "bass") == 0
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("stemwright.engine.commands.show.REDRAW", 0)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert extract(song, "bass", "--overwrite") == 0
    drawn = capsys.readouterr().err
    assert "sample" in drawn
    assert "%" in drawn
    assert "left" in drawn
    assert drawn.endswith("\r")  # cleared at the end


def test_a_reader_of_stdout_who_leaves_is_no_error(song: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    child = start("extract", str(song), "bass", "--output", str(song.parent / "out"), stdout=write)
    os.close(write)
    _, err = child.communicate()
    assert (child.returncode, err) == (0, "started\n")
    assert written(song) == ["song.bass.wav", "song.rest.wav"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_stdout_is_told(song: Path) -> None:
    with Path("/dev/full").open("w") as full:
        child = start("extract", str(song), "bass", "--output", str(song.parent / "out"), stdout=full)
        _, err = child.communicate()
    assert child.returncode == 5
    assert "standard output" in err


def test_train_evaluate_and_export_get_their_own_words(monkeypatch: pytest.MonkeyPatch) -> None:
    for command, module in (
        ("train", "engine.train.cli"),
        ("evaluate", "engine.train.evaluate"),
        ("export", "export.cli"),
    ):
        got: list[list[str]] = []

        class Fake:
            @staticmethod
            def main(words: list[str], got: list[list[str]] = got) -> int:
                got.append(words)
                return 7

        monkeypatch.setitem(sys.modules, f"stemwright.{module}", Fake)  # type: ignore[arg-type]
        assert main([command, "--help", "more"]) == 7
        assert got == [["--help", "more"]]


def test_a_missing_extra_tells_the_command_that_installs_it() -> None:
    script = (
        "import sys; sys.modules['numpy'] = None; from stemwright.engine.cli import main; "
        "sys.exit(main(['evaluate']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 6
    assert "pip install 'stemwright[evaluate]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
