"""Lights: which pad or button shows which job, and the MIDI messages that make it so."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from stemwright.bridge.grammar import Message
from stemwright.bridge.messages import Accepted, Cancelled, Captured, Fail, Finished, Progress
from stemwright.bridge.midiactions import Trigger
from stemwright.bridge.midimap import Binding, Lights

NOTE_ON, CONTROL_CHANGE = 0x90, 0xB0
MOST = 20_000  # jobs followed at once; the oldest are let go


@dataclass
class _Lamp:
    jobs: dict[str, str] = field(default_factory=dict)  # state, queued or running, by job
    outcome: str = ""  # done or failed, of the last job that ended
    until: float = 0.0  # monotonic seconds; the outcome is lit so long
    shown: int = 0


class LightBoard:
    """Jobs in, messages out. Not for several threads at once. Times are monotonic seconds."""

    def __init__(self, lights: Lights) -> None:
        self._lights = lights
        self._lamps: dict[bytes, _Lamp] = {}  # by the first two bytes of their message
        self._jobs: dict[str, bytes] = {}

    def follow(self, job: str, trigger: Trigger, light: int | None) -> None:
        """The light of a trigger shows this job: queued."""
        head = self._head(trigger, light)
        if head is None:
            return
        if len(self._jobs) >= MOST:
            self._end(next(iter(self._jobs)), "", 0.0)
        self._jobs[job] = head
        self._lamps.setdefault(head, _Lamp()).jobs[job] = "queued"

    def hear(self, message: Message, now: float) -> None:
        """What became of a job; others than those followed are passed over."""
        if isinstance(message, Captured):
            self._end(message.capture, "done", now)
        elif isinstance(message, Finished):
            self._end(message.job, "done", now)
        elif isinstance(message, Fail):
            self._end(message.job, "failed", now)
        elif isinstance(message, Cancelled):
            self._end(message.job, "", now)
        elif isinstance(message, Progress | Accepted) and message.job in self._jobs:
            state = "running" if isinstance(message, Progress) else "queued"
            self._lamps[self._jobs[message.job]].jobs[message.job] = state

    def changes(self, now: float) -> list[bytes]:
        """Messages for the lights that are no longer as they were shown."""
        found = []
        for head, lamp in list(self._lamps.items()):
            level = self._level(lamp, now)
            if level != lamp.shown:
                lamp.shown = level
                found.append(head + bytes([level]))
            if not lamp.jobs and not level:
                del self._lamps[head]
        return found

    def repaint(self) -> list[bytes]:
        """What is lit, again: for a device that has just come."""
        return [head + bytes([lamp.shown]) for head, lamp in self._lamps.items() if lamp.shown]

    def dark(self) -> list[bytes]:
        """Everything off."""
        return [head + b"\0" for head, lamp in self._lamps.items() if lamp.shown]

    def wait(self, now: float) -> float | None:
        """Seconds until a light changes by itself; None: none will."""
        ends = [
            lamp.until for lamp in self._lamps.values() if lamp.outcome and not lamp.jobs and lamp.until > now
        ]
        return min(ends) - now if ends else None

    def counts(self) -> Counter[str]:
        """Jobs followed, by state."""
        return Counter(state for lamp in self._lamps.values() for state in lamp.jobs.values())

    def _head(self, trigger: Trigger, light: int | None) -> bytes | None:
        channel = (self._lights.channel or trigger.channel or 1) - 1
        if light is not None or trigger.kind == "note":
            return bytes([NOTE_ON | channel, trigger.number if light is None else light])
        return bytes([CONTROL_CHANGE | channel, trigger.number]) if trigger.kind == "controller" else None

    def _end(self, job: str, outcome: str, now: float) -> None:
        head = self._jobs.pop(job, None)
        if head is None:
            return
        lamp = self._lamps[head]
        lamp.jobs.pop(job, None)
        lamp.outcome, lamp.until = outcome, now + self._lights.hold_seconds

    def _level(self, lamp: _Lamp, now: float) -> int:
        states = set(lamp.jobs.values())
        for state in ("running", "queued"):
            if state in states:
                return int(getattr(self._lights, state))
        return int(getattr(self._lights, lamp.outcome)) if lamp.outcome and now < lamp.until else 0


def light_of(binding: Binding | None) -> int | None:
    """The note a binding names for its light."""
    return None if binding is None else binding.light
