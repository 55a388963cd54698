"""A file on its way: made beside its place under another name, put there whole, or not at all.

The part-file is flushed to the disk and only then gets its name, so that neither an error, nor Ctrl-C, nor a
full disk leaves half a file.
"""

import errno
import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from stemwright.engine.errors import BadOutput

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def quoted(path: str | os.PathLike[str]) -> str:
    """A name in quotes on one line, whatever is in it."""
    return repr(os.fspath(path))


class PartFile(ABC):
    """A file that gets its name at `commit`, whole.

    overwrite  False: a file of that name is kept and BadOutput raised, at the start and again at the end
    """

    def __init__(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.overwrite = overwrite
        self._file: BinaryIO | None = None  # open for writing: the part-file, or what it will be made of
        self._parts: list[Path] = []  # to be removed unless committed; the last is the finished one
        self._is_finished = False
        self._is_new = False

    @property
    def part(self) -> Path:
        """Where the finished bytes lie between `finish` and `commit`."""
        assert self._is_finished and self._parts, "the part-file is there after finish, before commit"
        return self._parts[-1]

    def open(self) -> None:
        """Make the part-file; the place is looked at first."""
        with failures(self.path):
            _refuse_place(self.path, self.overwrite)
            self._file = self._part()

    @abstractmethod
    def _complete(self, file: BinaryIO, gain: float) -> BinaryIO:
        """Write what is not written yet; → the file that is to get the name."""

    def finish(self, gain: float = 1.0) -> None:
        """Complete the part-file and flush it to the disk. gain: of the integer samples, or a job's"""
        if self._is_finished:
            return
        with self._cleanly():
            assert self._file is not None, "finish after open"
            self._file = self._complete(self._file, gain)
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._is_finished = True

    def commit(self, gain: float = 1.0) -> None:
        """Finish, and give the file its name."""
        if self._is_finished and not self._parts:
            return
        self.finish(gain)
        with self._cleanly():
            self._is_new = not os.path.lexists(self.path)
            publish(self._parts[-1], self.path, self.overwrite)
            self._parts.pop()
            self.discard()
            _sync_folder(self.path.parent)

    def withdraw(self) -> None:
        """Take back a file that `commit` has put where none was."""
        if self._is_new:
            with suppress(OSError):
                self.path.unlink()

    def discard(self) -> None:
        """Remove the part-files."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        while self._parts:
            with suppress(OSError):
                self._parts[-1].unlink()
            self._parts.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        self.discard()

    @contextmanager
    def _cleanly(self) -> Iterator[None]:
        """Nothing stays behind when this block fails."""
        try:
            with failures(self.path):
                yield
        except BaseException:
            self.discard()
            raise

    def _part(self) -> BinaryIO:
        """A new file beside the final one, readable by whom the final one is to be."""
        part = self.path.parent / f".stemwright-{secrets.token_hex(8)}.part"
        self._parts.append(part)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(part, flags, 0o666), "w+b")


@contextmanager
def failures(path: Path) -> Iterator[None]:
    """OSError → BadOutput that names the file, the reason and the way out."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        code = getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Free some space" if code in FULL else "Check the folder and its permissions"
        raise BadOutput(
            f"{quoted(path)}: cannot be written ({reason}); nothing is left of it. "
            f"{remedy}, or choose another --output."
        ) from error


def publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give `part` the name `path` in one step; without `overwrite` only where nothing is, races included."""
    if overwrite:
        os.replace(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # no hard links here (FAT, some network disks): hold the name, then replace it
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            raise _exists(path) from None
        os.replace(part, path)
        return
    os.unlink(part)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system lets a folder be flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def put_lasting(path: Path, content: bytes, mode: int = 0o666) -> None:
    """A small file, whole or not at all, also through a power cut; what is there is replaced."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _exists(path: Path) -> BadOutput:
    return BadOutput(f"{quoted(path)}: exists already and is kept. Use --overwrite, or another --output.")


def _refuse_place(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise BadOutput(f"{quoted(path)}: is a folder; a file is to be written. Choose another name.")
    if not path.parent.is_dir():
        raise BadOutput(f"{quoted(path)}: its folder does not exist. Make it, or choose another --output.")
    with suppress(FileNotFoundError):
        path.lstat()
        if not overwrite:
            raise _exists(path)
