"""Keeps the process that owns the sound devices (`sound.py`): starts it, watches it, starts it again."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from stemwright.bridge.devices import NO_DEVICES, Device
from stemwright.bridge.errors import NoAudio
from stemwright.bridge.sound import receive, send

AGAIN = 3.0  # seconds between two tries to get a device back
OPENING = 20.0  # seconds the devices may take to open
SILENT = 4.0  # seconds without a packet: the process hangs
LOOK = 0.25  # seconds between two looks at it
CLOSING = 2.0  # seconds the process has to end by itself

Orders = queue.SimpleQueue[bytes | None]


def devices() -> list[Device]:
    """All devices there are now; NoAudio when there are none, or no way to ask."""
    process = _started("list")
    try:
        answer, _ = process.communicate(timeout=OPENING)
    except subprocess.TimeoutExpired as error:
        process.kill()
        process.communicate()
        raise NoAudio(f"the sound system did not answer in {OPENING:g} s; restart it") from error
    try:
        found = json.loads(answer[5:])
    except ValueError as error:
        raise NoAudio(_died(process.returncode)) from error
    if "refused" in found:
        raise NoAudio(found["refused"])
    if not found["devices"]:
        raise NoAudio(NO_DEVICES)
    return [Device(**row) for row in found["devices"]]


def _started(task: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "stemwright.bridge.sound", task],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"},
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )


def _died(status: int | None) -> str:
    return f"the sound system ended our process for it (status {status})"


class SoundProcess:
    """One such process at a time.

    settings  asked at each start
    take      gets every packet, in a thread of ours; True: the devices are open
    tell      gets each new state
    """

    def __init__(
        self,
        settings: Callable[[], dict[str, Any]],
        take: Callable[[bytes, bytes], bool],
        tell: Callable[[str], None],
    ) -> None:
        self.state = "off"  # "on", or "lost: " and why
        self._settings, self._take, self._tell = settings, take, tell
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: Orders = queue.SimpleQueue()
        self._called = 0.0  # when the process last said something
        self._patience = OPENING
        self._stopping = threading.Event()
        self._tried = threading.Event()  # the first start has come to something
        self._refused = ""
        self._threads: list[threading.Thread] = []

    def start(self) -> None:
        """Wait for the devices to open; NoAudio when they do not."""
        if self._threads:
            return
        self._stopping.clear()
        self._tried.clear()
        self._threads = [
            threading.Thread(target=self._keep, name="live", daemon=True),
            threading.Thread(target=self._watch, name="live watch", daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        self._tried.wait()
        if self.state != "on":
            self.stop()
            raise NoAudio(self._refused)

    def stop(self) -> None:
        self._stopping.set()
        self._end(self._process)
        for thread in self._threads:
            thread.join()
        self._threads = []
        self._set("off")

    def order(self, kind: bytes, content: bytes = b"") -> None:
        """Any thread, never waits."""
        self._orders.put(kind + content)

    def _keep(self) -> None:
        """A process as long as we run; a new one when it ended."""
        try:
            while not self._stopping.is_set():
                self._refused = self._one()
                if not self._tried.is_set():
                    break
                if not self._stopping.is_set():
                    self._set(f"lost: {self._refused}")
                self._stopping.wait(AGAIN)
        finally:
            self._tried.set()

    def _one(self) -> str:
        """A process from its start to its end; → why it ended."""
        self._patience, self._called = OPENING, time.monotonic()
        orders: Orders = queue.SimpleQueue()
        self._orders = orders
        process = self._process = _started("run")
        assert process.stdout is not None
        if self._stopping.is_set():  # `stop` came before there was something to end
            process.kill()
        self.order(b"J", json.dumps(self._settings()).encode())
        writer = threading.Thread(target=_write, args=(process, orders), name="live orders", daemon=True)
        writer.start()
        why = ""
        try:
            while (packet := receive(process.stdout)) is not None:
                self._called = time.monotonic()
                why = self._taken(*packet) or why
        finally:
            is_late = time.monotonic() - self._called > self._patience
            self._end(process)
            writer.join()
            process.stdout.close()
            self._process = None
        return why or ("the sound system does not answer" if is_late else _died(process.returncode))

    def _taken(self, kind: bytes, content: bytes) -> str:
        """One packet; → why it is the last, or "" """
        if self._take(kind, content):
            self._patience = SILENT
            self._set("on")
            self._tried.set()
        if kind != b"J":
            return ""
        news = json.loads(content)
        return str(news.get("refused", news.get("lost", "")))

    def _set(self, state: str) -> None:
        is_new, self.state = state != self.state, state
        if is_new:
            self._tell(state)

    def _watch(self) -> None:
        """End a process that says nothing: its device hangs, and so does whoever asks it."""
        while not self._stopping.wait(LOOK):
            process = self._process
            if process is not None and time.monotonic() - self._called > self._patience:
                process.kill()

    def _end(self, process: subprocess.Popen[bytes] | None) -> None:
        """Let it end by itself, else end it."""
        if process is None:
            return
        self._orders.put(None)
        try:
            process.wait(CLOSING)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _write(process: subprocess.Popen[bytes], orders: Orders) -> None:
    """Orders to the process, in a thread of its own: a pipe may be full."""
    assert process.stdin is not None
    with contextlib.suppress(OSError, ValueError):
        while (order := orders.get()) is not None:
            send(process.stdin, order[:1], order[1:])
    with contextlib.suppress(OSError):
        process.stdin.close()
