"""MIDI in and out: pads and knobs become actions, jobs become lights, the clock becomes bar lines.

midi = Midi(read_map(None), do, on_state=print)
midi.start()
midi.learn("preset slap-bass")   # the next pad, knob or program change gets it
midi.follow("job-1", action)     # the light of the action's pad shows this job
midi.feedback(row, message)
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from stemwright.bridge.clock import Clock
from stemwright.bridge.feedback import LightBoard, light_of
from stemwright.bridge.grammar import Message, Pairs, Value
from stemwright.bridge.mapwriting import save
from stemwright.bridge.midiactions import PRESSED, Action, Trigger, fired, merged, parsed
from stemwright.bridge.mididriver import Driver, ProcessDriver
from stemwright.bridge.midimap import Binding, MidiMap, check_pairing, user_map

WAITING = 4096  # messages not yet acted on; more are dropped and counted
ECHO = 0.25  # seconds in which a message of ours that comes back is taken for an echo


class Midi:
    """do: gets every action but "set" (see knobs), from Midi's own thread; may take its time, not for ever.

    on_state  gets a line for people: `state` whenever it changes, what was learned, what went wrong
    save_to   where learning writes; None: the map's own path, or the user's map
    driver    None: real ports
    """

    def __init__(
        self,
        map: MidiMap,
        do: Callable[[Action], None],
        *,
        on_state: Callable[[str], None] | None = None,
        save_to: Path | None = None,
        driver: Driver | None = None,
    ) -> None:
        self.clock = Clock(map.beats_per_bar)
        self.state = "off"  # "on: …" with the ports, "none: …" or "lost: …" with the reason
        self.dropped = 0  # messages that came while too many waited
        self._map, self._do, self._on_state = map, do, on_state
        self._save_to = save_to or map.path
        ports = map.ports
        self._driver = driver or ProcessDriver(
            ports.inputs, ports.outputs, virtual=ports.virtual, api=ports.api
        )
        self._inbox: queue.Queue[tuple[float, str, bytes] | None] = queue.Queue(WAITING)
        self._lock = threading.Lock()  # for the board and what is armed
        self._board = LightBoard(map.lights)
        self._armed: Action | None = None
        self._repaint = self._stopping = False
        self._values: dict[tuple[int, int], int] = {}  # of controllers, by channel and number
        self._knobs: dict[str, Value] = {}
        self._sent: dict[bytes, float] = {}
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Returns at once; that there is no MIDI here is a state, not an error."""
        try:
            import mido  # noqa: F401
        except Exception as error:  # broken installs raise all sorts
            self._tell_state(f"none: mido does not load ({error}); try: pip install mido")
            return
        self._thread = threading.Thread(target=self._work, name="midi", daemon=True)
        self._thread.start()
        self._driver.start(self._heard, self._tell_state, self._opened)

    def stop(self) -> None:
        """Lights out, ports closed, threads joined."""
        if self._thread is None:
            return
        self._stopping = True
        self._wake()
        self._thread.join()
        self._thread = None
        self._driver.stop()
        self._tell_state("off")

    @property
    def map(self) -> MidiMap:
        """The map as it is now, with what was learned."""
        return self._map

    @property
    def knobs(self) -> Pairs:
        """What controllers have set: options of the jobs that pads start, where the pad does not say."""
        return tuple(self._knobs.items())

    def learn(self, action: str) -> None:
        """Arm MIDI learn; "" disarms. BadMessage when the line is no action."""
        armed = parsed(action) if action.strip() else None
        with self._lock:
            self._armed = armed

    def follow(self, job: str, action: Action) -> None:
        """The light of the action's trigger shows this job (or capture) from here on: queued."""
        trigger = action.trigger
        if trigger is None:
            return
        binding = self._map.find(trigger.kind, trigger.number, trigger.channel or 1)
        with self._lock:
            self._board.follow(job, trigger, light_of(binding))
        self._wake()

    def feedback(self, row: object, message: Message) -> None:
        """Any event of any job, also a refusal; those not followed are passed over. Any thread, at once."""
        with self._lock:
            self._board.hear(message, time.monotonic())
        self._wake()

    def _heard(self, at: float, port: str, data: bytes) -> None:
        """From the driver's thread: leaves the message, no more."""
        try:
            self._inbox.put_nowait((at, port, data))
        except queue.Full:
            self.dropped += 1

    def _opened(self) -> None:
        self._repaint = True
        self._wake()

    def _wake(self) -> None:
        with suppress(queue.Full):  # then it is awake
            self._inbox.put_nowait(None)

    def _tell_state(self, state: str) -> None:
        self.state = state
        self._say(state)

    def _say(self, text: str) -> None:
        if self._on_state is not None:
            with suppress(Exception):  # a log that fails must not end the music
                self._on_state(text)

    def _work(self) -> None:
        while not self._stopping:
            with self._lock:
                wait = self._board.wait(time.monotonic())
            with suppress(queue.Empty):
                event = self._inbox.get(timeout=wait)
                if event is not None:
                    self._act_safely(*event)
            self._show()
        with self._lock:
            last = self._board.dark()
        for data in last:
            self._driver.send(data)

    def _show(self) -> None:
        with self._lock:
            lit, self._repaint = self._board.repaint() if self._repaint else [], False
            found = lit + self._board.changes(time.monotonic())
        for data in found:
            self._sent[data] = time.monotonic()
            self._driver.send(data)

    def _act_safely(self, at: float, port: str, data: bytes) -> None:
        try:
            self._act(at, port, data)
        except Exception as error:
            self._say(f"a MIDI message came to nothing: {error} ({type(error).__name__})")

    def _act(self, at: float, port: str, data: bytes) -> None:
        import mido

        try:
            message = mido.Message.from_bytes(data)
        except ValueError:  # not MIDI
            return
        if message.type in ("clock", "start", "continue", "stop", "songpos"):
            self._keep_time(message, at, port)
        elif not self._is_echo(data, at):
            self._press(message, at)

    def _keep_time(self, message: Any, at: float, port: str) -> None:
        if message.type == "songpos":
            self.clock.locate(message.pos, at, port)
            return
        clock = self.clock
        hear = {"clock": clock.tick, "start": clock.start, "continue": clock.resume, "stop": clock.stop}
        hear[message.type](at, port)

    def _is_echo(self, data: bytes, at: float) -> bool:
        """Our own lights, come back through a patch: they must not start jobs."""
        self._sent = {key: when for key, when in self._sent.items() if at - when < ECHO}
        return data in self._sent

    def _press(self, message: Any, at: float) -> None:
        found = _trigger(message)
        if found is None:
            return
        trigger, value = found
        before = 0
        if trigger.kind == "controller":
            key = (trigger.channel or 1, trigger.number)
            before, self._values[key] = self._values.get(key, 0), value
        if self._learned(trigger):
            return
        binding = self._map.find(trigger.kind, trigger.number, trigger.channel or 1)
        if binding is None:
            return
        is_button = trigger.kind == "controller" and not binding.action.is_scaled
        if not is_button or before < PRESSED <= value:
            self._fire(fired(binding.action, trigger, at, value))

    def _fire(self, action: Action) -> None:
        if action.kind == "set":
            self._knobs.update(action.pairs)
            return
        if action.kind == "job":
            action = replace(action, pairs=merged(action.task, action.pairs, self.knobs))
        self._do(action)

    def _learned(self, trigger: Trigger) -> bool:
        """Whether this press was taken by MIDI learn."""
        with self._lock:
            armed = self._armed
            if armed is None or (armed.is_scaled and trigger.kind != "controller"):
                return False
            self._armed = None
        check_pairing(trigger, armed)
        self._map = self._map.bound(trigger, armed)
        path = self._save_to or user_map()
        try:
            save(self._map, path, Binding(trigger, armed))
        except OSError as error:
            self._say(
                f"learned: {trigger} does {armed.text!r}, until the end: {path} cannot be written ({error})"
            )
        else:
            self._say(f"learned: {trigger} does {armed.text!r}; saved to {path}")
        return True


def _trigger(message: Any) -> tuple[Trigger, int] | None:
    """What was pressed or turned, and how far; None for what sets nothing off, as a key's release."""
    if message.type == "note_on" and message.velocity:
        return Trigger("note", message.note, message.channel + 1), message.velocity
    if message.type == "control_change":
        return Trigger("controller", message.control, message.channel + 1), message.value
    if message.type == "program_change":
        return Trigger("program", message.program, message.channel + 1), 0
    return None
