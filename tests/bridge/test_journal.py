"""The journal: what is in it is there, and a damaged one is no end of anything."""

import sqlite3
import threading
import time
from dataclasses import replace
from pathlib import Path
from shutil import copyfile

import pytest

from stemwright.bridge.errors import BadSpool
from stemwright.bridge.journal import (
    CANCELLED,
    FINISHED,
    MOST_SAVED,
    ROOM,
    RUNNING,
    Entry,
    Journal,
    Row,
)
from stemwright.bridge.messages import Result
from stemwright.bridge.request import Request
from tests.bridge.fakes_pool import request


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def entry(number: int, state: str = "queued", ended: float | None = None, size: int = 0) -> Entry:
    asked = request(f"job-{number}", "slap “bass”", start=0.1, seconds=10.239999771118164, seed=number)
    return Entry(Row(asked, "me", state, submitted=5.5), number, asked, ended=ended, bytes=size)


def test_what_was_saved_is_found_again_as_it_was(path: Path) -> None:
    whole = entry(1, FINISHED, 100.5, 1234)
    results = (
        Result("job-1", 0, 2, "bass", "/x/bass.wav", 1.5, 7), Result("job-1", 1, 2, "rest", "/é", 1.5),
    )  # fmt: skip
    settled = replace(whole.row.request, path="/real/song.wav")
    row = replace(whole.row, request=settled, results=results, seconds=2.5, attempts=2, progress=1.0)
    whole = replace(whole, row=row, is_cancelled=True)
    journal = Journal(path)
    journal.save([whole, entry(2, RUNNING), entry(3)])
    journal.close()
    journal = Journal(path)
    assert journal.problem == ""
    assert journal.find("job-1") == whole
    assert [one.number for one in journal.active()] == [2, 3]
    assert journal.latest(10) == [whole]
    assert journal.next_number() == 4 and journal.ended_bytes() == 1234
    assert journal.find("job-9") is None
    journal.close()
    assert journal.find("job-1") is None


def test_a_save_is_all_or_nothing(path: Path) -> None:
    journal = Journal(path)
    broken = replace(entry(2), number=None)  # type: ignore[arg-type]
    with pytest.raises(sqlite3.IntegrityError):
        journal.save([entry(1), broken])
    assert journal.active() == []
    journal.save([entry(3)])
    assert [one.number for one in journal.active()] == [3]
    journal.close()


def test_it_is_on_the_disk_when_save_returns(path: Path) -> None:
    journal = Journal(path)
    assert journal._file.execute("PRAGMA synchronous").fetchone()[0] == 2  # FULL
    assert journal._file.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    journal.save([entry(1)])
    other = sqlite3.connect(path)
    assert other.execute("SELECT job FROM jobs").fetchall() == [("job-1",)]
    other.close()
    journal.close()


def test_its_log_is_as_long_from_the_start_as_it_ever_gets(path: Path) -> None:
    journal = Journal(path)
    log_file = path.with_name("journal.sqlite-wal")
    assert log_file.stat().st_size == ROOM
    for number in range(2 * MOST_SAVED):
        journal.save([entry(number)])
        journal.rest()
    assert log_file.stat().st_size == ROOM
    journal.close()
    assert not log_file.exists()


def test_wherever_it_is_cut_off_what_was_saved_is_in_it(path: Path) -> None:
    """Also where its log is written over, and behind the last transaction there are bytes of older ones."""
    journal = Journal(path)
    for number in range(1, 3 * MOST_SAVED):
        journal.save([entry(number), entry(number - 1, FINISHED, float(number))])
        journal.rest()
        if number % 47 == 0:
            aside = path.parent / f"after-{number}"
            aside.mkdir()
            for tail in ("", "-wal"):
                copyfile(f"{path}{tail}", aside / f"journal.sqlite{tail}")
            found = Journal(aside / "journal.sqlite")
            assert found.problem == "" and found.next_number() == number + 1
            assert [one.number for one in found.active()] == [number]
            assert len(found.latest(2000)) == number
            found.close()
    journal.close()


def test_other_threads_may_look_things_up_while_it_writes(path: Path) -> None:
    journal = Journal(path)
    journal.save([entry(0)])
    found: list[bool] = []
    thread = threading.Thread(
        target=lambda: found.extend(journal.find("job-0") is not None for _ in range(300))
    )
    thread.start()
    for number in range(1, 50):
        journal.save([entry(number)])
    thread.join()
    journal.close()
    assert len(found) == 300 and all(found)


def test_the_oldest_are_named_first_and_removed_for_good(path: Path) -> None:
    journal = Journal(path)
    journal.save(entry(number, CANCELLED, 100.0 - number, 10 + number) for number in range(5))
    assert journal.oldest(2) == [("job-4", 96.0, 14), ("job-3", 97.0, 13)]
    journal.remove(["job-4", "job-3", "job-9"])
    assert journal.oldest(1) == [("job-2", 98.0, 12)]
    assert journal.ended_bytes() == 10 + 11 + 12
    journal.close()


def text_in_place_of_it(path: Path) -> None:
    path.write_bytes(b"this is no database at all " * 100)


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:9000])


def overwritten(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096:] = b"\xa5" * (len(content) - 4096)
    path.write_bytes(content)


def of_the_future(path: Path) -> None:
    file = sqlite3.connect(path)
    file.execute("PRAGMA user_version = 99")
    file.close()


def of_something_else(path: Path) -> None:
    path.unlink()
    file = sqlite3.connect(path)
    file.execute("CREATE TABLE songs (name TEXT)")
    file.close()


@pytest.mark.parametrize(
    "damage", [text_in_place_of_it, cut_short, overwritten, of_the_future, of_something_else]
)
def test_a_journal_that_cannot_be_read_is_put_aside_and_a_new_one_begun(path: Path, damage: object) -> None:
    journal = Journal(path)
    journal.save(entry(number) for number in range(200))
    journal.close()
    damage(path)  # type: ignore[operator]
    damaged = path.read_bytes()
    journal = Journal(path)
    assert "put aside" in journal.problem
    assert journal.active() == []
    journal.save([entry(1)])
    assert journal.find("job-1") == entry(1)
    journal.close()
    (aside,) = path.parent.glob("journal.sqlite.damaged-*[0-9]")
    assert aside.read_bytes() == damaged and str(aside) in journal.problem
    assert Journal(path).problem == ""


def test_a_journal_that_is_only_out_of_reach_is_not_put_aside(path: Path) -> None:
    path.mkdir()
    with pytest.raises(BadSpool, match="cannot be opened"):
        Journal(path)
    assert path.is_dir()


def test_a_row_that_cannot_be_understood_fails_and_the_others_stay(path: Path) -> None:
    journal = Journal(path)
    journal.save([entry(1), entry(2)])
    journal._file.execute("UPDATE jobs SET request = '{\"task\": \"fly\"}' WHERE job = 'job-1'")
    assert [one.number for one in journal.active()] == [2]
    assert journal.active() == [entry(2)]
    assert journal._file.execute("SELECT state FROM jobs WHERE job = 'job-1'").fetchone() == ("failed",)
    assert journal.find("job-1") is None
    journal.close()


@pytest.mark.slow
def test_ten_thousand_jobs_take_seconds_at_most(path: Path) -> None:
    journal = Journal(path)
    asked = [Request(f"j{n}", "generate", ("x",)) for n in range(10_000)]
    begin = time.monotonic()
    journal.save(Entry(Row(one, "me"), n, one) for n, one in enumerate(asked))
    assert time.monotonic() - begin < 20.0  # measured 0.5 on a core of its own
    begin = time.monotonic()
    assert len(journal.active()) == 10_000
    assert time.monotonic() - begin < 20.0  # measured 0.8
    journal.close()
