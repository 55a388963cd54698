"""How results are called, and the refusal to write over anything."""

import os
import secrets
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from stemwright.engine.errors import BadOutput
from stemwright.engine.prompts import slug
from stemwright.engine.writing import quoted

LONGEST = 255  # bytes of a file name, on every common file system


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names as slugs, each once: bass, bass-2, …; none of those `taken`."""
    used = set(taken)
    found = []
    for name in names:
        one, number = slug(name), 2
        while one in used:
            one, number = f"{slug(name)}-{number}", number + 1
        used.add(one)
        found.append(one)
    return found


def fitted(prefix: str, ending: str) -> str:
    """A file name whose prefix gives way where both are too long."""
    room = LONGEST - len(os.fsencode(ending))
    short = os.fsencode(prefix)[:room]
    if len(short) == room:  # the cut may have gone through a letter
        short = short.decode(errors="ignore").encode()
    return os.fsdecode(short) + ending


def refuse_collisions(claims: Sequence[tuple[str, Path]], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """claims: (who, the file it will write). Raised before any work is done."""
    sources = {path.resolve() for path in inputs}
    counts = Counter(path.resolve() for _, path in claims)
    for who, path in claims:
        if path.resolve() in sources:
            raise BadOutput(f"{quoted(path)} is itself an input. Write elsewhere with --output DIR.")
        if counts[path.resolve()] > 1:
            rivals = sorted({name for name, other in claims if other.resolve() == path.resolve()})
            raise BadOutput(
                f"{' and '.join(rivals)} would both be written to {quoted(path)}. "
                "Run them apart, each with its own --output DIR."
            )
        if path.is_dir():
            raise BadOutput(f"{quoted(path)} is a folder. Write elsewhere with --output DIR.")
        if os.path.lexists(path) and not overwrite:
            raise BadOutput(
                f"{quoted(path)} is there already (from {who}). "
                "Add --overwrite to replace it, or choose another --output DIR."
            )


def make_folder(folder: Path) -> None:
    """The output folder exists afterwards, or BadOutput says why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise BadOutput(
            f"{quoted(folder)}: the output folder cannot be made ({reason}). Choose another --output."
        ) from error


@contextmanager
def folder_for(file: Path) -> Iterator[None]:
    """The folder of `file` exists inside this block; one that is new and empty goes again after an error."""
    is_new = not file.parent.exists()
    make_folder(file.parent)
    try:
        yield
    except BaseException:
        if is_new:
            with suppress(OSError):
                file.parent.rmdir()
        raise


def write_bytes(path: Path, content: bytes) -> None:
    """A small file, whole or not at all; replaces what is there."""
    part = path.parent / f".stemwright-{secrets.token_hex(8)}.part"
    try:
        part.write_bytes(content)
        os.replace(part, path)
    except OSError as error:
        raise BadOutput(
            f"{quoted(path)}: cannot be written ({error.strerror}). "
            "Free some space, or choose another --output."
        ) from error
    finally:
        with suppress(OSError):
            part.unlink()
