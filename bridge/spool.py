"""The folder that sound travels through.

    spool/                     where we make it, only its owner may look in
        journal.sqlite         see journal.py
        uploads/ captures/     inputs that came through the socket or from the live input
        jobs/<id>/
            request.json       what is asked
            out/*.wav          the results, each whole
            done.json          last, in one step: the job is finished, and this is what it came to
        reserve                bytes kept so that on a full disk the journal can still be written

A job's folder has its id for a name; an id that some file system would mistake for another (capitals, a dot
at the end, "con") gets a number in front: Bass → 9452e40e~bass. Whoever works in a job's folder holds
its lock.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemwright.bridge.errors import BadSpool, SpoolInUse
from stemwright.bridge.grammar import BadMessage
from stemwright.bridge.pool import MadeFile
from stemwright.bridge.request import Request
from stemwright.engine.errors import StemwrightError
from stemwright.engine.prompts import RESERVED
from stemwright.engine.writing import quoted

OUT, DONE, REQUEST = "out", "done.json", "request.json"
RESERVE = 1 << 20  # bytes
PATIENCE = 0.02  # seconds between two looks at a lock


@dataclass(frozen=True)
class Done:
    """What a job came to. gain: what FLAC results were turned down by so that they fit; 1 is nothing"""

    request: Request
    results: tuple[MadeFile, ...]
    seconds: float
    notes: tuple[str, ...] = ()
    gain: float = 1.0


class Spool:
    """The folders, made where they are missing; BadSpool where that cannot be."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        try:
            self.root = Path(root).expanduser().resolve()
            self.jobs, self.uploads, self.captures = (
                self.root / name for name in ("jobs", "uploads", "captures")
            )
            for folder in (self.root, self.jobs, self.uploads, self.captures):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)  # one that is there stays as it is
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise BadSpool(
                f"{quoted(root)}: cannot be the spool ({reason}). Check it, or choose another --spool."
            ) from error
        self.journal = self.root / "journal.sqlite"

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Held by the one server that works here; SpoolInUse at once for any other."""
        try:
            with held(self.root, 0.5):
                yield
        except Held as error:
            raise SpoolInUse(
                f"{quoted(self.root)}: another server works in it. Stop it, or choose another --spool."
            ) from error

    def folder(self, job: str) -> Path:
        """Where a job's files are, whether there are any or not."""
        return self.jobs / folder_name(job)

    def open(self, request: Request, *, is_new: bool) -> Path:
        """The folder of a job about to be done. OSError where there is no room, or no permission.

        is_new  nobody has worked on it: what a job of the same id left is removed
        """
        folder = self.folder(request.job)
        if is_new:
            clear(folder)
        folder.mkdir(mode=0o700, exist_ok=True)
        _put(folder / REQUEST, request.to_json())
        return folder

    def remove(self, job: str) -> None:
        """Everything of a job."""
        shutil.rmtree(self.folder(job), ignore_errors=True)

    def finished(self) -> Iterator[Done]:
        """Every job whose folder says that it is finished."""
        for folder in sorted(self.jobs.iterdir()):
            if done := read_done(folder):
                yield done

    def free(self) -> int:
        """Bytes left on the disk, for us."""
        return shutil.disk_usage(self.root).free

    def inputs_bytes(self) -> int:
        """Of all uploads and captures."""
        return sum(size(folder) for folder in (self.uploads, self.captures))

    def remove_inputs(self, before: float, kept: Iterable[str]) -> None:
        """Uploads and captures that nobody has touched since `before` (wall time) and no job reads."""
        needed = set(kept)
        for folder in (self.uploads, self.captures):
            for path in folder.iterdir():
                with suppress(OSError):
                    if str(path) not in needed and path.stat().st_mtime < before:
                        path.unlink()

    def reserve(self) -> None:
        """Keep some room back, if there is enough."""
        path = self.root / "reserve"
        with suppress(OSError):
            if not path.exists() and self.free() > 4 * RESERVE:
                path.write_bytes(bytes(RESERVE))

    def give_reserve(self) -> None:
        """Let the journal have it."""
        with suppress(OSError):
            (self.root / "reserve").unlink()


def folder_name(job: str) -> str:
    """A name that no file system takes for that of another job."""
    plain = job.lower().rstrip(".")
    if plain == job and job.partition(".")[0] not in RESERVED:
        return job
    return f"{zlib.crc32(job.encode()):08x}~{plain}"


def clear(folder: Path) -> None:
    """Remove what a job made: done.json first, so that it is never finished without its files."""
    with suppress(FileNotFoundError):
        (folder / DONE).unlink()
    shutil.rmtree(folder / OUT, ignore_errors=True)


def size(folder: Path) -> int:
    """Bytes of all files below."""
    total = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += os.lstat(os.path.join(above, name)).st_size
    return total


def write_done(folder: Path, done: Done) -> None:
    """The job is finished from the moment this returns, whatever happens. OSError leaves nothing."""
    _put(
        folder / DONE,
        {
            "state": "finished",
            "request": done.request.to_json(),
            "results": [
                {"kind": one.kind, "file": one.path.name, "seconds": one.seconds, "seed": one.seed}
                for one in done.results
            ],
            "seconds": done.seconds,
            "notes": list(done.notes),
            "gain": done.gain,
        },
        is_lasting=True,
    )


def read_done(folder: Path, request: Request | None = None) -> Done | None:
    """What the folder says the job came to; None where it is not finished, or is another than `request`."""
    try:
        plain = json.loads((folder / DONE).read_bytes())
        done = Done(
            Request.from_json(plain["request"]),
            tuple(_result(folder, one) for one in plain["results"]),
            float(plain["seconds"]),
            tuple(map(str, plain["notes"])),
            float(plain["gain"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, BadMessage, RecursionError):
        return None
    is_other = request is not None and done.request != request
    is_whole = all(one.path.is_file() for one in done.results)
    return None if is_other or not is_whole else done


def _result(folder: Path, plain: Mapping[str, Any]) -> MadeFile:
    name = str(plain["file"])
    if os.path.basename(name) != name:
        raise ValueError(name)
    return MadeFile(str(plain["kind"]), folder / OUT / name, float(plain["seconds"]), int(plain["seed"]))


def _put(path: Path, content: Any, *, is_lasting: bool = False) -> None:
    """A small JSON file, whole or not at all; lasting: also after a power cut, if its name is there."""
    part = path.with_name(f".stemwright-{path.name}.part")
    try:
        with part.open("wb") as file:
            file.write(json.dumps(content, indent=1).encode() + b"\n")
            file.flush()
            if is_lasting:
                os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise


class Held(StemwrightError):
    """Somebody else works in the folder."""


@contextmanager
def held(folder: Path, seconds: float) -> Iterator[None]:
    """Nobody else holds this folder; Held after waiting so long. It is let go when the process dies, too.

    A disk that knows no locks lets everybody in.
    """
    is_windows = sys.platform == "win32"
    flags = os.O_RDWR | os.O_CREAT if is_windows else os.O_RDONLY
    handle = os.open(folder / ".lock" if is_windows else folder, flags)
    try:
        deadline = time.monotonic() + seconds
        while not _lock(handle):
            if time.monotonic() > deadline:
                raise Held(f"{quoted(folder)}: another process works in it. Wait for it, or stop it.")
            time.sleep(PATIENCE)
        yield
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """Whether it is ours now."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # no locks here
    return True
