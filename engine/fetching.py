"""One file from a server, whole or not at all; what came before a cut or Ctrl-C is kept and gone on from.

pooch does the transfer (the [fetch] extra). It cannot resume, so the place its bytes go to, `Arrival`, has it
ask for the rest.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stemwright.engine.arrival import KEPT, Arrival, Complete, GoOn, OnBytes, refuse_address
from stemwright.engine.downloads import Download
from stemwright.engine.errors import BadOutput, MissingExtra, ModelDamaged, ModelMissing
from stemwright.engine.modelfiles import sha256
from stemwright.engine.partfile import publish, quoted

if TYPE_CHECKING:
    from requests.exceptions import RequestException

CHUNK = 1 << 16  # bytes at once; what a cut may cost
ASKED = 10  # times, after cuts that brought something
TIMEOUT = (15, 60)  # s to connect, and of silence


@dataclass(frozen=True)
class Fetched:
    """A file that is there. is_new: it was not before"""

    path: Path
    size: int
    sha256: str
    is_new: bool


class Cut(ModelMissing):
    """The connection ended before the file did."""


def fetch(download: Download, path: Path, on_bytes: OnBytes | None = None) -> Fetched:
    """Have the file at `path`. One that is there is the result if it is the right one, else BadOutput.

    raises  ModelMissing where the server gives nothing, ModelDamaged where it gives something else
    """
    refuse_address(download.url)
    if os.path.lexists(path):
        return already(download, path)
    arrival = Arrival(download, path, on_bytes)
    try:
        transfer(download.url, arrival)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        arrival.close()
    return put(download, arrival.part, path)


def already(download: Download, path: Path) -> Fetched:
    """The file that is there, if it is known to be the right one."""
    if path.is_file() and download.sha256 is not None:
        digest = sha256(path)
        if digest == download.sha256:
            return Fetched(path, path.stat().st_size, digest, is_new=False)
    raise BadOutput(
        f"{quoted(path)}: exists already and is kept. Remove it, or choose another name with --as."
    )


def transfer(url: str, arrival: Arrival) -> None:
    """Ask until all is there: for the rest of what came before, and after a cut."""
    for _ in range(ASKED):
        before = arrival.here
        try:
            return once(url, arrival)
        except Complete:
            return None
        except GoOn:
            continue
        except Cut:
            if arrival.here <= before:
                raise
            arrival.asked = arrival.here
    raise ModelMissing(f"{url}: the connection was cut again and again.{arrival.kept()}")


def once(url: str, arrival: Arrival) -> None:
    """One request; its bytes end up in the part-file."""
    try:
        from pooch import HTTPDownloader
        from requests import exceptions
    except ImportError as error:
        raise MissingExtra(f"fetching needs {error.name}: pip install 'stemwright[fetch]'") from error
    hooks = {"response": arrival.heard}
    ask = HTTPDownloader(chunk_size=CHUNK, timeout=TIMEOUT, headers=arrival.headers(), hooks=hooks)
    cut = (exceptions.ConnectionError, exceptions.ChunkedEncodingError, exceptions.Timeout)
    try:
        ask(url, arrival, None)
    except exceptions.HTTPError as error:
        raise ModelMissing(f"{url}: the server answers {answered(error)}. Check the address.") from error
    except cut as error:
        raise Cut(f"{url}: {arrival.account()} ({reason(error)}).{arrival.kept()}") from error
    except exceptions.RequestException as error:
        raise ModelMissing(f"{url}: cannot be fetched ({reason(error)}). Check the address.") from error
    finally:
        arrival.release()
    if arrival.total is not None and arrival.here < arrival.total:
        raise Cut(f"{url}: {arrival.account()}.{arrival.kept()}")


def put(download: Download, part: Path, path: Path) -> Fetched:
    """The complete part-file under its name, if its sum is the published one; another is removed."""
    digest = sha256(part)
    if download.sha256 not in (None, digest):
        part.unlink()
        raise ModelDamaged(
            f"{download.url}: what came is not the published file: its sha256 is {digest}, where "
            f"{download.sha256} belongs. It is removed; fetch it again, and if it stays so, do not trust it."
        )
    try:
        publish(part, path, False)
    except OSError as error:
        raise unwritable(path, error) from error
    return Fetched(path, path.stat().st_size, digest, is_new=True)


def answered(error: RequestException) -> str:
    """404 Not Found"""
    return "nothing" if error.response is None else f"{error.response.status_code} {error.response.reason}"


def reason(error: BaseException) -> str:
    """The innermost cause, in a few words."""
    while (inner := error.__cause__ or error.__context__) is not None:
        error = inner
    return (str(error).splitlines() or [type(error).__name__])[0][:120]


def unwritable(path: Path, error: OSError) -> BadOutput:
    return BadOutput(
        f"{quoted(path)}: cannot be written ({error.strerror or error}). {KEPT} Free some space and check "
        "the folder, or choose another place with --as PATH."
    )
