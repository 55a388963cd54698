"""Where the bytes of a fetched file go: a part-file that can be gone on from.

Its name tells the address, the server's stamp of the version and the size, so that two versions never end up
in one file.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import urljoin, urlsplit

from stemwright.engine.downloads import Download
from stemwright.engine.errors import BadInput, BadOutput, ModelDamaged, ModelMissing
from stemwright.engine.partfile import quoted

if TYPE_CHECKING:
    from requests import Response

ROOM = 1 << 26  # bytes that stay free on the disk
REDIRECTS = 5
KEPT = "What came is kept; the same command goes on from there."
BINARY = getattr(os, "O_BINARY", 0)

OnBytes = Callable[[int, "int | None", "float | None"], None]  # bytes here, bytes in all, seconds left


class GoOn(Exception):
    """There is a part-file of what the server offers: ask for the rest."""


class Complete(Exception):
    """The part-file has all the server offers."""


class Arrival:
    """Where the bytes of one file go: a file to write to, and a listener to the server's answers.

    asked  where the next answer is to begin, in bytes
    here   bytes in the part-file
    total  bytes of the whole, None where the server does not say
    """

    def __init__(self, download: Download, path: Path, on_bytes: OnBytes | None) -> None:
        self.part = path.with_name(f"{path.name}.part")
        self.asked, self.here, self.total = 0, 0, download.size
        self._download, self._path, self._on_bytes = download, path, on_bytes
        self._file: BinaryIO | None = None
        self._opened: Path | None = None
        self._response: Response | None = None
        self._stamp = ""
        self._redirects = 0
        self._begin: tuple[float, int] | None = None

    def headers(self) -> dict[str, str]:
        """What is asked for: bytes as they are, from `asked` on if the version is still the same."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "stemwright"}
        if self.asked:
            headers["Range"] = f"bytes={self.asked}-"
            if self._stamp and not self._stamp.startswith("W/"):
                headers["If-Range"] = self._stamp
        return headers

    def heard(self, response: Response, *_: Any, **__: Any) -> None:
        """An answer's head, before its body: what comes, whether it may, and where it goes."""
        self._response = response
        if response.is_redirect:
            return self._redirected(response)
        if response.status_code == 416:  # the part-file is no beginning of what there is now
            return self._again()
        if not response.ok:
            return None  # pooch raises
        if response.status_code not in (200, 206):
            raise ModelMissing(
                f"{self._download.url}: the server answers {response.status_code} {response.reason}. "
                "Check the address."
            )
        self._refuse_page(response)
        begins = content_start(response)
        if begins != self.asked and begins:
            return self._again()
        before = self.part
        self._offered(response, begins)
        if begins and self.part != before:
            return self._again()
        waiting = self._waiting() if not begins and not self.asked else 0
        if waiting:
            self.asked, self.here = waiting, waiting
            raise Complete if waiting == self.total else GoOn
        self._refuse_lack_of_room(begins)
        return self._open(begins)

    def write(self, chunk: bytes) -> int:
        assert self._file is not None
        self._file.write(chunk)
        self.here += len(chunk)
        if self.total is not None and self.here > self.total:
            raise ModelDamaged(f"{self._download.url}: sends more than the {self.total} bytes it announced.")
        if self._on_bytes is not None:
            self._on_bytes(self.here, self.total, self._seconds_left())
        return len(chunk)

    def flush(self) -> None:
        """Nothing: the part-file is flushed when it is closed."""

    def release(self) -> None:
        """Let go of the connection."""
        if self._response is not None:
            self._response.close()
        self._response, self._redirects = None, 0

    def close(self) -> None:
        """The part-file lies on the disk with all that came; an empty one is removed."""
        self.release()
        self._shut()
        if not self.here and self._opened is not None:
            self._opened.unlink(missing_ok=True)
        self._opened = None

    def _shut(self) -> None:
        if self._file is not None:
            with self._file as file:
                file.flush()
                os.fsync(file.fileno())
        self._file = None

    def account(self) -> str:
        """How far it got."""
        if not self.here:
            return "cannot be reached"
        of = f" of {self.total}" if self.total is not None else ""
        return f"the connection was cut after {self.here}{of} bytes"

    def kept(self) -> str:
        return f" {KEPT}" if self.here else " Check the address and the network."

    def _redirected(self, response: Response) -> None:
        self._redirects += 1
        target = urljoin(response.url, response.headers["location"])
        refuse_address(target)
        if response.url.startswith("https:") and not target.startswith("https:"):
            raise ModelMissing(f"{response.url}: leads to {target}, unencrypted. It is not followed.")
        if self._redirects > REDIRECTS:
            raise ModelMissing(f"{self._download.url}: leads on over {REDIRECTS} times. Check the address.")

    def _refuse_page(self, response: Response) -> None:
        if "text/html" in response.headers.get("content-type", ""):
            page = self._download.page or self._download.url
            raise ModelDamaged(
                f"{self._download.url}: the server sends a web page, not the file: a login, a quota or a "
                f"question. Open {page} in a browser and fetch it there."
            )

    def _offered(self, response: Response, begins: int) -> None:
        """The whole's size and version, and by them the part-file."""
        length = response.headers.get("content-length", "")
        is_plain = response.headers.get("content-encoding", "identity") == "identity"
        total = begins + int(length) if length.isdigit() and is_plain else None
        published = self._download.size
        if published is not None and total not in (None, published):
            raise ModelDamaged(
                f"{self._download.url}: offers {total} bytes where {published} are published; nothing is "
                "fetched. See whether there is a newer Stemwright."
            )
        if total == 0:
            raise ModelDamaged(f"{self._download.url}: is an empty file. Check the address.")
        self.total = total if total is not None else published
        self._stamp = response.headers.get("etag") or response.headers.get("last-modified") or ""
        told = "\n".join((self._download.url, self._stamp, str(self.total)))
        tag = hashlib.sha256(told.encode()).hexdigest()[:8]
        self.part = self._path.with_name(f"{self._path.name}.{tag}.part")

    def _waiting(self) -> int:
        """Bytes of the part-file that are a beginning of what is offered."""
        if self.total is None or not self.part.is_file():
            return 0
        size = self.part.stat().st_size
        return size if size <= self.total else 0

    def _refuse_lack_of_room(self, begins: int) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        if self.total is None:
            return
        needed, free = self.total - begins + ROOM, shutil.disk_usage(self._path.parent).free
        if free < needed:
            raise BadOutput(
                f"{quoted(self._path)}: takes {needed / 1e6:.0f} MB more, {free / 1e6:.0f} MB are free. "
                "Free some space, or put it on another disk with --as PATH."
            )

    def _open(self, begins: int) -> None:
        """The part-file, as long as what came before; those of other versions are removed."""
        own = re.escape(self._path.name) + r"\.[0-9a-f]{8}\.part"
        for other in self._path.parent.iterdir():
            if other != self.part and re.fullmatch(own, other.name):
                other.unlink()
        if self._opened != self.part:
            self._shut()
            self._opened = self.part
            self._file = os.fdopen(os.open(self.part, os.O_RDWR | os.O_CREAT | BINARY, 0o666), "r+b")
            only_one(self._file, self.part)
        assert self._file is not None
        self._file.truncate(begins)
        self._file.seek(begins)
        self.here = begins

    def _again(self) -> None:
        """From the beginning."""
        self.close()
        self.part.unlink(missing_ok=True)
        self.asked = self.here = 0
        raise GoOn

    def _seconds_left(self) -> float | None:
        now = time.monotonic()
        if self._begin is None:
            self._begin = (now, self.here)
        begin, before = self._begin
        if self.total is None or self.here == before:
            return None
        return (now - begin) / (self.here - before) * (self.total - self.here)


def refuse_address(url: str) -> None:
    """Only http and https, with a server in it."""
    try:
        parts = urlsplit(url)
        is_right = parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        is_right = False
    if not is_right:
        raise BadInput(f"{url}: is no address with https:// or http://. Give one, or a known name.")


def content_start(response: Response) -> int:
    """Where the bytes of an answer begin in the whole: "bytes 100-199/200" → 100"""
    if response.status_code != 206:
        return 0
    found = re.match(r"bytes (\d+)-", response.headers.get("content-range", ""))
    return int(found[1]) if found else 0


def only_one(file: BinaryIO, part: Path) -> None:
    """Two processes never write to one part-file, where the system has locks."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise BadOutput(f"{quoted(part)}: is being fetched by another stemwright. Wait for it.") from error
