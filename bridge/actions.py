"""What pads and knobs ask for → jobs and captures, as if a client of this machine had sent them."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import NOT_FOUND, BadMessage, Message
from stemwright.bridge.inputs import Inputs
from stemwright.bridge.live import Live
from stemwright.bridge.midiactions import Action, with_defaults
from stemwright.bridge.playing import play
from stemwright.bridge.presets import Preset, filled, named_preset
from stemwright.bridge.queue import Queue
from stemwright.bridge.request import SOURCES, make
from stemwright.engine.errors import StemwrightError

CLIENT = "local midi 0 0"
HOLD = 60.0  # seconds in which jobs without an input of their own take the last capture


class Actions:
    """`do` runs in the MIDI thread, one action at a time, and may take milliseconds.

    follow    told of each job and the action it came from, for the pad's light
    feedback  told of what no event tells: refusals and captures
    """

    def __init__(
        self,
        queue: Queue,
        inputs: Inputs,
        presets: Mapping[str, Preset],
        live: Live | None,
        note: Callable[..., None],
    ) -> None:
        self._queue, self._inputs, self._presets = queue, inputs, presets
        self._live, self._note = live, note
        self.follow: Callable[[str, Action], None] = lambda job, action: None
        self.feedback: Callable[[None, Message], None] = lambda row, message: None
        self._numbers = itertools.count(1)
        self._jobs: list[str] = []  # of ours, the newest last
        self._capture: tuple[str, float] | None = None  # its id, and when it was made

    def do(self, action: Action) -> None:
        """What cannot be done is logged: a pad has no ears."""
        try:
            {"job": self._job, "capture": self._keep, "cancel": self._cancel, "play": self._play,
             "stop": self._stop}[action.kind](action)  # fmt: skip
        except (BadMessage, StemwrightError) as error:
            self._note("midi", text=f"{action.text or action.kind}: {error}")

    def _job(self, action: Action) -> None:
        pairs = filled(action.pairs, self._presets)
        task = action.task or self._task(action)
        capture = self._capture
        names = {name for name, _ in pairs}
        if task != "generate" and not names & set(SOURCES) and capture and action.at - capture[1] < HOLD:
            pairs = (*pairs, ("capture", capture[0]))
        job = self._name("midi")
        request = make(job, task, with_defaults(action, task, pairs))
        self.follow(job, action)
        self._jobs = [*self._jobs[-99:], job]
        self._queue.submit(request, CLIENT, self._told)

    def _task(self, action: Action) -> str:
        names = [str(value) for name, value in action.pairs if name == "preset"]
        return named_preset(names[0], self._presets).task if names else "extract"

    def _keep(self, action: Action) -> None:
        name = self._name("midi-capture")
        asked = say.Capture(name, action.length, action.unit)
        self.follow(name, action)
        try:
            found = self._inputs.capture(asked, action.at)
        except BadMessage as error:
            self.feedback(None, say.Fail(asked.address, error.code, str(error), name))
            raise
        self.feedback(None, found)
        self._capture = (name, action.at)
        self._note("midi", text=f"{found.seconds:.2f} s kept as {found.path}")

    def _cancel(self, action: Action) -> None:
        for job in self._jobs[-1:] if action.scope == "last" else self._jobs:
            self._queue.cancel(job, lambda message: None)
        self._jobs = self._jobs[:-1] if action.scope == "last" else []

    def _play(self, action: Action) -> None:
        for job in reversed(self._jobs):
            row = self._queue.row(job)
            if row is not None and row.results:
                play(self._live, row, 0, 1, self._inputs.region(job))
                return
        raise BadMessage(NOT_FOUND, "nothing has been made by a pad yet")

    def _stop(self, action: Action) -> None:
        if self._live is not None:
            self._live.stop_playing()

    def _told(self, message: Message) -> None:
        if isinstance(message, say.Fail):
            self.feedback(None, message)
            self._note("midi", text=f"{message.job}: {message.text}")

    def _name(self, prefix: str) -> str:
        return f"{prefix}-{time.time_ns() // 1_000_000:x}-{next(self._numbers)}"
