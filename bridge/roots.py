"""The door for paths that come in messages: only plain audio files inside the allowed folders get through."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from pathlib import Path

from stemwright.bridge.grammar import FORBIDDEN_PATH, NOT_FOUND, TOO_LARGE, BadMessage
from stemwright.engine.writing import quoted

LARGEST = 2 << 30  # bytes of an input
LONGEST = 4096  # bytes of a path
SUFFIXES = frozenset(
    {".wav", ".wave", ".rf64", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc"}
)


class Roots:
    """The folders that may be read. Any thread.

    Where they really lie is looked up at first, and again before a path is refused: a folder may be mounted
    or made later, and a look at each for every request would take most of a request's time.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = tuple(folders)
        self._real = self._looked_up()

    def resolve(self, path: str, *, largest: int = LARGEST) -> Path:
        """The real path of an audio file that lies inside a root; a relative one is looked for in each.

        BadMessage: forbidden_path for whatever leads out (links, "..", network names, "~"), or to something
        that is no plain audio file; not_found; too_large. Where a path that leads out ends is not told.
        """
        _refuse_words(path)
        found = self._found(path)
        if found.suffix.lower() not in SUFFIXES:
            raise BadMessage(FORBIDDEN_PATH, f"{quoted(path):.300} is no audio file by its name: {_names()}")
        _refuse_file(path, found, largest)
        return found

    def _found(self, path: str) -> Path:
        """The first place of that name that is inside and there."""
        inside = _inside(path, self._real)
        if not any(map(os.path.lexists, inside)):
            self._real = self._looked_up()
            inside = _inside(path, self._real)
        if not inside:
            known = ", ".join(map(quoted, self._folders)) or "none"
            raise BadMessage(
                FORBIDDEN_PATH,
                f"{quoted(path):.300} lies outside the folders this server may read; there are: {known}. "
                "Add one with --root, or upload the file.",
            )
        found = next(filter(os.path.lexists, inside), None)
        if found is None:
            text = f"{quoted(path):.300}: no such file. Check the spelling and the folder."
            raise BadMessage(NOT_FOUND, text)
        return found

    def _looked_up(self) -> list[Path]:
        return [real for folder in self._folders if (real := _real(folder))]


def _inside(path: str, roots: Sequence[Path]) -> list[Path]:
    """The real paths that it may mean, of those inside a root, whether they exist or not."""
    given = Path(path)
    places = [given] if given.is_absolute() else [root / given for root in roots]
    return [real for place in places if (real := _real(place)) and _is_inside(real, roots)]


def _refuse_words(path: str) -> None:
    """What must not even be looked at: a network name alone makes Windows log in there."""
    is_odd = "\0" in path or not path or len(os.fsencode(path)) > LONGEST
    is_foreign = path.startswith(("\\\\", "//", "\\/", "/\\", "~")) or "\\\\?" in path
    has_stream = os.name == "nt" and ":" in path[2:]
    if is_odd or is_foreign or has_stream:
        raise BadMessage(
            FORBIDDEN_PATH, f"{path!r:.300} cannot be used: give the plain path of a file on this machine"
        )


def _real(place: Path) -> Path | None:
    """With links followed, whether it exists or not; None where it cannot be told."""
    try:
        return place.resolve()
    except (OSError, RuntimeError, ValueError):  # RuntimeError: links in a circle
        return None


def _is_inside(real: Path, roots: Sequence[Path]) -> bool:
    return any(real != root and real.is_relative_to(root) for root in roots)


def _refuse_file(path: str, found: Path, largest: int) -> None:
    """Looked at through an open handle, without following a link and without waiting for a pipe."""
    flags = os.O_RDONLY
    for name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    try:
        handle = os.open(found, flags)
    except FileNotFoundError as error:
        raise BadMessage(NOT_FOUND, f"{quoted(path):.300}: no such file.") from error
    except OSError as error:
        raise BadMessage(
            FORBIDDEN_PATH, f"{quoted(path):.300}: cannot be read ({error.strerror}). Check its permissions."
        ) from error
    try:
        kind = os.fstat(handle)
    finally:
        os.close(handle)
    if not stat.S_ISREG(kind.st_mode):
        raise BadMessage(FORBIDDEN_PATH, f"{quoted(path):.300} is not a plain file")
    if kind.st_size > largest:
        raise BadMessage(
            TOO_LARGE,
            f"{quoted(path):.300} has {kind.st_size} bytes; at most {largest} are taken. Cut it, or save it "
            "as FLAC.",
        )


def _names() -> str:
    return ", ".join(sorted(SUFFIXES))
