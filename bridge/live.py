"""A live input's last seconds, and playback in time with them.

    live = Live(input="default", output="default", seconds=120)
    live.start()
    heard = live.last(10.24)
    live.play(stem, begin_frame=heard.begin, end_frame=heard.end, loops=0)

The devices belong to a process of their own (`sound.py`, which says why). Here its packets are kept, and it
is started again when it or its device goes away.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stemwright.bridge.devices import Device
from stemwright.bridge.errors import NoAudio
from stemwright.bridge.grammar import BAD_ARGS, NO_AUDIO, BadMessage
from stemwright.bridge.playback import make_clip
from stemwright.bridge.ring import Overrun, Ring, Times
from stemwright.bridge.sound import FIRST_FRAME, packed_clip
from stemwright.bridge.soundprocess import SoundProcess, devices
from stemwright.engine.audio import Audio
from stemwright.engine.contracts import Array

__all__ = ["Device", "Heard", "Live", "NoAudio", "devices"]

SPARE = 1.0  # seconds the ring is longer than promised: what is written while a reader copies
LONGEST_WAIT = 0.3  # seconds: the end of a span may lie so far ahead, for it is heard with a delay
ROWS = 100  # of times, a second
BREAKS = 100  # are remembered


@dataclass(frozen=True, eq=False)
class Heard:
    """A stretch of the live input.

    samples  (K, N) float32
    rate     Hz
    begin    the frame number of the first, counted since the start
    """

    samples: Array
    rate: int
    begin: int

    @property
    def end(self) -> int:
        return self.begin + int(self.samples.shape[1])


class Live:
    """A live input, an output, or both.

    input, output  None: absent; "default": the system's; else its number, its name or words of it
    seconds        how much of the input is kept
    rate           Hz; None: the device's
    channels       of the input; None: the device's, two at most
    latency        seconds from an input's sound to an output's, for playback in time; None: the device's
    tell           gets each new state, in a thread of ours
    """

    def __init__(
        self,
        *,
        input: str | int | None,
        output: str | int | None,
        seconds: float = 120.0,
        rate: int | None = None,
        channels: int | None = None,
        latency: float | None = None,
        tell: Callable[[str], None] = lambda state: None,
    ) -> None:
        self.words = ""  # what is open, for people
        self.is_playing = False
        self.overflows = 0  # blocks before which the device lost sound
        self._settings = {
            "input": input, "output": output, "rate": rate, "channels": channels, "latency": latency,
        }  # fmt: skip
        self._seconds = seconds
        self._input: tuple[Ring, int] | None = None  # what is kept of it, and its rate
        self._times: Times | None = None
        self._rates = (0, 0)  # of the timeline and of the output
        self._outputs = 0  # channels
        self._take = 0  # counts the device's comings
        self._breaks: list[int] = []  # frames before which sound is missing
        self._now = 0
        self._changed = threading.Condition()
        self._process = SoundProcess(self._asked, self._take_packet, tell)

    @property
    def state(self) -> str:
        """off, on, or "lost: " and why."""
        return self._process.state

    def start(self) -> None:
        """Open the devices; NoAudio when that fails. From then on they may go and come back."""
        self._process.start()

    def stop(self) -> None:
        """Close them; what was heard stays readable."""
        self._process.stop()
        self.is_playing = False

    # What was heard

    def now(self) -> int:
        """Frames heard so far; without an input, frames played."""
        return self._now

    def last(self, seconds: float) -> Heard:
        """The newest sound; BadMessage(no_audio) when not so much was heard since the device came."""
        ring, rate = self._heard()
        frames = max(1, round(seconds * rate))
        while True:
            end = ring.written
            try:
                return self._copied(ring, rate, end - frames, end, is_newest=True)
            except Overrun:
                continue  # the copy was slower than the spare second

    def span(self, begin: int, end: int) -> Heard:
        """Frames [begin, end); BadMessage(no_audio) when they are not there yet, or no longer.

        An end that is just about to be heard is waited for: a bar line is known before its sound has come
        through the device.
        """
        ring, rate = self._heard()
        if begin >= end:
            raise BadMessage(BAD_ARGS, f"frames {begin} to {end} are none")
        deadline = time.monotonic() + LONGEST_WAIT
        with self._changed:
            while ring.written < end <= ring.written + LONGEST_WAIT * rate and self.state == "on":
                if not self._changed.wait(deadline - time.monotonic()):
                    break
        if end > ring.written:
            raise BadMessage(NO_AUDIO, f"frame {end} is not heard yet; the input is at {ring.written}")
        try:
            return self._copied(ring, rate, begin, end)
        except Overrun as error:
            raise BadMessage(NO_AUDIO, f"{self._kept()}; frame {begin} is older") from error

    def frame_at(self, monotonic: float) -> int:
        """The frame heard at a moment of time.monotonic(); BadMessage(no_audio) before anything was."""
        frame = None if self._times is None else self._times.frame_at(monotonic)
        if frame is None:
            raise BadMessage(NO_AUDIO, "nothing was heard yet")
        return round(frame)

    def monotonic_at(self, frame: float) -> float:
        """The moment of time.monotonic() at which a frame was or will be heard; BadMessage as above."""
        moment = None if self._times is None else self._times.monotonic_at(frame)
        if moment is None:
            raise BadMessage(NO_AUDIO, "nothing was heard yet")
        return moment

    def _heard(self) -> tuple[Ring, int]:
        """(ring, its rate in Hz), which belong together"""
        if self._settings["input"] is None:
            raise BadMessage(NO_AUDIO, "no live input is open; start with: stemwright serve --input DEVICE")
        if self._input is None:
            raise BadMessage(NO_AUDIO, "nothing was heard yet")
        return self._input

    def _kept(self) -> str:
        return f"the last {self._seconds:g} s of the input are kept"

    def _copied(self, ring: Ring, rate: int, begin: int, end: int, *, is_newest: bool = False) -> Heard:
        """What was heard before the device went away is never the newest once it is back."""
        if end - begin > self._seconds * rate:
            raise BadMessage(NO_AUDIO, f"{self._kept()}, {(end - begin) / rate:.2f} s are asked for")
        broken = max([ring.first, *(frame for frame in self._breaks if frame < end + is_newest)])
        if begin < broken:
            why = "since the device came back" if broken > ring.first else "so far"
            raise BadMessage(
                NO_AUDIO,
                f"{(end - broken) / rate:.2f} s were heard {why}, {(end - begin) / rate:.2f} s are asked for",
            )
        return Heard(np.ascontiguousarray(ring.read(begin, end).T), rate, begin)

    # What is played

    def play(
        self,
        samples: Array,
        *,
        begin_frame: int | None,
        loops: int,
        rate: int | None = None,
        end_frame: int | None = None,
    ) -> str:
        """Play (K, N); → a note on what cannot be heard as it is, or "".

        begin_frame, end_frame  the region it belongs to: it begins at the next moment that lies a whole
                                number of lengths after the region's begin; None: at once, its own length
        loops                   how often; 0: until `stop_playing`
        rate                    Hz of the samples; None: the input's
        """
        if self._settings["output"] is None:
            raise BadMessage(NO_AUDIO, "no live output is open; start with: stemwright serve --output DEVICE")
        if self.state != "on":
            raise BadMessage(NO_AUDIO, f"the live output is {self.state}")
        length = None if begin_frame is None or end_frame is None else end_frame - begin_frame
        if samples.ndim != 2 or not samples.size or (length is not None and length < 1) or loops < 0:
            raise BadMessage(
                BAD_ARGS, f"{samples.shape} samples, {length} frames, {loops} loops: nothing to play"
            )
        sound = Audio(np.ascontiguousarray(samples, dtype=np.float32), rate or self._rates[0])
        clip, note = make_clip(
            sound, begin=begin_frame, length=length, passes=loops, rates=self._rates, channels=self._outputs
        )
        self._process.order(b"P", packed_clip(clip))
        return note

    def stop_playing(self) -> None:
        """Fade out what plays, and forget what was to come."""
        self._process.order(b"S")

    # What the process says

    def _asked(self) -> dict[str, Any]:
        self.is_playing = False
        return {**self._settings, "first": self._now}

    def _take_packet(self, kind: bytes, content: bytes) -> bool:
        """Keep what it brings; → whether it says that the devices are open."""
        if kind == b"A" and self._input is not None:
            ring, _ = self._input
            (first,) = FIRST_FRAME.unpack_from(content)
            samples = np.frombuffer(content, "<f4", offset=FIRST_FRAME.size)
            self._append(ring, first, samples.reshape(-1, ring.width))
        elif kind == b"T" and self._times is not None:
            for frame, monotonic in np.frombuffer(content, "<f8").reshape(-1, 2):
                self._times.add(int(frame), float(monotonic), self._take)
                if self._input is None:
                    self._now = int(frame)
        elif kind == b"J":
            news: dict[str, Any] = json.loads(content)
            self.is_playing = news.get("playing", self.is_playing) and "lost" not in news
            self.overflows = news.get("overflows", self.overflows)
            if "opened" in news:
                self._begin_take(news)
                return True
        return False

    def _append(self, ring: Ring, first: int, samples: Array) -> None:
        with self._changed:
            if first > ring.written:  # we slept, and the process could not keep all
                ring.skip(first - ring.written)
                self._breaks = [*self._breaks[-BREAKS:], first]
            ring.write(samples)
            self._now = ring.written
            self._changed.notify_all()

    def _begin_take(self, news: dict[str, Any]) -> None:
        """A device came: frames go on being counted; those before it are no longer next to those after it."""
        inputs, self._outputs = news["channels"]
        rate, output_rate = news["rates"]
        if self._times is None or self._times.rate != rate:
            self._times = Times(rate, round(ROWS * (self._seconds + SPARE)))
        kept = self._input
        if inputs and (kept is None or kept[0].width != inputs or kept[1] != rate):
            self._input = Ring(round((self._seconds + SPARE) * rate), inputs, first=self._now), rate
        self._rates = (rate, output_rate)
        self._breaks = [*self._breaks[-BREAKS:], self._now]
        self._take += 1
        self.words = news["opened"]
