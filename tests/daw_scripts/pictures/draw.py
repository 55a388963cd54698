"""Pictures of a few kilobytes: text as a terminal shows it, and tracks on a time line."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from PIL import Image, ImageDraw, ImageFont

LARGEST = 80_000  # bytes of a picture
WIDTH = 960
MARGIN = 16
LINE = 18  # pixels
COLUMNS = 116  # letters of a line
NIGHT, PAPER, DIM, TYPED = "#16181d", "#e8e8e8", "#9aa0a6", "#8fd18f"
PANEL, LANE, GRID = "#2b2f36", "#1f2228", "#31353d"
HEAD, ROW, LABELS = 54, 62, 250  # pixels: of the head, of a track, of the tracks' names


@dataclass(frozen=True)
class Clip:
    """start, length: in the unit of the time line; peaks: 0 to 1, over its length"""

    start: float
    length: float
    name: str
    peaks: Sequence[float]


@dataclass(frozen=True)
class Lane:
    name: str
    colour: str
    clips: Sequence[Clip]


def peaks(path: str | Path, columns: int = 240) -> list[float]:
    """Of a file's sound, loudest first channel or not."""
    wave, _ = soundfile.read(path, always_2d=True)
    return [float(np.abs(part).max(initial=0)) for part in np.array_split(wave.max(axis=1), columns)]


def save(image: Image.Image, place: Path) -> None:
    """With the fewest colours that look alike."""
    for colours in (64, 32, 16):
        image.convert("RGB").quantize(colours, dither=Image.Dither.NONE).save(place, optimize=True)
        if place.stat().st_size <= LARGEST:
            return
    raise AssertionError(f"{place}: {place.stat().st_size} bytes")


def terminal(place: Path, note: str, given: str, printed: Sequence[str]) -> None:
    """What a program was given, and what it printed. note: which program, and how"""
    typed = [(line, TYPED) for line in _wrapped(given.strip("\n").split("\n"))]
    said = [(line, PAPER) for line in _wrapped(printed)]
    rows = [(note, DIM), ("", DIM), *typed, ("", DIM), *said]
    image = Image.new("RGB", (WIDTH, 2 * MARGIN + LINE * len(rows)), NIGHT)
    pen = ImageDraw.Draw(image)
    for number, (line, colour) in enumerate(rows):
        pen.text((MARGIN, MARGIN + LINE * number), line.replace("\t", "  "), colour, _font(13, "Mono"))
    save(image, place)


def arrangement(
    place: Path, note: str, unit: str, marked: tuple[float, float], lanes: Sequence[Lane], told: Sequence[str]
) -> None:
    """Tracks from top to bottom. marked: the selected span; told: lines below, of the host's record"""
    height = HEAD + ROW * len(lanes) + MARGIN + LINE * len(told) + MARGIN
    image = Image.new("RGB", (WIDTH, height), NIGHT)
    pen = ImageDraw.Draw(image)
    pen.text((MARGIN, 8), note, DIM, _font(13))
    end = max(clip.start + clip.length for lane in lanes for clip in lane.clips) * 1.08

    def across(time: float) -> float:
        return LABELS + time / end * (WIDTH - LABELS)

    pen.rectangle(
        (across(marked[0]), HEAD - 8, across(marked[1]), height - LINE * len(told) - 2 * MARGIN), GRID
    )
    for mark in range(int(end) + 1):
        pen.text((across(mark) + 3, HEAD - 24), f"{mark}" + (f" {unit}" if mark == 0 else ""), DIM, _font(11))
        pen.line((across(mark), HEAD - 22, across(mark), HEAD - 10), DIM)
    for number, lane in enumerate(lanes):
        _lane(pen, lane, HEAD + ROW * number, across)
    for number, line in enumerate(told):
        pen.text((MARGIN, height - MARGIN - LINE * (len(told) - number)), line, PAPER, _font(13))
    save(image, place)


def _lane(pen: ImageDraw.ImageDraw, lane: Lane, top: int, across: Any) -> None:
    bottom = top + ROW - 4
    pen.rectangle((0, top, LABELS - 6, bottom), PANEL)
    pen.rectangle((0, top, 8, bottom), lane.colour)
    pen.text((18, top + 18), lane.name, PAPER, _font(15))
    for clip in lane.clips:
        left, right = across(clip.start), across(clip.start + clip.length)
        pen.rectangle((left, top, right, bottom), LANE, lane.colour)
        pen.text((left + 4, top + 2), clip.name, DIM, _font(10))
        middle, half = (top + 14 + bottom) / 2, (bottom - top - 18) / 2
        for number, peak in enumerate(clip.peaks):
            x = left + (number + 0.5) * (right - left) / len(clip.peaks)
            pen.line((x, middle - min(peak, 1) * half, x, middle + min(peak, 1) * half), lane.colour)


def _wrapped(lines: Sequence[str]) -> list[str]:
    return [part for line in lines for part in textwrap.wrap(line, COLUMNS, drop_whitespace=False) or [""]]


def _font(size: int, kind: str = "") -> Any:
    from matplotlib.font_manager import findfont

    return ImageFont.truetype(findfont(f"DejaVu Sans {kind}".strip()), size)
