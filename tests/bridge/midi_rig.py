"""A map of everything, and a Midi with it on a fake driver."""

import time
from collections.abc import Callable
from pathlib import Path

import mido

from stemwright.bridge.midi import Midi
from stemwright.bridge.midiactions import Action
from stemwright.bridge.midimap import parse
from tests.bridge.fake_midi import FakeDriver
from tests.bridge.waiting import until

MAP = """
[lights]
hold_seconds = 0.2
[defaults]
last = 8
[[note]]
note = 36
channel = 10
do = "extract slap bass steps=7"
[[note]]
note = 37
light = 99
do = "preset drums"
[[program]]
program = 3
do = "generate a waltz seconds=4"
[[controller]]
controller = 20
do = "set guidance 1 to 8"
[[controller]]
controller = 21
do = "set steps 5 to 100"
[[controller]]
controller = 22
do = "cancel all"
[[note]]
note = 40
do = "capture 4 bars"
[[note]]
note = 41
do = "set steps 50"
"""


class Rig:
    """A Midi on a fake driver, and what it did and said."""

    def __init__(self, path: Path, text: str = MAP, do: Callable[[Action], None] | None = None) -> None:
        self.done: list[Action] = []
        self.said: list[str] = []
        self.driver = FakeDriver()
        self.midi = Midi(
            parse(text, "test"),
            do or self.done.append,
            on_state=self.said.append,
            save_to=path,
            driver=self.driver,
        )
        self.midi.start()

    def hear(self, kind: str, at: float | None = None, **values: int) -> None:
        data = bytes(mido.Message(kind, **values).bytes())
        self.driver.heard(time.monotonic() if at is None else at, "pads", data)

    def settle(self) -> None:
        """Everything heard so far is acted on: a capture pressed behind it has come through."""
        before = len(self.captures())
        self.hear("note_on", note=40, velocity=1)
        until(lambda: len(self.captures()) > before, "the press behind the others")

    def captures(self) -> list[Action]:
        return [each for each in self.done if each.kind == "capture"]

    def jobs(self) -> list[Action]:
        return [each for each in self.done if each.kind == "job"]

    def lit(self, head: bytes) -> list[int]:
        return [data[2] for data in self.driver.sent if data[:2] == head]
