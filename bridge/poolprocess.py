"""A pool kept by another process, for what may leave the process it lives in cut off, or end it.

Ray does: without the node of its own machine a process reaches no actor any more, and never will. Such a
process is given up: the jobs that were being done are told as lost, and it is started again until the cluster
is back.
"""

from __future__ import annotations

import json
import logging
import subprocess
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from stemwright.bridge import child
from stemwright.bridge.grammar import MODEL
from stemwright.bridge.nodes import Failure
from stemwright.bridge.pool import ENDS, Tell, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.worker import lines
from stemwright.engine.errors import StemwrightError

SOON, LATE, REFUSED = 0.2, 5.0, 10.0  # seconds until the next start: at first, at most, when it was refused
LEAVING = 10.0  # seconds for the process to let go of the cluster
log = logging.getLogger(__name__)


class PoolProcess:
    """A Pool.

    command  what starts the process, which speaks as `rayprocess` does
    loss     what it means for the user that it has ended by itself
    """

    def __init__(self, command: Sequence[str], loss: str) -> None:
        self.command, self._loss = tuple(command), loss
        self.process: subprocess.Popen[bytes] | None = None
        self._change = threading.Condition()
        self._jobs: set[str] = set()  # given, and not ended
        self._given = self._room = 0  # batches: given to this process, and that it can take
        self._is_up = False  # this process has a pool
        self._has_been_up = False  # one had
        self._refusal: Failure | None = None  # why it has none, in its own words
        self._failure: Failure | None = None  # of the process before
        self._losses = 0  # of processes in a row, with no job done between
        self._is_leaving = False
        self._last_words: deque[str] = deque(maxlen=5)
        self._thread = threading.Thread(target=self._keep, name="pool process", daemon=True)

    def start(self, tell: Tell) -> None:
        """What the process refuses at its first start is raised here."""
        self._tell = tell
        self._thread.start()
        with self._change:
            while not self._is_up and self._failure is None:
                self._change.wait()
            failure = None if self._is_up else self._failure
        if failure is not None:
            self.stop(0.0)
            raise failure.as_error()

    def free(self) -> int:
        with self._change:
            return 0 if self._is_leaving else max(0, self._room)

    def give(self, batch: tuple[Request, ...], folders: tuple[Path, ...]) -> None:
        with self._change:
            if self._room <= 0:  # the process has ended since `free` was asked
                for request in batch:
                    self._tell(WorkEvent("lost", request.job, text=self._loss))
                return
            self._room -= 1
            self._given += 1
            self._jobs.update(request.job for request in batch)
            requests = [request.to_json() for request in batch]
            child.say(self.process, {"do": "give", "batch": requests, "folders": list(map(str, folders))})

    def cancel(self, job: str) -> None:
        with self._change:
            if job in self._jobs:
                child.say(self.process, {"do": "cancel", "job": job})

    def stop(self, seconds: float) -> None:
        if not self._thread.ident:
            return
        with self._change:
            self._is_leaving = True
            child.say(self.process, {"do": "stop", "seconds": seconds})
            self._change.notify_all()
        self._thread.join(seconds + LEAVING)
        with self._change:
            if self.process is not None:
                self.process.kill()
        self._thread.join()

    def _keep(self) -> None:
        """Lives of the process, one after the other."""
        while not self._is_leaving:
            process = self._born()
            if process is not None:
                self._live(process)
            self._mourn(process)
            self._rest()

    def _born(self) -> subprocess.Popen[bytes] | None:
        with self._change:
            self._last_words.clear()
            self._is_up, self._refusal = False, None
            if self._is_leaving:
                return None
            try:
                self.process = child.started(self.command)
            except OSError as error:
                self._last_words.append(f"{self.command[0]}: {error.strerror}")
            return self.process

    def _live(self, process: subprocess.Popen[bytes]) -> None:
        listener = threading.Thread(target=child.overhear, args=(process, self._last_words), daemon=True)
        listener.start()
        with process:
            assert process.stdout is not None
            for words in lines(process.stdout.fileno()):
                try:
                    self._heard(json.loads(words))
                except (ValueError, KeyError, TypeError, IndexError):
                    log.warning("the pool's process said %.200r", words)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LEAVING)
            process.kill()
            listener.join(LEAVING)

    def _heard(self, said: dict[str, Any]) -> None:
        with self._change:
            if said["kind"] == "up":
                self._is_up = self._has_been_up = True
                self._failure = None
            elif said["kind"] == "refused":
                self._refusal = Failure(str(said["text"]), int(said["exit_code"]))
            elif said["kind"] == "free":
                self._room = int(said["free"]) - (self._given - int(said["given"]))
            else:
                self._told(WorkEvent.from_json(said))
            self._change.notify_all()

    def _told(self, event: WorkEvent) -> None:
        if event.kind in ENDS:
            self._jobs.discard(event.job)
            self._losses = 0
        self._tell(event)

    def _mourn(self, process: subprocess.Popen[bytes] | None) -> None:
        """The process has ended: what that means for its jobs. The same trouble is told once."""
        with self._change:
            before, self.process = self._failure, None
            self._failure = self._refusal or Failure(self._why(process), StemwrightError.exit_code)
            self._losses += self._refusal is None
            self._given = self._room = 0
            text = self._failure.text
            if not self._is_leaving:
                for job in sorted(self._jobs):
                    self._tell(WorkEvent("lost", job, text=text))
                if self._has_been_up and self._failure != before:
                    self._tell(WorkEvent("broken", code=MODEL, text=text))
            self._jobs.clear()
            self._change.notify_all()

    def _why(self, process: subprocess.Popen[bytes] | None) -> str:
        words = f": {self._last_words[-1][:200]}" if self._last_words else ""
        return f"{self._loss} (exit code {None if process is None else process.returncode}){words}"

    def _rest(self) -> None:
        """Before the next start."""
        wait = REFUSED if self._refusal else min(LATE, SOON * 2 ** min(self._losses - 1, 10))
        deadline = time.monotonic() + wait
        with self._change:
            while not self._is_leaving and (left := deadline - time.monotonic()) > 0:
                self._change.wait(left)
