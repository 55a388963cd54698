"""A job's result on the live output."""

from __future__ import annotations

from stemwright.bridge.grammar import NO_AUDIO, NOT_FOUND, BadMessage
from stemwright.bridge.inputs import Region
from stemwright.bridge.live import Live
from stemwright.bridge.queue import Row
from stemwright.engine.audio import read
from stemwright.engine.errors import StemwrightError


def play(live: Live | None, row: Row, index: int, loops: int, region: Region | None) -> str:
    """Start it: in phase with the region it was captured from, at once if it came from a file.

    → a note on what cannot be heard as it is, or ""
    """
    if live is None:
        raise BadMessage(NO_AUDIO, "no live output is open; start with: stemwright serve --output DEVICE")
    try:
        sound = read(row.results[index].path)
    except StemwrightError as error:
        raise BadMessage(NOT_FOUND, str(error)) from error
    if region is None:
        return live.play(sound.samples, rate=sound.rate, begin_frame=None, loops=loops)
    asked = row.request
    begin = region.begin + round(asked.start * region.rate)
    left = region.begin + region.frames - begin
    frames = left if asked.seconds is None else min(left, round(asked.seconds * region.rate))
    end = begin + frames
    return live.play(sound.samples, rate=sound.rate, begin_frame=begin, end_frame=end, loops=loops)
