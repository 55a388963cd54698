"""The queue: takes jobs, keeps them safe, tells what becomes of them; its foreman has them done by the pool.

One thread, the keeper, decides everything. What has come in is dealt with together, journalled in one
transaction, and only then answered: what was accepted survives a power cut, and ten thousand jobs at once
take a few transactions. Every accepted job comes to exactly one end.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from stemwright.bridge import messages as say
from stemwright.bridge.foreman import Foreman, safely
from stemwright.bridge.grammar import (
    BUSY,
    DISK_FULL,
    ID_IN_USE,
    INTERNAL,
    NOT_FOUND,
    QUEUE_FULL,
    BadMessage,
    Message,
)
from stemwright.bridge.journal import (
    FAILED,
    QUEUED,
    RUNNING,
    Entry,
    Journal,
    Row,
    is_full,
)
from stemwright.bridge.outbox import Answer, Outbox, ending, refusal
from stemwright.bridge.pool import Pool
from stemwright.bridge.request import Request
from stemwright.bridge.retention import Limits, Retention
from stemwright.bridge.spool import Spool, read_done
from stemwright.bridge.table import Table

__all__ = ["Counts", "Limits", "Queue", "Row"]

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
        self._outbox = Outbox()
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
        self._pool.start(self._foreman.hear)
        self._inbox.put(self._foreman.read_news)

    def close(self, seconds: float) -> None:
        """No new jobs; what runs has so long to end, and stays in the journal if it does not."""
        if not self._thread.is_alive():  # it never was, or could not be
            return
        self._is_stopping = True
        self._pool.stop(seconds)
        self._inbox.put(None)
        self._thread.join()

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
        running, engines = self._table.count(RUNNING), self._foreman
        state = "working" if running else "ready" if engines.is_ready else "starting"
        return Counts(
            "failing" if engines.trouble else state,
            self._table.count(QUEUED),
            running,
            engines.progress if running else 0.0,
            engines.model,
            engines.device,
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
        self._foreman = Foreman(
            self._spool,
            self._pool,
            self._table,
            self._retention,
            self._outbox,
            on_event=self._on_event,
            do_soon=self._inbox.put,
        )
        self._spool.reserve()
        if self._journal.problem:
            self._retention.adopt()
        for entry in self._table.active():
            self._foreman.resume(entry)
        self._settle_up()

    def _round(self) -> bool:
        """Everything that has come in, one commit, the answers; → whether to go on."""
        errands = self._incoming()
        for errand in errands:
            if errand is not None:
                safely(errand)
        safely(partial(self._foreman.give_out, may_begin=not self._is_stopping))
        safely(self._settle_up)
        safely(self._journal.rest)
        safely(self._retention.tidy)
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
        self._outbox.answer(answer, say.Accepted(request.job, self._foreman.ahead(row)), request.job)
        self._table.put(Entry(row, self._table.next_number(), request))
        self._foreman.waiting.push(settled, client)

    def _again(self, known: Entry, request: Request, answer: Answer) -> None:
        """The same id: the same job, or a refusal."""
        job = request.job
        if known.asked != request:
            text = f"a job {job!r} exists and is another one; choose another id"
            self._outbox.answer(answer, refusal(request, ID_IN_USE, text))
            return
        ahead = self._foreman.ahead(known.row) if known.row.state == QUEUED else 0
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

    def _cancel(self, job: str, answer: Answer) -> None:
        entry = self._table.find(job)
        if entry is None:
            text = f"no job {job!r:.70}; it may be too old"
            self._outbox.answer(answer, say.Fail(say.Cancel.address, NOT_FOUND, text, job[: say.LONGEST_ID]))
            return
        self._outbox.answer(answer, say.Done(say.Cancel.address, job))
        if entry.row.has_ended:
            self._outbox.answer(answer, ending(entry.row)[-1])
        else:
            self._foreman.cancel(entry)

    def _settle_up(self) -> None:
        """Journal this round; then say what is to be said, and give what is to be given.

        What was known before is told even where it cannot be journalled yet: the journal gets it later, and a
        crash before that loses no result, for done.json has it.
        """
        outbox, given = self._outbox.taken(), self._foreman.given()
        words = outbox.words
        if error := self._table.save():
            words = outbox.without_new(partial(self._not_kept, error))
            self._drop(outbox.new)
            self._foreman.keep_back(given)
            given = []
        for one in words:
            safely(one.say)
        for batch in given:
            self._foreman.give(batch)

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
                self._foreman.waiting.remove(job)
            self._table.drop(job)

    def _shut(self) -> None:
        """What still runs goes back, unless it has ended in this moment."""
        for entry in self._table.active():
            request = entry.row.request
            if entry.row.state == RUNNING and (done := read_done(self._spool.folder(request.job), request)):
                self._foreman.finish(entry, done.results, done.seconds)
            elif entry.row.state == RUNNING:
                self._foreman.put_back(entry)
        self._settle_up()
        if self._table.is_behind:
            log.error("the journal could not be completed: what ended last may be done again")
        self._journal.close()
