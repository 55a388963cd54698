"""What must not be forgotten: every accepted job, in SQLite, on the disk before anybody hears of it.

The keeper's thread alone writes. A file that is damaged, or made by a newer Stemwright, is put aside under
another name and a new one begun: the server starts in any case, and says what happened.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemwright.bridge.errors import BadSpool
from stemwright.bridge.grammar import INTERNAL
from stemwright.bridge.messages import Result
from stemwright.bridge.request import Request
from stemwright.engine.writing import quoted

VERSION = 1  # of the tables
QUEUED, RUNNING, FINISHED, CANCELLED, FAILED = "queued", "running", "finished", "cancelled", "failed"
PAGE = 4096  # bytes, SQLite's own
ROOM = 4 << 20  # bytes of SQLite's log that are written over again and again …
MOST_SAVED = 300  # … for so many rows change no more; then `rest` empties it
LARGEST_CHECKED = 64 << 20  # bytes of a journal that is looked through at the start
log = logging.getLogger(__name__)

TABLES = """
CREATE TABLE jobs (
    job TEXT PRIMARY KEY,
    number INTEGER NOT NULL,
    client TEXT NOT NULL,
    asked TEXT NOT NULL,
    request TEXT NOT NULL,
    state TEXT NOT NULL,
    is_cancelled INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    submitted REAL NOT NULL,
    ended REAL,
    seconds REAL NOT NULL,
    code TEXT NOT NULL,
    text TEXT NOT NULL,
    results TEXT NOT NULL,
    bytes INTEGER NOT NULL
);
CREATE INDEX active ON jobs (number) WHERE ended IS NULL;
CREATE INDEX ended ON jobs (ended, bytes) WHERE ended IS NOT NULL;
"""
COLUMNS = (
    "job, number, client, asked, request, state, is_cancelled, attempts, submitted, ended, seconds, code, "
    "text, results, bytes"
)


@dataclass(frozen=True)
class Row:
    """A job. submitted: wall time; seconds: from the start of the work to its end"""

    request: Request
    client: str
    state: str = QUEUED
    progress: float = 0.0
    stage: str = ""
    results: tuple[Result, ...] = ()
    code: str = ""
    text: str = ""
    submitted: float = 0.0
    seconds: float = 0.0
    attempts: int = 0

    @property
    def has_ended(self) -> bool:
        return self.state not in (QUEUED, RUNNING)


@dataclass(frozen=True)
class Entry:
    """A row, and what only the queue needs to know.

    number        counts the jobs; it never comes back
    asked         the request as it came, before its input was settled
    is_cancelled  somebody asked for it to be stopped
    ended         wall time; None before
    bytes         of its results
    """

    row: Row
    number: int
    asked: Request
    is_cancelled: bool = False
    ended: float | None = None
    bytes: int = 0


class Journal:
    """Open it in the thread that writes; `find` may be called from any."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.problem = ""  # a sentence, when the file was put aside
        self._lock = threading.Lock()
        try:
            self._open()
        except sqlite3.OperationalError as error:  # no room, no permission: nothing is wrong with the file
            raise self._unusable(error) from error
        except (sqlite3.DatabaseError, _Useless) as error:
            self._put_aside(error)

    def _open(self) -> None:
        self._reader: sqlite3.Connection | None = None
        self._file = sqlite3.connect(self.path, isolation_level=None, timeout=10)
        version = self._file.execute("PRAGMA user_version").fetchone()[0]
        is_new = version == 0 and not self._file.execute("SELECT 1 FROM sqlite_master").fetchone()
        if is_new:
            self._file.execute("PRAGMA auto_vacuum = INCREMENTAL")
        elif version != VERSION:
            raise _Useless(f"its version is {version}, this Stemwright knows {VERSION}")
        for setting in (
            "journal_mode = WAL",
            "synchronous = FULL",
            "fullfsync = ON",  # macOS: as far as the disk itself, which a plain flush does not reach
            f"journal_size_limit = {1 << 24}",
            f"wal_autocheckpoint = {8 * ROOM // PAGE}",  # pages; `rest` comes long before
        ):
            self._file.execute(f"PRAGMA {setting}").fetchone()
        if is_new:
            self._file.executescript(f"BEGIN; {TABLES} PRAGMA user_version = {VERSION}; COMMIT;")
        self._check()
        self._make_room()
        self._saved = 0  # rows in SQLite's log
        self._writer = threading.get_ident()
        self._reader = sqlite3.connect(
            f"{self.path.as_uri()}?mode=ro", uri=True, timeout=10, check_same_thread=False
        )

    def _make_room(self) -> None:
        """Lengthen SQLite's log by zeros, which it reads as the log's end: bytes that are written over others
        are on the disk in about half the time of bytes that make a file longer.
        """
        with suppress(OSError):
            if shutil.disk_usage(self.path.parent).free < 8 * ROOM:
                return
            with self.path.with_name(f"{self.path.name}-wal").open("r+b") as log_file:
                log_file.write(bytes(max(0, ROOM - log_file.seek(0, os.SEEK_END))))
                log_file.flush()
                os.fsync(log_file.fileno())

    def _check(self) -> None:
        if self.path.stat().st_size <= LARGEST_CHECKED:
            found = self._file.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise _Useless(found)
        names = {row[1] for row in self._file.execute("PRAGMA table_info(jobs)")}
        if names != set(COLUMNS.split(", ")):
            raise _Useless("its tables are others")

    def _put_aside(self, error: Exception) -> None:
        """The file with all that belongs to it, under another name; a new one in its place."""
        self._shut()
        aside = self.path.with_name(f"{self.path.name}.damaged-{time.time_ns()}")
        try:
            for tail in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + tail).rename(f"{aside}{tail}")
            self._open()
        except (OSError, sqlite3.Error, _Useless) as second:
            raise self._unusable(second) from second
        self.problem = (
            f"the journal could not be read ({' '.join(str(error).split())}); it was put aside as "
            f"{quoted(aside)}, and a new one begun. Jobs that waited in it are not done; results on the disk "
            "are kept."
        )
        log.warning(self.problem)

    def _unusable(self, error: Exception) -> BadSpool:
        self._shut()
        return BadSpool(
            f"{quoted(self.path)}: the journal cannot be opened ({error}). Check the disk and the "
            "permissions, or choose another --spool."
        )

    def renew(self, error: Exception) -> None:
        """After damage in use: the file is put aside; the new journal is empty."""
        self._put_aside(error)

    def save(self, entries: Iterable[Entry]) -> None:
        """All of them, in one transaction, on the disk when this returns; sqlite3.Error: none of them.

        One flush, of SQLite's log; `rest` puts that into the file itself.
        """
        rows = [_plain(entry) for entry in entries]
        marks = ", ".join("?" * len(COLUMNS.split(",")))
        self._file.execute("BEGIN IMMEDIATE")
        try:
            self._file.executemany(f"INSERT OR REPLACE INTO jobs ({COLUMNS}) VALUES ({marks})", rows)
            self._file.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._file.execute("ROLLBACK")
            raise
        self._saved += len(rows)

    def rest(self) -> None:
        """When all are answered: what `save` wrote goes from SQLite's log into the file itself."""
        if self._saved >= MOST_SAVED:
            self._saved = 0
            with suppress(sqlite3.Error):  # tried again, and SQLite would do it by itself in the end
                self._file.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def active(self) -> list[Entry]:
        """Jobs that have not ended, in the order they came."""
        return self._entries("WHERE ended IS NULL ORDER BY number")

    def latest(self, count: int) -> list[Entry]:
        """Jobs that ended last, in the order in which they did."""
        return self._entries("WHERE ended IS NOT NULL ORDER BY ended DESC LIMIT ?", count)[::-1]

    def _entries(self, which: str, *values: int) -> list[Entry]:
        """Rows of another version's making that cannot be understood are left out, and end as failed."""
        rows = self._file.execute(f"SELECT {COLUMNS} FROM jobs {which}", values).fetchall()
        found = [(row[0], _entry(row)) for row in rows]
        self._file.executemany(
            "UPDATE jobs SET state = ?, code = ?, ended = coalesce(ended, ?) WHERE job = ?",
            [(FAILED, INTERNAL, time.time(), job) for job, entry in found if entry is None],
        )
        return [entry for _, entry in found if entry is not None]

    def find(self, job: str) -> Entry | None:
        """A job by its id. Any thread; the one that writes has its own pages at hand, and is quick."""
        query = f"SELECT {COLUMNS} FROM jobs WHERE job = ?"
        is_writer = threading.get_ident() == self._writer
        with nullcontext() if is_writer else self._lock:
            if self._reader is None:
                return None
            try:
                row = (self._file if is_writer else self._reader).execute(query, (job,)).fetchone()
            except sqlite3.Error:
                return None
        return None if row is None else _entry(row)

    def next_number(self) -> int:
        return 1 + int(self._file.execute("SELECT coalesce(max(number), 0) FROM jobs").fetchone()[0])

    def ended_bytes(self) -> int:
        """Of the results of all jobs that have ended."""
        found = self._file.execute("SELECT total(bytes) FROM jobs WHERE ended IS NOT NULL").fetchone()
        return int(found[0])

    def oldest(self, count: int) -> list[tuple[str, float, int]]:
        """(job, when it ended, bytes) of those that ended first"""
        return self._file.execute(
            "SELECT job, ended, bytes FROM jobs WHERE ended IS NOT NULL ORDER BY ended LIMIT ?", (count,)
        ).fetchall()

    def remove(self, jobs: Sequence[str]) -> None:
        self._file.execute("BEGIN IMMEDIATE")
        try:
            self._file.executemany("DELETE FROM jobs WHERE job = ?", [(job,) for job in jobs])
            self._file.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._file.execute("ROLLBACK")
            raise
        with suppress(sqlite3.Error):
            self._file.execute("PRAGMA incremental_vacuum(100)").fetchall()

    def close(self) -> None:
        self._shut()

    def _shut(self) -> None:
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
        with suppress(sqlite3.Error, AttributeError):
            self._file.close()


class _Useless(Exception):
    """A file that is no journal of this version."""


def is_full(error: Exception) -> bool:
    """Whether the disk had no room for it."""
    return "full" in str(error) or "disk I/O" in str(error)


def _plain(entry: Entry) -> tuple[Any, ...]:
    row = entry.row
    results = [[one.index, one.count, one.kind, one.path, one.seconds, one.seed] for one in row.results]
    request = json.dumps(row.request.to_json())
    asked = request if entry.asked == row.request else json.dumps(entry.asked.to_json())
    return (
        row.request.job, entry.number, row.client, asked, request, row.state, entry.is_cancelled,
        row.attempts, row.submitted, entry.ended, row.seconds, row.code, row.text, json.dumps(results),
        entry.bytes,
    )  # fmt: skip


def _entry(plain: Sequence[Any]) -> Entry | None:
    """None for a row that this version cannot read; it stays in the file."""
    (job, number, client, asked, request, state, is_cancelled, attempts, submitted, ended, seconds, code,
     text, results, size) = plain  # fmt: skip
    try:
        settled = Request.from_json(json.loads(request))
        first = settled if asked == request else Request.from_json(json.loads(asked))
        row = Row(
            request=settled,
            client=client,
            state=state,
            progress=float(state == FINISHED),
            results=tuple(Result(job, *one) for one in json.loads(results)),
            code=code,
            text=text,
            submitted=submitted,
            seconds=seconds,
            attempts=attempts,
        )
    except Exception:
        log.exception("the journal's row of job %r cannot be read", job)
        return None
    return Entry(row, number, first, bool(is_cancelled), ended, size)
