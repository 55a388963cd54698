"""The server under load, with the shipped model: prints one JSON object, which bench.py turns into rows.

Nothing is pinned: server, engine and load share the machine's cores. Only the flat-memory figure uses a
worker that does nothing (benchmarks/instant_worker.py): ten thousand real jobs would measure the engine.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import numpy as np
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.client import BY_ADDRESS, Client
from stemwright.bridge.grammar import Message
from stemwright.bridge.wire import decode, encode
from stemwright.engine.commands.deliver import extract_file
from stemwright.engine.engine import Engine

HERE = Path(__file__).resolve().parent
REGION, SHORT, LONG = 10.24, 0.25, 120.0  # seconds
PROMPTS = ("bass", "drums", "guitar", "piano", "strings", "vocals", "organ", "flute")
FLOOD, PACED, SIZES = 4.0, 300, (100, 100)  # seconds, submissions, clients × jobs
TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


def main() -> int:
    """All figures, or those named: overhead, accept, flood, crowd, memory."""
    wanted = sys.argv[1:] or ["overhead", "accept", "flood", "crowd", "memory"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        songs = {seconds: song(folder / f"song-{seconds}.wav", seconds) for seconds in (REGION, SHORT, LONG)}
        found: dict[str, Any] = {}
        with server(folder / "real", folder) as (process, port):
            calls: dict[str, Callable[[], Any]] = {
                "overhead": lambda: overhead(port, songs[REGION], folder),
                "accept": lambda: accept_times(port, songs, folder / "flushed"),
                "flood": lambda: flood(process, port, songs[SHORT]),
                "crowd": lambda: crowd(port, songs[SHORT]),
            }
            found |= {name: call() for name, call in calls.items() if name in wanted}
        if "memory" in wanted:
            with server(folder / "instant", folder, is_instant=True) as (process, port):
                found["memory"] = memory(process, port, songs[SHORT])
    print(json.dumps(found))
    return 0


def song(path: Path, seconds: float) -> Path:
    samples, rate = soundfile.read(HERE.parent / "engine/demo/boas.flac", dtype="int16", always_2d=True)
    soundfile.write(
        path, np.resize(samples, (round(seconds * rate), samples.shape[1])), rate, subtype="PCM_16"
    )
    return path


@contextmanager
def server(spool: Path, root: Path, *, is_instant: bool = False) -> Iterator[tuple[int, int]]:
    """→ (process id, port) once an engine is loaded"""
    command = [
        sys.executable,
        "-m",
        "stemwright.engine.cli",
        "serve",
        "--port",
        "0",
        "--no-http",
        "--no-midi",
    ]
    command += ["--spool", str(spool), "--root", str(root), "--threads", "1", "--json-log"]
    if is_instant:
        command = [sys.executable, str(HERE / "instant_server.py"), str(spool), str(root)]
    child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert child.stderr is not None
        port = 0
        for line in child.stderr:
            fact = json.loads(line)
            port = fact.get("port", port)
            if fact["event"] == "state" and fact["state"] == "ready":
                break
        threading.Thread(target=child.stderr.read, daemon=True).start()
        yield child.pid, port
    finally:
        child.send_signal(signal.SIGTERM)
        child.wait(60)


def overhead(port: int, path: Path, folder: Path, runs: int = 7) -> dict[str, list[float]]:
    """Wall seconds of one extraction by the engine in this process, and by the server, in turns."""
    engine = Engine.load(threads=1)
    own, served = [], []
    with Client(port=port) as client:
        for number in range(runs + 1):
            begin = time.perf_counter()
            extract_file(engine, path, ["bass"], folder)
            own.append(time.perf_counter() - begin)
            begin = time.perf_counter()
            client.submit(f"overhead-{number}", "extract", [("prompt", "bass"), ("path", str(path))])
            assert isinstance(list(client.follow(f"overhead-{number}"))[-1], say.Finished)
            served.append(time.perf_counter() - begin)
    return {"engine": own[1:], "server": served[1:]}


def accept_times(port: int, songs: dict[float, Path], beside: Path) -> dict[str, Any]:
    """Milliseconds from submit to accepted while a long job runs, and that job's progress events a second.

    flushes  milliseconds that the disk alone takes for what the journal writes, measured in turns
    """
    line, flushes = Line(port), Flushes(beside)
    line.submit("long", songs[LONG], "drums", priority="live")
    line.until(lambda message: isinstance(message, say.Progress))
    times, events, begin = [], 0, time.perf_counter()
    for number in range(PACED):
        flushes.measure()
        sent = time.perf_counter()
        line.submit(f"paced-{number}", songs[SHORT], "bass")
        for message in line.until(lambda message: isinstance(message, say.Accepted)):
            events += isinstance(message, say.Progress) and message.job == "long"
        times.append(1000 * (time.perf_counter() - sent))
        time.sleep(0.01)
    rate = events / (time.perf_counter() - begin)
    line.send(say.Cancel("long"))
    line.close()
    return {"milliseconds": times, "flushes": flushes.milliseconds, "progress_a_second": rate}


def flood(process: int, port: int, path: Path) -> dict[str, float]:
    """Status requests as fast as they go, jobs among them; the server's CPU seconds meanwhile."""
    command = [sys.executable, str(HERE / "hose.py"), str(port), str(FLOOD)]
    hose = subprocess.Popen(command, stdout=subprocess.PIPE)
    before, begin = cpu(process), time.perf_counter()
    jobs = [f"flood-{number}" for number in range(20)]
    with Client(port=port) as client:
        for job in jobs:
            client.submit(job, "extract", [("prompt", "bass"), ("path", str(path))])
    out, _ = hose.communicate()
    spent, wall = cpu(process) - before, time.perf_counter() - begin
    with Client(port=port) as client:
        ends = [list(client.follow(job))[-1] for job in jobs]
    counts = json.loads(out)
    lost = sum(not isinstance(end, say.Finished) for end in ends)
    return {**counts, "cpu": spent, "wall": wall, "lost": lost}


def crowd(port: int, path: Path) -> dict[str, Any]:
    """100 clients × 100 jobs: all accepted; some are done, then all others cancelled; each ends once."""
    clients, each = SIZES
    lines = [Line(port) for _ in range(clients)]
    jobs = [[f"crowd-{place}-{number}" for number in range(each)] for place in range(clients)]
    said: Counter[tuple[str, str]] = Counter()
    begin = time.perf_counter()
    for number in range(each):
        for line, own in zip(lines, jobs, strict=True):
            line.submit(own[number], path, PROMPTS[number % len(PROMPTS)])
        gather(lines, said)
    wait_for(lines, said, lambda: count_of(said, "Accepted") == clients * each, 120)
    wall = time.perf_counter() - begin
    wait_for(lines, said, lambda: count_of(said, "Finished") > clients, 300)
    for number in range(each):
        for line, own in zip(lines, jobs, strict=True):
            line.send(say.Cancel(own[number]))
        gather(lines, said)
    wait_for(lines, said, lambda: len(ended(said)) == clients * each, 120)
    for line in lines:
        line.close()
    return {
        "jobs": clients * each,
        "accepted": len({job for kind, job in said if kind == "Accepted"}),
        "ended": len(ended(said)),
        "finished": count_of(said, "Finished"),
        "wall_to_accepted": wall,
    }


def gather(lines: list["Line"], said: Counter[tuple[str, str]]) -> None:
    for line in lines:
        for message in line.some():
            if isinstance(message, say.Accepted | say.Finished | say.Cancelled | say.Fail):
                said[type(message).__name__, message.job] += 1


def wait_for(
    lines: list["Line"], said: Counter[tuple[str, str]], is_so: Callable[[], bool], seconds: float
) -> None:
    deadline = time.monotonic() + seconds
    while not is_so() and time.monotonic() < deadline:
        gather(lines, said)
        time.sleep(0.005)


def count_of(said: Counter[tuple[str, str]], wanted: str) -> int:
    return len({job for kind, job in said if kind == wanted})


def ended(said: Counter[tuple[str, str]]) -> set[str]:
    """Jobs with one kind of end; a cancel of an ended job has its end told again."""
    kinds: dict[str, set[str]] = {}
    for kind, job in said:
        if kind != "Accepted":
            kinds.setdefault(job, set()).add(kind)
    return {job for job, found in kinds.items() if len(found) == 1}


def memory(process: int, port: int, path: Path, jobs: int = 10_000) -> dict[str, float]:
    """Resident MB of the server after a tenth of the jobs, and after all."""
    found = {}
    with Client(port=port) as client:
        for number in range(jobs):
            client.submit(f"memory-{number}", "extract", [("prompt", "bass"), ("path", str(path))])
            if number in (jobs // 10, jobs - 1):
                list(client.follow(f"memory-{number}"))
                found["tenth" if number < jobs - 1 else "all"] = resident(process)
    return found


class Flushes:
    """Three pages at a time, written over a file's own bytes and flushed, as a commit of the journal is."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb+", buffering=0)
        self._file.write(bytes(1 << 20))
        os.fsync(self._file.fileno())
        self.milliseconds: list[float] = []

    def measure(self) -> None:
        begin = time.perf_counter()
        self._file.seek((len(self.milliseconds) * 12288) % (1 << 19))
        self._file.write(os.urandom(12288))
        getattr(os, "fdatasync", os.fsync)(self._file.fileno())
        self.milliseconds.append(1000 * (time.perf_counter() - begin))


class Line:
    """A UDP socket that speaks the protocol, with nothing in between."""

    def __init__(self, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self._socket.connect(("127.0.0.1", port))

    def send(self, message: Message) -> None:
        self._socket.send(encode(message))

    def submit(self, job: str, path: Path, prompt: str, **options: Any) -> None:
        pairs = [("prompt", prompt), ("path", str(path)), *options.items()]
        self.send(say.Extract(job, tuple(pairs)))

    def until(self, is_it: Any, seconds: float = 30.0) -> list[Message]:
        """What comes, up to and with the message waited for."""
        self._socket.settimeout(seconds)
        found = []
        while True:
            for one in decode(self._socket.recv(65536)):
                message = BY_ADDRESS[one.address].parse(one.arguments)
                found.append(message)
                if is_it(message):
                    return found

    def some(self) -> list[Message]:
        """What is there now."""
        self._socket.setblocking(False)
        found: list[Message] = []
        try:
            while True:
                packet = self._socket.recv(65536)
                found += [BY_ADDRESS[one.address].parse(one.arguments) for one in decode(packet)]
        except BlockingIOError:
            return found

    def close(self) -> None:
        self._socket.close()


def cpu(process: int) -> float:
    """CPU seconds of a process so far."""
    words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def resident(process: int) -> float:
    """MB"""
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise AssertionError("no VmRSS")


def summary(found: dict[str, Any]) -> dict[str, float]:
    """The figures of the table."""
    times, flushes = found["accept"]["milliseconds"], found["accept"]["flushes"]
    own, served = median(found["overhead"]["engine"]), median(found["overhead"]["server"])
    return {
        "accept_p50": median(times),
        "accept_p99": quantiles(times, n=100)[98],
        "flush_p50": median(flushes),
        "flush_p99": quantiles(flushes, n=100)[98],
        "progress_a_second": found["accept"]["progress_a_second"],
        "overhead": served / own - 1,
        "status_a_cpu_second": found["flood"]["answered"] / found["flood"]["cpu"],
        "lost": found["flood"]["lost"],
        "crowd_ended_once": found["crowd"]["ended"] / found["crowd"]["jobs"],
        "memory_grew_mb": found["memory"]["all"] - found["memory"]["tenth"],
    }


if __name__ == "__main__":
    sys.exit(main())
