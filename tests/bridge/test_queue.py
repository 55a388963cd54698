"""The queue: order, limits, ends, and what survives."""

import os
import sqlite3
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge import queue as queue_module
from stemwright.bridge.errors import BadSpool
from stemwright.bridge.journal import Journal
from stemwright.bridge.messages import BadMessage
from stemwright.bridge.order import MOST_TOGETHER
from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.queue import Limits
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Spool, read_done
from stemwright.bridge.table import RECENT
from tests.bridge.fakes_pool import HandPool, Heard, InstantPool, Running, request, until

SMALL = Limits(free_bytes=0)


@pytest.fixture
def pool() -> HandPool:
    return HandPool()


@pytest.fixture
def running(tmp_path: Path, pool: HandPool) -> Iterator[Running]:
    with Running(tmp_path / "spool", pool) as found:
        yield found


def kinds(heard: Heard, job: str) -> list[str]:
    return [type(one).__name__ for one in heard.of(job)]


def code(message: object) -> str:
    assert isinstance(message, say.Fail), message
    return message.code


# From acceptance to the end


def test_a_job_is_accepted_done_and_told_in_order(running: Running, pool: HandPool) -> None:
    assert running.submit(request("a")) == [say.Accepted("a", 0)]
    until(lambda: pool.given == ["a"])
    assert running.state("a") == "running"
    pool.progress("a", 30)
    pool.finish("a")
    until(lambda: running.state("a") == "finished")
    running.settled()
    path = str(running.spool.folder("a") / OUT / "bass.wav")
    result = say.Result("a", 0, 1, "bass", path, 1.5, 0)
    events = [say.Progress("a", 0.3, "sample", 1.0), result, say.Finished("a", 0.25)]
    assert running.heard.of("a") == events
    state = say.JobState("a", "finished", 1.0, "")
    assert running.queue.told("a") == [state, *events[1:]]
    assert running.queue.told("b") == []
    row = running.queue.row("a")
    assert row is not None and (row.client, row.attempts, row.seconds) == ("me", 1, 0.25)


def test_the_pool_gets_what_settle_made_and_the_folder(tmp_path: Path, pool: HandPool) -> None:
    def settle(asked: Request) -> Request:
        return replace(asked, path="/real/song.wav", upload=None)

    with Running(tmp_path, pool, settle=settle) as running:
        running.submit(Request("a", "extract", ("bass",), upload="u"))
        until(lambda: pool.batches)
        assert pool.batches[0][0].path == "/real/song.wav"
        assert pool.folders["a"] == running.spool.folder("a")
        assert (pool.folders["a"] / "request.json").is_file()


def test_a_job_may_fail_with_a_code_and_leaves_nothing(running: Running, pool: HandPool) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    pool.end("failed", "a", code="bad_input", text="cannot be read")
    until(lambda: running.state("a") == "failed")
    running.settled()
    fail = say.Fail("/stemwright/extract", "bad_input", "cannot be read", "a")
    assert running.heard.of("a") == [fail]
    state = say.JobState("a", "failed", 0.0, "", "bad_input: cannot be read")
    assert running.queue.told("a") == [state, fail]
    assert not running.spool.folder("a").exists()


def test_what_settle_refuses_is_refused_and_not_kept(tmp_path: Path, pool: HandPool) -> None:
    def settle(asked: Request) -> Request:
        if asked.job == "bug":
            raise RuntimeError("a bug")
        raise BadMessage(say.NOT_FOUND, "no such file")

    with Running(tmp_path, pool, settle=settle) as running:
        assert running.submit(request("a")) == [
            say.Fail("/stemwright/extract", "not_found", "no such file", "a")
        ]
        assert code(running.submit(request("bug"))[0]) == say.INTERNAL
        assert running.queue.rows() == [] and pool.given == []


def test_progress_is_told_ten_times_a_second_at_most(
    running: Running, pool: HandPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr(queue_module.time, "monotonic", lambda: clock[0])
    running.submit(request("a"))
    until(lambda: pool.given)
    for step in range(1, 101):
        clock[0] += 0.01
        pool.progress("a", step)
        running.settled()
    assert 9 <= len(running.heard.of("a")) <= 11
    assert running.queue.counts().progress == 1.0  # the row has the latest all the same


def test_progress_never_goes_back(running: Running, pool: HandPool) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    for done in (50, 20, 500):
        pool.progress("a", done)
        running.settled()
        row = running.queue.row("a")
        assert row is not None and row.progress == (1.0 if done == 500 else 0.5)


def test_an_error_in_a_listener_or_an_answer_ends_nothing(running: Running, pool: HandPool) -> None:
    def fails(message: say.Message) -> None:
        raise RuntimeError("a bug")

    running.queue.submit(request("a"), "me", fails)
    running.settled()
    pool.finish("a")
    until(lambda: running.state("a") == "finished")
    assert running.submit(request("b"))


# The same id


def test_the_same_request_again_is_the_same_job(running: Running, pool: HandPool) -> None:
    running.submit(request("a"))
    assert running.submit(request("a")) == [say.Accepted("a", 0)]
    pool.finish("a")
    until(lambda: running.state("a") == "finished")
    answers: list[say.Message] = []
    running.queue.submit(request("a"), "me", answers.append)
    running.settled()
    assert [type(one) for one in answers] == [say.Accepted, say.Result, say.Finished]
    assert pool.given == ["a"] and len(running.heard.ends("a")) == 1


def test_the_same_id_for_another_job_is_refused(running: Running) -> None:
    running.submit(request("a"))
    assert code(running.submit(request("a", "drums"))[0]) == say.ID_IN_USE


def test_a_request_is_compared_as_it_came_and_settled_once(tmp_path: Path, pool: HandPool) -> None:
    settled: list[str] = []

    def settle(asked: Request) -> Request:
        settled.append(asked.job)
        return replace(asked, last=None, path=f"/captures/{len(settled)}.wav")

    asked = Request("a", "extract", ("bass",), last=4.0)
    with Running(tmp_path, pool, settle=settle) as running:
        assert running.submit(asked, asked) == [say.Accepted("a", 0), say.Accepted("a", 1)]
    with Running(tmp_path, HandPool(), settle=settle) as running:
        assert isinstance(running.submit(asked)[0], say.Accepted)
        assert settled == ["a"]


def test_an_old_job_is_known_by_the_journal_when_memory_has_forgotten_it(tmp_path: Path) -> None:
    with Running(tmp_path, InstantPool(), limits=SMALL) as running:
        running.submit(*(request(f"j{n}", priority="batch", seed=n) for n in range(RECENT + 20)))
        until(lambda: running.queue.counts().queued + running.queue.counts().running == 0)
        assert len(running.queue.rows(10_000)) == RECENT
        old = [
            n for n in range(RECENT + 20) if f"j{n}" not in {r.request.job for r in running.queue.rows(9999)}
        ]
        assert len(old) == 20
        job = f"j{old[0]}"
        assert running.state(job) == "finished"
        assert [type(one) for one in running.queue.told(job)] == [say.JobState, say.Result, say.Finished]
        assert code(running.submit(request(job, "drums"))[0]) == say.ID_IN_USE


# Order and limits


def order_of(running: Running, pool: HandPool) -> list[str]:
    """Ids as they are done, one after the other, until none is left."""
    while running.queue.counts().running:
        pool.finish(pool.given[-1])
        running.settled()
    return pool.given


def test_live_overtakes_batch_and_clients_take_turns(running: Running, pool: HandPool) -> None:
    def some(client: str, priority: str, count: int) -> None:
        for n in range(count):
            one = request(f"{client}-{priority}-{n}", client, seed=n, priority=priority, joint=bool(n))
            running.submit(replace(one, start=float(client == "y")), client=client)  # none goes with another

    some("x", "batch", 3)  # the first of them begins at once
    some("y", "batch", 2)
    some("x", "live", 3)
    some("y", "live", 1)
    assert order_of(running, pool) == [
        "x-batch-0", "x-live-0", "y-live-0", "x-live-1", "x-live-2",
        "x-batch-1", "y-batch-0", "x-batch-2", "y-batch-1",
    ]  # fmt: skip


def test_one_who_sends_a_thousand_jobs_does_not_keep_another_waiting(
    running: Running, pool: HandPool
) -> None:
    answers = running.submit(*(request(f"x{n}", seed=n) for n in range(1000)), client="x")
    assert answers[-1] == say.Accepted("x999", 999)
    assert running.submit(request("y", seed=1000), client="y") == [say.Accepted("y", 2)]
    for _ in range(3):
        pool.finish(pool.given[-1])
        running.settled()
    assert "y" in pool.given


def test_the_position_counts_what_comes_first(running: Running, pool: HandPool) -> None:
    positions = [
        answer.position
        for answer in running.submit(*(request(f"j{n}", seed=n) for n in range(4)))
        if isinstance(answer, say.Accepted)
    ]
    assert positions in ([0, 1, 2, 3], [0, 0, 1, 2])  # begun before the second came, or not
    pool.room = 9
    pool.tell(WorkEvent("ready", text="default cpu"))
    until(lambda: running.queue.counts().running == 4)
    assert running.submit(request("k", seed=9)) == [say.Accepted("k", 0)]


def test_a_full_queue_is_refused_with_the_numbers(tmp_path: Path, pool: HandPool) -> None:
    with Running(tmp_path, pool, limits=Limits(queue=3, per_client=2)) as running:
        first = running.submit(*(request(f"x{n}", seed=n) for n in range(3)), client="x")
        assert code(first[2]) == say.QUEUE_FULL and "2" in str(first[2])
        assert isinstance(running.submit(request("y", seed=5), client="y")[0], say.Accepted)
        assert code(running.submit(request("z", seed=6), client="z")[0]) == say.QUEUE_FULL
        assert isinstance(running.submit(request("x0", seed=0), client="x")[0], say.Accepted)  # known already
        pool.finish("x0")
        until(lambda: running.state("x0") == "finished")
        assert isinstance(running.submit(request("z", seed=6), client="z")[0], say.Accepted)


def test_jobs_that_differ_in_their_prompts_only_are_given_together(running: Running, pool: HandPool) -> None:
    running.submit(request("first", seed=9))
    running.submit(
        request("a", "bass"), request("b", "drums", rest=False), request("c", "vocals", start=1.0),
        request("d", "keys", priority="batch"), replace(request("e"), prompts=("x", "y")),
        replace(request("f"), prompts=("x", "y"), joint=False), request("g", "sax", render="decode"),
        request("h", like="clip.wav"), request("i", "flute"), client="y",
    )  # fmt: skip
    pool.finish("first")
    until(lambda: len(pool.batches) == 2)
    assert [one.job for one in pool.batches[1]] == ["a", "b", "f", "i"]
    for job in ("b", "f", "a"):
        pool.finish(job)
        until(lambda job=job: running.state(job) == "finished")
    assert pool.given[-1] == "i"  # one of the batch is still on
    pool.finish("i")
    until(lambda: pool.given[-1] == "c")


def test_a_pass_has_room_for_so_many_prompts(running: Running, pool: HandPool) -> None:
    running.submit(request("first", seed=9))
    running.submit(*(request(f"j{n}") for n in range(MOST_TOGETHER + 3)))
    pool.finish("first")
    until(lambda: len(pool.batches) == 2)
    assert len(pool.batches[1]) == MOST_TOGETHER


# Cancelling


def test_a_waiting_job_is_cancelled_at_once(running: Running, pool: HandPool) -> None:
    running.submit(request("a"), request("b", seed=1))
    assert running.cancel("b") == [say.Done("/stemwright/cancel", "b")]
    assert running.heard.of("b") == [say.Cancelled("b")] and running.state("b") == "cancelled"
    pool.finish("a")
    until(lambda: running.state("a") == "finished")
    running.settled()
    assert pool.given == ["a"]


def test_a_running_job_is_cancelled_by_the_pool(running: Running, pool: HandPool) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    assert running.cancel("a") == [say.Done("/stemwright/cancel", "a")]
    assert pool.cancelled == ["a"] and running.state("a") == "running"
    pool.end("cancelled", "a")
    until(lambda: running.state("a") == "cancelled")
    running.settled()
    assert running.heard.of("a") == [say.Cancelled("a")]


def test_an_ended_job_tells_its_end_again_and_an_unknown_one_is_not_found(
    running: Running, pool: HandPool
) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    pool.finish("a")
    until(lambda: running.state("a") == "finished")
    assert running.cancel("a") == [say.Done("/stemwright/cancel", "a"), say.Finished("a", 0.25)]
    assert len(running.heard.ends("a")) == 1
    assert code(running.cancel("nobody")[0]) == say.NOT_FOUND


def test_a_cancelled_job_whose_process_dies_is_cancelled_and_not_tried_again(
    running: Running, pool: HandPool
) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    running.cancel("a")
    pool.end("lost", "a")
    until(lambda: running.state("a") == "cancelled")
    assert pool.given == ["a"]


# Workers that die


def test_a_lost_job_is_done_again_once_alone_and_first(running: Running, pool: HandPool) -> None:
    running.submit(request("first", seed=9))
    running.submit(request("a"), request("b"), request("c", seed=3))
    pool.finish("first")
    until(lambda: pool.given == ["first", "a", "b"])
    pool.end("lost", "a")
    pool.end("lost", "b")
    until(lambda: len(pool.batches) == 3)
    assert len(pool.batches[2]) == 1
    again = pool.batches[2][0].job
    pool.end("lost", again)
    until(lambda: running.state(again) == "failed")
    running.settled()
    assert code(running.heard.ends(again)[0]) == say.WORKER_LOST
    other = "b" if again == "a" else "a"
    assert [one.job for one in pool.batches[3]] == [other]
    pool.finish(other)
    until(lambda: running.state(other) == "finished")


def test_a_job_that_was_finished_before_its_process_died_is_finished(
    running: Running, pool: HandPool
) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    pool.write("a")
    pool.end("lost", "a")
    until(lambda: running.state("a") == "finished")
    assert pool.given == ["a"]


def test_an_engine_that_does_not_start_shows_in_the_state(running: Running, pool: HandPool) -> None:
    pool.room = 0
    assert running.queue.counts().state == "starting"
    pool.tell(WorkEvent("broken", code="model", text="no model"))
    running.settled()
    assert running.queue.counts().state == "failing"
    pool.room = 1
    pool.tell(WorkEvent("ready", text="my model cpu"))
    running.settled()
    counts = running.queue.counts()
    assert (counts.state, counts.model, counts.device) == ("ready", "my model", "cpu")
    running.submit(request("a"))
    assert running.queue.counts().state == "working"


def test_late_news_of_a_job_that_has_ended_changes_nothing(running: Running, pool: HandPool) -> None:
    running.submit(request("a"))
    until(lambda: pool.given)
    pool.finish("a")
    for kind in ("done", "cancelled", "failed", "lost"):
        pool.end(kind, "a", code="internal")
        pool.end(kind, "nobody")
    pool.progress("a", 1)
    running.settled()
    assert kinds(running.heard, "a") == ["Result", "Finished"]


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


def test_a_job_cut_off_twice_has_failed_and_leaves_nothing(tmp_path: Path) -> None:
    spool = left_running(tmp_path, attempts=2)
    with Running(tmp_path, HandPool()) as running:
        assert code(running.heard.ends("a")[0]) == say.WORKER_LOST
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
    answers: list[say.Message] = []
    running.queue._is_stopping = True
    running.queue.submit(request("a"), "me", answers.append)
    running.queue.close(0.0)
    assert [code(one) for one in answers] == [say.BUSY]
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
        assert code(answer) == say.DISK_FULL and "spool" in str(answer)
        assert running.state("a") == "finished"


def test_a_disk_without_the_room_that_stays_free_refuses_and_fails_jobs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = HandPool(room=0)
    with Running(tmp_path, pool) as running:
        running.submit(request("a"), request("b", seed=1))
        monkeypatch.setattr(Spool, "free", lambda self: 1 << 20)
        (answer,) = running.submit(request("c"))
        assert code(answer) == say.DISK_FULL and "1 MiB" in str(answer) and "256" in str(answer)
        pool.room = 1
        pool.tell(WorkEvent("ready", text="default cpu"))
        until(lambda: running.state("b") == "failed")
        running.settled()
        assert [code(running.heard.ends(job)[0]) for job in ("a", "b")] == [say.DISK_FULL] * 2
        monkeypatch.undo()
        assert isinstance(running.submit(request("c"))[0], say.Accepted)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes; skips where none can be had."""
    folder.mkdir()
    if not hasattr(os, "geteuid") or os.geteuid() != 0 or not sys.platform.startswith("linux"):
        pytest.skip("needs root on Linux to mount a small disk")
    options = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    mounted = subprocess.run(options, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


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
            assert refused and {code(one) for one in refused} == {
                say.DISK_FULL
            }  # when the reserve is used up
            pool.end("failed", "a", code=say.DISK_FULL, text="no room")
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


def accepted(running: Running, job: str) -> say.Message | None:
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
        assert [code(one) for one in answers] == [say.DISK_FULL] * 3
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


# Many


def test_ten_thousand_jobs_at_once_are_accepted_in_seconds(running: Running) -> None:
    jobs = [Request(f"j{n}", "generate", ("jazz",), seed=n) for n in range(10_000)]
    answers: list[say.Message] = []
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
    answers: list[say.Message] = []
    running.queue.submit(request("a"), "me", answers.append)
    assert [code(one) for one in answers] == [say.BUSY]


@pytest.mark.slow
def test_memory_does_not_grow_with_the_jobs_that_were_done(tmp_path: Path) -> None:
    with Running(tmp_path, InstantPool(), limits=SMALL) as running:

        def memory_after(first: int, count: int) -> int:
            for start in range(first, first + count, 100):
                jobs = [Request(f"j{n}", "generate", ("bass",), seed=n) for n in range(start, start + 100)]
                running.submit(*jobs)
                until(lambda: running.queue.counts().queued + running.queue.counts().running == 0, 60)
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
        until(lambda: running.queue.counts().queued + running.queue.counts().running == 0, 60)
        stop.set()
        for thread in threads:
            thread.join()
        assert errors == []
