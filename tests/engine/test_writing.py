"""What goes out is there whole and exact, or not at all."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.engine import headers
from stemwright.engine.audio import Audio, AudioWriter, commit_all, read, write
from stemwright.engine.errors import BadOutput

KINDS = [("a.wav", "float"), ("a.wav", "pcm24"), ("a.wav", "pcm16"), ("a.flac", "pcm24"), ("a.flac", "pcm16")]
STEPS = {"float": 0.0, "pcm24": 2.0**-23, "pcm16": 2.0**-15}


def noise(seconds: float = 0.5, channels: int = 2, peak: float = 0.5, rate: int = 44100) -> Audio:
    draw = np.random.default_rng(0)
    return Audio(draw.uniform(-peak, peak, (channels, round(seconds * rate))).astype(np.float32), rate)


@contextmanager
def refused(folder: Path, *words: str, left: tuple[str, ...] = ()) -> Iterator[None]:
    """BadOutput with one line that says the words, and only the files `left` in the folder."""
    with pytest.raises(BadOutput) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    assert sorted(entry.name for entry in folder.iterdir()) == sorted(left)


@pytest.mark.parametrize(("name", "subtype"), KINDS)
@pytest.mark.parametrize("channels", [1, 2, 7])
def test_what_is_written_is_read_again_within_the_dither(
    tmp_path: Path, name: str, subtype: str, channels: int
) -> None:
    audio = noise(0.5, channels)
    audio = Audio(audio.samples[:, :22049], audio.rate)  # odd: WAV pads 24-bit data of odd length
    write(tmp_path / name, audio, subtype=subtype)
    again = read(tmp_path / name)
    assert (again.rate, again.samples.shape) == (44100, (channels, 22049))
    assert np.abs(again.samples - audio.samples).max() <= 1.5 * STEPS[subtype]  # rounding .5, dither 1
    assert [entry.name for entry in tmp_path.iterdir()] == [name]


def test_the_suffix_chooses_float_wav_or_flac_of_24_bit(tmp_path: Path) -> None:
    for name, subtype in (("a.wav", "FLOAT"), ("b.WAV", "FLOAT"), ("c.flac", "PCM_24")):
        write(tmp_path / name, noise())
        assert soundfile.info(tmp_path / name).subtype == subtype


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_the_same_samples_give_the_same_bytes_in_whatever_blocks(
    tmp_path: Path, name: str, subtype: str
) -> None:
    audio = noise(4)
    write(tmp_path / name, audio, subtype=subtype, seed=7)
    with AudioWriter(tmp_path / f"blocks-{name}", 44100, 2, subtype=subtype, seed=7) as file:
        for start in range(0, audio.frames, 9_999):
            file.write(audio.samples[:, start : start + 9_999])
    assert (tmp_path / name).read_bytes() == (tmp_path / f"blocks-{name}").read_bytes()


def test_dither_is_triangular_and_leaves_the_mean_where_it_was(tmp_path: Path) -> None:
    step = STEPS["pcm16"]
    audio = Audio(np.full((1, 200_000), 0.3 * step, np.float32), 44100)
    write(tmp_path / "a.wav", audio, subtype="pcm16")
    steps = read(tmp_path / "a.wav").samples / step
    assert steps.mean() == pytest.approx(0.3, abs=0.01)  # undithered: 0; measured 0.300
    assert steps.var() == pytest.approx(0.25, abs=0.01)  # triangular dither: ¼ step², whatever the signal
    write(tmp_path / "b.wav", audio, subtype="pcm16", seed=1)
    assert (read(tmp_path / "b.wav").samples != read(tmp_path / "a.wav").samples).any()


@pytest.mark.parametrize(("name", "subtype"), KINDS[1:])
def test_full_scale_itself_is_written_and_does_not_wrap(tmp_path: Path, name: str, subtype: str) -> None:
    square = np.tile(np.repeat([1.0, -1.0], 50), 100).astype(np.float32)[None]
    write(tmp_path / name, Audio(square, 44100), subtype=subtype)
    assert np.abs(read(tmp_path / name).samples - square).max() <= 2.5 * STEPS[subtype]


@pytest.mark.parametrize(("name", "subtype"), KINDS[1:])
def test_peaks_over_full_scale_are_refused_with_the_gain_they_need(
    tmp_path: Path, name: str, subtype: str
) -> None:
    audio = Audio(np.full((1, 9000), 1.25, np.float32), 44100)
    with refused(tmp_path, name, "1.94 dB over", "gain 0.8000", "float WAV"):
        write(tmp_path / name, audio, subtype=subtype)


def test_float_keeps_peaks_over_full_scale(tmp_path: Path) -> None:
    audio = noise(peak=4.0)
    write(tmp_path / "a.wav", audio)
    np.testing.assert_array_equal(read(tmp_path / "a.wav").samples, audio.samples)


def test_files_committed_together_share_the_gain_of_the_loudest(tmp_path: Path) -> None:
    stem, rest = noise(peak=0.5), noise(peak=2.0)
    with (
        AudioWriter(tmp_path / "stem.flac", 44100, 2) as first,
        AudioWriter(tmp_path / "rest.wav", 44100, 2, subtype="pcm24") as second,
    ):
        first.write(stem.samples)
        second.write(rest.samples)
        gain = commit_all([first, second])
    assert gain == pytest.approx(1 / np.abs(rest.samples).max())
    for name, audio in (("stem.flac", stem), ("rest.wav", rest)):
        error = read(tmp_path / name).samples - gain * audio.samples
        assert np.abs(error).max() <= 2.5 * STEPS["pcm24"]


def test_files_committed_together_all_appear_or_none(tmp_path: Path) -> None:
    with (
        refused(tmp_path, "rest.wav", "exists already", left=("rest.wav",)),
        AudioWriter(tmp_path / "stem.wav", 44100, 2) as first,
        AudioWriter(tmp_path / "rest.wav", 44100, 2) as second,
    ):
        first.write(noise().samples)
        second.write(noise().samples)
        (tmp_path / "rest.wav").write_text("made meanwhile")
        commit_all([first, second])
    assert (tmp_path / "rest.wav").read_text() == "made meanwhile"


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_any_interruption_leaves_nothing(
    tmp_path: Path, name: str, subtype: str, error: type[BaseException]
) -> None:
    with pytest.raises(error), AudioWriter(tmp_path / name, 44100, 2, subtype=subtype) as file:
        file.write(noise().samples)
        assert len(list(tmp_path.iterdir())) == 1
        raise error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "subtype"), KINDS)
@pytest.mark.parametrize("call", ["fsync", "link"])
def test_an_interruption_while_it_is_given_its_name_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, subtype: str, call: str
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / name, noise(), subtype=subtype)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unless_told(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("precious")
    with refused(tmp_path, "exists already", "--overwrite", left=("a.wav",)):
        write(tmp_path / "a.wav", noise())
    assert (tmp_path / "a.wav").read_text() == "precious"
    write(tmp_path / "a.wav", noise(), overwrite=True)
    assert read(tmp_path / "a.wav").frames == 22050


@pytest.mark.parametrize("has_links", [True, False])
def test_a_file_made_meanwhile_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_links: bool
) -> None:
    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with (
        refused(tmp_path, "exists already", left=("a.wav",)),
        AudioWriter(tmp_path / "a.wav", 44100, 2) as file,
    ):
        file.write(noise().samples)
        (tmp_path / "a.wav").write_text("precious")
    assert (tmp_path / "a.wav").read_text() == "precious"


def test_a_disk_without_hard_links_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "link", no_links)
    write(tmp_path / "a.wav", noise())
    assert read(tmp_path / "a.wav").frames == 22050
    assert len(list(tmp_path.iterdir())) == 1


def no_links(*_: object) -> None:
    raise OSError(errno.EPERM, "Operation not permitted")


@contextmanager
def disk_of(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on file sizes")
@pytest.mark.parametrize(("name", "subtype"), KINDS)
@pytest.mark.parametrize("size", [0, 10_000, 150_000])
def test_a_full_disk_is_told_and_nothing_left(tmp_path: Path, name: str, subtype: str, size: int) -> None:
    with refused(tmp_path, name, "nothing is left", "Free some space"), disk_of(size):
        write(tmp_path / name, noise(4), subtype=subtype)


@pytest.mark.parametrize(("name", "subtype"), KINDS)
def test_a_disk_that_fills_up_in_the_last_block_is_told_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, subtype: str
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with refused(tmp_path, "No space left on device", "Free some space"):
        write(tmp_path / name, noise(), subtype=subtype)


def test_a_folder_that_is_missing_or_closed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with refused(tmp_path, "folder does not exist"):
        write(tmp_path / "nowhere" / "a.wav", noise())

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", forbidden)
    with refused(tmp_path, "Permission denied", "permissions", "--output"):
        write(tmp_path / "a.wav", noise())


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_of_that_name_is_told(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "a.wav").mkdir()
    with refused(tmp_path, "is a folder", left=("a.wav",)):
        write(tmp_path / "a.wav", noise(), overwrite=overwrite)


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "nul\0.wav"])
def test_a_name_no_disk_takes_is_told_before_the_work(tmp_path: Path, name: str) -> None:
    with refused(tmp_path, "cannot be written"), AudioWriter(tmp_path / name, 44100, 2):
        raise AssertionError("never reached")


@pytest.mark.parametrize(
    "name", ["my stem.wav", 'it\'s "loud".flac', "two\nlines.wav", "Ænima 日本語 🎸.flac", "x" * 251 + ".wav"]
)
def test_any_name_the_disk_takes_is_written(tmp_path: Path, name: str) -> None:
    write(tmp_path / name, noise())
    assert read(tmp_path / name).frames == 22050


@pytest.mark.parametrize(
    ("name", "rate", "channels", "subtype", "word"),
    [
        ("a.mp3", 44100, 2, None, "only WAV and FLAC"),
        ("a", 44100, 2, None, "only WAV and FLAC"),
        ("a.flac", 44100, 2, "float", "no float"),
        ("a.flac", 44100, 9, None, "8 channels"),
        ("a.flac", 768_000, 2, None, "655350 Hz"),
        ("a.wav", 44100, 2, "pcm8", "pcm24"),
    ],
)
def test_what_a_format_cannot_hold_is_told_at_once(
    tmp_path: Path, name: str, rate: int, channels: int, subtype: str | None, word: str
) -> None:
    with refused(tmp_path, word):
        AudioWriter(tmp_path / name, rate, channels, subtype=subtype)


@pytest.mark.parametrize("subtype", ["float", "pcm24", "pcm16"])
def test_a_wav_too_long_for_riff_is_rf64(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtype: str
) -> None:
    audio = noise()
    write(tmp_path / "short.wav", audio, subtype=subtype)
    monkeypatch.setattr(headers, "LONGEST_RIFF", 50_000)
    write(tmp_path / "long.wav", audio, subtype=subtype)
    assert soundfile.info(tmp_path / "short.wav").format == "WAV"
    assert soundfile.info(tmp_path / "long.wav").format == "RF64"
    long, short = (read(tmp_path / name).samples for name in ("long.wav", "short.wav"))
    np.testing.assert_array_equal(long, short)


@pytest.mark.skipif(sys.platform == "win32", reason="needs file modes")
def test_a_stem_may_be_read_by_whom_new_files_may(tmp_path: Path) -> None:
    (tmp_path / "new").touch()
    write(tmp_path / "a.wav", noise())
    assert (tmp_path / "a.wav").stat().st_mode == (tmp_path / "new").stat().st_mode
