"""The profile of the processor on its way from `stemwright serve` to the engine."""

from typing import Any

import pytest

from stemwright.bridge.cli import serve_parser, settings_of
from stemwright.bridge.local import LocalPool
from stemwright.bridge.serve import Settings, make_pool
from stemwright.bridge.worker import Engines
from stemwright.engine.engine import Engine
from stemwright.engine.errors import BadJob


def test_a_worker_is_started_with_the_servers_profile() -> None:
    pool = make_pool(settings_of(serve_parser().parse_args(["--profile", "fast"])))
    assert isinstance(pool, LocalPool)
    assert "--profile fast" in " ".join(pool._command)


def test_a_worker_opens_its_engines_in_that_profile(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(Engine, "load", lambda name, **options: asked.append(options))
    Engines("default", 1, "cpu", "fast")(None)
    assert asked == [{"threads": 1, "device": "cpu", "profile": "fast"}]


def test_a_cluster_has_the_best_profile_alone() -> None:
    pytest.importorskip("ray", reason="needs the ray extra")
    with pytest.raises(BadJob, match="Leave --profile or --ray out"):
        make_pool(Settings(ray="auto", profile="fast"))
