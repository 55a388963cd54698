"""The real server and real clients, each in a process group of its own that ends with its block."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType

import pytest
from pythonosc.osc_message import OscMessage
from pythonosc.osc_message_builder import OscMessageBuilder

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = Path(__file__).parent / "clients"
SONIC_PI = Path("/usr/lib/sonic-pi/app/server/ruby/bin/sonic-pi-server.rb")
PATIENCE = 180.0  # seconds; what is waited for comes within a few, on a machine with nothing else to do


def needs(packages: str, *programs: str | Path) -> pytest.MarkDecorator:
    """Skip a test where one of the programs is absent, before anything is started for it.

    packages  of Debian, that bring them
    """
    missing = [str(one) for one in programs if not (shutil.which(one) or Path(one).is_file())]
    reason = f"needs {', '.join(missing)}: apt-get install --no-install-recommends {packages}"
    return pytest.mark.skipif(bool(missing), reason=reason)


class Child:
    """A process whose output, both streams as one, is read line by line as it comes."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = Path(command[0]).name
        self.lines: list[str] = []
        self._came = threading.Condition()
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "JACK_NO_START_SERVER": "1", **(environment or {})},
            start_new_session=True,
        )
        self._reader = threading.Thread(target=self._read, name=f"output of {self.name}", daemon=True)

    def __enter__(self) -> "Child":
        self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the whole group, politely first: what a client started ends with it."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._reader.join(5)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def wait_for(self, pattern: str, seconds: float = PATIENCE) -> re.Match[str]:
        """The first line that has the pattern; AssertionError when it does not come."""
        found: list[re.Match[str]] = []

        def is_there() -> bool:
            found.extend(match for line in self.lines if (match := re.search(pattern, line)))
            return bool(found) or self._process.poll() is not None

        with self._came:
            self._came.wait_for(is_there, seconds)
        assert found, f"{self.name} did not say {pattern!r}; {self.told()}"
        return found[0]

    @property
    def number(self) -> int:
        """Of the process."""
        return self._process.pid

    def kill(self) -> None:
        """As a crash would: the process itself, at once; what it has started is left to itself."""
        self._process.kill()
        self._process.wait()

    def stop(self, seconds: float = PATIENCE) -> int:
        """SIGTERM to the process itself → its exit code"""
        self._process.terminate()
        return self.ended(seconds)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for the end → exit code; all output is read then."""
        try:
            code = self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} did not end in {seconds:.0f} s; {self.told()}") from None
        self._reader.join(5)
        return code

    def told(self) -> str:
        """For a failed test: the end of the output."""
        return "its last lines:\n" + "\n".join(line[:300] for line in self.lines[-30:])

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._came:
                self.lines.append(line.rstrip("\n"))
                self._came.notify_all()
        with self._came:
            self._came.notify_all()


def server_command(spool: Path, songs: Path) -> list[str]:
    """The command a user types, on ports that the system chooses."""
    words = ["--port", "0", "--http-port", "0", "--spool", str(spool), "--root", str(songs)]
    words += ["--no-midi", "--threads", "1"]
    return [sys.executable, "-m", "stemwright.engine.cli", "serve", *words]


@contextmanager
def running_server(spool: Path, songs: Path) -> Iterator[tuple[Child, int]]:
    """→ the server with the default model, ready, and its port"""
    with Child(server_command(spool, songs), {"OMP_NUM_THREADS": "1"}) as server:
        yield server, int(server.wait_for(r"ready on \S+ port (\d+)")[1])


def packet(address: str, *arguments: int | float | str) -> bytes:
    builder = OscMessageBuilder(address)
    for argument in arguments:
        builder.add_arg(argument)
    return builder.build().dgram


def answers_ping(port: int) -> bool:
    """Whether a server lives on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        asking.connect(("127.0.0.1", port))
        asking.send(packet("/stemwright/ping", 5))
        found = OscMessage(asking.recv(1 << 16))
    return (found.address, found.params) == ("/stemwright/pong", [5])


def free_ports(count: int) -> list[int]:
    """UDP ports nobody has now, all different."""
    sockets = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def taken_ports() -> set[int]:
    """UDP ports that somebody has, on Linux; trying to bind them could take one from who wants it."""
    rows = [line.split() for line in Path("/proc/net/udp").read_text().splitlines()[1:]]
    return {int(row[1].rpartition(":")[2], 16) for row in rows}


class SonicPi:
    """Sonic Pi's whole server without its window, whose part this plays: gives it code, reads its log.

    ports  seven: where it takes cues, where it takes code, of scsynth, of Erlang, and three more of its parts
    """

    def __init__(self, folder: Path, ports: Sequence[int], environment: Mapping[str, str]) -> None:
        self._cues, self._spider, self._scsynth, self._erlang, *rest = ports
        self._window = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._window.bind(("127.0.0.1", 0))
        self._window.settimeout(0.25)
        own = self._window.getsockname()[1]
        sound = [self._scsynth, self._scsynth]  # where it listens, and where it is spoken to
        words = [str(port) for port in (self._spider, own, *sound, self._cues, self._erlang, *rest)]
        own_places = {"SONIC_PI_HOME": str(folder), "TMPDIR": str(folder)}
        self.server = Child(["ruby", str(SONIC_PI), "-u", *words], {**environment, **own_places})
        self.log: list[str] = []  # what code has put, and its errors

    def __enter__(self) -> "SonicPi":
        self.server.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._quit_scsynth()
        self.server.__exit__(kind, error, trace)
        self._window.close()

    def _quit_scsynth(self, seconds: float = 5) -> None:
        """Let it take leave of JACK, which else waits ten seconds for it at its own end."""
        end = time.monotonic() + seconds
        self._window.sendto(packet("/quit"), ("127.0.0.1", self._scsynth))
        while self._scsynth in taken_ports() and time.monotonic() < end:
            time.sleep(0.05)

    def boot(self, seconds: float = PATIENCE) -> None:
        """Until all of it listens and it answers its window; then cues from this machine are let in."""
        self.server.wait_for("successfully booted", seconds)
        end = time.monotonic() + seconds
        while not {self._cues, self._erlang} <= taken_ports():  # Erlang does not say when it is there
            assert time.monotonic() < end, f"Erlang did not come; {self.server.told()}"
            time.sleep(0.05)
        self._tell("/ping", 1)
        self._until("/ack", seconds)
        self._tell("/cue-port-start")
        self._tell("/cue-port-internal")

    def run(self, code: str, seconds: float = PATIENCE) -> list[str]:
        """Run code to its end → the lines it put"""
        self._tell("/run-code", code)
        self._until("/runs/all-completed", seconds)
        return self.log

    def _tell(self, address: str, *arguments: int | str) -> None:
        message = packet(address, "a window", *arguments)
        self._window.sendto(message, ("127.0.0.1", self._spider))

    def _until(self, address: str, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with suppress(TimeoutError):
                message = OscMessage(self._window.recv(1 << 16))
                self._note(message)
                if message.address == address:
                    return
        said = "\n".join(self.log[-30:])
        raise AssertionError(
            f"Sonic Pi did not say {address} in {seconds:.0f} s; {self.server.told()}\n{said}"
        )

    def _note(self, message: OscMessage) -> None:
        """Texts of the log. A multi_message: job, thread, time, how many, then kind and text of each."""
        if message.address == "/log/multi_message":
            self.log += [str(text) for text in message.params[5::2]]
        elif message.address in ("/error", "/syntax_error"):
            self.log.append(f"error: {message.params}")
