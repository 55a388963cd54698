"""What comes in is refused or read to the frame."""

import os
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from stemwright.engine.audio import (
    Audio,
    Resampler,
    mono_blocks,
    open_audio,
    read,
    resample,
    resampled_frames,
)
from stemwright.engine.errors import BadInput
from stemwright.engine.headers import wav_header

NAMES = [
    "my song.wav",
    'it\'s "loud".wav',
    "two\nlines.wav",
    "Ænima 日本語 🎸.wav",
    "-rf.wav",
    "x" * 251 + ".wav",
]


def noise(seconds: float = 0.5, rate: int = 44100, channels: int = 2) -> np.ndarray:
    """(N, K), as soundfile takes it."""
    draw = np.random.default_rng(0)
    return draw.uniform(-0.5, 0.5, (round(seconds * rate), channels)).astype(np.float32)


def refusal(path: Path, *words: str) -> None:
    """`read` raises BadInput with a line that names the file and says the words."""
    with pytest.raises(BadInput) as caught:
        read(path)
    message = str(caught.value)
    assert "\n" not in message
    assert repr(str(path)) in message
    for word in words:
        assert word in message, message


def shorten(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "FLOAT"), ("flac", "PCM_24"), ("aiff", "PCM_24")])
def test_lossless_files_are_read_as_they_are(tmp_path: Path, suffix: str, subtype: str) -> None:
    path, samples = tmp_path / f"song.{suffix}", noise()
    soundfile.write(path, samples, 44100, subtype=subtype)
    audio = read(path)
    assert (audio.rate, audio.channels, audio.frames, audio.seconds) == (44100, 2, 22050, 0.5)
    assert audio.samples.dtype == np.float32
    np.testing.assert_allclose(audio.samples, samples.T, atol=2**-23)  # half a step of 24 bit: 2^-24


@pytest.mark.parametrize("suffix", ["ogg", "mp3"])
def test_lossy_files_keep_their_length_and_rate(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, noise(), 44100)
    audio = read(path)
    assert (audio.rate, audio.channels, audio.frames) == (44100, 2, 22050)


@pytest.mark.parametrize("name", NAMES)
def test_any_name_the_disk_takes_is_read(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "plain.wav", noise(), 44100)
    (tmp_path / "plain.wav").rename(tmp_path / name)
    assert read(tmp_path / name).frames == 22050


@pytest.mark.parametrize("name", NAMES[:3])
def test_any_name_stays_on_one_line_when_refused(tmp_path: Path, name: str) -> None:
    refusal(tmp_path / name, "no such file")


@pytest.mark.parametrize(
    ("rate", "channels"), [(192_000, 2), (44100, 8), (4000, 1), (768_000, 1), (44100, 64)]
)
def test_unusual_rates_and_channel_counts_are_read(tmp_path: Path, rate: int, channels: int) -> None:
    soundfile.write(tmp_path / "song.wav", noise(0.2, rate, channels), rate)
    audio = read(tmp_path / "song.wav")
    assert (audio.rate, audio.channels, audio.frames) == (rate, channels, rate // 5)


@pytest.mark.parametrize("rate", [1, 3999, 768_001])
def test_a_rate_no_music_has_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "song.wav", noise(1, 44100), rate)
    refusal(tmp_path / "song.wav", f"{rate} Hz", "4000 to 768000 Hz")


def test_more_channels_than_any_mixing_desk_has_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(0.2, 8000, 65), 8000)
    refusal(tmp_path / "song.wav", "65 channels", "at most 64")


def test_silence_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", np.zeros((44100, 2)), 44100)
    assert not read(tmp_path / "song.wav").samples.any()


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path / "song.wav", "no such file")


def test_a_folder_is_refused(tmp_path: Path) -> None:
    refusal(tmp_path, "is a folder")


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    if not hasattr(os, "mkfifo"):
        pytest.skip("needs named pipes")
    os.mkfifo(tmp_path / "song.wav")
    refusal(tmp_path / "song.wav", "not a plain file")


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "song.wav").touch()
    refusal(tmp_path / "song.wav", "empty (0 bytes)")


def test_no_frames_are_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(0), 44100)
    refusal(tmp_path / "song.wav", "0 frames")


@pytest.mark.parametrize("frames", [1, 4409])
def test_less_than_a_tenth_of_a_second_is_refused(tmp_path: Path, frames: int) -> None:
    soundfile.write(tmp_path / "song.wav", noise(1)[:frames], 44100)
    refusal(tmp_path / "song.wav", f"{frames} frame", "at least 0.1 s")


def test_a_tenth_of_a_second_is_read(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(1)[:4410], 44100)
    assert read(tmp_path / "song.wav").frames == 4410


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e30])
def test_a_sample_that_is_no_number_is_found_in_the_middle(tmp_path: Path, bad: float) -> None:
    samples = noise(10)
    samples[300_000, 1] = bad
    soundfile.write(tmp_path / "song.wav", samples, 44100, subtype="FLOAT")
    refusal(tmp_path / "song.wav", "frame 300000", "6.80 s")
    with open_audio(tmp_path / "song.wav") as source:
        assert source.read(0, 300_000).frames == 300_000


@pytest.mark.parametrize("name", ["notes.wav", "notes.flac", "notes.mp3", "notes.raw", "notes"])
def test_text_under_any_name_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("verse, chorus, verse\n" * 100)
    refusal(tmp_path / name, "no audio is recognised", "WAV, FLAC, Ogg, MP3 or AIFF")


@pytest.mark.parametrize("suffix", ["wav", "flac", "aiff", "mp3", "w64", "rf64"])
@pytest.mark.parametrize("share", [0.95, 0.5])
def test_a_file_shorter_than_its_header_says_is_refused(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, noise(2), 44100)
    shorten(path, share)
    if suffix == "w64":  # a rare format whose header we do not read: what is there is taken
        assert read(path).frames < 88200
    else:
        refusal(path, "cut short", "2.0")


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "aiff"])
@pytest.mark.parametrize("length", [1, 4, 11, 30, 60, 100])
def test_a_file_cut_within_its_header_is_refused(tmp_path: Path, suffix: str, length: int) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, noise(2), 44100)
    path.write_bytes(path.read_bytes()[:length])
    refusal(path)


@pytest.mark.parametrize(("whole", "length"), [(8, 0), (0xFFFFFFFF, 0xFFFFFFFF), (0x7FFFFFFF, 0x7FFFFFDB)])
def test_a_wav_recorded_into_a_pipe_is_read_to_its_end(tmp_path: Path, whole: int, length: int) -> None:
    path, samples = tmp_path / "song.wav", noise(1)
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 2, 44100, 44100 * 8, 8, 32)
    head = struct.pack("<4sI4s", b"RIFF", whole, b"WAVE") + fmt + struct.pack("<4sI", b"data", length)
    path.write_bytes(head + samples.tobytes())
    np.testing.assert_array_equal(read(path).samples, samples.T)


def test_a_flac_that_does_not_tell_its_length_is_refused_with_the_remedy(tmp_path: Path) -> None:
    path = tmp_path / "song.flac"
    soundfile.write(path, noise(1), 44100)
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # the number of frames, 36 bits of STREAMINFO: unknown
    data[22:26] = bytes(4)
    path.write_bytes(data)
    refusal(path, "does not say how long", "ffmpeg")


def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    soundfile.write(tmp_path / "song.wav", noise(), 44100)
    monkeypatch.setattr(Path, "open", forbidden)
    refusal(tmp_path / "song.wav", "Permission denied", "permissions")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_refused(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(), 44100)
    (tmp_path / "song.wav").chmod(0)
    refusal(tmp_path / "song.wav", "Permission denied")


def test_three_hours_open_at_once_and_any_span_costs_only_itself(tmp_path: Path) -> None:
    path, frames = tmp_path / "song.wav", 3 * 3600 * 44100
    with path.open("wb") as file:  # silence that takes no place on the disk
        file.write(wav_header(frames, 44100, 2, 32, is_float=True))
        file.truncate(file.tell() + frames * 8)
    with open_audio(path) as source:
        assert source.seconds == 3 * 3600
        assert [block.shape for block in source.blocks(frames - 1000, 1000, size=600)] == [(2, 600), (2, 400)]


def test_a_wav_beyond_four_gigabytes_is_read(tmp_path: Path) -> None:
    path, frames = tmp_path / "song.wav", 700_000_000
    with path.open("wb") as file:
        file.write(wav_header(frames, 96000, 2, 32, is_float=True))
        file.truncate(file.tell() + frames * 8)
    with open_audio(path) as source:
        assert source.frames == frames
    with path.open("r+b") as file:
        file.truncate(5_000_000_000)
    refusal(path, "cut short")


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 44100), frames=st.integers(0, 44100), size=st.integers(1, 50_000))
def test_any_span_in_any_blocks_is_that_span(
    tmp_path_factory: pytest.TempPathFactory, start: int, frames: int, size: int
) -> None:
    path, samples = tmp_path_factory.getbasetemp() / "span.flac", noise(1)
    if not path.exists():
        soundfile.write(path, samples, 44100, subtype="PCM_24")
    frames, size = min(frames, 44100 - start), max(size, frames // 50, 1)
    with open_audio(path) as source:
        blocks = [np.zeros((2, 0)), *source.blocks(start, frames, size=size)]
    spans = np.concatenate(blocks, axis=1)
    np.testing.assert_allclose(spans, samples[start : start + frames].T, atol=2**-23)


@pytest.mark.parametrize("samples", [np.zeros(9, np.float32), np.zeros((2, 9)), np.zeros((2, 9), np.int16)])
def test_an_audio_of_another_shape_or_type_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(BadInput, match="float32"):
        Audio(samples, 44100)


def test_mono_is_the_mean_of_the_channels() -> None:
    samples = np.array([[1.0, 0.0, 0.5], [0.0, 0.0, -0.5]], np.float32)
    np.testing.assert_array_equal(Audio(samples, 44100).mono().samples, [[0.5, 0, 0]])


RATES = [8000, 11025, 16000, 22050, 44100, 48000, 96000, 192000]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 5000), st.sampled_from(RATES), st.sampled_from(RATES))
def test_a_resampled_length_is_exact_and_comes_back(frames: int, source: int, target: int) -> None:
    audio = Audio(np.zeros((2, frames), np.float32), source)
    there = resample(audio, target)
    assert there.frames == resampled_frames(frames, source, target)
    assert abs(there.frames - frames * target / source) <= 0.5
    assert resample(there, source, audio.frames).samples.shape == (2, frames)


def test_a_resampled_tone_is_the_tone_at_the_new_rate() -> None:
    def tone(rate: int) -> np.ndarray:
        return np.sin(2 * np.pi * 997 * np.arange(rate) / rate).astype(np.float32)[None]

    inside = slice(1000, -1000)
    error = resample(Audio(tone(44100), 44100), 16000).samples - tone(16000)
    assert np.abs(error[:, inside]).max() < 5e-6  # measured 7e-7


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.integers(0, 9000), max_size=6),
    st.sampled_from([(44100, 16000), (16000, 44100), (96000, 16000), (11025, 16000), (16000, 16000)]),
)
def test_resampling_in_blocks_is_resampling_at_once(lengths: list[int], rates: tuple[int, int]) -> None:
    samples = noise(1, 60_000)[: sum(lengths)].T
    resampler, parts, start = Resampler(*rates, channels=2), [], 0
    for length in lengths:
        parts.append(resampler.push(samples[:, start : start + length]))
        start += length
    streamed = np.concatenate([*parts, resampler.finish()], axis=1)
    whole = resample(Audio(np.ascontiguousarray(samples), rates[0]), rates[1]).samples
    np.testing.assert_allclose(streamed, whole, atol=1e-6)  # measured 0


def test_what_the_model_hears_block_by_block_is_the_mono_downmix_resampled(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", noise(8), 44100, subtype="FLOAT")
    with open_audio(tmp_path / "song.wav") as source:
        heard = np.concatenate(list(mono_blocks(source, 16000)))
    expected = resample(read(tmp_path / "song.wav").mono(), 16000).samples[0]
    np.testing.assert_allclose(heard, expected, atol=1e-6)  # measured 0
