"""Fixtures for the live-coding clients: a server with the default model, a song, a JACK server."""

from collections.abc import Iterator

import pytest

from tests.bridge.jack import Jack
from tests.bridge.real import running_server
from tests.daw_scripts.live_coding.studio import Studio, write_songs


@pytest.fixture(scope="session")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """A running server and songs that it may read; none of its log lines tells of an error of ours."""
    folder = tmp_path_factory.mktemp("live coding")
    song, bar = write_songs(folder / "songs")
    with running_server(folder / "spool", folder) as (server, port):
        yield Studio(port, folder / "spool", folder, song, bar)
        assert server.stop() == 0, server.told()
        assert not [line for line in server.lines if "Traceback" in line], server.told()


@pytest.fixture(scope="module")
def sound() -> Iterator[dict[str, str]]:
    """What leads a client to a JACK server without a sound card."""
    server = Jack()
    server.start()
    yield {"JACK_DEFAULT_SERVER": server.name}
    server.stop()
