"""Ask Stemwright in Ableton Live from outside: in a terminal, or in a small window.

    python ask.py                            the window
    python ask.py extract "slap bass; drums" that, of the clip selected in Live; waits for its end
    python ask.py set variations 4           then: python ask.py again
    python ask.py cancel | start | presets

Python 3.8 or newer with nothing installed; the window needs tkinter. Live must run with the control surface
Stemwright. Codes: 0 done, 1 failed or cancelled, 7 nobody answers.
"""

from __future__ import annotations

import argparse
import json
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from Stemwright import osc, settings  # the script's own

DOOR = 7838
DO, SAID, ENDED = "/stemwright/live/do", "/stemwright/live/said", "/stemwright/live/ended"
ANSWERS = 3.0  # seconds within which Live answers
AT_ONCE = ("cancel", "start", "set")  # orders that end with their first answer
TASKS = ("extract", "add", "accompany", "generate")
NOBODY = "Nobody answers. Is Live running, with Stemwright chosen as a control surface (Link, Tempo & MIDI)?"
PRESETS = "presets: "  # how Live's answer to that order begins
KEPT = "ask.json"  # the window's last values, beside ableton.ini


class Live:
    """The script inside Live."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setblocking(False)
        self._socket.connect(("127.0.0.1", port))

    def order(self, text: str) -> None:
        with suppress(OSError):  # then nobody answers, which is told
            self._socket.send(osc.encode(DO, [text]))

    def heard(self) -> Iterator[tuple[str, list[Any]]]:
        """What has been said since the last call."""
        while True:
            try:
                yield osc.decode(self._socket.recv(65536))
            except BlockingIOError:
                return
            except (ConnectionError, osc.BadPacket):
                continue

    def close(self) -> None:
        self._socket.close()


def follow(live: Live, order: str) -> int:
    """Give the order and print what is said until it ends → exit code"""
    live.order(order)
    silent_since, has_heard, last = time.monotonic(), False, ""
    while True:
        for address, arguments in live.heard():
            silent_since, has_heard = time.monotonic(), True
            if address == SAID and arguments[0] != last:
                last = arguments[0]
                print(last, flush=True)
                if order.partition(" ")[0] in AT_ONCE:
                    return 0
            elif address == ENDED:
                return 0 if arguments[0] == "finished" else 1
        if not has_heard and time.monotonic() - silent_since > ANSWERS:
            print(NOBODY, file=sys.stderr)
            return 7
        time.sleep(0.05)


class Window:
    """Fields that keep their last values, the server's presets, and what Live says."""

    def __init__(self, live: Live) -> None:
        import tkinter

        self._live = live
        self.root = tkinter.Tk()
        self.root.title("Stemwright in Live")
        first = {"task": "extract", "prompt": "", "negative": "", "variations": "1", "rest": "yes"}
        first.update((name, value) for name, value in remembered().items() if name in first)
        self.fields = {name: tkinter.StringVar(value=str(value)) for name, value in first.items()}
        self.said = tkinter.StringVar(value="Select an audio clip in Live, and say what to hear.")
        self._lay_out()
        self.root.bind("<Return>", lambda event: self.do())
        live.order("presets")
        self.listen()

    def _lay_out(self) -> None:
        from tkinter import ttk

        self.presets = ttk.Combobox(self.root, textvariable=self.fields["prompt"], width=40)
        rows = (
            ("Task", self._choice("task", *TASKS, "preset")),
            ("Sound, or name of the preset", self.presets),
            ("Not like", ttk.Entry(self.root, textvariable=self.fields["negative"])),
            ("Variations", self._choice("variations", *map(str, range(1, 17)))),
            ("The rest too", self._choice("rest", "yes", "no")),
        )
        for row, (name, widget) in enumerate(rows):
            ttk.Label(self.root, text=name).grid(row=row, column=0, sticky="w", padx=6, pady=3)
            widget.grid(row=row, column=1, sticky="ew", padx=6, pady=3)
        self.root.columnconfigure(1, weight=1)
        bar = ttk.Frame(self.root)
        bar.grid(row=len(rows), column=0, columnspan=2, pady=6)
        ttk.Button(bar, text="Do", command=self.do).pack(side="left", padx=3)
        for name, order in (("Again", "again"), ("Cancel", "cancel"), ("Start the server", "start")):
            call = partial(self._live.order, order)
            ttk.Button(bar, text=name, command=call).pack(side="left", padx=3)
        label = ttk.Label(self.root, textvariable=self.said, wraplength=420)
        label.grid(row=len(rows) + 1, column=0, columnspan=2, sticky="w", padx=6, pady=6)

    def _choice(self, name: str, *values: str) -> Any:
        from tkinter import ttk

        return ttk.Combobox(self.root, textvariable=self.fields[name], values=values, state="readonly")

    def do(self) -> None:
        values = {name: field.get().strip() for name, field in self.fields.items()}
        for name in ("negative", "variations", "rest"):
            self._live.order(f"set {name} {values[name]}")
        self._live.order(f"{values['task']} {values['prompt']}".strip())
        with suppress(OSError):
            place().write_text(json.dumps(values), "utf-8")

    def listen(self) -> None:
        for address, arguments in self._live.heard():
            if address == SAID and arguments[0].startswith(PRESETS):
                self.presets["values"] = arguments[0][len(PRESETS) :].split(", ")
            elif address == SAID:
                self.said.set(arguments[0])
        self.root.after(100, self.listen)


def place() -> Path:
    return Path(settings.home()) / KEPT


def remembered() -> dict[str, Any]:
    try:
        found = json.loads(place().read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--port", type=int, default=DOOR, help=f"door in ableton.ini (default: {DOOR})")
    parser.add_argument("order", nargs="*", help='as in [midi], e.g. extract "slap bass"')
    flags = parser.parse_args()
    live = Live(flags.port)
    try:
        if flags.order:
            return follow(live, " ".join(flags.order))
        Window(live).root.mainloop()
        return 0
    except KeyboardInterrupt:
        live.order("cancel")
        return 1
    finally:
        live.close()


if __name__ == "__main__":
    sys.exit(main())
