"""The queue: order, limits, ends, and what survives."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge import queue as queue_module
from stemwright.bridge.grammar import (
    ID_IN_USE,
    INTERNAL,
    NOT_FOUND,
    QUEUE_FULL,
    WORKER_LOST,
    BadMessage,
    Message,
)
from stemwright.bridge.order import MOST_TOGETHER
from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.queue import Limits
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT
from stemwright.bridge.table import RECENT
from tests.bridge.fakes_pool import HandPool, InstantPool, Running, code, kinds, order_of, request
from tests.bridge.waiting import until

SMALL = Limits(free_bytes=0)


@pytest.fixture
def pool() -> HandPool:
    return HandPool()


@pytest.fixture
def running(tmp_path: Path, pool: HandPool) -> Iterator[Running]:
    with Running(tmp_path / "spool", pool) as found:
        yield found


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
        raise BadMessage(NOT_FOUND, "no such file")

    with Running(tmp_path, pool, settle=settle) as running:
        assert running.submit(request("a")) == [
            say.Fail("/stemwright/extract", "not_found", "no such file", "a")
        ]
        assert code(running.submit(request("bug"))[0]) == INTERNAL
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
    def fails(message: Message) -> None:
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
    answers: list[Message] = []
    running.queue.submit(request("a"), "me", answers.append)
    running.settled()
    assert [type(one) for one in answers] == [say.Accepted, say.Result, say.Finished]
    assert pool.given == ["a"] and len(running.heard.ends("a")) == 1


def test_the_same_id_for_another_job_is_refused(running: Running) -> None:
    running.submit(request("a"))
    assert code(running.submit(request("a", "drums"))[0]) == ID_IN_USE


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
        assert code(running.submit(request(job, "drums"))[0]) == ID_IN_USE


# Order and limits


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
        assert code(first[2]) == QUEUE_FULL and "2" in str(first[2])
        assert isinstance(running.submit(request("y", seed=5), client="y")[0], say.Accepted)
        assert code(running.submit(request("z", seed=6), client="z")[0]) == QUEUE_FULL
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
    assert code(running.cancel("nobody")[0]) == NOT_FOUND


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
    assert code(running.heard.ends(again)[0]) == WORKER_LOST
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
