"""Engines in processes of their own: started, watched, restarted, stopped."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from stemwright.bridge import local
from stemwright.bridge.local import LocalPool
from stemwright.bridge.pool import ENDS, MadeFile, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Spool, read_done
from stemwright.engine.job import Progress
from tests.bridge import fakes_worker
from tests.bridge.fakes_pool import Running, request
from tests.bridge.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes by signals")


class Watched:
    """A pool under test, its spool and what it told."""

    def __init__(self, pool: LocalPool, root: Path) -> None:
        self.pool, self.spool = pool, Spool(root)
        self.events: list[WorkEvent] = []
        pool.start(self.events.append)

    def ready(self) -> None:
        until(self.pool.free)

    def give(self, *requests: Request) -> None:
        folders = tuple(self.spool.open(one, is_new=True) for one in requests)
        self.pool.give(requests, folders)

    def ends(self, job: str) -> list[WorkEvent]:
        return [event for event in self.events if event.job == job and event.kind in ENDS]

    def end(self, job: str) -> WorkEvent:
        return until(lambda: self.ends(job))[0]

    def kinds(self) -> list[str]:
        return [event.kind for event in self.events if event.kind != "progress"]


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Callable[..., Watched]]:
    """Makes pools that are stopped at the end, whatever happens."""
    made: list[Watched] = []
    before = set(threading.enumerate())

    def make(workers: int = 1, **settings: object) -> Watched:
        pool = LocalPool(workers=workers, command=fakes_worker.command(**settings))
        made.append(Watched(pool, tmp_path / "spool"))
        return made[-1]

    yield make
    for one in made:
        one.pool.stop(0.0)
        assert one.pool.processes == []
    until(lambda: set(threading.enumerate()) <= before)


def test_events_survive_the_pipe() -> None:
    made = MadeFile("slap-bass", Path("/x/é.wav"), 1.5, 7)
    for event in (
        WorkEvent("done", "a", results=(made,), seconds=0.1),
        WorkEvent("progress", "a", Progress(3, 9, "sample", None)),
        WorkEvent("failed", "a", code="model", text="“no”"),
    ):
        assert WorkEvent.from_json(event.to_json()) == event


def test_a_job_is_done_in_another_process(watched: Callable[..., Watched]) -> None:
    one = watched()
    assert one.pool.free() == 0
    one.ready()
    assert one.events == [WorkEvent("ready", text="fake cpu")]
    one.give(request("a"), request("b", "drums"))
    assert one.pool.free() == 0
    for job in ("a", "b"):
        end = one.end(job)
        assert end.kind == "done"
        done = read_done(one.spool.folder(job))
        assert done is not None and done.results == end.results
    one.ready()


def test_what_a_library_prints_does_not_get_into_the_pipe(
    watched: Callable[..., Watched], caplog: pytest.LogCaptureFixture
) -> None:
    one = watched()
    one.give(request("a", "print"))
    assert one.end("a").kind == "done"
    until(lambda: "not for the pipe" in caplog.text)


def test_a_running_job_is_cancelled_and_leaves_nothing(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.give(request("a", "slow"))
    until(lambda: [event for event in one.events if event.kind == "progress"])
    one.pool.cancel("a")
    assert one.end("a").kind == "cancelled"
    assert not (one.spool.folder("a") / OUT).exists()
    one.ready()
    one.give(request("a"))  # the same id later is not cancelled
    until(lambda: len(one.ends("a")) == 2)
    assert one.ends("a")[1].kind == "done"


def test_a_job_that_waits_for_its_worker_can_be_cancelled(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.give(request("a", "slow"))
    one.pool.cancel("a")
    assert one.end("a").kind == "cancelled"
    one.ready()


def test_progress_comes_twenty_times_a_second_at_most(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.ready()
    begin = time.monotonic()
    one.give(request("a", "slow"))
    until(lambda: len(one.events) > 10)
    took = time.monotonic() - begin
    one.pool.cancel("a")
    one.end("a")
    assert len(one.events) - 2 <= 2 + took / 0.05 + 1


def test_a_job_that_does_not_notice_is_ended_with_its_process(
    watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "STUBBORN", 0.1)
    one = watched()
    one.ready()
    one.give(request("a", "deaf"))
    until((one.spool.folder("a") / OUT).exists)
    one.pool.cancel("a")
    assert one.end("a").kind == "lost"
    one.ready()


def test_a_dead_worker_is_told_and_another_one_started(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.ready()
    one.give(request("a", "slow"), request("b"))
    until(lambda: [event for event in one.events if event.kind == "progress"])
    (process,) = one.pool.processes
    os.kill(process, signal.SIGKILL)
    assert one.end("a").kind == one.end("b").kind == "lost"
    assert "-9" in one.end("a").text
    one.ready()
    assert one.pool.processes != [process]
    one.give(request("c"))
    assert one.end("c").kind == "done"
    assert one.kinds() == ["ready", "lost", "lost", "ready", "done"]


def test_an_idle_worker_that_dies_is_replaced_in_silence(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.ready()
    os.kill(one.pool.processes[0], signal.SIGKILL)
    until(lambda: one.kinds() == ["ready", "ready"])


def test_several_workers_work_at_the_same_time(watched: Callable[..., Watched]) -> None:
    one = watched(workers=2)
    until(lambda: one.pool.free() == 2)
    one.give(request("a", "slow"))
    one.give(request("b", "slow"))
    assert one.pool.free() == 0
    until(lambda: {event.job for event in one.events if event.kind == "progress"} == {"a", "b"})
    one.pool.cancel("b")
    assert one.end("b").kind == "cancelled"
    until(lambda: one.pool.free() == 1)
    assert one.ends("a") == []


def test_a_model_that_cannot_be_opened_fails_its_job_and_no_other(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.give(request("a", model="missing"))
    end = one.end("a")
    assert (end.kind, end.code) == ("failed", "model") and "there is no model" in end.text
    one.ready()
    one.give(request("b"))
    assert one.end("b").kind == "done"


def test_an_engine_that_does_not_start_is_told_and_tried_again_for_the_next_job(
    tmp_path: Path, watched: Callable[..., Watched]
) -> None:
    broken = tmp_path / "broken"
    broken.touch()
    one = watched(broken=broken)
    until(lambda: one.kinds() == ["broken"])
    assert "there is no model here" in one.events[0].text
    one.ready()  # for a job that makes it try again
    one.give(request("a"))
    end = one.end("a")
    assert (end.kind, end.code) == ("failed", "model") and "there is no model here" in end.text
    broken.unlink()
    one.ready()
    one.give(request("b"))
    assert one.end("b").kind == "done"
    assert one.kinds()[-2:] == ["ready", "done"]


def test_an_engine_that_comes_back_by_itself_is_noticed(
    tmp_path: Path, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "BROKEN", 0.05)
    broken = tmp_path / "broken"
    broken.touch()
    one = watched(broken=broken)
    until(lambda: one.kinds().count("broken") >= 2)
    broken.unlink()
    until(lambda: one.kinds()[-1] == "ready")


def test_a_process_that_dies_at_every_start_is_broken(
    tmp_path: Path, watched: Callable[..., Watched], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(local, "SOON", 0.01)
    (tmp_path / "dying").touch()
    one = watched(dying=tmp_path / "dying")
    one.give(request("a"))
    end = one.end("a")
    assert (end.kind, end.code) == ("failed", "model")
    assert "exit code 3" in end.text and "cannot go on" in end.text


def test_a_command_that_cannot_be_run_is_broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "SOON", 0.01)
    one = Watched(LocalPool(command=(str(tmp_path / "nothing"),)), tmp_path / "spool")
    until(lambda: one.kinds() == ["broken"])
    assert "No such file" in one.events[0].text
    one.pool.stop(0.0)


def test_stopping_waits_for_the_running_job(watched: Callable[..., Watched]) -> None:
    one = watched()
    one.ready()
    one.give(request("a"))
    one.pool.stop(20.0)
    assert [event.kind for event in one.ends("a")] == ["done"]


def test_stopping_cuts_off_what_takes_too_long_and_leaves_nothing_of_it(
    watched: Callable[..., Watched],
) -> None:
    one = watched()
    one.ready()
    one.give(request("a", "slow"))
    until(lambda: [event for event in one.events if event.kind == "progress"])
    begin = time.monotonic()
    one.pool.stop(0.1)
    assert time.monotonic() - begin < 5.0
    assert one.ends("a") == [] and not (one.spool.folder("a") / OUT).exists()


def test_a_pool_that_was_never_started_can_be_stopped() -> None:
    LocalPool(command=fakes_worker.command()).stop(0.0)


def test_a_worker_ignores_ctrl_c_and_ends_when_its_server_is_gone(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    asked = request("a", "slow")
    folder = spool.open(asked, is_new=True)
    worker = subprocess.Popen(
        fakes_worker.command(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
    )
    with worker:
        assert worker.stdin is not None and worker.stdout is not None
        assert b"ready" in worker.stdout.readline()
        for one in (signal.SIGINT, signal.SIGTERM):
            worker.send_signal(one)
        worker.stdin.write(
            b'{"do": "give", "batch": [%s], "folders": ["%s"]}\n'
            % (b'{"job": "a", "task": "extract", "prompts": ["slow"], "path": "x"}', str(folder).encode())
        )
        assert b"progress" in worker.stdout.readline()
        worker.stdin.close()
        worker.stdout.close()  # nobody listens either
        assert worker.wait(10) == 0
    assert not (folder / OUT).exists() and read_done(folder) is None


def test_a_job_that_kills_its_worker_is_tried_again_once_and_then_fails(tmp_path: Path) -> None:
    with Running(tmp_path, LocalPool(command=fakes_worker.command())) as running:
        running.submit(
            request("bad", "crash"), request("once", "crash once", seed=1), request("good", seed=2)
        )
        for job in ("bad", "once", "good"):
            until(lambda job=job: running.heard.ends(job))
        (fail,) = running.heard.ends("bad")
        assert getattr(fail, "code", "") == "worker_lost"
        assert running.state("once") == running.state("good") == "finished"
        row = running.queue.row("once")
        assert row is not None and row.attempts == 2
        assert [len(running.heard.ends(job)) for job in ("bad", "once", "good")] == [1, 1, 1]


def test_a_cancelled_job_that_hangs_is_cancelled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "STUBBORN", 0.1)
    with Running(tmp_path, LocalPool(command=fakes_worker.command())) as running:
        running.submit(request("a", "deaf"))
        until((running.spool.folder("a") / OUT).exists)
        running.cancel("a")
        until(lambda: running.heard.ends("a"))
        assert running.state("a") == "cancelled"
