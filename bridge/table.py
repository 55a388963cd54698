"""The jobs in memory: all that have not ended, and those that ended last. The journal has the others, too."""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from typing import Any

from stemwright.bridge.journal import QUEUED, RUNNING, Entry, Journal
from stemwright.engine.errors import StemwrightError

RECENT = 300  # jobs that ended last
log = logging.getLogger(__name__)


class Table:
    """Written by the keeper's thread; looked at by any.

    make_room  lets go of what was kept back for a full disk
    """

    def __init__(self, journal: Journal, make_room: Callable[[], None]) -> None:
        self._journal, self._make_room = journal, make_room
        self._is_warned = False
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}  # in the order in which they came
        self._recent: deque[str] = deque()
        self._states: Counter[str] = Counter()
        self._clients: Counter[str] = Counter()  # jobs that have not ended
        self._changed: set[str] = set()  # since the last save
        self.ended_bytes = journal.ended_bytes()
        self._number = journal.next_number()
        latest = journal.latest(RECENT)
        for entry in sorted([*latest, *journal.active()], key=lambda one: one.number):
            self._put(entry)
        self._recent.extend(entry.row.request.job for entry in latest)

    def find(self, job: str) -> Entry | None:
        """Any thread."""
        return self._entries.get(job) or self._journal.find(job)

    def active(self) -> list[Entry]:
        return [entry for entry in self._entries.values() if not entry.row.has_ended]

    def newest(self, limit: int) -> list[Entry]:
        """Any thread."""
        with self._lock:
            return list(islice(reversed(self._entries.values()), limit))

    def count(self, state: str) -> int:
        return self._states[state]

    def of_client(self, client: str) -> int:
        """Its jobs that have not ended."""
        return self._clients[client]

    def next_number(self) -> int:
        self._number += 1
        return self._number - 1

    def put(self, entry: Entry) -> None:
        """New or changed; journalled by the next `save`."""
        job, before = entry.row.request.job, self._entries.get(entry.row.request.job)
        self._put(entry)
        self._changed.add(job)
        if entry.row.has_ended and not (before and before.row.has_ended):
            self.ended_bytes += entry.bytes
            self._recent.append(job)
            self._forget()

    def touch(self, entry: Entry, **changes: Any) -> Entry:
        """Changes of the row that need not be journalled."""
        entry = replace(entry, row=replace(entry.row, **changes))
        self._put(entry)
        return entry

    def drop(self, job: str) -> None:
        """As if it had never been here."""
        with self._lock:
            entry = self._entries.pop(job, None)
        self._changed.discard(job)
        if job in self._recent:
            self._recent.remove(job)
        if entry is not None:
            self._count(entry, -1)

    def save(self) -> Exception | None:
        """Journal what has changed; an error leaves it for the next time. On a full disk room is made."""
        try:
            try:
                self._write()
            except sqlite3.OperationalError:
                self._make_room()
                self._write()
            except sqlite3.DatabaseError as error:  # damaged: into a new one, with all that is in memory
                self._journal.renew(error)
                self._changed.update(self._entries)
                self._write()
        except (sqlite3.Error, StemwrightError) as error:
            if not self._is_warned:
                log.warning("the journal cannot be written (%s); it is tried again", error)
            self._is_warned = True
            return error
        self._is_warned = False
        return None

    def _write(self) -> None:
        if self._changed:
            self._journal.save(self._entries[job] for job in self._changed)
            self._changed.clear()
            self._forget()

    @property
    def is_behind(self) -> bool:
        """Whether the journal lacks something."""
        return bool(self._changed)

    def removed(self, jobs: Iterable[tuple[str, int]]) -> None:
        """(job, bytes) that the journal no longer has"""
        for job, size in jobs:
            self.ended_bytes -= size
            self.drop(job)

    def _put(self, entry: Entry) -> None:
        job = entry.row.request.job
        with self._lock:
            before, self._entries[job] = self._entries.get(job), entry
        if before is not None:
            self._count(before, -1)
        self._count(entry, 1)

    def _count(self, entry: Entry, change: int) -> None:
        state = entry.row.state
        if state in (QUEUED, RUNNING):
            self._states[state] += change
            self._clients[entry.row.client] += change
            if not self._clients[entry.row.client]:
                del self._clients[entry.row.client]

    def _forget(self) -> None:
        """Only the latest ended ones stay in memory, and what the journal does not have yet."""
        while len(self._recent) > RECENT and self._recent[0] not in self._changed:
            job = self._recent.popleft()
            with self._lock:
                self._entries.pop(job, None)
