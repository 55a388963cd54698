"""What goes wrong around a running server: each trouble ends in a clear event, and the server lives."""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.bridge import messages as say
from stemwright.bridge.client import Client
from stemwright.bridge.grammar import DISK_FULL, MODEL, Message
from stemwright.engine.modelfolder import shipped_folder
from tests.bridge.real import ROOT, Child, server_command
from tests.bridge.test_crashes import worker_of
from tests.bridge.waiting import until

MEGABYTE = 1 << 20
SMALL_DISK = 330 * MEGABYTE  # a little more than the server keeps free


def song(folder: Path, seconds: float) -> Path:
    """The demo, over and over: 16 bits in, so that its stems take twice the room."""
    sound, rate = soundfile.read(ROOT / "engine/demo/boas.flac", dtype="int16", always_2d=True)
    path = folder / f"{seconds:g}.wav"
    soundfile.write(path, np.resize(sound, (round(seconds * rate), 2)), rate)
    return path


def start(folder: Path, spool: Path, *more: str) -> Child:
    (folder / "songs").mkdir(exist_ok=True)
    command = [*server_command(spool, folder / "songs"), "--no-http", *more]
    return Child(command, {"OMP_NUM_THREADS": "1", "STEMWRIGHT_MODELS": str(folder / "models")})


def ready(server: Child) -> int:
    """→ its port"""
    port = int(server.wait_for(r"listening on \S+ port (\d+)")[1])
    server.wait_for("ready on")
    return port


def end_of(client: Client, job: str) -> Message:
    return list(client.follow(job))[-1]


def is_alive(client: Client) -> bool:
    return client.ask(say.Ping(9)) == [say.Pong(9)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own that is soon full."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SMALL_DISK}", "tmpfs", str(place)],
        capture_output=True,
        check=False,
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small tmpfs")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def test_a_disk_that_gets_full_fails_the_job_and_no_other(tmp_path: Path, small_disk: Path) -> None:
    with start(tmp_path, small_disk / "spool") as server:
        port = ready(server)
        long, short = song(tmp_path / "songs", 120), song(tmp_path / "songs", 1)
        with Client(port=port) as client:
            client.submit("big", "extract", [("prompt", "bass"), ("path", str(long))])
            filler, ends = small_disk / "filler", []
            for message in client.follow("big"):
                if isinstance(message, say.Progress) and not filler.exists():
                    room = shutil.disk_usage(small_disk).free - 8 * MEGABYTE
                    with filler.open("wb") as file:
                        os.posix_fallocate(file.fileno(), 0, room)
                ends.append(message)
            assert isinstance(ends[-1], say.Fail)
            assert ends[-1].code == DISK_FULL
            assert is_alive(client)
            assert not list((small_disk / "spool" / "jobs").rglob("*.wav"))
            filler.unlink()
            client.submit("small", "extract", [("prompt", "bass"), ("path", str(short))])
            assert isinstance(end_of(client, "small"), say.Finished)


def test_a_model_that_vanishes_fails_jobs_until_it_is_back(tmp_path: Path) -> None:
    model = tmp_path / "models" / "mine"
    shutil.copytree(shipped_folder() / "default", model)
    with start(tmp_path, tmp_path / "spool", "--model", str(model)) as server:
        port = ready(server)
        options = [("prompt", "bass"), ("path", str(song(tmp_path / "songs", 1)))]
        with Client(port=port) as client:
            model.rename(tmp_path / "away")
            os.kill(worker_of(server), signal.SIGKILL)
            client.submit("without", "extract", options)
            end = end_of(client, "without")
            assert isinstance(end, say.Fail)
            assert end.code == MODEL
            assert is_alive(client)
            (tmp_path / "away").rename(model)
            until(lambda: finishes(client, options), "the model is found again", 60)


def finishes(client: Client, options: list[tuple[str, str]]) -> bool:
    """Whether a new job comes to a good end."""
    job = f"again-{os.urandom(4).hex()}"
    client.submit(job, "extract", options)
    return isinstance(end_of(client, job), say.Finished)


def test_a_client_that_goes_leaves_its_job_to_whoever_asks(tmp_path: Path) -> None:
    with start(tmp_path, tmp_path / "spool") as server:
        port = ready(server)
        options = [("prompt", "bass"), ("path", str(song(tmp_path / "songs", 5)))]
        with Client(port=port, transport="tcp") as leaving:
            leaving.submit("orphan", "extract", options)
        with Client(port=port) as other:
            assert isinstance(end_of(other, "orphan"), say.Finished)
            assert is_alive(other)
