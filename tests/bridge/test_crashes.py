"""The whole server killed at random moments under load: what was accepted has one end, and one result."""

import hashlib
import json
import os
import random
import signal
import socket
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.client import BY_ADDRESS, Client
from stemwright.bridge.grammar import Message
from stemwright.bridge.wire import decode, encode
from tests.bridge.real import PATIENCE, ROOT, Child, server_command

ENDS = (say.Finished, say.Cancelled, say.Fail)
KINDS = (("bass", 0), ("drums", 1), ("guitar", 2))  # prompt and seed: the same ones must give the same files


class Storm:
    """Submits jobs to one server after the other, and keeps what was said about each."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.random = random.Random(seed)
        self.spool, songs = folder / "spool", folder / "songs"
        songs.mkdir()
        sound, rate = soundfile.read(ROOT / "engine/demo/boas.flac", frames=22050)
        self.song = songs / "short.wav"
        soundfile.write(self.song, sound, rate)
        self.command = [*server_command(self.spool, songs), "--no-http"]
        self.accepted: dict[str, tuple[str, int]] = {}
        self.ends: dict[str, set[str]] = defaultdict(set)
        self.number = 0

    def start(self) -> Child:
        return Child(self.command, {"OMP_NUM_THREADS": "1"})

    def until_killed(self, server: Child) -> None:
        """Load, and kill -9 in the midst of it: before the engine is there, or soon after some job's end."""
        port = int(server.wait_for(r"listening on \S+ port (\d+)")[1])
        ends, rest = self.random.choice((0, 1, 2, 3)), self.random.uniform(0.0, 0.5)
        latest = time.monotonic() + PATIENCE
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect(("127.0.0.1", port))
            line.settimeout(0.01)
            asked: dict[str, tuple[str, int]] = {}
            while self.ended(server) < ends:
                assert time.monotonic() < latest, server.told()
                self.talk(line, asked)
            deadline = time.monotonic() + rest
            while time.monotonic() < deadline:
                self.talk(line, asked)
            server.kill()

    def ended(self, server: Child) -> int:
        """Jobs that this server has ended."""
        return sum(": done in " in line for line in list(server.lines))

    def talk(self, line: socket.socket, asked: dict[str, tuple[str, int]]) -> None:
        if len(asked) < 4:
            self.submit(line, asked)
        self.hear(line, asked)

    def submit(self, line: socket.socket, asked: dict[str, tuple[str, int]]) -> None:
        self.number += 1
        prompt, seed = kind = self.random.choice(KINDS)
        job = f"job-{self.number}"
        pairs = (("prompt", prompt), ("seed", seed), ("path", str(self.song)))
        line.send(encode(say.Extract(job, pairs)))
        asked[job] = kind

    def hear(self, line: socket.socket, asked: dict[str, tuple[str, int]]) -> None:
        try:
            (one,) = decode(line.recv(65536))
        except (TimeoutError, ConnectionRefusedError):
            return
        message = BY_ADDRESS[one.address].parse(one.arguments)
        if isinstance(message, say.Accepted):
            self.accepted[message.job] = asked[message.job]
        self.heard(message)

    def heard(self, message: Message) -> None:
        if isinstance(message, ENDS):
            self.ends[message.job].add(type(message).__name__)

    def settle(self) -> None:
        """A last server, which does what is left."""
        with self.start() as server:
            port = int(server.wait_for(r"listening on \S+ port (\d+)")[1])
            with Client(port=port) as client:
                for job in self.accepted:
                    for message in client.follow(job):
                        self.heard(message)
            assert server.stop() == 0


def content(folder: Path) -> str:
    """One number for all result files."""
    digest = hashlib.sha256()
    for path in sorted((folder / "out").iterdir()):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def storm(folder: Path, kills: int, seed: int) -> Storm:
    made = Storm(folder, seed)
    for _ in range(kills):
        with made.start() as server:
            made.until_killed(server)
    made.settle()
    return made


def check(made: Storm) -> None:
    assert len(made.accepted) > 3
    for job in made.accepted:
        assert made.ends[job] == {"Finished"}, (job, made.ends[job])
    found: dict[tuple[str, int], set[str]] = defaultdict(set)
    for job, kind in made.accepted.items():
        folder = made.spool / "jobs" / job
        assert json.loads((folder / "done.json").read_text())["state"] == "finished"
        found[kind].add(content(folder))
    assert all(len(contents) == 1 for contents in found.values()), "a job came to two results"
    half = [path for path in made.spool.rglob("*") if path.name.endswith(".part")]
    assert half == []
    for path in made.spool.rglob("*.wav"):
        assert np.isfinite(soundfile.read(path)[0]).all()


def test_a_few_kills_lose_nothing(tmp_path: Path) -> None:
    check(storm(tmp_path, kills=4, seed=0))


@pytest.mark.slow
def test_fifty_kills_lose_nothing(tmp_path: Path) -> None:
    made = storm(tmp_path, kills=50, seed=1)
    check(made)
    assert len(made.accepted) > 50


@pytest.mark.slow
def test_an_engine_killed_in_a_job_is_started_again_and_the_job_done(tmp_path: Path) -> None:
    made = Storm(tmp_path, 0)
    with made.start() as server:
        port = int(server.wait_for(r"listening on \S+ port (\d+)")[1])
        server.wait_for("ready on")
        long = made.song.with_name("long.wav")
        soundfile.write(long, np.zeros((44100 * 240, 2), np.float32) + 0.01, 44100)
        with Client(port=port) as client:
            client.submit("long", "extract", [("prompt", "bass"), ("path", str(long))])
            killed = 0
            for message in client.follow("long"):
                made.heard(message)
                if isinstance(message, say.Progress) and not killed:
                    killed = worker_of(server)
                    os.kill(killed, signal.SIGKILL)
            assert killed
            assert made.ends["long"] == {"Finished"}
            assert client.ask(say.Ping(1)) == [say.Pong(1)]


def worker_of(server: Child) -> int:
    """The process of its engine."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue
        if parent == server.number and b"stemwright.bridge.worker" in words:
            return int(folder.name)
    raise AssertionError("no engine runs")
