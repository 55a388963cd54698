"""A pool in a process of its own: what it does, and that its end is not the server's."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge import poolprocess, rayprocess
from stemwright.bridge.pool import ENDS, WorkEvent
from stemwright.bridge.poolprocess import PoolProcess
from stemwright.bridge.request import Request
from stemwright.bridge.spool import OUT, Spool
from stemwright.engine.errors import MissingExtra
from tests.bridge.fakes_pool import Running, request
from tests.bridge.waiting import until

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="kills processes by signals")
LOSS = "the cluster is gone"


class Kept:
    """A pool under test, its spool and what it told. refusal: while this file exists, it does not start"""

    def __init__(self, root: Path) -> None:
        self.refusal, self.spool = root / "refusal", Spool(root / "spool")
        command = (sys.executable, "-m", "tests.bridge.fakes_poolprocess", str(self.refusal))
        self.pool = PoolProcess(command, LOSS)
        self.events: list[WorkEvent] = []

    def start(self) -> "Kept":
        self.pool.start(self.events.append)
        until(lambda: self.pool.free() == 2)
        return self

    def give(self, one: Request) -> Path:
        folder = self.spool.open(one, is_new=True)
        self.pool.give((one,), (folder,))
        return folder

    def end(self, job: str) -> WorkEvent:
        return until(lambda: [one for one in self.events if one.job == job and one.kind in ENDS])[0]

    def kill(self) -> None:
        assert self.pool.process is not None
        os.kill(self.pool.process.pid, signal.SIGKILL)

    def told(self, kind: str) -> list[str]:
        return [event.text for event in self.events if event.kind == kind]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kept]:
    monkeypatch.chdir(Path(__file__).parents[2])
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[2]))
    monkeypatch.setattr(poolprocess, "REFUSED", 0.1)
    before = set(threading.enumerate())
    found = Kept(tmp_path)
    yield found
    found.pool.stop(0.0)
    assert found.pool.process is None
    until(lambda: set(threading.enumerate()) <= before)


def test_jobs_are_done_as_many_at_once_as_there_is_room_for(kept: Kept) -> None:
    kept.start()
    folders = [kept.give(request(job)) for job in ("a", "b")]
    assert [kept.end(job).kind for job in ("a", "b")] == ["done", "done"]
    assert all(list((folder / OUT).iterdir()) for folder in folders)
    until(lambda: kept.pool.free() == 2)


def test_what_was_given_takes_its_room_at_once(kept: Kept) -> None:
    kept.start()
    kept.give(request("a", "slow"))
    assert kept.pool.free() == 1
    kept.give(request("b", "slow"))
    assert kept.pool.free() == 0
    for job in ("a", "b"):
        kept.pool.cancel(job)
        assert kept.end(job).kind == "cancelled"
    until(lambda: kept.pool.free() == 2)


def test_when_the_process_ends_its_jobs_are_told_as_lost_and_it_is_started_again(kept: Kept) -> None:
    kept.start()
    kept.give(request("a", "slow"))
    until(lambda: [one for one in kept.events if one.kind == "progress"])
    kept.kill()
    assert kept.end("a") == WorkEvent("lost", "a", text=f"{LOSS} (exit code -9)")
    assert kept.told("broken") == [f"{LOSS} (exit code -9)"]
    kept.events.clear()
    until(lambda: kept.pool.free() == 2)
    assert kept.told("ready")
    kept.give(request("a", "bass"))
    assert kept.end("a").kind == "done"


def test_a_process_that_is_cut_off_says_so_and_is_given_up(kept: Kept) -> None:
    kept.start()
    kept.give(request("a", "slow"))
    kept.refusal.touch()
    assert kept.end("a") == WorkEvent("lost", "a", text=rayprocess.GONE)
    kept.refusal.unlink()
    until(lambda: kept.pool.free() == 2)


def test_a_job_given_to_a_process_that_has_just_ended_is_told_as_lost(kept: Kept) -> None:
    kept.start()
    kept.refusal.touch()
    until(lambda: kept.told("broken"))
    kept.give(request("a"))
    assert kept.end("a").kind == "lost"


def test_what_is_refused_at_the_start_is_raised_with_its_words_and_exit_code(kept: Kept) -> None:
    kept.refusal.touch()
    with pytest.raises(MissingExtra, match="there is no cluster: start one"):
        kept.start()
    assert kept.events == []


def test_a_cluster_that_stays_away_is_told_once_and_found_when_it_is_back(kept: Kept) -> None:
    kept.start()
    kept.refusal.touch()
    until(lambda: len(kept.told("broken")) == 2)
    assert kept.told("broken") == [rayprocess.GONE, "there is no cluster: start one"]
    assert kept.pool.free() == 0
    kept.refusal.unlink()
    until(lambda: kept.pool.free() == 2)
    assert len(kept.told("broken")) == 2


def test_stopping_ends_what_runs_and_tells_nothing_of_it(kept: Kept) -> None:
    kept.start()
    kept.give(request("a", "slow"))
    until(lambda: [one for one in kept.events if one.kind == "progress"])
    kept.pool.stop(0.0)
    assert not [one for one in kept.events if one.kind in ENDS]
    assert kept.pool.free() == 0


def test_the_queue_keeps_its_jobs_though_the_process_is_killed(kept: Kept, tmp_path: Path) -> None:
    with Running(tmp_path / "another", kept.pool) as running:
        running.submit(request("a", "slow"))
        until(lambda: running.heard.of("a"))
        kept.kill()
        until(lambda: (row := running.queue.row("a")) and row.attempts == 2)
        assert running.state("a") == "running"
        running.cancel("a")
        until(lambda: running.state("a") == "cancelled")
        assert running.submit(request("b")) == [say.Accepted("b", 0)]
        until(lambda: running.state("b") == "finished")
