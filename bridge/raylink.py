"""The connection to a Ray cluster, and the actors in it. Ray is imported here alone, and kept quiet."""

from __future__ import annotations

import logging
import os
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from stemwright.bridge.nodes import Actor, Failure, File, Word
from stemwright.engine.errors import MissingExtra, StemwrightError

THREADS = 4  # of an actor, unless somebody says
CONNECT = 5.0  # seconds for a cluster to answer
HEADLESS = 7 * 86400  # seconds that actors may work without the cluster's head
LOOK = 0.25  # seconds between two looks whether to go on waiting


class NoCluster(StemwrightError):
    """No Ray cluster answers."""


class ActorLost(Exception):
    """The actor, or its node, died. has_begun: while it worked on what it was given"""

    def __init__(self, text: str, *, has_begun: bool) -> None:
        super().__init__(text)
        self.has_begun = has_begun


class Cluster:
    """A connection. One a process; where there is one already, it is used and left open."""

    def __init__(self, address: str) -> None:
        # Else Ray ends this process, the server, a minute after the cluster's head has gone.
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(HEADLESS))
        try:
            self._ray: Any = import_module("ray")
        except ImportError as error:
            raise MissingExtra("--ray needs Ray: pip install 'stemwright[ray]'") from error
        self._is_ours = not self._ray.is_initialized()
        if self._is_ours:
            self._connect(address)

    def _connect(self, address: str) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        logging.getLogger("ray").setLevel(logging.ERROR)
        _hush()
        _refuse_silence(os.environ.get("RAY_ADDRESS", address) if address == "auto" else address)
        with _signals_kept():
            try:
                self._ray.init(address=address, log_to_driver=False, configure_logging=False)
            except Exception as error:  # Ray's are of many kinds, ConnectionError the most frequent
                reason = (str(error) or type(error).__name__).strip().splitlines()[0]
                raise _no_cluster(address, reason) from error

    def close(self) -> None:
        if self._is_ours and self._ray.is_initialized():
            self._ray.shutdown()

    def is_there(self) -> bool:
        """Whether the node we are connected to is still in the cluster; True where the head cannot say."""
        try:
            own = self._ray.get_runtime_context().get_node_id()
            alive = [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]
        except Exception:  # Ray's are of many kinds; that a head is away is no loss, see HEADLESS
            return True
        return own in alive

    def threads(self, wanted: int | None, usual: int = THREADS) -> int:
        """Of each actor: no more than the smallest node has CPUs."""
        nodes = [node["Resources"].get("CPU", 0) for node in self._ray.nodes() if node["Alive"]]
        smallest = int(min((count for count in nodes if count >= 1), default=1))
        return wanted or min(usual, smallest)

    def actors(self, threads: int) -> int:
        """How many have room."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1) // threads))

    def make(self, threads: int, arguments: Sequence[Any]) -> ActorHandle:
        """An actor that begins as soon as a node has `threads` CPUs free."""
        kind = self._ray.remote(
            num_cpus=threads, max_concurrency=4, max_restarts=0, scheduling_strategy="SPREAD"
        )
        return ActorHandle(self._ray, kind(Actor).remote(*arguments))


class ActorHandle:
    """An actor, from here. Calls raise ActorLost when it is gone. One thread works with it."""

    def __init__(self, ray: Any, actor: Any) -> None:
        self._ray, self._actor = ray, actor
        self._shared: dict[str, bool] = {}  # folder → whether the actor sees it

    def ready(self, may_wait: Callable[[], bool]) -> Failure | str | None:
        """Its model and device, or why not; None when `may_wait` became false."""
        answer = self._actor.ready.remote()
        while may_wait():
            done, _ = self._ray.wait([answer], timeout=LOOK)
            if done:
                found: Failure | str = self._got(answer)
                return found
        return None

    def process(self) -> int:
        found: int = self._got(self._actor.process.remote())
        return found

    def sees(self, folder: Path, files: Sequence[Path]) -> bool:
        """Whether it sees the folder and the files as we do. A folder is tried once."""
        name = os.fspath(folder)
        if self._shared.get(name) is False:
            return False
        found = [File.of(one) for one in files if one.exists()]  # what is gone, the engine will tell
        if name in self._shared:
            return bool(self._got(self._actor.sees.remote(None, "", found))[1])
        with _probe(folder) as (probe, secret):
            is_shared, are_files = self._got(self._actor.sees.remote(probe, secret, found))
        self._shared[name] = is_shared
        return bool(is_shared and are_files)

    def work(self, method: str, *arguments: Any, contents: Sequence[bytes] = ()) -> Iterator[Word]:
        """What a generator of the actor yields, as it comes. contents: its last arguments, large"""
        held = [self._ray.put(content) for content in contents]
        has_begun = False
        try:
            for one in (
                getattr(self._actor, method).options(num_returns="streaming").remote(*arguments, *held)
            ):
                word: Word = self._ray.get(one)
                has_begun = True
                if word[0] != "begun":
                    yield word
        except self._ray.exceptions.RayTaskError:
            raise  # an error of ours, in the actor
        except self._ray.exceptions.RayError as error:
            raise ActorLost(_reason(error), has_begun=has_begun) from error

    def cancel(self, key: str) -> None:
        with suppress(self._ray.exceptions.RayError):
            self._actor.cancel.remote(key)

    def kill(self) -> None:
        with suppress(Exception):  # it, or the cluster, may be gone
            self._ray.kill(self._actor, no_restart=True)

    def _got(self, answer: Any) -> Any:
        try:
            return self._ray.get(answer)
        except self._ray.exceptions.RayTaskError:
            raise
        except self._ray.exceptions.RayError as error:
            raise ActorLost(_reason(error), has_begun=False) from error


@contextmanager
def _probe(folder: Path) -> Iterator[tuple[File, str]]:
    """A file that nobody else can know, while the block lasts."""
    path, secret = folder / f".stemwright-{secrets.token_hex(8)}.part", secrets.token_hex(16)
    try:
        path.write_text(secret)
        yield File.of(path), secret
    finally:
        with suppress(OSError):
            path.unlink()


def _no_cluster(address: str, reason: str) -> NoCluster:
    return NoCluster(
        f"no Ray cluster answers at {address!r} ({reason:.200}). "
        "Start one with: ray start --head; or give its address: --ray HOST:6379"
    )


def _refuse_silence(address: str) -> None:
    """NoCluster where nobody listens: Ray itself would go on trying for minutes."""
    host, colon, port = address.rpartition(":")
    if not colon or "://" in address or not port.isdigit():
        return  # "auto", "local", "ray://…": Ray knows by itself
    try:
        socket.create_connection((host.strip("[]"), int(port)), CONNECT).close()
    except (OSError, OverflowError) as error:
        raise _no_cluster(address, getattr(error, "strerror", None) or str(error)) from error


def _reason(error: Exception) -> str:
    """The first line of what Ray says, and the last, which has the cause."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    return " … ".join(dict.fromkeys((lines[0][:200], lines[-1][:200])))


def _hush() -> None:
    """Ray prints what its nodes say of dead workers to our standard output, and has no switch for it."""
    with suppress(Exception):
        worker: Any = import_module("ray._private.worker")
        if hasattr(worker, "print_to_stdstream"):
            worker.print_to_stdstream = lambda *words, **more: None


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray takes SIGTERM for itself; Ctrl-C and SIGTERM are ours."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.getsignal(one) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)
