"""How results are called, and the refusal to write over anything."""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from stemwright.engine.errors import BadOutput

LONGEST = 80  # bytes of UTF-8 a prompt may give to a file name
FORBIDDEN = frozenset('/\\:*?"<>|')  # what one system or another refuses in a name


def slug(prompt: str) -> str:
    """A prompt as part of a file name: "the Slap  Bass!" → "the-slap-bass". Any script's letters stay."""
    letters = "".join(" " if _is_unfit(letter) else letter for letter in unicodedata.normalize("NFC", prompt))
    words = "-".join(letters.lower().split()).strip("-.!,;'")
    return words.encode()[:LONGEST].decode(errors="ignore").strip("-.") or "stem"


def _is_unfit(letter: str) -> bool:
    return letter in FORBIDDEN or unicodedata.category(letter) in ("Cc", "Cs", "Cn", "Co", "Zl", "Zp")


def distinct(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """The names as slugs, each once: bass, bass-2, …; none of those `taken`."""
    used = set(taken)
    found = []
    for name in names:
        base, number = slug(name), 2
        one = base
        while one in used:
            one, number = f"{base}-{number}", number + 1
        used.add(one)
        found.append(one)
    return found


def refuse_collisions(claims: Sequence[tuple[str, Path]], inputs: Iterable[Path], *, overwrite: bool) -> None:
    """claims: (who, the file it will write). Raised before any work is done."""
    sources = {path.resolve() for path in inputs}
    counts = Counter(path.resolve() for _, path in claims)
    for who, path in claims:
        if path.resolve() in sources:
            raise BadOutput(f"{path} is itself an input; write elsewhere with --output DIR")
        if counts[path.resolve()] > 1:
            others = " and ".join(
                sorted({name for name, other in claims if other.resolve() == path.resolve()})
            )
            raise BadOutput(
                f"{others} would all be written to {path}; run them apart, each with its own --output DIR"
            )
        if path.is_dir():
            raise BadOutput(f"{path} is a folder; write elsewhere with --output DIR")
        if path.exists() and not overwrite:
            raise BadOutput(
                f"{path} is there already (for {who}); add --overwrite to replace it, or --output DIR"
            )


def make_folder(folder: Path) -> None:
    """The output folder exists afterwards, or BadOutput says why not."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(
            f"{folder}: the output folder cannot be made ({error.strerror}); choose another --output DIR"
        ) from error
