"""`stemwright models fetch`: a file for `models import`, by its known name or its address."""

import argparse
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

from stemwright.engine.arrival import KEPT, refuse_address
from stemwright.engine.commands.flags import EXIT_CODES
from stemwright.engine.commands.show import Screen
from stemwright.engine.commands.stop import Stop
from stemwright.engine.downloads import KNOWN, Download
from stemwright.engine.errors import BadInput, Cancelled
from stemwright.engine.fetching import fetch
from stemwright.engine.job import Progress
from stemwright.engine.places import own_folder

ABOUT = """\
Fetch a model's file. It is not needed by the model that comes along; the official MGE-LDM takes three:
its own, CLAP's and a tokenizer.
"""
EXAMPLES = """\
examples:
  stemwright models fetch mge-ldm
  stemwright models fetch clap --as /data/clap.pt
  stemwright models fetch https://example.org/model.safetensors --sha256 9f86d081884c7d65…
What came before a cut or Ctrl-C is kept; the same command goes on from there. A file is never overwritten.
"""


def parser() -> argparse.ArgumentParser:
    found = argparse.ArgumentParser(
        prog="stemwright models fetch",
        description=ABOUT,
        epilog=f"{names()}\n{EXAMPLES}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    found.add_argument("what", metavar="NAME|URL", help="a known name or an address, e.g. mge-ldm")
    found.add_argument(
        "--as",
        dest="name",
        metavar="NAME|PATH",
        help=f"name in {str(folder()).replace('%', '%%')}, or a path (default: its own name there), "
        "e.g. --as /data/clap.pt",
    )
    found.add_argument(
        "--sha256",
        metavar="DIGITS",
        help="what the file's sum must be (default: the published one, where there is), e.g. --sha256 9f86…",
    )
    found.add_argument(
        "--json", action="store_true", help="print JSON (default: text for people), e.g. --json"
    )
    return found


def main(words: Sequence[str], stop: Stop) -> int:
    """→ the exit code; the file's path is printed."""
    flags = parser().parse_args(words)
    download = chosen(flags.what, flags.sha256)
    path = placed(download, flags.name)
    screen = Screen(is_json=flags.json)
    screen.note(offer(download, path))
    try:
        found = fetch(download, path, lambda *at: show(screen, flags.what, *at))
    except KeyboardInterrupt:
        screen.note(f"stopped. {KEPT}")
        return Cancelled.exit_code
    stop.check()
    is_checked = download.sha256 is not None
    facts = {
        "path": str(found.path),
        "bytes": found.size,
        "sha256": found.sha256,
        "checked": is_checked,
        "licence": download.licence,
        "new": found.is_new,
    }
    screen.result(facts, [str(found.path)])
    said = "as it should be" if is_checked else "none is published to compare it with"
    screen.note(f"sha256 {found.sha256}, {said}")
    return 0


def names() -> str:
    """The known files, for --help."""
    rows = [f"  {name:20} {size_of(one)}, licence {one.licence}" for name, one in KNOWN.items()]
    return "\n".join(["known names:", *rows])


def folder() -> Path:
    """Where fetched files lie."""
    return own_folder("data") / "downloads"


def chosen(what: str, digest: str | None) -> Download:
    """By its known name, or an address; with the sum that was given."""
    if digest is not None and (len(digest) != 64 or set(digest.lower()) - set("0123456789abcdef")):
        raise BadInput(f"--sha256 {digest}: is not one; it has 64 hexadecimal digits.")
    known = KNOWN.get(what)
    if known is None and "://" not in what:
        raise BadInput(
            f'"{what}" is not known; known are {", ".join(KNOWN)}. Give one of these, or an address.'
        )
    if known is None:
        refuse_address(what)
        return Download(what, file_of(what), sha256=digest and digest.lower())
    if digest is not None and known.sha256 not in (None, digest.lower()):
        raise BadInput(f"--sha256 {digest}: {what}'s published one is {known.sha256}. Leave the flag away.")
    return Download(**{**vars(known), "sha256": known.sha256 or (digest and digest.lower())})


def file_of(url: str) -> str:
    """The last name in an address; "" where there is none that a file can have."""
    name = PurePosixPath(unquote(urlsplit(url).path)).name
    return name if is_plain(name) else ""


def is_plain(name: str) -> bool:
    return name.isprintable() and name not in ("", ".", "..") and not set(name) & set('/\\:*?"<>|')


def placed(download: Download, name: str | None) -> Path:
    """Where the file goes: a path if the name has a folder in it."""
    name = name or download.file
    if not name:
        raise BadInput(f"{download.url}: tells no file name. Give one with --as NAME.")
    path = Path(name)
    if path.parent != Path() or path.is_absolute():
        return path
    if not is_plain(name):
        raise BadInput(f"--as {name!r}: no file can be called so everywhere. Choose another name.")
    return folder() / name


def offer(download: Download, path: Path) -> str:
    """What is about to come, from where, and to where."""
    page = f", see {download.page}" if download.page else ""
    return f"{download.url} → {path}: {size_of(download)}, licence {download.licence}{page}"


def size_of(download: Download) -> str:
    size = download.size or download.roughly
    return "of unknown size" if size is None else f"{'' if download.size else 'about '}{amount(size)}"


def amount(size: int) -> str:
    return f"{size / 1e9:.2f} GB" if size >= 1e9 else f"{size / 1e6:.1f} MB"


def show(screen: Screen, what: str, here: int, total: int | None, left: float | None) -> None:
    """The progress line; a server that does not tell the size gives no share of it."""
    if total is None:
        screen.progress(f"{what} ({amount(here)} of an unknown size)", Progress(0, 1, "fetch"))
    else:
        screen.progress(f"{what} ({amount(here)} of {amount(total)})", Progress(here, total, "fetch", left))
