"""Which files the words of the command line mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from stemwright.engine.errors import BadInput
from stemwright.engine.writing import quoted

SUFFIXES = frozenset(
    (".wav", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".aifc", ".w64", ".caf")
)


@dataclass(frozen=True)
class Found:
    """An input, or why there is none."""

    path: Path
    problem: BadInput | None = None


def find(words: Sequence[str]) -> list[Found]:
    """Files, folders and globs → files in the order named, each once; those of a folder by name."""
    found: dict[Path, Found] = {}
    for word in words:
        for one in _one(word):
            found.setdefault(one.path.absolute(), one)
    return list(found.values())


def _one(word: str) -> list[Found]:
    path = Path(word)
    if not word:
        return [Found(path, BadInput("an INPUT is empty; it takes the name of a file, a folder or a glob"))]
    if path.is_dir():
        return _folder(path)
    if any(letter in word for letter in "*?[") and not path.exists():
        return _pattern(word)
    return [Found(path)]


def _folder(folder: Path) -> list[Found]:
    try:
        inside = sorted(
            path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and path.is_file()
        )
    except OSError as error:
        return [Found(folder, BadInput(f"{quoted(folder)}: the folder cannot be read ({error.strerror})"))]
    if inside:
        return [Found(path) for path in inside]
    kinds = "WAV, FLAC, Ogg, MP3 or AIFF"
    return [
        Found(
            folder,
            BadInput(
                f"{quoted(folder)}: the folder holds no {kinds} file; folders inside it are not searched"
            ),
        )
    ]


def _pattern(word: str) -> list[Found]:
    from glob import glob

    matches = sorted(Path(match) for match in glob(word, recursive=True) if Path(match).is_file())
    return [Found(path) for path in matches] or [
        Found(
            Path(word),
            BadInput(f"{quoted(word)}: no file matches; check the name, or put the pattern in quotes"),
        )
    ]
