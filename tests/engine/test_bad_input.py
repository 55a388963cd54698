"""What users do by accident: each ends in one line that names the thing and the way out, the right exit code,
and nothing half-written. Through the command line, with a fake model.
"""

import os
import resource
import shutil
import struct
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.engine.command_line import samples, start, tones, write_song
from tests.engine.trial import Captured, Trial


@pytest.fixture
def other_user(trial: Trial) -> Iterator[Path]:
    """A folder in which we may become somebody else: root may read and write everything."""
    trial.extract(write_song(trial.folder / "first.wav", seconds=0.5))  # everything is imported now
    shutil.rmtree(trial.out)
    trial._capsys.readouterr()
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    trial.out = folder / "out"
    is_root = os.geteuid() == 0
    try:
        yield folder
    finally:
        if is_root:
            os.seteuid(0)
        shutil.rmtree(folder)


def become_somebody() -> None:
    if os.geteuid() == 0:
        os.seteuid(65534)


def header(frames: int = 44100, rate: int = 44100, channels: int = 1) -> bytes:
    """A 16-bit WAV header that promises this."""
    data = frames * channels * 2
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16)
    return struct.pack("<4sI4s", b"RIFF", 36 + data, b"WAVE") + fmt + struct.pack("<4sI", b"data", data)


# Inputs


def test_a_missing_file(trial: Trial) -> None:
    message = trial.refused(trial.folder / "missing.wav")
    assert "missing.wav" in message
    assert "no such file" in message


def test_a_directory_without_audio(trial: Trial) -> None:
    (trial.folder / "album").mkdir()
    message = trial.refused(trial.folder / "album")
    assert "album" in message
    assert "no WAV" in message


def test_a_directory_named_like_a_file(trial: Trial) -> None:
    (trial.folder / "album.wav").mkdir()
    assert "album.wav" in trial.refused(trial.folder / "album.wav")


def test_an_empty_file(trial: Trial) -> None:
    (trial.folder / "empty.wav").touch()
    assert "0 bytes" in trial.refused(trial.folder / "empty.wav")


def test_zero_frames(trial: Trial) -> None:
    soundfile.write(trial.folder / "zero.wav", np.zeros((0, 2)), 44100)
    assert "0 frames" in trial.refused(trial.folder / "zero.wav")


def test_one_frame(trial: Trial) -> None:
    soundfile.write(trial.folder / "one.wav", np.zeros((1, 2)), 44100)
    message = trial.refused(trial.folder / "one.wav")
    assert "1 frame" in message
    assert "at least 0.1 s" in message


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_even_at_the_very_end(trial: Trial, bad: float) -> None:
    wave = tones(seconds=5)
    wave[-1, 1] = bad
    soundfile.write(trial.folder / "bad.wav", wave, 44100, subtype="FLOAT")
    message = trial.refused(trial.folder / "bad.wav")
    assert "bad.wav" in message
    assert f"frame {len(wave) - 1}" in message


def test_text_renamed_wav(trial: Trial) -> None:
    (trial.folder / "notes.wav").write_text("these are the notes of the song\n" * 100)
    assert "no audio is recognised" in trial.refused(trial.folder / "notes.wav")


def test_a_truncated_wav(trial: Trial) -> None:
    whole = write_song(trial.folder / "whole.wav").read_bytes()
    (trial.folder / "cut.wav").write_bytes(whole[: len(whole) // 2])
    message = trial.refused(trial.folder / "cut.wav")
    assert "cut short" in message
    assert "3.00 s" in message


def test_a_truncated_flac(trial: Trial) -> None:
    whole = write_song(trial.folder / "whole.flac").read_bytes()
    (trial.folder / "cut.flac").write_bytes(whole[: len(whole) // 2])
    assert "cut.flac" in trial.refused(trial.folder / "cut.flac")


def test_192_kilohertz_works_and_stays(trial: Trial) -> None:
    song = write_song(trial.folder / "song.wav", seconds=1.0, rate=192000)
    assert trial.extract(song) == 0
    info = soundfile.info(trial.out / "song.bass.wav")
    assert (info.samplerate, info.frames) == (192000, 192000)


def test_eight_channels_work_and_stay(trial: Trial) -> None:
    song = write_song(trial.folder / "song.wav", seconds=1.0, channels=8)
    assert trial.extract(song) == 0
    stem, rest = (samples(trial.out / f"song.{name}.wav") for name in ("bass", "rest"))
    np.testing.assert_allclose(stem + rest, tones(seconds=1.0, channels=8), atol=1e-6, rtol=0)


def test_nine_channels_do_not_fit_into_flac_and_are_told_so_before_any_work(trial: Trial) -> None:
    song = write_song(trial.folder / "song.wav", seconds=1.0, channels=9)
    assert "FLAC holds 8 channels" in trial.refused(song, "bass", "--format", "flac", code=5)


def test_a_rate_of_1_hertz(trial: Trial) -> None:
    (trial.folder / "slow.wav").write_bytes(header(rate=1) + bytes(2 * 44100))
    message = trial.refused(trial.folder / "slow.wav")
    assert "1 Hz" in message
    assert "4000" in message


def peak_memory(process: int) -> int:
    """kB a process has held at most so far; ru_maxrss would count the process that started it too"""
    try:
        status = Path(f"/proc/{process}/status").read_text("ascii", "replace")
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")), 0)


@pytest.mark.slow
def test_a_three_hour_file_works_in_bounded_memory(tmp_path: Path) -> None:
    """8 kHz mono; 32 CPU seconds. As float32 the song has 346 MB."""
    second = (tones(seconds=1.0, rate=8000, channels=1) * 32767).astype("<i2").tobytes()
    frames = 3 * 3600 * 8000
    with (tmp_path / "long.wav").open("wb") as file:
        file.write(header(frames, rate=8000))
        for _ in range(3 * 60):
            file.write(second * 60)
    child = start(
        "extract", str(tmp_path / "long.wav"), "bass", "--no-rest", "--output", str(tmp_path / "out")
    )
    peak = 0
    while child.poll() is None:
        peak = max(peak, peak_memory(child.pid))
        time.sleep(0.1)
    assert child.returncode == 0
    assert child.stderr is not None
    child.stderr.close()
    assert soundfile.info(tmp_path / "out" / "long.bass.wav").frames == frames
    assert 30 < peak / 1000 < 300
    for path in (tmp_path / "long.wav", tmp_path / "out" / "long.bass.wav"):
        path.unlink()  # half a gigabyte


def test_a_silent_file_gives_silence_and_is_told(trial: Trial, capsys: Captured) -> None:
    soundfile.write(trial.folder / "silent.wav", np.zeros((44100, 2)), 44100)
    assert trial.extract(trial.folder / "silent.wav") == 0
    assert "silent" in capsys.readouterr().err
    for name in ("bass", "rest"):
        assert not samples(trial.out / f"silent.{name}.wav").any()


def test_an_unreadable_file(trial: Trial, other_user: Path) -> None:
    song = write_song(other_user / "secret.wav")
    song.chmod(0)
    (other_user / "out").mkdir()
    become_somebody()
    message = trial.refused(song)
    assert "secret.wav" in message
    assert "Permission denied" in message


# Outputs


def test_an_unwritable_output_folder(trial: Trial, other_user: Path) -> None:
    song = write_song(other_user / "song.wav")
    trial.out.mkdir(mode=0o555)
    become_somebody()
    message = trial.refused(song, code=5)
    assert "Permission denied" in message
    assert "--output" in message


def test_an_output_folder_that_is_a_file(trial: Trial, song: Path) -> None:
    trial.out.write_text("mine")
    assert trial.extract(song) == 5
    assert trial.out.read_text() == "mine"


@pytest.mark.parametrize("words", [(), ("--format", "flac"), ("--spectrogram",)])
def test_a_full_disk(trial: Trial, words: tuple[str, ...]) -> None:
    """A limit on the size of files stands for the disk: the system refuses the write that goes past it."""
    song = write_song(trial.folder / "song.wav")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, before[1]))
    try:
        code = trial.extract(song, "bass", *words)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    line = trial._capsys.readouterr().err
    assert code == 5
    assert len(line.splitlines()) == 1
    assert "cannot be written" in line
    assert trial.left() == []


def test_a_disk_that_is_full_for_the_picture_leaves_the_stems(
    trial: Trial, song: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    def full(*words: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert trial.extract(song, "bass", "--spectrogram") == 5
    assert "song.spectrogram.png" in capsys.readouterr().err
    assert trial.left() == ["song.bass.wav", "song.rest.wav"]


# Prompts


@pytest.mark.parametrize("prompt", ["", "   ", "\n\t"])
def test_an_empty_prompt(trial: Trial, song: Path, loads: list[str], prompt: str) -> None:
    assert "prompt is empty" in trial.refused(song, prompt)
    assert loads == []  # refused before the model was opened


def test_no_prompt(trial: Trial, song: Path) -> None:
    message = trial.refused(song, "--no-rest")
    assert "PROMPT" in message
    assert "--like" in message


def test_a_prompt_of_10_kilobytes(trial: Trial, song: Path) -> None:
    message = trial.refused(song, "bass " * 2000)
    assert "10000 characters" in message
    assert "at most" in message


@pytest.mark.parametrize(
    ("prompt", "name"),
    [("🎸", "stem"), ("ギター", "ギター"), ("бас-гитара", "бас-гитара"), ("جيتار", "جيتار")],
)
def test_emoji_and_prompts_in_other_scripts_work(trial: Trial, song: Path, prompt: str, name: str) -> None:
    assert trial.extract(song, prompt) == 0
    assert trial.left() == sorted([f"song.{name}.wav", "song.rest.wav"])


def test_prompts_that_share_a_name_get_a_file_each(trial: Trial, song: Path) -> None:
    assert trial.extract(song, "bass", "Bass!", "rest", "🎸", "🥁") == 0
    names = ("bass", "bass-2", "rest", "rest-2", "stem", "stem-2")
    assert trial.left() == sorted(f"song.{name}.wav" for name in names)


# Names

ODD_NAMES = ["a song", 'it\'s "the" one', "two\nlines", "naïve 日本語 ♪", "-dash", "50% [live]", "x" * 240]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_file_names_work(trial: Trial, name: str, capsys: Captured) -> None:
    song = write_song(trial.folder / f"{name}.wav")
    assert trial.extract(song) == 0
    assert len(trial.left()) == 2
    assert all(left.startswith(name[:200]) for left in trial.left())
    out, err = capsys.readouterr()
    assert (out.count("\n"), err) == (2 + 2 * name.count("\n"), "")


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_of_missing_files_are_told_on_one_line(trial: Trial, name: str) -> None:
    trial.refused(trial.folder / f"{name}.wav")


def test_names_that_are_not_utf_8_work_and_are_printed_as_they_are(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9")
    song = write_song(tmp_path / "plain.wav").rename(tmp_path / f"{name}.wav")
    with (tmp_path / "printed").open("wb") as printed:
        child = start("extract", str(song), "bass", "--output", str(tmp_path / "out"), stdout=printed)
        child.communicate()
    assert child.returncode == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        f"{name}.bass.wav",
        f"{name}.rest.wav",
    ]
    assert (tmp_path / "printed").read_bytes().splitlines()[0].endswith(b"/caf\xe9.bass.wav")
