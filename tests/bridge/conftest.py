"""Fixtures for the bridge."""

import secrets
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

import pytest

from stemwright.bridge import raylink

RAY_CPUS = 2


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Any]:
    """A real Ray cluster of its own with one node, and a connection to it; all of it ends with the tests."""
    patch = pytest.MonkeyPatch()
    folder = tempfile.mkdtemp(prefix="ray-")  # short: sockets lie in it
    patch.setenv("RAY_TMPDIR", folder)
    patch.setenv("XDG_CACHE_HOME", f"{folder}/cache")  # of the actors, too
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("RAY_AUTH_MODE", "token")  # else a token is written into the home folder
    patch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    pytest.importorskip("ray", reason="needs Ray: pip install 'stemwright[ray]'")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": RAY_CPUS, "include_dashboard": False, "object_store_memory": 100_000_000}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    try:
        connection = raylink.Cluster(cluster.address)
        yield cluster
        connection.close()
    finally:
        cluster.shutdown()
        shutil.rmtree(folder, ignore_errors=True)
        patch.undo()
