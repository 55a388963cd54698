"""Ray without a cluster: what is told where there is none, and what runs on the nodes."""

import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from stemwright.bridge import raylink
from stemwright.bridge.cluster import RayPool
from stemwright.bridge.nodes import Actor, Failure, File, Returned
from stemwright.bridge.raylink import NoCluster
from stemwright.bridge.request import make
from stemwright.engine.errors import MissingExtra, ModelMissing
from tests.bridge.test_cluster import broken_engine, no_engine, step_by_step

pytestmark = pytest.mark.slow  # as all of Ray's


def test_no_cluster_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ray:
        @staticmethod
        def is_initialized() -> bool:
            return False

        @staticmethod
        def init(**options: Any) -> None:
            raise ConnectionError("Could not find any running Ray instance.\nAnd much more.")

    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.setattr(raylink, "import_module", lambda name: Ray)
    with pytest.raises(NoCluster, match="ray start --head") as caught:
        RayPool("auto").start(lambda event: None)
    assert "Could not find any running Ray instance." in str(caught.value)
    assert "much more" not in str(caught.value)
    assert signal.getsignal(signal.SIGTERM) is handler


def test_an_address_where_nobody_listens_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Ray:
        is_initialized = staticmethod(lambda: False)

    monkeypatch.setattr(raylink, "import_module", lambda name: Ray)
    with socket.socket() as taken:  # a port of our own, where nobody answers
        taken.bind(("127.0.0.1", 0))
        with pytest.raises(NoCluster, match="ray start --head"):
            RayPool(f"127.0.0.1:{taken.getsockname()[1]}").start(lambda event: None)
    with pytest.raises(NoCluster, match="ray start --head"):
        RayPool("127.0.0.1:99999").start(lambda event: None)


def test_without_ray_the_command_that_installs_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str) -> None:
        raise ImportError(name)

    monkeypatch.setattr(raylink, "import_module", absent)
    with pytest.raises(MissingExtra, match=r"stemwright\[ray\]"):
        RayPool().start(lambda event: None)


# What runs on the nodes, without Ray


def actor(**options: Any) -> Actor:
    return Actor("default", 1, "cpu", **{"work": step_by_step, "load": no_engine, **options})


def test_an_actor_knows_whether_it_sees_what_the_driver_sees(tmp_path: Path) -> None:
    song, probe = tmp_path / "song.wav", tmp_path / "probe"
    song.write_bytes(b"a song")
    probe.write_text("secret")
    seen, told = File.of(song), File.of(probe)
    assert actor().sees(told, "secret", [seen]) == (True, True)
    assert actor().sees(None, "", [seen]) == (True, True)
    assert actor().sees(told, "another", []) == (False, True)
    song.write_bytes(b"another song")
    assert actor().sees(told, "secret", [seen]) == (True, False)
    probe.unlink()
    assert actor().sees(told, "secret", []) == (False, True)


def test_an_actor_s_temporary_files_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    request = make("take", "extract", [("prompt", "bass"), ("path", "/elsewhere/song.wav")])
    words = list(actor().do([request], None, ["/elsewhere/song.wav"], b"a song and "))
    assert [word for word, _ in words] == ["begun", "event", "file", "event"]
    assert words[2][1] == Returned("take", "bass.wav", b"a song and bass")
    assert list(tmp_path.iterdir()) == []


def test_an_actor_that_cannot_load_its_engine_says_why() -> None:
    assert actor(load=broken_engine).ready() == Failure("no such model folder", ModelMissing.exit_code, True)
