"""Fixtures every test may use."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of measured fixtures and open recordings; a test that needs it skips where it is absent."""
    folder = Path(os.environ.get("STEMWRIGHT_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip("needs the shared fixtures: set STEMWRIGHT_SHARED to their folder")
    return folder
