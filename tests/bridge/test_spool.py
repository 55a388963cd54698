"""The spool: folders, locks, and done.json as the truth about a job."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from stemwright.bridge.errors import BadSpool, SpoolInUse
from stemwright.bridge.pool import MadeFile
from stemwright.bridge.spool import (
    DONE,
    OUT,
    Done,
    Held,
    Spool,
    clear,
    folder_name,
    held,
    read_done,
    size,
    write_done,
)
from tests.bridge.fakes_pool import request

HOLD = "import sys; from pathlib import Path; from stemwright.bridge.spool import held\n"
HOLD += "with held(Path(sys.argv[1]), 5): print('held', flush=True); sys.stdin.read()"


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path / "spool")


def finished(spool: Spool, job: str = "a", **options: object) -> Done:
    """A job that has ended, on disk."""
    asked = request(job, **options)
    folder = spool.open(asked, is_new=True)
    (folder / OUT).mkdir()
    made = MadeFile("bass", folder / OUT / "bass.wav", 1.5, 7)
    made.path.write_bytes(b"sound")
    done = Done(asked, (made,), 2.5, ("no bass heard",), 0.9)
    write_done(folder, done)
    return done


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_only_its_owner_may_look_in(spool: Spool) -> None:
    finished(spool)
    for folder in (spool.root, spool.jobs, spool.uploads, spool.captures, spool.folder("a")):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700, folder


def test_a_spool_that_cannot_be_is_refused_in_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadSpool, match="cannot be the spool"):
        Spool(tmp_path / "file" / "spool")


def test_ids_that_a_file_system_may_mix_up_get_folders_of_their_own() -> None:
    ids = ["bass", "Bass", "BASS", "bass.", "con", "con.x", "nul", "a" * 64, "A" * 64]
    names = [folder_name(job) for job in ids]
    assert len({name.casefold() for name in names}) == len(ids)
    assert names[0] == "bass" and names[7] == "a" * 64
    assert all(not name.endswith(".") and name.split(".")[0] not in ("con", "nul") for name in names)


def test_what_a_job_came_to_is_read_as_it_was_written(spool: Spool) -> None:
    done = finished(spool, start=0.1, seconds=10.239999771118164, seed=7)
    assert read_done(spool.folder("a")) == done
    assert read_done(spool.folder("a"), done.request) == done
    assert list(spool.finished()) == [done]


def test_a_job_is_not_finished_without_its_files_or_as_another_request(spool: Spool) -> None:
    done = finished(spool)
    assert read_done(spool.folder("a"), request("a", "drums")) is None
    done.results[0].path.unlink()
    assert read_done(spool.folder("a")) is None


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"{}", b"null", b'{"request": 3}', b"\xff\xfe", b"[" * 100_000],
)
def test_a_damaged_done_json_means_not_finished(spool: Spool, content: bytes) -> None:
    finished(spool)
    (spool.folder("a") / DONE).write_bytes(content)
    assert read_done(spool.folder("a")) is None


def test_results_outside_the_folder_are_not_believed(spool: Spool) -> None:
    finished(spool)
    path = spool.folder("a") / DONE
    (spool.root / "secret.wav").write_bytes(b"x")
    plain = json.loads(path.read_text())
    plain["results"][0]["file"] = "../../../secret.wav"
    path.write_text(json.dumps(plain))
    assert read_done(spool.folder("a")) is None


def test_clearing_takes_done_json_away_before_the_files(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished(spool)
    monkeypatch.setattr("shutil.rmtree", lambda *_, **__: None)  # as if killed in between
    clear(spool.folder("a"))
    assert read_done(spool.folder("a")) is None
    assert (spool.folder("a") / OUT / "bass.wav").exists()


def test_a_new_job_of_an_old_id_finds_nothing_of_it(spool: Spool) -> None:
    finished(spool)
    folder = spool.open(request("a", "drums"), is_new=False)
    assert (folder / DONE).exists()
    spool.open(request("a", "drums"), is_new=True)
    assert sorted(os.listdir(folder)) == ["request.json"]


def test_writing_that_fails_leaves_nothing(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    done = finished(spool)
    clear(spool.folder("a"))

    def fails(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="No space"):
        write_done(spool.folder("a"), done)
    assert sorted(os.listdir(spool.folder("a"))) == ["request.json"]


def test_size_is_that_of_all_files(spool: Spool) -> None:
    finished(spool)
    folder = spool.folder("a")
    assert size(folder) == sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    assert size(spool.root / "none") == 0
    spool.remove("a")
    assert not folder.exists()
    spool.remove("a")


def test_a_second_server_is_refused_while_the_first_lives(spool: Spool) -> None:
    with spool.locked(), pytest.raises(SpoolInUse, match="another server"), Spool(spool.root).locked():
        pass
    with spool.locked():
        pass


def test_a_lock_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None and holder.stdout.readline().strip() == b"held"
        with pytest.raises(Held), held(tmp_path, 0.05):
            pass
        holder.kill()
        holder.wait()
        with held(tmp_path, 5.0):
            pass


def test_old_inputs_go_and_those_in_use_stay(spool: Spool) -> None:
    paths = [spool.uploads / "old.wav", spool.uploads / "used.wav", spool.captures / "new.wav"]
    for path in paths:
        path.write_bytes(b"12345")
    for path in paths[:2]:
        os.utime(path, (1000, 1000))
    assert spool.inputs_bytes() == 15
    spool.remove_inputs(2000.0, [str(paths[1])])
    assert [path.exists() for path in paths] == [False, True, True]


def test_some_room_is_kept_back_for_the_journal(spool: Spool) -> None:
    spool.reserve()
    assert (spool.root / "reserve").stat().st_size == 1 << 20
    spool.give_reserve()
    assert not (spool.root / "reserve").exists()
    spool.give_reserve()
