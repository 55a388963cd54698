"""The profile of the processor on its way from the command line to the engine, by a process or by Ray."""

import queue
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import pytest

from stemwright.bridge import catalogue, cluster, rayprocess
from stemwright.bridge.cli import serve_parser, settings_of
from stemwright.bridge.local import LocalPool
from stemwright.bridge.nodes import Actor, Failure
from stemwright.bridge.pool import WorkEvent
from stemwright.bridge.poolprocess import PoolProcess
from stemwright.bridge.serve import make_pool
from stemwright.bridge.worker import Engines
from stemwright.engine.commands.flags import parser
from stemwright.engine.commands.stop import Stop
from stemwright.engine.engine import Engine
from stemwright.engine.errors import ModelError
from tests.engine.command_line import write_song


class NoRay:
    """A cluster of one node whose actors have no engine. made: what they were made with"""

    made: ClassVar[list[tuple[Any, ...]]] = []

    def __init__(self, address: str) -> None:
        pass

    def threads(self, wanted: int | None, usual: int = 1) -> int:
        return 1

    def actors(self, threads: int) -> int:
        return 1

    def make(self, threads: int, arguments: tuple[Any, ...]) -> "NoRay":
        self.made.append(tuple(arguments))
        return self

    def ready(self, may_wait: Callable[[], bool]) -> Failure:
        return Failure("there is no engine here", ModelError.exit_code, is_model=True)

    def kill(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What engines are loaded with."""
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Engine, "load", lambda name, **options: asked.append(options))
    return asked


def test_a_worker_is_started_with_the_servers_profile() -> None:
    pool = make_pool(settings_of(serve_parser().parse_args(["--profile", "fast"])))
    assert isinstance(pool, LocalPool)
    assert "--profile fast" in " ".join(pool._command)


def test_a_worker_opens_its_engines_in_that_profile(loaded: list[dict[str, Any]]) -> None:
    Engines("default", 1, "cpu", "fast")(None)
    assert loaded == [{"threads": 1, "device": "cpu", "profile": "fast"}]


def test_an_actor_opens_its_engines_in_its_profile(loaded: list[dict[str, Any]]) -> None:
    assert Actor("default", 1, "cpu", "fast").ready() == "default cpu"
    assert loaded == [{"threads": 1, "device": "cpu", "profile": "fast"}]


def test_the_actors_of_the_server_and_of_a_catalogue_are_made_with_the_profile_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(cluster, "Cluster", NoRay)
    monkeypatch.setattr(catalogue, "Cluster", NoRay)
    NoRay.made.clear()
    kept = make_pool(settings_of(serve_parser().parse_args(["--profile", "fast", "--ray"])))
    assert isinstance(kept, PoolProcess)
    pool = rayprocess.pool_of(kept.command[3:])
    told: queue.SimpleQueue[WorkEvent] = queue.SimpleQueue()
    pool.start(told.put)
    assert told.get(timeout=60).kind == "broken"
    pool.stop(0.0)
    words = ["extract", str(write_song(tmp_path / "song.wav")), "bass", "--profile", "fast", "--ray"]
    with pytest.raises(ModelError, match="there is no engine here"):
        catalogue.run(parser().parse_args([*words, "--output", str(tmp_path)]), Stop())
    of_server, of_catalogue = NoRay.made
    assert of_server[:4] == of_catalogue[:4] == ("default", 1, "cpu", "fast")
