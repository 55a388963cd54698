"""Fixtures every test may use."""

import os
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HAS_TORCH = find_spec("torch") is not None
collect_ignore = [] if HAS_TORCH else ["engine/models"]  # all of its tests are about networks in torch


def pytest_report_header() -> str:
    return (
        ""
        if HAS_TORCH
        else "without torch: the networks and their training are not tested; make test-all does"
    )


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured fixtures and open recordings; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("STEMWRIGHT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the shared fixtures: set STEMWRIGHT_SHARED to their folder")
    return folder
