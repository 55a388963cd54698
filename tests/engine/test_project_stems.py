"""`--project song.stem.mp4` with a fake model: tracks by FFmpeg (in PyAV), sound also by Apple's decoder.

Apple's is that inside libsndfile, which reads ALAC in CAF files: the packets are put into one. None of the
files was opened in Traktor or Mixxx here.
"""

import io
import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from stemwright.engine.cli import main
from stemwright.engine.commands import project_alac as alac
from stemwright.engine.commands import project_mp4 as mp4
from stemwright.engine.commands.project import GREYS, PALETTE
from tests.engine.command_line import samples, tones, write_song

pytestmark = pytest.mark.usefixtures("loads")
Captured = pytest.CaptureFixture[str]
Integers = NDArray[np.int16]
PARENTS = {b"moov", b"udta", b"trak", b"mdia", b"minf", b"stbl"}


@dataclass
class Stream:
    """sound: (N, K)"""

    name: str
    is_default: bool
    sound: Integers


def boxes(data: bytes, way: str = "") -> Iterator[tuple[str, bytes]]:
    """Every box with its way from the top, e.g. moov/udta/stem."""
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        head = 8
        if size == 1:
            (size,), head = struct.unpack_from(">Q", data, at + 8), 16
        content = data[at + head : at + size]
        here = f"{way}{kind.decode()}"
        yield here, content
        if kind in PARENTS:
            yield from boxes(content, f"{here}/")
        at += size
    assert at == len(data)


def one(path: Path, way: str) -> bytes:
    (found,) = (content for name, content in boxes(path.read_bytes()) if name == way)
    return found


def by_ffmpeg(path: Path) -> list[Stream]:
    with av.open(str(path)) as container:
        count = len(container.streams)
    return [_stream(path, number) for number in range(count)]


def _stream(path: Path, number: int) -> Stream:
    with av.open(str(path)) as container:
        stream = container.streams.audio[number]
        assert stream.codec_context.name == "alac"
        assert stream.start_time == 0
        blocks = [frame.to_ndarray() for frame in container.decode(stream)]
        sound = np.concatenate(blocks, axis=1).T
        assert stream.duration == len(sound)
        assert stream.time_base.denominator == stream.codec_context.sample_rate
        name = stream.metadata["handler_name"]
        return Stream(name, bool(stream.disposition & av.stream.Disposition.default), sound)


def by_apple(packets: Sequence[bytes], configuration: bytes, frames: int) -> Integers:
    """Packets in a CAF file, read by libsndfile → (N, K)"""
    *_, channels, _, _, _, rate = struct.unpack(">IBB3BBHIII", configuration)
    described = struct.pack(">d4s5I", rate, b"alac", 1, 0, alac.FRAMES, channels, 0)
    left = -frames % alac.FRAMES
    table = struct.pack(">2q2i", len(packets), frames, 0, left) + b"".join(_length(len(p)) for p in packets)
    chunks = [(b"desc", described), (b"kuki", configuration), (b"pakt", table)]
    chunks.append((b"data", bytes(4) + b"".join(packets)))
    file = b"caff\0\1\0\0" + b"".join(struct.pack(">4sq", name, len(body)) + body for name, body in chunks)
    found: Integers = soundfile.read(io.BytesIO(file), dtype="int16", always_2d=True)[0]
    return found


def _length(value: int) -> bytes:
    """Seven bits a byte, the highest first; all but the last have the top bit."""
    more = bytes([]) if value < 128 else bytes(byte | 128 for byte in _length(value >> 7)[:-1])
    if value >= 128:
        more += bytes([_length(value >> 7)[-1] | 128])
    return more + bytes([value & 127])


def stem_file(song: Path, *words: str) -> Path:
    """Run it → the stem file."""
    place = song.parent / "dj" / "x.stem.mp4"
    assert main(["extract", str(song), *words, "--project", str(place)]) == 0
    return place


@pytest.mark.parametrize(
    ("rate", "channels", "frames"),
    [(44100, 2, 31337), (48000, 1, 20480), (96000, 2, 40961)],
)
def test_the_mix_comes_first_and_its_stems_sum_to_it(
    tmp_path: Path, rate: int, channels: int, frames: int
) -> None:
    song = tmp_path / "Müllers song.wav"
    soundfile.write(song, tones(1.0, rate, channels)[:frames], rate, subtype="PCM_16")
    mix, *stems = by_ffmpeg(stem_file(song, "bass", "hi hat"))

    assert [stem.name for stem in stems] == ["bass", "hi hat", "rest", "empty"]
    assert (mix.name, mix.is_default) == ("Müllers song (original)", True)
    assert not any(stem.is_default for stem in stems)
    np.testing.assert_array_equal(mix.sound, soundfile.read(song, dtype="int16", always_2d=True)[0])
    assert not stems[3].sound.any()
    total = np.sum([stem.sound.astype(int) for stem in stems], axis=0)
    assert np.abs(total - mix.sound).max() <= 1  # three roundings of half a step; measured 1
    bass = samples(tmp_path / "dj" / "Müllers song.bass.wav")
    assert np.abs(stems[0].sound - bass * alac.FULL_SCALE).max() <= 0.5


def test_apple_s_decoder_hears_the_same_as_ffmpeg(song: Path) -> None:
    path = stem_file(song, "bass")
    content = path.read_bytes()
    tables = [dict(boxes(body)) for name, body in boxes(content) if name == "moov/trak/mdia/minf/stbl"]
    configuration = tables[0]["stsd"][-24:]
    for table, stream in zip(tables, by_ffmpeg(path), strict=True):
        sizes = np.frombuffer(table["stsz"][12:], ">u4")
        places = np.frombuffer(table["stco"][8:], ">u4")
        packets = [content[at : at + size] for at, size in zip(places, sizes, strict=True)]
        heard = by_apple(packets, configuration, len(stream.sound))
        np.testing.assert_array_equal(heard, stream.sound)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("frames", [1, 2, 9, 4095, 4096])
def test_packets_of_any_length_are_what_they_were_made_of(frames: int, channels: int) -> None:
    """After a whole one; and silence, which is a few bytes."""
    sound = np.random.default_rng(7).integers(-32768, 32768, (frames, channels)).astype(np.int16)
    whole = np.full((alac.FRAMES, channels), -32768, np.int16)
    configuration = alac.configuration(44100, channels)
    heard = by_apple([alac.packet(whole), alac.packet(sound)], configuration, alac.FRAMES + frames)
    np.testing.assert_array_equal(heard, np.concatenate([whole, sound]))
    assert len(alac.packet(sound)) == alac.packet_bytes(frames, channels)

    silent = alac.silence(frames, channels)
    assert len(silent) < 32
    heard = by_apple([alac.packet(whole), silent], configuration, alac.FRAMES + frames)
    np.testing.assert_array_equal(heard[alac.FRAMES :], np.zeros((frames, channels)))


def test_names_and_colours_are_in_the_box_that_dj_programs_read(song: Path) -> None:
    told = json.loads(one(stem_file(song, "bass", 'hi "hat" 歌'), "moov/udta/stem"))
    stems = [("bass", PALETTE[0]), ('hi "hat" 歌', PALETTE[1]), ("rest", GREYS["rest"])]
    stems.append(("empty", GREYS["rest"]))
    assert told["stems"] == [{"name": name, "color": colour.upper()} for name, colour in stems]
    assert told["version"] == 1
    assert [told["mastering_dsp"][part]["enabled"] for part in ("compressor", "limiter")] == [False, False]


@pytest.mark.parametrize("words", [("a", "b", "c"), ("a", "b", "c", "d", "--no-rest")])
def test_four_stems_leave_no_room_for_silence(song: Path, words: Sequence[str]) -> None:
    names = [stream.name for stream in by_ffmpeg(stem_file(song, *words))]
    assert names == ["song (original)", *"abc", "d" if "d" in words else "rest"]


@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_song_beyond_full_scale_is_turned_down_with_its_stems(tmp_path: Path, form: str) -> None:
    """Integer stems have been turned down already; it is not done twice."""
    song = tmp_path / "loud.wav"
    soundfile.write(song, tones(1.0) * 8, 44100, subtype="FLOAT")
    peak = np.abs(samples(song)).max()
    mix, *stems = by_ffmpeg(stem_file(song, "bass", "--format", form))
    assert np.abs(mix.sound - samples(song) / peak * alac.FULL_SCALE).max() <= 1.01
    total = np.sum([stem.sound.astype(int) for stem in stems], axis=0)
    assert np.abs(total - mix.sound).max() <= 2  # measured 1


def test_of_an_mp3_the_mix_is_what_was_heard(tmp_path: Path) -> None:
    song = tmp_path / "song.mp3"
    soundfile.write(song, tones(2.0), 44100)
    mix, *stems = by_ffmpeg(stem_file(song, "bass"))
    total = np.sum([stem.sound.astype(int) for stem in stems], axis=0)
    assert np.abs(total - mix.sound).max() <= 1


def test_each_of_several_songs_gets_its_own_file(tmp_path: Path) -> None:
    songs = [str(write_song(tmp_path / f"{name}.wav", seconds=0.5)) for name in ("one", "two")]
    words = ["bass", "--input", songs[1], "--project", f"{tmp_path}/dj/.stem.mp4"]
    assert main(["extract", songs[0], *words]) == 0
    assert sorted(path.name for path in (tmp_path / "dj").glob("*.mp4")) == ["one.stem.mp4", "two.stem.mp4"]


def test_the_same_job_gives_the_same_bytes_and_says_nothing_of_tempo(song: Path, capsys: Captured) -> None:
    first = stem_file(song, "bass").read_bytes()
    assert "tempo" not in capsys.readouterr().err
    assert stem_file(song, "bass", "--overwrite").read_bytes() == first


def test_beyond_4_gib_places_have_64_bits() -> None:
    packets = 70_000
    size = alac.packet_bytes(alac.FRAMES, 2)
    sound = mp4.Sound(44100, 2, 16, [alac.FRAMES] * packets, alac.configuration(44100, 2))
    begin = mp4.beginning(sound, list("abcde"), [[size] * packets] * 5, b"")
    index = begin[: -mp4.LONG_HEADER]
    tables = [body for name, body in boxes(index) if name.endswith("stbl/co64")]
    places = np.array([np.frombuffer(body[8:], ">u8") for body in tables])
    expected = len(begin) + size * np.arange(5 * packets)
    np.testing.assert_array_equal(places.T.ravel(), expected)
    assert begin[-16:] == struct.pack(">I4sQ", 1, b"mdat", 16 + 5 * packets * size)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["extract", "song.wav", *"abcd"], "3 sounds at most"),
        (["extract", "song.wav", *"abcde", "--no-rest"], "4 with --no-rest"),
        (["extract", "song.wav", "bass", "--tempo", "120"], "--tempo"),
        (["extract", "quad.wav", "bass"], "4 channels"),
        (["add", "song.wav", "bass"], "not what add makes"),
        (["generate", "funk", "--seconds", "1"], "not what generate makes"),
    ],
)
def test_what_a_stem_file_cannot_hold_is_refused_before_any_work(
    song: Path,
    words: list[str],
    said: str,
    loads: list[Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: Captured,
) -> None:
    monkeypatch.chdir(song.parent)
    write_song(song.parent / "quad.wav", channels=4, seconds=0.5)
    assert main([*words, "--project", "x.stem.mp4"]) == 3
    assert said in capsys.readouterr().err
    assert (loads, sorted(path.name for path in song.parent.iterdir())) == ([], ["quad.wav", "song.wav"])
