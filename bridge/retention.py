"""How much the spool may hold, and for how long: the oldest results go first, what runs stays."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass

from stemwright.bridge.grammar import DISK_FULL, BadMessage
from stemwright.bridge.journal import FINISHED, Entry, Journal, Row
from stemwright.bridge.messages import Result
from stemwright.bridge.spool import Spool, size
from stemwright.bridge.table import Table

EVERY = 30.0  # seconds between two looks
AT_ONCE = 100  # jobs removed in one look
MIB = 1 << 20
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """queue, per_client  jobs that have not ended
    spool_bytes        of all results, uploads and captures; beyond it the oldest results are removed
    keep_seconds       results, uploads and captures are removed when older
    free_bytes         of the disk, that are left to others
    fetch_seconds      results are kept so long even where there are too many: who asked must get them
    """

    queue: int = 20_000
    per_client: int = 10_000
    spool_bytes: int = 20 << 30
    keep_seconds: float = 7 * 86400.0
    free_bytes: int = 256 << 20
    fetch_seconds: float = 600.0


class Retention:
    """Keeps the spool within the limits. The keeper's thread."""

    def __init__(self, limits: Limits, spool: Spool, journal: Journal, table: Table) -> None:
        self._limits, self._spool, self._journal, self._table = limits, spool, journal, table
        self._inputs_bytes = spool.inputs_bytes()
        self._next = 0.0  # monotonic: when to look again

    @property
    def bytes(self) -> int:
        return self._table.ended_bytes + self._inputs_bytes

    def refuse_full(self) -> None:
        """BadMessage where a new job has no room."""
        self.refuse_disk()
        if self.bytes >= self._limits.spool_bytes:
            self._next = 0.0
            raise BadMessage(
                DISK_FULL,
                f"the spool holds {self.bytes // MIB} MiB of {self._limits.spool_bytes // MIB}, all of "
                f"the last {self._limits.fetch_seconds / 60:.0f} minutes. Ask again later, or raise "
                "--spool-limit.",
            )

    def refuse_disk(self) -> None:
        """BadMessage where the disk is as good as full."""
        free = self._spool.free()
        if free < self._limits.free_bytes:
            raise BadMessage(
                DISK_FULL,
                f"the spool's disk has {free // MIB} MiB left, and {self._limits.free_bytes // MIB} stay "
                "free. Free some space there, then ask again.",
            )

    def tidy(self) -> None:
        """Remove what is too old, and the oldest of what is too much; now and then."""
        now = time.monotonic()
        is_over = self.bytes > self._limits.spool_bytes
        if now < self._next and not (is_over and now > self._next - EVERY + 1):
            return
        self._next = now + EVERY
        self._spool.reserve()
        while self._remove_some():
            pass
        active = [entry.row.request for entry in self._table.active()]
        kept = [path for request in active for path in (request.path, request.like) if path]
        self._spool.remove_inputs(time.time() - self._limits.keep_seconds, kept)
        self._inputs_bytes = self._spool.inputs_bytes()

    def _remove_some(self) -> bool:
        """Whether there may be more to remove."""
        now = time.time()
        over = self.bytes - self._limits.spool_bytes
        leaving: list[tuple[str, int]] = []
        for job, ended, used in self._journal.oldest(AT_ONCE):
            is_old = ended < now - self._limits.keep_seconds
            is_too_much = over > 0 and ended <= now - self._limits.fetch_seconds
            if not (is_old or is_too_much):
                break
            self._spool.remove(job)
            leaving.append((job, used))
            over -= used
        if not leaving:
            return False
        try:
            self._journal.remove([job for job, _ in leaving])
        except sqlite3.Error as error:
            log.warning("the journal cannot be tidied: %s", error)
            return False
        self._table.removed(leaving)
        return len(leaving) == AT_ONCE

    def adopt(self) -> None:
        """After the journal was lost: finished jobs, as their folders tell them."""
        for done in self._spool.finished():
            request, folder = done.request, self._spool.folder(done.request.job)
            results = tuple(
                Result(request.job, index, len(done.results), one.kind, str(one.path), one.seconds, one.seed)
                for index, one in enumerate(done.results)
            )
            ended = folder.stat().st_mtime
            row = Row(request, "", FINISHED, 1.0, results=results, submitted=ended, seconds=done.seconds)
            self._table.put(Entry(row, self._table.next_number(), request, ended=ended, bytes=size(folder)))
