"""Spectrograms as PNG files, drawn with NumPy and zlib alone."""

import struct
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (rows, columns) indices into PALETTE
Samples = NDArray[np.float32]

WIDTH, HEIGHT = 1000, 200  # pixels of one panel
LEFT, TOP, BOTTOM = 40, 18, 16  # margins of one panel, for the labels
LOWEST = 30.0  # Hz, the bottom edge
RANGE = 80.0  # dB from the brightest colour to the darkest
INK, PAPER = 255, 0
SHADES = 250  # palette entries 1 … SHADES run from silence to the loudest

# 3 × 5 letters: five octal digits, one per row from the top, each three pixels wide.
LETTERS = dict(
    zip(
        "abcdefghijklmnopqrstuvwxyz0123456789-.,&+'",
        (
            "25755 65656 34443 65556 74647 74644 34553 55755 72227 11152 55655 44447 57755 "
            "57775 25552 65644 25561 65655 34216 72222 55557 55552 55775 55255 55222 71247 "
            "75557 26227 61247 61616 55711 74616 34657 71222 75757 75316 "
            "00700 00002 00024 25257 02720 22000"
        ).split(),
        strict=True,
    )
)
UNKNOWN_LETTER = "75557"


class Sketch:
    """One spectrogram from sound that arrives in blocks: what a panel shows.

    One Hann frame of about 90 ms per column, so that memory does not grow with the length of the song.
    """

    def __init__(self, title: str, rate: int, frames: int) -> None:
        self.title, self.rate, self.frames = title, rate, frames
        size = 1 << max(4, round(np.log2(0.09 * rate)))
        self._window = np.hanning(size).astype(np.float32)
        # Bands of equal width on a logarithmic axis, from the lowest up, as fractional bins.
        bands = np.geomspace(LOWEST, max(rate / 2, 2 * LOWEST), HEIGHT + 1) * size / rate
        self._edges = np.minimum(bands, size // 2)
        self._starts = ((np.arange(WIDTH) + 0.5) * frames / WIDTH).astype(np.int64) - size // 2
        self._columns: list[NDArray[np.float64]] = []
        self._heard = np.zeros((1, size // 2), np.float32)  # silence before the first frame
        self._begin = -(size // 2)  # frame of _heard[:, 0]

    def push(self, block: Samples) -> None:
        """(K, n)"""
        channels = len(block)
        held = self._heard if len(self._heard) == channels else self._heard.repeat(channels, axis=0)
        self._heard = np.concatenate([held, block], axis=1)
        self._advance(self._begin + self._heard.shape[1])

    def power(self) -> NDArray[np.float64]:
        """(HEIGHT, WIDTH) mean power in each band, the highest first; what has not come yet is silence."""
        self._heard = np.pad(self._heard, ((0, 0), (0, len(self._window) + 1)))
        self._advance(self._begin + self._heard.shape[1])
        return np.stack(self._columns, axis=1)[::-1]

    def _advance(self, end: int) -> None:
        """Draw the columns that are complete before frame `end`, and forget what no later one needs."""
        size = len(self._window)
        while len(self._columns) < WIDTH and (start := self._starts[len(self._columns)]) + size <= end:
            place = start - self._begin
            self._columns.append(self._column(self._heard[:, place : place + size]))
        needed = self._starts[len(self._columns)] if len(self._columns) < WIDTH else end
        forgotten = int(min(needed, end) - self._begin)
        self._heard, self._begin = self._heard[:, forgotten:], self._begin + forgotten

    def _column(self, frame: Samples) -> NDArray[np.float64]:
        """(K, size) → (HEIGHT,)"""
        bins = (np.abs(np.fft.rfft(frame * self._window)) ** 2).mean(axis=0)
        # Integrating first makes bands narrower and wider than a bin alike.
        integral = np.concatenate(([0.0], np.cumsum(bins)))
        totals = np.diff(np.interp(self._edges + 0.5, np.arange(len(integral)), integral))
        return np.asarray(totals / np.maximum(np.diff(self._edges), 1e-9))


def sketch(title: str, samples: Samples, rate: int) -> Sketch:
    """Of a whole sound (K, N)."""
    made = Sketch(title, rate, samples.shape[1])
    made.push(samples)
    return made


def png(sketches: Sequence[Sketch]) -> bytes:
    """The panels above each other on one loudness scale, so that quiet parts look quiet."""
    powers = [one.power() for one in sketches]
    loudest = max(float(one.max(initial=0.0)) for one in powers) or 1.0
    return encode(
        np.concatenate([_draw(one, shown / loudest) for one, shown in zip(sketches, powers, strict=True)])
    )


def _draw(panel: Sketch, relative: NDArray[np.float64]) -> Pixels:
    canvas = np.full((TOP + HEIGHT + BOTTOM, LEFT + WIDTH + LEFT // 2), PAPER, np.uint8)
    decibels = 10 * np.log10(np.maximum(relative, 1e-12))
    shades = 1 + np.clip((decibels + RANGE) / RANGE, 0, 1) * (SHADES - 1)
    canvas[TOP : TOP + HEIGHT, LEFT : LEFT + WIDTH] = shades.astype(np.uint8)
    _write(canvas, panel.title, row=4, column=LEFT)
    _frequency_axis(canvas, panel.rate)
    _time_axis(canvas, panel.frames / panel.rate)
    return canvas


def _frequency_axis(canvas: Pixels, rate: int) -> None:
    span = np.log(max(rate / 2, 2 * LOWEST) / LOWEST)
    for frequency, label in ((100, "100"), (1000, "1k"), (10000, "10k")):
        if frequency < rate / 2:
            row = TOP + HEIGHT - 1 - round(HEIGHT * np.log(frequency / LOWEST) / span)
            canvas[row, LEFT - 5 : LEFT] = INK
            _write(canvas, label, row=row - 5, column=LEFT - 8 - 8 * len(label))


def _time_axis(canvas: Pixels, seconds: float) -> None:
    """A tick at round numbers of seconds, at most ten of them."""
    step = next(s for s in (1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600, 1e9) if seconds / s <= 10)
    for tick in np.arange(0, seconds, step):
        column = LEFT + round(WIDTH * tick / seconds)
        canvas[TOP + HEIGHT : TOP + HEIGHT + 4, column] = INK
        _write(canvas, f"{int(tick)}", row=TOP + HEIGHT + 5, column=column + 2)


def _write(canvas: Pixels, text: str, *, row: int, column: int) -> None:
    """Letters 6 × 10 pixels, cut off at the canvas's right edge."""
    for place, letter in enumerate(text.lower()):
        if letter == " ":
            continue
        rows = [f"{int(digit):03b}" for digit in LETTERS.get(letter, UNKNOWN_LETTER)]
        dots = np.array([[dot == "1" for dot in line] for line in rows]).repeat(2, axis=0).repeat(2, axis=1)
        spot = canvas[row : row + 10, column + 8 * place : column + 8 * place + 6]
        spot[dots[: spot.shape[0], : spot.shape[1]]] = INK


def palette() -> Pixels:
    """(256, 3) red, green, blue: paper, then black through violet and orange to pale yellow, then ink."""
    stops = np.array(
        [(0, 0, 4), (60, 15, 110), (160, 40, 120), (240, 100, 70), (254, 200, 110), (252, 253, 200)]
    )
    places = np.linspace(0, len(stops) - 1, SHADES)
    shades = np.stack([np.interp(places, np.arange(len(stops)), stops[:, part]) for part in range(3)], axis=1)
    colours = np.full((256, 3), 40, np.uint8)
    colours[PAPER], colours[INK] = (250, 250, 250), (30, 30, 30)
    colours[1 : SHADES + 1] = shades.round()
    return colours


def encode(pixels: Pixels) -> bytes:
    """(rows, columns) indices into the palette → a PNG file (W3C PNG, colour type 3, 8 bits)."""
    rows, columns = pixels.shape
    header = struct.pack(">IIBBBBB", columns, rows, 8, 3, 0, 0, 0)
    lines = np.zeros((rows, columns + 1), np.uint8)  # every line starts with its filter: 0, none
    lines[:, 1:] = pixels
    parts = ((b"IHDR", header), (b"PLTE", palette().tobytes()), (b"IDAT", zlib.compress(lines.tobytes(), 6)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in (*parts, (b"IEND", b"")))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
