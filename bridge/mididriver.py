"""MIDI ports in a process of their own: `python -m stemwright.bridge.mididriver SETTINGS`.

A driver may hang, print, or take its process down; and its callback needs Python's lock while sound is due.
None of that reaches the server. Lines of JSON go both ways: {"at", "port", "data"}, {"state"} and
{"opened"} come, {"send"} goes; the end of its input ends the process.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from stemwright.bridge.midiports import Lost, NoMidi, Ports, RtMidi

WAITING = 4096  # messages on their way out; more are dropped and counted
PATIENCE = 3.0  # seconds the process has to close its ports
JACK_IS_GONE = (b"JackSocketClientChannel", b"Server is not running")  # what its library prints then

Heard = Callable[[float, str, bytes], None]  # (monotonic seconds of arrival, port, message)
Told = Callable[[str], None]


class Driver(Protocol):
    """Where messages come from and go to. Both callbacks come from a thread of the driver."""

    def start(self, heard: Heard, state: Told, opened: Callable[[], None]) -> None: ...
    def send(self, data: bytes) -> None:
        """To all outputs; never raises."""

    def stop(self) -> None: ...


class ProcessDriver:
    """The real one. Its process is started again when it ends.

    look_seconds   between two looks at the list of ports
    retry_seconds  between two tries while there is no MIDI
    """

    def __init__(
        self,
        inputs: tuple[str, ...] = (),
        outputs: tuple[str, ...] = (),
        *,
        virtual: bool = True,
        api: str = "",
        look_seconds: float = 1.5,
        retry_seconds: float = 5.0,
    ) -> None:
        self._settings = json.dumps(
            {"inputs": inputs, "outputs": outputs, "virtual": virtual, "api": api}
            | {"look": look_seconds, "retry": retry_seconds}
        )
        self._retry = retry_seconds
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def start(self, heard: Heard, state: Told, opened: Callable[[], None]) -> None:
        self._thread = threading.Thread(
            target=self._keep, args=(heard, state, opened), name="midi-ports", daemon=True
        )
        self._thread.start()

    def send(self, data: bytes) -> None:
        with self._lock, suppress(OSError, ValueError):
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.write(json.dumps({"send": data.hex()}).encode() + b"\n")
                self._process.stdin.flush()

    def stop(self) -> None:
        self._stopping.set()
        with self._lock:
            process = self._process
            if process is not None and process.stdin is not None:
                with suppress(OSError):
                    process.stdin.close()
        if process is not None:
            with suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)
            process.kill()
        if self._thread is not None:
            self._thread.join()

    def _keep(self, heard: Heard, state: Told, opened: Callable[[], None]) -> None:
        while not self._stopping.is_set():
            born = time.monotonic()
            try:
                self._live(heard, state, opened)
            except OSError as error:
                state(f"none: the MIDI process does not start ({error})")
            pause = self._retry if time.monotonic() - born < self._retry else 0.2
            self._stopping.wait(pause)

    def _live(self, heard: Heard, state: Told, opened: Callable[[], None]) -> None:
        """One life of the process."""
        with self._lock:
            if self._stopping.is_set():
                return
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stemwright.bridge.mididriver", self._settings],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        process, has_said = self._process, False
        assert process.stdout is not None and process.stdin is not None
        for line in process.stdout:
            event = _decoded(line)
            if "data" in event:
                heard(event["at"], event["port"], bytes.fromhex(event["data"]))
            elif "state" in event:
                has_said = event["state"].startswith(("lost", "none"))
                state(event["state"])
            elif "opened" in event:
                opened()
        process.wait()
        with self._lock:
            self._process = None
            with suppress(OSError):
                process.stdin.close()
        process.stdout.close()
        if not has_said and not self._stopping.is_set():
            state(f"lost: the MIDI process ended by itself ({process.returncode}); it is started again")


def _decoded(line: bytes) -> dict[str, Any]:
    try:
        event = json.loads(line)
    except ValueError:  # cut short: the process ended in the middle
        return {}
    return event if isinstance(event, dict) else {}


class _Outlet:
    """Lines to the server, written by a thread of their own: a callback only ever leaves them here."""

    def __init__(self) -> None:
        self._lines: queue.Queue[dict[str, Any] | None] = queue.Queue(WAITING)
        self.dropped = 0
        self._thread = threading.Thread(target=self._write, daemon=True)
        self._thread.start()

    def heard(self, port: str, data: bytes) -> None:
        """From the driver's callback; nothing gets out of it."""
        try:
            self._lines.put_nowait({"at": time.monotonic(), "port": port, "data": data.hex()})
        except Exception:
            self.dropped += 1

    def tell(self, **event: Any) -> None:
        self._lines.put(event)

    def finish(self) -> None:
        self._lines.put(None)
        self._thread.join(2)

    def _write(self) -> None:
        with suppress(OSError, ValueError):
            while (event := self._lines.get()) is not None:
                sys.stdout.buffer.write(json.dumps(event).encode() + b"\n")
                if self._lines.empty():
                    sys.stdout.buffer.flush()
            sys.stdout.buffer.flush()


def main(settings: dict[str, Any]) -> None:
    """The process: look for MIDI until there is some, keep its ports until it goes, or the server does."""
    for stop in (signal.SIGINT, signal.SIGTERM):  # the server's to act on: it puts the lights out first
        signal.signal(stop, signal.SIG_IGN)
    done, gone, outlet = threading.Event(), threading.Event(), _Outlet()
    _watch_complaints(gone)
    ports: list[Ports] = []
    threading.Thread(target=_obey, args=(done, ports), daemon=True).start()
    state = ""
    while not done.is_set() and not ports:
        try:
            backend = RtMidi(settings["api"], settings["virtual"], outlet.heard)
            ports.append(Ports(backend, tuple(settings["inputs"]), tuple(settings["outputs"]), outlet.heard))
        except Exception as error:
            state = _told(outlet, state, f"none: no MIDI here ({error})")
            if not isinstance(error, NoMidi):
                break  # half open: begin anew in a new process
            done.wait(settings["retry"])
    gone.clear()
    while ports and not done.is_set():
        if gone.is_set():
            _told(outlet, state, "lost: the JACK server has gone; waiting for it to come back")
            break
        try:
            ports[0].look()
        except Lost as error:
            _told(outlet, state, f"lost: {error}; looking for it again")
            break
        lost = f"; {outlet.dropped} messages came too fast and were dropped" if outlet.dropped else ""
        state = _told(outlet, state, ports[0].state() + lost)
        _wait(settings["look"], done, gone)
    if done.is_set() and not gone.is_set():
        for each in ports:
            each.close()
    outlet.finish()
    os._exit(0)  # no destructors: those of a dead JACK client crash


def _told(outlet: _Outlet, before: str, now: str) -> str:
    if now != before:
        outlet.tell(state=now)
        if now.startswith("on"):
            outlet.tell(opened=True)
    return now


def _wait(seconds: float, done: threading.Event, gone: threading.Event) -> None:
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not gone.is_set():
        if done.wait(min(left, 0.25)):
            return


def _obey(done: threading.Event, ports: list[Ports]) -> None:
    """Commands from the server, until it is gone."""
    for line in sys.stdin.buffer:
        with suppress(Exception):
            data = bytes.fromhex(json.loads(line)["send"])
            for each in ports:
                each.send(data)
    done.set()
    time.sleep(PATIENCE)
    os._exit(1)  # the main thread hangs in a driver


def _watch_complaints(gone: threading.Event) -> None:
    """What libraries print is read, for JACK has no other way to say that its server ended."""
    reading, writing = os.pipe()
    os.dup2(writing, 2)
    os.close(writing)

    def read() -> None:
        with os.fdopen(reading, "rb") as lines:
            for line in lines:
                if any(sign in line for sign in JACK_IS_GONE):
                    gone.set()

    threading.Thread(target=read, daemon=True).start()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
