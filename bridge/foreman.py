"""Between queue and pool: jobs are begun, what becomes of them is heard, and each comes to its one end."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import DISK_FULL, INTERNAL, WORKER_LOST, BadMessage, Message
from stemwright.bridge.journal import CANCELLED, FAILED, FINISHED, QUEUED, RUNNING, Entry, Row
from stemwright.bridge.order import Waiting
from stemwright.bridge.outbox import Outbox, ending
from stemwright.bridge.pool import MadeFile, Pool, WorkEvent
from stemwright.bridge.retention import Retention
from stemwright.bridge.spool import Spool, read_done, size
from stemwright.bridge.table import Table
from stemwright.engine.writing import FULL

ATTEMPTS = 2  # of a job whose engine dies
RESTARTS = 10  # of a job that the server itself died with: not the job's fault, as a rule
PACE = 0.1  # seconds between two progress messages of a job
log = logging.getLogger(__name__)


def safely(errand: Callable[[], Any]) -> None:
    """An error of ours ends nothing but the errand."""
    try:
        errand()
    except Exception:
        log.exception("an error of ours in the queue")


class Foreman:
    """Gives the pool its work. Everything in the keeper's thread, but for `hear`.

    waiting   jobs that have not begun
    model, device, trouble  of the engines, as they told last
    on_event  hears of jobs after the commit
    do_soon   hands the keeper an errand, from any thread
    """

    def __init__(
        self,
        spool: Spool,
        pool: Pool,
        table: Table,
        retention: Retention,
        outbox: Outbox,
        *,
        on_event: Callable[[Row, Message], None],
        do_soon: Callable[[Callable[[], None]], None],
    ) -> None:
        self._spool, self._pool, self._table, self._retention = spool, pool, table, retention
        self._outbox, self._on_event, self._do_soon = outbox, on_event, do_soon
        self.waiting = Waiting()
        self.model = self.device = self.trouble = ""
        self.progress = 0.0  # of what runs
        self._news: deque[WorkEvent] = deque()  # from the pool
        self._given: list[tuple[str, ...]] = []  # batches of this round
        self._told: dict[str, float] = {}  # when progress was told last
        self._room = 0  # batches that the pool can take

    def hear(self, event: WorkEvent) -> None:
        """What the pool tells; any thread."""
        self._news.append(event)
        self._do_soon(self.read_news)

    @property
    def is_ready(self) -> bool:
        """Whether an engine waits for work."""
        return bool(self._room and self.model)

    def ahead(self, row: Row) -> int:
        """About how many jobs begin or end before this one."""
        running = self._table.count(RUNNING)
        before = self.waiting.ahead(row.request.priority, row.client)
        return before + (0 if self._pool.free() else max(1, running))

    def given(self) -> list[tuple[str, ...]]:
        """The batches of this round, for `give` once they are journalled."""
        given, self._given = self._given, []
        return given

    def cancel(self, entry: Entry) -> None:
        """A job that has not ended."""
        job = entry.row.request.job
        if entry.row.state == QUEUED:
            self.waiting.remove(job)
            self.end(entry, CANCELLED)
        else:
            self._table.put(replace(entry, is_cancelled=True))
            self._pool.cancel(job)

    def resume(self, entry: Entry) -> None:
        """Where the last server left it."""
        if entry.row.state == RUNNING:
            self._lost(entry, attempts=RESTARTS)
        else:
            self.waiting.push(entry.row.request, entry.row.client, is_again=entry.row.attempts > 0)

    def give_out(self, *, may_begin: bool) -> None:
        """The next jobs to the pool, as many as it can take; given after the commit.

        What a job came to is told before its place is free, and so it is dealt with before that is taken.
        """
        self._room = self._pool.free() if may_begin else 0
        self.read_news()
        while self._room > 0 and (batch := self.waiting.pop()):
            if ready := tuple(job for job in batch if self._begin(job)):
                self._given.append(ready)
                self._room -= 1

    def _begin(self, job: str) -> bool:
        """Whether it can be given."""
        entry = self._table.find(job)
        assert entry is not None, job
        try:
            self._retention.refuse_disk()
            self._spool.open(entry.row.request, is_new=entry.row.attempts == 0)
        except BadMessage as error:
            self.end(entry, FAILED, code=error.code, text=str(error))
            return False
        except OSError as error:
            code = DISK_FULL if error.errno in FULL else INTERNAL
            text = f"the job's folder cannot be made ({error.strerror}). Check the spool's disk."
            self.end(entry, FAILED, code=code, text=text)
            return False
        self._table.put(
            replace(entry, row=replace(entry.row, state=RUNNING, attempts=entry.row.attempts + 1))
        )
        return True

    def read_news(self) -> None:
        while self._news:
            safely(partial(self._worked, self._news.popleft()))

    def _worked(self, event: WorkEvent) -> None:
        """What the pool tells."""
        if event.kind == "ready":
            self.model, _, self.device = event.text.rpartition(" ")
            self.trouble = ""
            return
        if event.kind == "broken":
            self.trouble = event.text
            log.warning("the engine does not start: %s", event.text)
            return
        entry = self._table.find(event.job)
        if entry is None or entry.row.state != RUNNING:
            return
        if event.kind == "progress":
            self._progressed(entry, event)
        elif event.kind == "done":
            self.finish(entry, event.results, event.seconds)
        elif event.kind == "cancelled":
            self.end(entry, CANCELLED)
        elif event.kind == "failed":
            self.end(entry, FAILED, code=event.code, text=event.text)
        else:
            self._lost(entry, event.text)

    def _progressed(self, entry: Entry, event: WorkEvent) -> None:
        at, now = event.progress, time.monotonic()
        assert at is not None
        self.progress = max(entry.row.progress, min(1.0, at.done / max(1, at.total)))
        row = self._table.touch(entry, progress=self.progress, stage=at.stage).row
        if now - self._told.get(event.job, 0.0) >= PACE:
            self._told[event.job] = now
            left = -1.0 if at.seconds_left is None else at.seconds_left
            self._tell(row, say.Progress(event.job, row.progress, at.stage, left))

    def _lost(self, entry: Entry, text: str = "", attempts: int = ATTEMPTS) -> None:
        """Its process died, or ours did: finished all the same, or to be done again, once."""
        request = entry.row.request
        done = read_done(self._spool.folder(request.job), request)
        if done is not None:
            self.finish(entry, done.results, done.seconds)
        elif entry.is_cancelled:
            self.end(entry, CANCELLED)
        elif entry.row.attempts >= attempts:
            reason = f" ({text})" if text else ""
            text = (
                f"the engine's process ended {entry.row.attempts} times while it worked on this job{reason}"
            )
            self.end(entry, FAILED, code=WORKER_LOST, text=text)
        else:
            row = replace(entry.row, state=QUEUED, progress=0.0, stage="")
            self._table.put(replace(entry, row=row))
            self.waiting.push(request, row.client, is_again=True)

    def finish(self, entry: Entry, made: tuple[MadeFile, ...], seconds: float) -> None:
        job = entry.row.request.job
        results = tuple(
            say.Result(job, index, len(made), one.kind, str(one.path), one.seconds, one.seed)
            for index, one in enumerate(made)
        )
        self.end(entry, FINISHED, results=results, seconds=seconds, progress=1.0)

    def end(self, entry: Entry, state: str, **changes: Any) -> None:
        """The one end of a job."""
        job = entry.row.request.job
        if state == FINISHED:
            used = size(self._spool.folder(job))
        else:
            self._spool.remove(job)
            used = 0
        self._told.pop(job, None)
        row = replace(entry.row, state=state, stage="", **changes)
        self._table.put(replace(entry, row=row, ended=time.time(), bytes=used))
        for message in ending(row):
            self._tell(row, message)

    def _tell(self, row: Row, message: Message) -> None:
        self._outbox.call(partial(self._on_event, row, message), row.request.job)

    def give(self, batch: tuple[str, ...]) -> None:
        entries = [entry for job in batch if (entry := self._table.find(job)) and entry.row.state == RUNNING]
        requests = tuple(entry.row.request for entry in entries)
        try:
            self._pool.give(requests, tuple(self._spool.folder(one.job) for one in requests))
        except Exception:
            log.exception("an error of ours in the pool")
            for entry in entries:
                self.end(entry, FAILED, code=INTERNAL, text="an error of ours; the log has more")
            self._do_soon(self.read_news)  # so that it is told
            return
        for entry in entries:
            if entry.is_cancelled:
                self._pool.cancel(entry.row.request.job)

    def keep_back(self, given: list[tuple[str, ...]]) -> None:
        """Nothing is begun of which the journal does not know."""
        for job in (job for batch in given for job in batch):
            entry = self._table.find(job)
            if entry is not None and entry.row.state == RUNNING:
                self.put_back(entry)
                self.waiting.push(entry.row.request, entry.row.client, is_again=True)

    def put_back(self, entry: Entry) -> None:
        """As if it had not begun."""
        row = replace(
            entry.row, state=QUEUED, attempts=max(0, entry.row.attempts - 1), progress=0.0, stage=""
        )
        self._table.put(replace(entry, row=row))
