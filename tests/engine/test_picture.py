import struct
import zlib

import numpy as np
import pytest

from stemwright.engine import picture
from stemwright.engine.picture import Pixels, Sketch, sketch


def decoded(png: bytes) -> Pixels:
    """The palette indices of a PNG as this project writes them; checks every chunk on the way."""
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    place, chunks = 8, {}
    while place < len(png):
        (length,) = struct.unpack(">I", png[place : place + 4])
        kind, data = png[place + 4 : place + 8], png[place + 8 : place + 8 + length]
        assert struct.unpack(">I", png[place + 8 + length : place + 12 + length])[0] == zlib.crc32(
            kind + data
        )
        chunks[kind], place = data, place + 12 + length
    columns, rows, bits, colours, *rest = struct.unpack(">IIBBBBB", chunks[b"IHDR"])
    assert (bits, colours, rest, len(chunks[b"PLTE"]), chunks[b"IEND"]) == (8, 3, [0, 0, 0], 768, b"")
    lines = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), np.uint8).reshape(rows, columns + 1)
    assert not lines[:, 0].any()
    return lines[:, 1:]


def sine(frequency: float, seconds: float = 2.0, rate: int = 44100) -> np.ndarray:
    time = np.arange(int(seconds * rate)) / rate
    return np.sin(2 * np.pi * frequency * time, dtype=np.float32)[None]


@pytest.mark.parametrize("frequency", [60.0, 440.0, 5000.0])
@pytest.mark.parametrize("rate", [16000, 44100, 96000])
def test_a_sine_is_brightest_in_the_row_of_its_frequency(frequency: float, rate: int) -> None:
    rows = sketch("sine", sine(frequency, rate=rate), rate).power().mean(axis=1)
    edges = np.geomspace(picture.LOWEST, rate / 2, picture.HEIGHT + 1)[::-1]
    # A bin of the 90 ms frame is up to 12 Hz wide: at 60 Hz that is ±20 %.
    assert edges[np.argmax(rows)] == pytest.approx(frequency, rel=max(0.05, 12 / frequency))


def test_the_picture_is_a_whole_png_with_one_panel_per_sound() -> None:
    panels = [
        sketch("mix", sine(440), 44100),
        sketch("bass", sine(60), 44100),
        sketch("日本 ♪", sine(90), 44100),
    ]
    pixels = decoded(picture.png(panels))
    assert pixels.shape[0] == 3 * (picture.TOP + picture.HEIGHT + picture.BOTTOM)


def test_quiet_panels_look_quiet_beside_loud_ones() -> None:
    loud, quiet = sketch("loud", sine(440), 44100), sketch("quiet", sine(440) * np.float32(0.001), 44100)
    pixels = decoded(picture.png([loud, quiet]))
    tall = picture.TOP + picture.HEIGHT + picture.BOTTOM
    area = slice(picture.LEFT, picture.LEFT + picture.WIDTH)
    brightest = [
        pixels[start + picture.TOP : start + picture.TOP + picture.HEIGHT, area].max() for start in (0, tall)
    ]
    # 60 dB less of an 80 dB scale: a quarter of the shades is left.
    assert brightest == [picture.SHADES, pytest.approx(picture.SHADES / 4, abs=2)]


@pytest.mark.parametrize("frames", [0, 1, 100])
def test_silence_and_next_to_nothing_can_be_drawn(frames: int) -> None:
    decoded(picture.png([sketch("silence", np.zeros((2, frames), np.float32), 8000)]))


def test_blocks_of_any_length_give_the_same_picture() -> None:
    sound = np.random.default_rng(0).standard_normal((2, 50_000), np.float32)
    blocks = Sketch("noise", 44100, sound.shape[1])
    for start in range(0, sound.shape[1], 777):
        blocks.push(sound[:, start : start + 777])
    np.testing.assert_array_equal(blocks.power(), sketch("noise", sound, 44100).power())


def test_memory_does_not_grow_with_the_length() -> None:
    """Three hours at 8 kHz, a minute at a time: what is held stays under one minute and a column's frame."""
    minute = np.full((1, 60 * 8000), 0.5, np.float32)
    long = Sketch("three hours", 8000, 180 * minute.shape[1])
    for _ in range(180):
        long.push(minute)
        assert long._heard.shape[1] <= minute.shape[1]
    assert long.power().shape == (picture.HEIGHT, picture.WIDTH)
