"""The pages of the hosts: installed in four lines, with a picture, and the tests that they name are there."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.daw_scripts.reaper.test_fake import CASES

TESTS = Path(__file__).parents[1]
SCRIPTS = TESTS.parent / "daw_scripts"
CLIENTS = ("supercollider", "tidal", "sonic_pi", "pd", "chuck", "touchosc")
HOSTS = ("reaper", "ableton", "ardour", *(f"live_coding/{name}" for name in CLIENTS))
LARGEST = 80_000  # bytes of a picture
ASKS = 15


def page(name: str) -> str:
    return (SCRIPTS / name / "README.md").read_text("utf-8")


@cache
def functions(file: Path) -> frozenset[str]:
    """The tests of a file."""
    found = ast.parse(file.read_text("utf-8")).body
    return frozenset(node.name for node in found if isinstance(node, ast.FunctionDef))


def section(text: str, title: str) -> str:
    """What stands below a heading."""
    _, heading, after = text.partition(f"\n## {title}")
    assert heading, f"no heading {title}"
    return after.partition("\n## ")[0]


def asks(host: str) -> list[list[str]]:
    """The last cell of each row of a page's table: the words in backticks."""
    rows = [line for line in section(page(host), "What users ask").splitlines() if line.startswith("|")]
    return [re.findall(r"`([^`]+)`", row.rsplit("|", 2)[1]) for row in rows[2:]]


def is_there(name: str, host: str) -> bool:
    """A file of tests, a test of a file, or, with … for its end, a test or a case of the host."""
    file, _, test = name.partition("::")
    if file.endswith(".py"):
        places = [place for place in (TESTS / file, TESTS / "daw_scripts" / host / file) if place.is_file()]
        return bool(places) and (not test or test in functions(places[0]))
    own = [one for place in (TESTS / "daw_scripts" / host).glob("test_*.py") for one in functions(place)]
    known = own + [case for _, case in CASES]
    start = name.rstrip("…")
    return any(one.startswith(start) for one in known) if start != name else name in known


@pytest.mark.parametrize("host", ["", "reaper", "ableton"])
def test_every_test_that_a_table_of_asks_names_exists(host: str) -> None:
    rows = asks(host)
    assert len(rows) == ASKS
    missing = [name for row in rows for name in row if not is_there(name, host)]
    assert missing == []


def test_every_ask_has_a_test() -> None:
    assert all(asks(""))


@pytest.mark.parametrize("name", ["test_gone", "it_works_not", "engine/test_cli.py::test_no", "x…"])
def test_a_test_that_is_gone_is_noticed(name: str) -> None:
    assert not is_there(name, "reaper")


@pytest.mark.parametrize("host", HOSTS)
def test_a_host_is_installed_in_four_lines(host: str) -> None:
    lines = re.findall(r"^(\d)\. ", section(page(host), "Install"), re.MULTILINE)
    assert lines == ["1", "2", "3", "4"][: len(lines)]
    assert len(lines) >= 2


@pytest.mark.parametrize("host", [*HOSTS, "first-stem.md"])
def test_the_pictures_are_there_and_small(host: str) -> None:
    text = (SCRIPTS / host).read_text("utf-8") if host.endswith(".md") else page(host)
    folder = SCRIPTS / host if not host.endswith(".md") else SCRIPTS
    pictures = [folder / name for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", text)]
    assert pictures
    for picture in pictures:
        assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
        assert picture.stat().st_size <= LARGEST


@pytest.mark.parametrize("host", ["", *HOSTS, "live_coding"])
def test_links_lead_somewhere(host: str) -> None:
    links = re.findall(r"\]\(([^)#:]+)\)", page(host)) + (["first-stem.md"] if host == "" else [])
    assert [link for link in links if not (SCRIPTS / host / link).exists()] == []
