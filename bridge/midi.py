"""MIDI in and out: pads and knobs become actions, jobs become lights, the clock becomes bar lines.

midi = Midi(read_map(None), do, on_state=print)
midi.start()
midi.learn("preset slap-bass")   # the next pad, knob or program change gets it
midi.follow("job-1", action)     # the light of the action's pad shows this job
midi.feedback(row, message)
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from stemwright.bridge.clock import Clock
from stemwright.bridge.messages import Message
from stemwright.bridge.midiactions import Action
from stemwright.bridge.midimap import MidiMap


class Midi:
    """do: gets every action, from Midi's own thread; it may take its time, but not for ever.

    on_state  gets `state` whenever it changes
    save_to   where learning writes; None: the map's own path, or the user's map
    """

    def __init__(
        self,
        map: MidiMap,
        do: Callable[[Action], None],
        *,
        on_state: Callable[[str], None] | None = None,
        save_to: Path | None = None,
    ) -> None:
        self.clock = Clock(map.beats_per_bar)
        self.state = "off"

    def start(self) -> None:
        """Returns at once; that there is no MIDI here is a state, not an error."""

    def stop(self) -> None:
        """Lights out, ports closed, threads joined."""

    def learn(self, action: str) -> None:
        """Arm MIDI learn; "" disarms. BadMessage when the line is no action."""

    def follow(self, job: str, action: Action) -> None:
        """The light of the action's trigger shows this job from here on: queued."""

    def feedback(self, row: object, message: Message) -> None:
        """Any event of any job; those not followed are passed over. Any thread, returns at once."""
