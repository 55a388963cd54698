"""Engines in processes of their own on this machine, started, watched and started again."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from stemwright.bridge import child
from stemwright.bridge.crew import Batch, Crew, Member
from stemwright.bridge.grammar import MODEL
from stemwright.bridge.pool import ENDS, Tell, WorkEvent
from stemwright.bridge.worker import lines
from stemwright.engine.runtimes.ort import cores

STARTS = 3  # in a row without an engine: then it is broken
SOON, LATE, BROKEN = 0.2, 5.0, 30.0  # seconds until the next start: after a death, at most, when broken
LOADING = 180.0  # seconds an engine has to load
STUBBORN = 60.0  # seconds a cancelled job has to notice
LEAVING = 3.0  # seconds a process has to tidy up when told to go
SHORT = 10.0  # seconds: a life that ends sooner, with nothing done, makes the next wait longer
log = logging.getLogger(__name__)


class LocalPool(Crew["_Worker"]):
    """A Pool of `workers` processes. threads: of each; None: the cores shared out among them

    command  what starts one; it speaks as `worker` does
    """

    def __init__(
        self,
        model: str = "default",
        *,
        threads: int | None = None,
        device: str = "auto",
        profile: str = "best",
        workers: int = 1,
        command: Sequence[str] | None = None,
    ) -> None:
        each = threads or max(1, cores() // workers)
        self._command = command or (
            *(sys.executable, "-m", "stemwright.bridge.worker"),
            *("--model", model, "--threads", str(each), "--device", device, "--profile", profile),
        )
        super().__init__()
        self._members = [_Worker(self._command, self._change, number) for number in range(workers)]

    def start(self, tell: Tell) -> None:
        for worker in self._members:
            worker.start(tell)

    @property
    def processes(self) -> list[int]:
        """Their numbers, of those that live."""
        with self._change:
            return [worker.process.pid for worker in self._members if worker.process is not None]


class _Worker(Member):
    """One process and the thread that keeps it alive."""

    def __init__(self, command: Sequence[str], change: threading.Condition, number: int) -> None:
        super().__init__(change, f"worker {number}")
        self._command = list(command)
        self.process: subprocess.Popen[bytes] | None = None
        self._is_awaited = False  # somebody needs it now
        self._starts = 0  # in a row without getting ready
        self._short_lives = 0  # in a row
        self._has_worked = False  # this life has brought a job to its end
        self._trouble = ""  # why it does not start, in its own words
        self._last_words: deque[str] = deque(maxlen=5)  # on standard error

    def _begin(self, batch: Batch) -> None:
        if self.state == "ready":
            self._send(batch)
        else:
            self._is_awaited = True

    def _stop_job(self, batch: Batch, job: str) -> None:
        child.say(self.process, {"do": "cancel", "job": job})
        self._end_later(batch, job)

    def end(self) -> None:
        """The pipe closed, the process and the thread ended."""
        if not self._thread.ident:
            return
        with self._change:
            if self.process is not None and self.process.stdin is not None:
                self.process.stdin.close()
        self._thread.join(LEAVING)
        with self._change:
            if self.process is not None:
                self.process.kill()
        self._thread.join()

    def _keep(self) -> None:
        """Lives of the process, one after the other."""
        while not self._is_leaving:
            begin = time.monotonic()
            if (process := self._born()) is not None:
                self._live(process)
            is_short = time.monotonic() - begin < SHORT and not self._has_worked
            self._short_lives = self._short_lives + 1 if is_short else 0
            self._mourn()
            self._rest()
        self.state = "stopped"

    def _born(self) -> subprocess.Popen[bytes] | None:
        with self._change:
            if self._is_leaving:
                return None
            self._is_awaited = False
            self._trouble, self._has_worked = "", False
            self._last_words.clear()
            try:
                self.process = child.started(self._command)
            except OSError as error:
                self._trouble = f"{self._command[0]}: {error.strerror}"
            return self.process

    def _live(self, process: subprocess.Popen[bytes]) -> None:
        watch = threading.Timer(LOADING, process.kill)
        watch.daemon = True
        watch.start()
        listener = threading.Thread(target=child.overhear, args=(process, self._last_words), daemon=True)
        listener.start()
        with process:
            assert process.stdout is not None
            for words in lines(process.stdout.fileno()):
                self._heard(words, watch)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LEAVING)
            process.kill()
            listener.join(LEAVING)
        watch.cancel()
        watch.join()

    def _heard(self, words: bytes, watch: threading.Timer) -> None:
        try:
            event = WorkEvent.from_json(json.loads(words))
        except (ValueError, KeyError, TypeError, IndexError):
            log.warning("the worker said %.200r", words)
            return
        if event.kind in ("ready", "broken"):
            watch.cancel()
        with self._change:
            if event.kind == "ready":
                self.state, self._starts = "ready", 0
                self._change.notify_all()
                if self.batch is not None and not self._is_leaving:
                    self._send(self.batch)
            elif event.kind == "broken":
                self.state = "broken"
                self._trouble = event.text
                return  # told when it has ended
            self._tell(event)
            if event.kind in ENDS:
                self._has_worked = True
                if self.batch is not None:
                    self._ended(self.batch, event.job)

    def _mourn(self) -> None:
        """The process has ended: what that means for its work."""
        events: list[WorkEvent] = []
        with self._change:
            process, self.process = self.process, None
            batch = self.batch
            if batch is not None:
                batch.close()
            was_ready = self.state == "ready"
            self._starts = 0 if was_ready else self._starts + 1
            if batch is not None and batch.is_sent:
                events += [WorkEvent("lost", job, text=self._why(process)) for job in sorted(batch.left)]
                self.batch = None
            if self.state == "broken" or self._starts >= STARTS:
                self.state = "broken"
                events.append(WorkEvent("broken", code=MODEL, text=self._why(process)))
                if self.batch is not None:
                    text = f"the engine does not start: {self._why(process)}"
                    jobs = sorted(self.batch.left)
                    events += [WorkEvent("failed", job, code=MODEL, text=text) for job in jobs]
                    self.batch = None
            else:
                self.state = "starting"
            for event in events:
                if event.kind == "lost" or not self._is_leaving:
                    self._tell(event)
            self._change.notify_all()

    def _why(self, process: subprocess.Popen[bytes] | None) -> str:
        if self._trouble:
            return self._trouble
        code = None if process is None else process.returncode
        words = f": {self._last_words[-1]}" if self._last_words else ""
        return f"the engine's process ended (exit code {code}){words}"

    def _rest(self) -> None:
        """Before the next start; a job that waits makes it short."""
        wait = min(LATE, SOON * 2 ** min(self._short_lives - 1, 10)) if self._short_lives else 0.0
        deadline = time.monotonic() + (BROKEN if self.state == "broken" else wait)
        with self._change:
            while not (self._is_leaving or self._is_awaited) and (left := deadline - time.monotonic()) > 0:
                self._change.wait(left)

    def _send(self, batch: Batch) -> None:
        batch.is_sent = True
        requests = [request.to_json() for request in batch.requests]
        child.say(self.process, {"do": "give", "batch": requests, "folders": list(map(str, batch.folders))})

    def _end_later(self, batch: Batch, job: str) -> None:
        """A process that does not notice in time is ended."""

        def look() -> None:
            with self._change:
                if self.batch is batch and job in batch.left and self.process is not None:
                    log.warning(
                        "job %s: cancelled %g s ago, still running; its process is ended", job, STUBBORN
                    )
                    self.process.kill()

        timer = threading.Timer(STUBBORN, look)
        timer.daemon = True
        batch.timers.append(timer)
        timer.start()
