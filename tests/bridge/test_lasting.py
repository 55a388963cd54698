"""The queue over days: what survives, what is removed, what does not grow."""

import os
import sqlite3
import threading
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge import queue as queue_module
from stemwright.bridge.errors import BadSpool
from stemwright.bridge.foreman import RESTARTS
from stemwright.bridge.grammar import BUSY, DISK_FULL, INTERNAL, WORKER_LOST, Message
from stemwright.bridge.journal import Journal
from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.queue import Limits
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Spool, read_done
from stemwright.bridge.table import RECENT
from tests.bridge.fakes_pool import (
    HandPool,
    InstantPool,
    Running,
    code,
    kinds,
    order_of,
    request,
    small_disk,
)
from tests.bridge.waiting import until

SMALL = Limits(free_bytes=0)


@pytest.fixture
def pool() -> HandPool:
    return HandPool()


@pytest.fixture
def running(tmp_path: Path, pool: HandPool) -> Iterator[Running]:
    with Running(tmp_path / "spool", pool) as found:
        yield found


# Another day


def test_waiting_jobs_are_taken_up_again_in_their_order(tmp_path: Path) -> None:
    with Running(tmp_path, HandPool(room=0)) as running:
        running.submit(*(request(f"j{n}", seed=n) for n in range(3)))
    pool = HandPool()
    with Running(tmp_path, pool) as running:
        running.settled()
        assert order_of(running, pool) == ["j0", "j1", "j2"]


def test_a_running_job_goes_back_to_the_journal_when_the_server_stops(tmp_path: Path) -> None:
    for _ in range(3):  # more often than a job may be lost
        pool = HandPool()
        with Running(tmp_path, pool) as running:
            running.submit(request("a"))
            until(lambda pool=pool: pool.given == ["a"])
            row = running.queue.row("a")
            assert row is not None and row.attempts == 1
        assert pool.stopped == [1.0]
    with Running(tmp_path, HandPool(room=0)) as running:
        assert running.state("a") == "queued"


def left_running(tmp_path: Path, attempts: int = 1, *, is_cancelled: bool = False) -> Spool:
    """A spool as a server leaves it that was killed while it worked on the job "a"."""
    pool = HandPool()
    with Running(tmp_path, pool) as running:
        running.submit(request("a"))
        until(lambda: pool.given)
        out = running.spool.folder("a") / OUT
        out.mkdir()
        (out / "bass.wav").write_bytes(b"half")
    journal = Journal(running.spool.journal)
    entry = journal.find("a")
    assert entry is not None
    row = replace(entry.row, state="running", attempts=attempts)
    journal.save([replace(entry, row=row, is_cancelled=is_cancelled)])
    journal.close()
    return running.spool


def test_a_job_cut_off_by_a_crash_is_done_again(tmp_path: Path) -> None:
    left_running(tmp_path)
    pool = HandPool()
    with Running(tmp_path, pool) as running:
        until(lambda: pool.given == ["a"])
        row = running.queue.row("a")
        assert row is not None and row.attempts == 2
        pool.finish("a")
        until(lambda: running.state("a") == "finished")


def test_a_job_cut_off_too_often_has_failed_and_leaves_nothing(tmp_path: Path) -> None:
    spool = left_running(tmp_path, attempts=RESTARTS)
    with Running(tmp_path, HandPool()) as running:
        assert code(running.heard.ends("a")[0]) == WORKER_LOST
        assert running.state("a") == "failed" and not spool.folder("a").exists()


def test_a_job_finished_in_the_moment_of_the_crash_is_finished(tmp_path: Path) -> None:
    spool = left_running(tmp_path)
    pool = HandPool(room=0)
    pool.batches, pool.folders = [(request("a"),)], {"a": spool.folder("a")}
    pool.write("a")
    with Running(tmp_path, pool) as running:
        assert running.state("a") == "finished"
        assert kinds(running.heard, "a") == ["Result", "Finished"]


def test_a_job_that_was_being_cancelled_is_cancelled(tmp_path: Path) -> None:
    left_running(tmp_path, is_cancelled=True)
    with Running(tmp_path, HandPool()) as running:
        assert running.heard.of("a") == [say.Cancelled("a")]


def test_a_damaged_journal_costs_the_waiting_jobs_and_no_results(tmp_path: Path) -> None:
    pool = HandPool()
    with Running(tmp_path, pool) as running:
        running.submit(request("a"), request("b", seed=1))
        until(lambda: pool.given)
        pool.finish("a")
        until(lambda: running.state("a") == "finished")
        told = running.queue.told("a")
    running.spool.journal.write_bytes(b"nonsense" * 1000)
    with Running(tmp_path, HandPool()) as running:
        assert running.queue.told("a") == told
        assert running.state("b") == ""
        assert isinstance(running.submit(request("b", seed=1))[0], say.Accepted)


def test_a_journal_damaged_in_use_is_replaced_and_nothing_in_memory_is_lost(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.submit(request("a"))
    whole, is_done = Journal.save, False

    def damaged(journal: Journal, entries: object) -> None:
        nonlocal is_done
        if not is_done:
            is_done = True
            raise sqlite3.DatabaseError("database disk image is malformed")
        whole(journal, entries)  # type: ignore[arg-type]

    monkeypatch.setattr(Journal, "save", damaged)
    assert isinstance(running.submit(request("b", seed=1))[0], say.Accepted)
    file = sqlite3.connect(running.spool.journal)
    assert {row[0] for row in file.execute("SELECT job FROM jobs")} == {"a", "b"}
    file.close()


def test_a_spool_whose_journal_cannot_be_opened_is_refused_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "spool" / "journal.sqlite").mkdir(parents=True)
    with pytest.raises(BadSpool):
        Running(tmp_path / "spool", HandPool())


def test_after_closing_nothing_is_accepted_and_everything_answered(tmp_path: Path) -> None:
    running = Running(tmp_path, HandPool())
    answers: list[Message] = []
    running.queue._is_stopping = True
    running.queue.submit(request("a"), "me", answers.append)
    running.queue.close(0.0)
    assert [code(one) for one in answers] == [BUSY]
    running.queue.close(0.0)


# Room


def test_old_results_are_removed_and_what_runs_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, now = HandPool(), [time.time()]
    with Running(tmp_path, pool, limits=Limits(keep_seconds=1000.0)) as running:
        running.submit(request("old"), request("runs", seed=1))
        until(lambda: pool.given)
        pool.finish("old")
        until(lambda: pool.given[-1] == "runs")
        upload = running.spool.uploads / "u.wav"
        upload.write_bytes(b"x")
        folder = running.spool.folder("old")
        assert read_done(folder) is not None
        now[0] += 2000.0
        monkeypatch.setattr("stemwright.bridge.retention.time.time", lambda: now[0])
        running.queue._retention._next = 0.0
        running.settled()
        until(lambda: running.state("old") == "")
        assert not folder.exists() and not upload.exists()
        assert running.state("runs") == "running" and running.spool.folder("runs").exists()
        assert isinstance(running.submit(request("old"))[0], say.Accepted)  # the id is free again


def test_the_oldest_results_make_room_when_there_are_too_many(tmp_path: Path) -> None:
    limits = Limits(spool_bytes=3000, fetch_seconds=0.0)
    pool = HandPool()
    with Running(tmp_path, pool, limits=limits) as running:
        for n in range(20):
            answers = running.submit(request(f"j{n}", seed=n))
            until(lambda n=n: pool.given[-1:] == [f"j{n}"])
            assert isinstance(answers[0], say.Accepted)
            pool.finish(f"j{n}")
            until(lambda n=n: running.state(f"j{n}") == "finished")
            running.queue._retention._next = 0.0
            running.settled()
        until(lambda: running.queue._retention.bytes <= 3000)
        kept = [n for n in range(20) if running.state(f"j{n}")]
        assert kept == list(range(kept[0], 20)) and 1 <= len(kept) < 10
        assert sorted(os.listdir(running.spool.jobs)) == sorted(f"j{n}" for n in kept)


def test_a_spool_full_of_fresh_results_refuses_new_jobs_with_the_numbers(tmp_path: Path) -> None:
    pool = HandPool()
    with Running(tmp_path, pool, limits=Limits(spool_bytes=10)) as running:
        running.submit(request("a"))
        until(lambda: pool.given)
        pool.finish("a")
        until(lambda: running.state("a") == "finished")
        (answer,) = running.submit(request("b"))
        assert code(answer) == DISK_FULL and "spool" in str(answer)
        assert running.state("a") == "finished"


def test_a_disk_without_the_room_that_stays_free_refuses_and_fails_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = HandPool(room=0)
    with Running(tmp_path, pool) as running:
        running.submit(request("a"), request("b", seed=1))
        monkeypatch.setattr(Spool, "free", lambda self: 1 << 20)
        (answer,) = running.submit(request("c"))
        assert code(answer) == DISK_FULL and "1 MiB" in str(answer) and "256" in str(answer)
        pool.room = 1
        pool.tell(WorkEvent("ready", text="default cpu"))
        until(lambda: running.state("b") == "failed")
        running.settled()
        assert [code(running.heard.ends(job)[0]) for job in ("a", "b")] == [DISK_FULL] * 2
        monkeypatch.undo()
        assert isinstance(running.submit(request("c"))[0], say.Accepted)


def test_on_a_full_disk_jobs_fail_clearly_and_the_queue_lives(tmp_path: Path) -> None:
    pool = HandPool()
    with small_disk(tmp_path / "disk", 8 << 20) as disk:
        with Running(disk / "spool", pool, limits=SMALL) as running:
            running.submit(request("a"), request("b", seed=1))
            until(lambda: pool.given)
            with (disk / "fill").open("wb", buffering=0) as fill, pytest.raises(OSError, match="No space"):
                while True:
                    fill.write(bytes(4096))
            answers = [running.submit(request(f"c{n}", seed=n + 2))[0] for n in range(300)]
            refused = [one for one in answers if not isinstance(one, say.Accepted)]
            assert refused and {code(one) for one in refused} == {DISK_FULL}  # when the reserve is used up
            pool.end("failed", "a", code=DISK_FULL, text="no room")
            until(lambda: running.heard.ends("a"))
            until(lambda: running.state("b") in ("failed", "running"))
            (disk / "fill").unlink()
            assert isinstance(until(lambda: accepted(running, "d")), say.Accepted)
            until(lambda: not running.queue._table.is_behind)
            every = ["a", "b", "d", *(f"c{n}" for n, one in enumerate(answers) if one not in refused)]
            states = {job: running.state(job) for job in every}
        with Running(disk / "spool", HandPool(room=0), limits=SMALL) as running:
            for job, state in states.items():
                assert running.state(job) == ("queued" if state == "running" else state), job


def accepted(running: Running, job: str) -> Message | None:
    (answer,) = running.submit(request(job, seed=999))
    return answer if isinstance(answer, say.Accepted) else None


def test_a_job_that_could_not_be_journalled_is_refused_and_never_begun(
    running: Running, pool: HandPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(journal: Journal, entries: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "save", fails)
        answers = running.submit(request("a"), request("a"), request("b", seed=1))
        assert [code(one) for one in answers] == [DISK_FULL] * 3
        assert pool.given == [] and running.queue.rows() == []
        assert running.queue.counts().queued == 0
    assert isinstance(running.submit(request("a"))[0], say.Accepted)
    assert pool.given == ["a"]


def test_an_end_that_cannot_be_journalled_is_told_and_journalled_later(
    running: Running, pool: HandPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    running.submit(request("a"), request("b", seed=1))

    def fails(journal: Journal, entries: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "save", fails)
        pool.finish("a")
        until(lambda: running.heard.ends("a"))
        running.settled()
        assert pool.given == ["a"]  # nothing is begun of which the journal does not know
    until(lambda: pool.given == ["a", "b"])
    file = sqlite3.connect(running.spool.journal)
    assert file.execute("SELECT state FROM jobs WHERE job = 'a'").fetchone() == ("finished",)
    file.close()


def test_a_pool_that_cannot_take_a_job_fails_it(
    running: Running, pool: HandPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(pool, "give", fails)
        running.submit(request("a"))
        until(lambda: running.heard.ends("a"))
    assert code(running.heard.ends("a")[0]) == INTERNAL
    running.submit(request("b"))
    until(lambda: pool.given == ["b"])


# Many


def test_ten_thousand_jobs_at_once_are_accepted_in_seconds(running: Running) -> None:
    jobs = [Request(f"j{n}", "generate", ("jazz",), seed=n) for n in range(10_000)]
    answers: list[Message] = []
    begin = time.monotonic()
    for n, job in enumerate(jobs):
        running.queue.submit(job, f"client {n % 100}", answers.append)
    submitted = time.monotonic() - begin
    running.settled()
    took = time.monotonic() - begin
    assert submitted < 2.0  # measured 0.05: nothing waits for the disk there
    assert took < 15.0  # measured 1.5
    assert len(answers) == 10_000 and all(isinstance(one, say.Accepted) for one in answers)
    assert running.queue.counts().queued + running.queue.counts().running == 10_000


def test_more_than_the_keeper_can_take_is_refused_at_once(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue_module, "MOST_INCOMING", -1)
    answers: list[Message] = []
    running.queue.submit(request("a"), "me", answers.append)
    assert [code(one) for one in answers] == [BUSY]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_jobs_that_were_done(tmp_path: Path) -> None:
    with Running(tmp_path, InstantPool(), limits=SMALL) as running:

        def memory_after(first: int, count: int) -> int:
            for start in range(first, first + count, 100):
                jobs = [Request(f"j{n}", "generate", ("bass",), seed=n) for n in range(start, start + 100)]
                running.submit(*jobs)
                until(lambda: running.queue.counts().queued + running.queue.counts().running == 0)
            running.heard.events.clear()
            return tracemalloc.get_traced_memory()[0]

        tracemalloc.start()
        before = memory_after(0, RECENT + 100)
        grown = memory_after(RECENT + 100, 600) - before
        tracemalloc.stop()
    assert grown < 300_000, grown  # measured -15 kB; a row in memory is 2 kB, 600 of them 1.2 MB


def test_any_thread_may_ask_while_jobs_come_and_go(tmp_path: Path) -> None:
    with Running(tmp_path, InstantPool(), limits=SMALL) as running:
        stop, errors = threading.Event(), []

        def ask() -> None:
            while not stop.is_set():
                try:
                    running.queue.rows(50)
                    running.queue.counts()
                    running.queue.told("j1")
                    time.sleep(0.001)
                except Exception as error:
                    errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        running.submit(*(Request(f"j{n}", "generate", ("bass",), seed=n) for n in range(100)))
        until(lambda: running.queue.counts().queued + running.queue.counts().running == 0)
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
