"""A JACK server of a test's own, on the dummy driver, and MIDI ports on it that play the other side."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.bridge.waiting import DEADLINE, until


class Jack:
    """jackd under a name nobody else has; `run` runs one of its tools.

    It waits for its clients (--sync): on a busy machine no period is skipped, and no message with it.
    """

    def __init__(self) -> None:
        self.name = f"stemwright-{os.getpid()}"  # one for all tests of a run: JACK knows eight names
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            ["jackd", "-n", self.name, "--no-realtime", "--sync", "-d", "dummy", "-r", "48000", "-p", "256"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        try:
            until(lambda: self.run("jack_lsp").returncode == 0, "jackd answers")
        except AssertionError as error:
            self.process.kill()
            raise AssertionError(f"{error}: {self.process.communicate()[1].decode()[-300:]}") from error

    def kill(self) -> None:
        """As a crash would end it. It must be started again before the end: a name that died is taken."""
        assert self.process is not None
        self.process.kill()
        self.process.communicate()
        self.process = None

    def stop(self) -> None:
        if self.process is None:
            self.start()
        assert self.process is not None
        self.process.terminate()
        self.process.communicate(timeout=DEADLINE)
        self.process = None

    def run(self, *command: str) -> "subprocess.CompletedProcess[str]":
        environment = {**os.environ, "JACK_NO_START_SERVER": "1", "JACK_DEFAULT_SERVER": self.name}
        return subprocess.run(
            [*command], env=environment, capture_output=True, text=True, timeout=DEADLINE, check=False
        )

    def ports(self) -> list[str]:
        return self.run("jack_lsp").stdout.split("\n")

    def connect(self, output: str, into: str) -> None:
        until(lambda: {output, into} <= set(self.ports()), f"{output} and {into} are there")
        assert self.run("jack_connect", output, into).returncode == 0


@contextmanager
def jack_server(patch: pytest.MonkeyPatch) -> Iterator[Jack]:
    """A running server that everything started meanwhile connects to; skips where JACK is not installed."""
    for program in ("jackd", "jack_lsp", "jack_connect"):
        if shutil.which(program) is None:
            pytest.skip(f"needs {program}: apt-get install jackd2 jack-tools")
    pytest.importorskip("rtmidi", reason="needs python-rtmidi")
    jack = Jack()
    patch.setenv("JACK_DEFAULT_SERVER", jack.name)
    patch.setenv("JACK_NO_START_SERVER", "1")
    jack.start()
    try:
        yield jack
    finally:
        jack.stop()
