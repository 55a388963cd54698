"""A live input's last seconds, and playback in time with them.

    live = Live(input="default", output="default", seconds=120)
    live.start()
    heard = live.last(10.24)
    live.play(stem, begin_frame=heard.begin, end_frame=heard.end, loops=0)
"""

from __future__ import annotations

from dataclasses import dataclass

from stemwright.engine.contracts import Array
from stemwright.engine.errors import StemwrightError


class NoAudio(StemwrightError):
    """No sound device can be used; the message says what to install or to choose."""

    exit_code = 7


@dataclass(frozen=True)
class Device:
    """A sound device as the system lists it."""

    name: str
    system: str  # ALSA, JACK Audio Connection Kit, Core Audio, Windows WASAPI …
    inputs: int  # channels
    outputs: int
    rate: int  # Hz, its own
    is_default_input: bool = False
    is_default_output: bool = False


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


def devices() -> list[Device]:
    """All devices there are now; NoAudio when there can be none."""
    raise NotImplementedError


class Live:
    """A live input, an output, or both. None: absent. "default": the system's; else a name or part of one.

    seconds   how much of the input is kept
    rate      Hz; None: the device's
    channels  of the input; None: the device's, two at most
    latency   seconds from an input's sound to an output's, for playback in time; None: what the device says
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
    ) -> None:
        self.state = "off"  # "on", or "lost: " and why
        raise NotImplementedError

    def start(self) -> None:
        """Open the devices; NoAudio when that fails. From then on they may go and come back."""

    def stop(self) -> None:
        """Close them; what was heard stays readable."""

    def last(self, seconds: float) -> Heard:
        """The newest sound; BadMessage(no_audio) when not so much was heard, or the device was away meanwhile."""
        raise NotImplementedError

    def span(self, begin: int, end: int) -> Heard:
        """Frames [begin, end); BadMessage(no_audio) when they are not there yet, or no longer."""
        raise NotImplementedError

    def now(self) -> int:
        """Frames heard so far."""
        raise NotImplementedError

    def frame_at(self, monotonic: float) -> float | None:
        """The frame heard at a moment of time.monotonic(); None before anything was."""
        raise NotImplementedError

    def monotonic_at(self, frame: float) -> float | None:
        """The moment of time.monotonic() at which a frame was heard."""
        raise NotImplementedError

    def play(
        self,
        samples: Array,
        *,
        begin_frame: int | None,
        loops: int,
        rate: int | None = None,
        end_frame: int | None = None,
    ) -> str:
        """Play (K, N); → a note on what cannot be heard as it is, or ""."""
        raise NotImplementedError

    def stop_playing(self) -> None:
        """Fade what plays out."""
