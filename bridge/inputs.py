"""What a request names as its input → a file the engine may read. Beside the queue, never in the sockets."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stemwright.bridge.grammar import BAD_ARGS, ID_IN_USE, NO_AUDIO, NOT_FOUND, UNKNOWN_MODEL, BadMessage
from stemwright.bridge.messages import Capture, Captured
from stemwright.bridge.request import ID, Request
from stemwright.bridge.roots import Roots
from stemwright.bridge.uploads import Uploads
from stemwright.engine.audio import Audio
from stemwright.engine.errors import StemwrightError
from stemwright.engine.modelfolder import list_models
from stemwright.engine.writing import write

if TYPE_CHECKING:
    from stemwright.bridge.clock import Clock
    from stemwright.bridge.live import Heard, Live

REMEMBERED = 1000  # regions of live inputs


@dataclass(frozen=True)
class Region:
    """Where in the live input a capture lies, in frames of it, so that results can be played in phase."""

    begin: int
    frames: int
    rate: int  # Hz


class Inputs:
    """Turns paths, uploads, captures and spans of the live input into files inside what may be read."""

    def __init__(self, roots: Sequence[Path], uploads: Uploads, captures: Path, live: Live | None) -> None:
        self._roots, self._uploads, self._captures, self._live = Roots(roots), uploads, captures, live
        self.clock: Clock | None = None  # MIDI's, once there is one
        self._regions: OrderedDict[str, Region] = OrderedDict()
        self._lock = threading.Lock()

    def settle(self, request: Request) -> Request:
        """The request with its input as a resolved `path`; BadMessage says what is wrong with it."""
        if request.model is not None and request.model not in list_models():
            raise BadMessage(
                UNKNOWN_MODEL,
                f"no model {request.model!r:.70}; there are {', '.join(list_models()) or 'none'}",
            )
        like = None if request.like is None else str(self._roots.resolve(request.like))
        path = self._path(request)
        plain = replace(request, upload=None, capture=None, last=None, bars=None)
        return replace(plain, like=like, path=None if path is None else str(path))

    def _path(self, request: Request) -> Path | None:
        if request.path is not None:
            return self._roots.resolve(request.path)
        if request.upload is not None:
            found = self._uploads.path(request.upload) if ID.fullmatch(request.upload) else None
            if found is None:
                raise BadMessage(NOT_FOUND, f"no finished upload {request.upload!r:.70}; close it first")
            return found
        if request.capture is not None:
            kept = self._captures / f"{request.capture}.wav"
            if not ID.fullmatch(request.capture) or not kept.is_file():
                raise BadMessage(NOT_FOUND, f"no capture {request.capture!r:.70}; capture it first")
            self._inherit(request.job, request.capture)
            return kept
        if request.last is not None:
            return self._kept(f"{request.job}.last", self._heard(request.last, "seconds"))
        if request.bars is not None:
            return self._kept(f"{request.job}.last", self._heard(request.bars, "bars"))
        return None

    def capture(self, asked: Capture, at: float | None = None) -> Captured:
        """Keep the end of the live input as a file of the capture's name; the same name again is refused.

        at  the moment bars are counted back from, in monotonic seconds; None: now
        """
        if not ID.fullmatch(asked.capture):
            raise BadMessage(BAD_ARGS, f"the id {asked.capture!r:.70} cannot be used: letters, digits, . _ -")
        if (self._captures / f"{asked.capture}.wav").exists():
            raise BadMessage(ID_IN_USE, f"a capture {asked.capture!r} exists already; choose another id")
        heard = self._heard(asked.length, asked.unit, at)
        path = self._kept(asked.capture, heard)
        channels, frames = heard.samples.shape
        return Captured(asked.capture, str(path), frames / heard.rate, heard.rate, channels)

    def region(self, name: str) -> Region | None:
        """Where a job's or capture's input lay in the live input; None: it came from a file."""
        with self._lock:
            return self._regions.get(name) or self._regions.get(f"{name}.last")

    def _heard(self, length: float, unit: str, at: float | None = None) -> Heard:
        if self._live is None:
            raise BadMessage(NO_AUDIO, "no live input is open; start with: stemwright serve --input DEVICE")
        if unit not in ("seconds", "bars"):
            raise BadMessage(BAD_ARGS, f"the unit is {unit!r:.20}; it may be seconds or bars")
        if not 0 < length <= 600:
            raise BadMessage(BAD_ARGS, f"{length:g} {unit}; it may be up to 600")
        if unit == "seconds":
            return self._live.last(length)
        moments = None if self.clock is None else self.clock.bars(length, at)
        if moments is None:
            raise BadMessage(NO_AUDIO, "no MIDI clock runs, so there are no bars; capture seconds instead")
        begin, end = (self._live.frame_at(moment) for moment in moments)
        return self._live.span(begin, end)

    def _kept(self, name: str, heard: Heard) -> Path:
        path = self._captures / f"{name}.wav"
        try:
            write(path, Audio(heard.samples, heard.rate), overwrite=True)
        except StemwrightError as error:
            raise BadMessage(NO_AUDIO, str(error)) from error
        with self._lock:
            self._regions[name] = Region(heard.begin, heard.samples.shape[1], heard.rate)
            while len(self._regions) > REMEMBERED:
                self._regions.popitem(last=False)
        return path

    def _inherit(self, job: str, capture: str) -> None:
        with self._lock:
            if (region := self._regions.get(capture)) is not None:
                self._regions[job] = region
