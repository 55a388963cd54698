"""A server killed at random moments under load, and what must hold afterwards."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from stemwright.bridge.spool import OUT, Spool, read_done
from tests.bridge.waiting import until

PROGRAM = Path(__file__).with_name("fakes_server.py")
STATES = {"Finished": "finished", "Cancelled": "cancelled", "Fail": "failed"}


class Life(Protocol):
    """One life of a server, from a start to a kill."""

    accepted: set[str]  # as far as its client has heard
    ends: list[tuple[str, str]]  # (job, Finished | Cancelled | Fail) as they were told

    def submit(self, number: int) -> str:
        """Ask for the job of this number, whether it was asked for before or not; → its id"""
        ...

    def kill(self) -> None:
        """kill -9; what was told before has been heard when this returns."""
        ...

    def stop(self) -> None:
        """In peace; so that everything is written."""
        ...


@dataclass
class QueueLife:
    """`fakes_server` in a process of its own."""

    spool: Path
    accepted: set[str] = field(default_factory=set)
    ends: list[tuple[str, str]] = field(default_factory=list)
    workers: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, str(PROGRAM), str(self.spool)], stdin=pipe, stdout=pipe, text=True, bufsize=1
        )
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with suppress(ValueError):  # a line cut off by the kill
                words = json.loads(line)
                self.workers += words.get("workers", [])
                self.accepted |= {words["accepted"]} if "accepted" in words else set()
                self.ends += [(words["end"], words["kind"])] if "end" in words else []

    def submit(self, number: int) -> str:
        prompt = "crash once" if number % 17 == 16 else "fail" if number % 7 == 6 else "short"
        words = {"job": f"job-{number}", "prompt": prompt, "seed": number}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        return f"job-{number}"

    def kill(self) -> None:
        self._process.kill()
        self._close()

    def stop(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        assert self._process.wait(30) == 0
        self._close()

    def _close(self) -> None:
        self._process.wait()
        self._thread.join()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(OSError):  # a line that could no longer be written
                pipe.close()


@dataclass
class Report:
    """What came of it. kills: how many jobs had been accepted at each"""

    jobs: int
    kills: list[int]
    states: Counter[str]
    told: int
    ran_at_a_kill: int


def killed_often(
    start: Callable[[], Life], spool: Path, count: int, *, jobs: int = 12, longest: float = 0.1, seed: int = 0
) -> Report:
    """Kill a server `count` times, each time at a random moment: up to `longest` seconds after it has told of
    the end of a few of the `jobs` more jobs it was given, or has accepted the first. Then let one end in
    peace, and hold everything against everything.
    """
    chance = random.Random(seed)
    accepted: set[str] = set()
    told: list[tuple[str, str]] = []
    tokens: dict[str, list[bytes]] = {}
    kills: list[int] = []
    ran = 0
    for life_number in range(count + 1):
        life = start()
        numbers = list(range(life_number * jobs, (life_number + 1) * jobs))
        again = [number for number in range(life_number * jobs) if f"job-{number}" not in accepted]
        for number in numbers + again:
            with suppress(OSError):
                life.submit(number)
        until(lambda life=life: life.accepted)  # type: ignore[misc]
        if life_number < count:
            few = chance.choice((0, 1, 2, 4, 8))
            until(lambda life=life, few=few: len(life.ends) >= few)  # type: ignore[misc]
            time.sleep(chance.uniform(0, longest))
            life.kill()
            ran += _states(spool)["running"] > 0
        else:
            wanted = accepted | {f"job-{number}" for number in numbers + again}
            until(
                lambda life=life, wanted=wanted: not _open(spool) and _known(spool) >= wanted,
                seconds=60 + 10 * count,
            )  # type: ignore[misc]
            life.stop()
        accepted |= life.accepted
        told += life.ends
        for job, kind in life.ends:
            if kind == "Finished":
                tokens[job] = _content(spool, job)
        kills.append(len(accepted))
    _check(spool, accepted, told, tokens)
    return Report(len(accepted), kills, _states(spool), len(told), ran)


def _check(
    spool: Path, accepted: set[str], told: list[tuple[str, str]], tokens: dict[str, list[bytes]]
) -> None:
    rows = _rows(spool)
    assert set(rows) >= accepted, "an accepted job is gone"
    assert set(rows.values()) <= set(STATES.values()), "a job has no end"
    counts = Counter(job for job, _ in told)
    assert not [job for job, times in counts.items() if times > 1], "an end was told twice"
    for job, kind in told:
        assert rows[job] == STATES[kind], (job, kind, rows[job])
    assert not list(spool.rglob("*.part")), "half-written files"
    for job, state in rows.items():
        folder = Spool(spool).folder(job)
        if state != "finished":
            assert not folder.exists(), f"{job} has {state} and left something"
            continue
        done = read_done(folder)
        assert done is not None, f"{job} has finished without its files"
        assert sorted(path.name for path in (folder / OUT).iterdir()) == sorted(
            one.path.name for one in done.results
        )
        assert tokens.get(job, _content(spool, job)) == _content(spool, job), f"{job} was done twice"


def _content(spool: Path, job: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((Spool(spool).folder(job) / OUT).iterdir())]


def _rows(spool: Path) -> dict[str, str]:
    file = sqlite3.connect(f"{(spool / 'journal.sqlite').as_uri()}?mode=ro", uri=True, timeout=10)
    try:
        return dict(file.execute("SELECT job, state FROM jobs"))
    finally:
        file.close()


def _states(spool: Path) -> Counter[str]:
    return Counter(_rows(spool).values())


def _known(spool: Path) -> set[str]:
    return set(_rows(spool))


def _open(spool: Path) -> bool:
    states = _states(spool)
    return states["queued"] + states["running"] > 0


def is_alive(process: int) -> bool:
    """Whether there is a process of that number, that has not died without being mourned."""
    try:
        os.kill(process, signal.SIG_DFL)
    except ProcessLookupError:
        return False
    state = Path(f"/proc/{process}/stat")
    return not state.exists() or state.read_text().rpartition(")")[2].split()[0] != "Z"
