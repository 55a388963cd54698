"""The queue: takes jobs, keeps them safe, hands them to the pool, tells what becomes of them.

One thread, the keeper, decides everything. What has come in is dealt with together, journalled in one
transaction, and only then answered: what was accepted survives a power cut, and ten thousand jobs at once
take a few transactions. Every accepted job comes to exactly one end.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import (
    BUSY,
    DISK_FULL,
    ID_IN_USE,
    INTERNAL,
    NOT_FOUND,
    QUEUE_FULL,
    WORKER_LOST,
    BadMessage,
    Message,
)
from stemwright.bridge.journal import (
    CANCELLED,
    FAILED,
    FINISHED,
    QUEUED,
    RUNNING,
    Entry,
    Journal,
    Row,
    is_full,
)
from stemwright.bridge.order import Waiting
from stemwright.bridge.outbox import Answer, Outbox, ending, refusal
from stemwright.bridge.pool import MadeFile, Pool, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.retention import Limits, Retention
from stemwright.bridge.spool import Spool, read_done, size
from stemwright.bridge.table import Table
from stemwright.engine.writing import FULL

__all__ = ["Counts", "Limits", "Queue", "Row"]

ATTEMPTS = 2  # of a job whose engine dies
RESTARTS = 10  # of a job that the server itself died with: not the job's fault, as a rule
PACE = 0.1  # seconds between two progress messages of a job
TICK = 1.0  # seconds between two looks at what nobody asks for
MOST_INCOMING = 100_000  # errands that wait for the keeper
AT_ONCE = 2_000  # errands in one transaction
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Counts:
    """state: starting, ready, working, or failing (the engine does not start). progress: of what runs"""

    state: str
    queued: int
    running: int
    progress: float
    model: str
    device: str


class Queue:
    """Jobs from their acceptance to their end.

    settle    makes a request ready to be kept: its input as a path that may be read; may raise BadMessage
    on_event  hears Progress (ten a second a job at most), Result, then one of Finished, Cancelled, Fail; from
              the keeper's thread, after the commit
    """

    def __init__(
        self,
        spool: Spool,
        pool: Pool,
        *,
        settle: Callable[[Request], Request],
        on_event: Callable[[Row, Message], None],
        limits: Limits | None = None,
    ) -> None:
        self._spool, self._pool, self._settle, self._on_event = spool, pool, settle, on_event
        self._limits = limits or Limits()
        self._inbox: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._news: deque[WorkEvent] = deque()  # from the pool
        self._waiting = Waiting()
        self._outbox = Outbox()  # of this round
        self._given: list[tuple[str, ...]] = []  # batches of this round
        self._told: dict[str, float] = {}  # when progress was told last
        self._room = 0  # batches that the pool can take
        self._model = self._device = self._trouble = ""
        self._is_stopping = False
        self._has_started = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._keep, name="keeper", daemon=True)

    def start(self) -> None:
        """Open the journal, take up what was left, start the pool. BadSpool where that cannot be."""
        self._thread.start()
        self._has_started.wait()
        if self._error is not None:
            self._thread.join()
            raise self._error
        self._pool.start(self._tell_news)
        self._inbox.put(self._read_news)

    def close(self, seconds: float) -> None:
        """No new jobs; what runs has so long to end, and stays in the journal if it does not."""
        if not self._thread.is_alive():  # it never was, or could not be
            return
        self._is_stopping = True
        self._pool.stop(seconds)
        self._inbox.put(None)
        self._thread.join()

    def _tell_news(self, event: WorkEvent) -> None:
        self._news.append(event)
        self._inbox.put(self._read_news)

    def submit(self, request: Request, client: str, answer: Answer) -> None:
        """Any thread, at once. `answer` gets Accepted or Fail, once, after the commit.

        The same request again is told Accepted again, and its end if it has come to one.
        """
        if self._inbox.qsize() > MOST_INCOMING:
            answer(refusal(request, BUSY, "too many requests wait; ask again in a second"))
            return
        self._inbox.put(partial(self._submitted, request, client, answer))

    def cancel(self, job: str, answer: Answer) -> None:
        """`answer` gets Done or Fail (not_found); a job that has ended already tells its end again."""
        self._inbox.put(partial(self._cancel, job, answer))

    def barrier(self, answer: Callable[[], None]) -> None:
        """Called when everything submitted before is accepted or refused."""
        self._inbox.put(lambda: self._outbox.call(answer))

    def row(self, job: str) -> Row | None:
        entry = self._table.find(job)
        return None if entry is None else entry.row

    def rows(self, limit: int = 100) -> list[Row]:
        """The newest first."""
        return [entry.row for entry in self._table.newest(limit)]

    def counts(self) -> Counts:
        running = self._table.count(RUNNING)
        is_ready = bool(self._room and self._model)
        state = "working" if running else "ready" if is_ready else "starting"
        return Counts(
            "failing" if self._trouble else state,
            self._table.count(QUEUED),
            running,
            self._progress if running else 0.0,
            self._model,
            self._device,
        )

    def told(self, job: str) -> list[Message]:
        """JobState, then the results and the end if it has come to one; [] for a job that is not known."""
        row = self.row(job)
        if row is None:
            return []
        text = f"{row.code}: {row.text}" if row.state == FAILED else ""
        state = say.JobState(job, row.state, row.progress, row.stage, text)
        return [state, *ending(row)] if row.has_ended else [state]

    # From here on: the keeper's thread.

    def _keep(self) -> None:
        try:
            self._open()
        except BaseException as error:
            self._error = error
            return
        finally:
            self._has_started.set()
        try:
            while self._round() or not self._inbox.empty():
                pass
        finally:
            self._shut()

    def _open(self) -> None:
        self._journal = Journal(self._spool.journal)
        self._table = Table(self._journal, self._spool.give_reserve)
        self._retention = Retention(self._limits, self._spool, self._journal, self._table)
        self._progress = 0.0
        self._spool.reserve()
        if self._journal.problem:
            self._retention.adopt()
        for entry in self._table.active():
            self._resume(entry)
        self._settle_up()

    def _resume(self, entry: Entry) -> None:
        """Where the last server left it."""
        if entry.row.state == RUNNING:
            self._lost(entry, attempts=RESTARTS)
        else:
            self._waiting.push(entry.row.request, entry.row.client, is_again=entry.row.attempts > 0)

    def _round(self) -> bool:
        """Everything that has come in, one commit, the answers; → whether to go on."""
        errands = self._incoming()
        for errand in errands:
            if errand is not None:
                self._safely(errand)
        self._safely(self._give_out)
        self._safely(self._settle_up)
        self._safely(self._journal.rest)
        self._safely(self._retention.tidy)
        return None not in errands

    def _incoming(self) -> list[Callable[[], None] | None]:
        found: list[Callable[[], None] | None] = []
        try:
            found.append(self._inbox.get(timeout=TICK))
            while len(found) < AT_ONCE:
                found.append(self._inbox.get_nowait())
        except queue.Empty:
            pass
        return found

    def _safely(self, errand: Callable[[], Any]) -> None:
        """An error of ours ends nothing but the errand."""
        try:
            errand()
        except Exception:
            log.exception("an error of ours in the queue")

    def _submitted(self, request: Request, client: str, answer: Answer) -> None:
        try:
            known = self._table.find(request.job)
            if known is not None:
                self._again(known, request, answer)
                return
            self._refuse_full(client)
            settled = self._settle(request)
            row = Row(settled, client, submitted=time.time())
        except BadMessage as error:
            self._outbox.answer(answer, refusal(request, error.code, str(error)))
            return
        except Exception:
            log.exception("job %s: an error of ours", request.job)
            self._outbox.answer(answer, refusal(request, INTERNAL, "an error of ours; the log has more"))
            return
        self._outbox.new.add(request.job)
        self._outbox.answer(answer, say.Accepted(request.job, self._ahead(row)), request.job)
        self._table.put(Entry(row, self._table.next_number(), request))
        self._waiting.push(settled, client)

    def _again(self, known: Entry, request: Request, answer: Answer) -> None:
        """The same id: the same job, or a refusal."""
        job = request.job
        if known.asked != request:
            text = f"a job {job!r} exists and is another one; choose another id"
            self._outbox.answer(answer, refusal(request, ID_IN_USE, text))
            return
        ahead = self._ahead(known.row) if known.row.state == QUEUED else 0
        self._outbox.answer(answer, say.Accepted(job, ahead), job)
        if known.row.has_ended:
            for message in ending(known.row):
                self._outbox.answer(answer, message, job)

    def _refuse_full(self, client: str) -> None:
        limits, table = self._limits, self._table
        if self._is_stopping:
            raise BadMessage(BUSY, "the server is stopping; ask again when it is back")
        own, every = table.of_client(client), table.count(QUEUED) + table.count(RUNNING)
        if own >= limits.per_client:
            raise BadMessage(
                QUEUE_FULL,
                f"you have {own} jobs waiting, {limits.per_client} at most; wait for some to end",
            )
        if every >= limits.queue:
            raise BadMessage(QUEUE_FULL, f"{every} jobs wait, {limits.queue} at most; wait for some to end")
        self._retention.refuse_full()

    def _ahead(self, row: Row) -> int:
        """About how many jobs begin or end first."""
        running = self._table.count(RUNNING)
        before = self._waiting.ahead(row.request.priority, row.client)
        return before + (0 if self._pool.free() else max(1, running))

    def _cancel(self, job: str, answer: Answer) -> None:
        entry = self._table.find(job)
        if entry is None:
            text = f"no job {job!r:.70}; it may be too old"
            self._outbox.answer(answer, say.Fail(say.Cancel.address, NOT_FOUND, text, job[: say.LONGEST_ID]))
            return
        self._outbox.answer(answer, say.Done(say.Cancel.address, job))
        if entry.row.state == QUEUED:
            self._waiting.remove(job)
            self._end(entry, CANCELLED)
        elif entry.row.state == RUNNING:
            self._table.put(replace(entry, is_cancelled=True))
            self._pool.cancel(job)
        else:
            self._outbox.answer(answer, ending(entry.row)[-1])

    def _give_out(self) -> None:
        """The next jobs to the pool, as many as it can take; given after the commit.

        What a job came to is told before its place is free, and so it is dealt with before that is taken.
        """
        self._room = 0 if self._is_stopping else self._pool.free()
        self._read_news()
        while self._room > 0 and (batch := self._waiting.pop()):
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
            self._end(entry, FAILED, code=error.code, text=str(error))
            return False
        except OSError as error:
            code = DISK_FULL if error.errno in FULL else INTERNAL
            text = f"the job's folder cannot be made ({error.strerror}). Check the spool's disk."
            self._end(entry, FAILED, code=code, text=text)
            return False
        self._table.put(
            replace(entry, row=replace(entry.row, state=RUNNING, attempts=entry.row.attempts + 1))
        )
        return True

    def _read_news(self) -> None:
        while self._news:
            self._safely(partial(self._worked, self._news.popleft()))

    def _worked(self, event: WorkEvent) -> None:
        """What the pool tells."""
        if event.kind == "ready":
            self._model, _, self._device = event.text.rpartition(" ")
            self._trouble = ""
            return
        if event.kind == "broken":
            self._trouble = event.text
            log.warning("the engine does not start: %s", event.text)
            return
        entry = self._table.find(event.job)
        if entry is None or entry.row.state != RUNNING:
            return
        if event.kind == "progress":
            self._progressed(entry, event)
        elif event.kind == "done":
            self._finish(entry, event.results, event.seconds)
        elif event.kind == "cancelled":
            self._end(entry, CANCELLED)
        elif event.kind == "failed":
            self._end(entry, FAILED, code=event.code, text=event.text)
        else:
            self._lost(entry, event.text)

    def _progressed(self, entry: Entry, event: WorkEvent) -> None:
        at, now = event.progress, time.monotonic()
        assert at is not None
        self._progress = max(entry.row.progress, min(1.0, at.done / max(1, at.total)))
        row = self._table.touch(entry, progress=self._progress, stage=at.stage).row
        if now - self._told.get(event.job, 0.0) >= PACE:
            self._told[event.job] = now
            left = -1.0 if at.seconds_left is None else at.seconds_left
            self._tell(row, say.Progress(event.job, row.progress, at.stage, left))

    def _lost(self, entry: Entry, text: str = "", attempts: int = ATTEMPTS) -> None:
        """Its process died, or ours did: finished all the same, or to be done again, once."""
        request = entry.row.request
        done = read_done(self._spool.folder(request.job), request)
        if done is not None:
            self._finish(entry, done.results, done.seconds)
        elif entry.is_cancelled:
            self._end(entry, CANCELLED)
        elif entry.row.attempts >= attempts:
            reason = f" ({text})" if text else ""
            text = (
                f"the engine's process ended {entry.row.attempts} times while it worked on this job{reason}"
            )
            self._end(entry, FAILED, code=WORKER_LOST, text=text)
        else:
            row = replace(entry.row, state=QUEUED, progress=0.0, stage="")
            self._table.put(replace(entry, row=row))
            self._waiting.push(request, row.client, is_again=True)

    def _finish(self, entry: Entry, made: tuple[MadeFile, ...], seconds: float) -> None:
        job = entry.row.request.job
        results = tuple(
            say.Result(job, index, len(made), one.kind, str(one.path), one.seconds, one.seed)
            for index, one in enumerate(made)
        )
        self._end(entry, FINISHED, results=results, seconds=seconds, progress=1.0)

    def _end(self, entry: Entry, state: str, **changes: Any) -> None:
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

    def _settle_up(self) -> None:
        """Journal this round; then say what is to be said, and give what is to be given.

        What was known before is told even where it cannot be journalled yet: the journal gets it later, and a
        crash before that loses no result, for done.json has it.
        """
        outbox, self._outbox = self._outbox, Outbox()
        given, self._given = self._given, []
        words = outbox.words
        if error := self._table.save():
            words = outbox.without_new(partial(self._not_kept, error))
            self._drop(outbox.new)
            self._keep_back(given)
            given = []
        for one in words:
            self._safely(one.say)
        for batch in given:
            self._give(batch)

    def _give(self, batch: tuple[str, ...]) -> None:
        entries = [entry for job in batch if (entry := self._table.find(job)) and entry.row.state == RUNNING]
        requests = tuple(entry.row.request for entry in entries)
        try:
            self._pool.give(requests, tuple(self._spool.folder(one.job) for one in requests))
        except Exception:
            log.exception("an error of ours in the pool")
            for entry in entries:
                self._end(entry, FAILED, code=INTERNAL, text="an error of ours; the log has more")
            self._inbox.put(self._read_news)  # so that it is told
            return
        for entry in entries:
            if entry.is_cancelled:
                self._pool.cancel(entry.row.request.job)

    def _not_kept(self, error: Exception, job: str) -> Message:
        entry = self._table.find(job)
        assert entry is not None, job
        code = DISK_FULL if is_full(error) else INTERNAL
        text = f"the journal cannot be written ({error}). Free some space on the spool's disk."
        return refusal(entry.asked, code, text)

    def _drop(self, new: set[str]) -> None:
        """New jobs that could not be journalled were never here."""
        for job in new:
            entry = self._table.find(job)
            if entry is not None and entry.row.state == QUEUED:
                self._waiting.remove(job)
            self._table.drop(job)

    def _keep_back(self, given: list[tuple[str, ...]]) -> None:
        """Nothing is begun of which the journal does not know."""
        for job in (job for batch in given for job in batch):
            entry = self._table.find(job)
            if entry is not None and entry.row.state == RUNNING:
                self._put_back(entry)
                self._waiting.push(entry.row.request, entry.row.client, is_again=True)

    def _put_back(self, entry: Entry) -> None:
        """As if it had not begun."""
        row = replace(
            entry.row, state=QUEUED, attempts=max(0, entry.row.attempts - 1), progress=0.0, stage=""
        )
        self._table.put(replace(entry, row=row))

    def _shut(self) -> None:
        """What still runs goes back, unless it has ended in this moment."""
        for entry in self._table.active():
            request = entry.row.request
            if entry.row.state == RUNNING and (done := read_done(self._spool.folder(request.job), request)):
                self._finish(entry, done.results, done.seconds)
            elif entry.row.state == RUNNING:
                self._put_back(entry)
        self._settle_up()
        if self._table.is_behind:
            log.error("the journal could not be completed: what ended last may be done again")
        self._journal.close()
