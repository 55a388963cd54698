"""Audio that comes through the socket: opened with its size, filled by ranges in any order, checked, kept."""

from __future__ import annotations

import re
import threading
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stemwright.bridge.grammar import (
    BAD_ARGS,
    BAD_INPUT,
    BUSY,
    ID_IN_USE,
    NOT_FOUND,
    TOO_LARGE,
    BadMessage,
    Message,
)
from stemwright.bridge.messages import Chunk, CloseUpload, OpenUpload, UploadDone, UploadMissing, UploadOpened
from stemwright.bridge.request import ID
from stemwright.engine.audio import HIGHEST_RATE, LOWEST_RATE, Audio, open_audio
from stemwright.engine.commands.outputs import write_bytes
from stemwright.engine.errors import StemwrightError
from stemwright.engine.writing import write

MOST_BYTES = 256 << 20  # of one client
MOST_ALL = 1 << 30  # of all together
MOST_OPEN = 256
IDLE = 60.0  # seconds without a chunk after which an upload is forgotten
MOST_ROWS = 16
UDP_CHUNK = 8192
TCP_CHUNK = 1 << 20
WIDTHS = {"file": 1, "f32": 4, "s16": 2}


@dataclass
class Upload:
    """One that is being filled. came: [begin, end) ranges that are there, sorted, not touching"""

    opened: OpenUpload
    owner: str
    data: bytearray
    touched: float
    came: list[tuple[int, int]] = field(default_factory=list)

    def fill(self, begin: int, data: bytes) -> None:
        end = begin + len(data)
        self.data[begin:end] = data
        apart = [(low, high) for low, high in self.came if high < begin or low > end]
        joined = [(low, high) for low, high in self.came if not (high < begin or low > end)]
        low = min([begin, *(low for low, _ in joined)])
        high = max([end, *(high for _, high in joined)])
        self.came = sorted([*apart, (low, high)])

    def missing(self) -> list[tuple[int, int]]:
        """(offset, length) of what never came"""
        edges = [0, *(edge for span in self.came for edge in span), len(self.data)]
        gaps = zip(edges[::2], edges[1::2], strict=True)
        return [(low, high - low) for low, high in gaps if high > low]


class Uploads:
    """All uploads. `open` and `chunk` are quick; `close` checks and writes, so it belongs to the desk."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder, self._clock = folder, clock
        self._open: dict[str, Upload] = {}
        self._done: dict[str, tuple[CloseUpload, int]] = {}
        self._lock = threading.Lock()

    def open(self, asked: OpenUpload, owner: str, *, is_tcp: bool) -> Message:
        _check(asked)
        answer = UploadOpened(asked.upload, TCP_CHUNK if is_tcp else UDP_CHUNK)
        with self._lock:
            self._forget_idle()
            before = self._open.get(asked.upload)
            if before is not None and before.opened == asked and before.owner == owner:
                return answer
            if before is not None or asked.upload in self._done or self.path(asked.upload) is not None:
                raise BadMessage(ID_IN_USE, f"an upload {asked.upload!r} exists already; choose another id")
            self._refuse_size(asked.bytes, owner)
            self._open[asked.upload] = Upload(asked, owner, bytearray(asked.bytes), self._clock())
        return answer

    def chunk(self, chunk: Chunk, owner: str) -> None:
        with self._lock:
            upload = self._open.get(chunk.upload)
            if upload is None or upload.owner != owner:
                if chunk.upload in self._done:
                    return  # a late double
                raise BadMessage(NOT_FOUND, f"no upload {chunk.upload!r:.70} is open; open it first")
            if not 0 <= chunk.offset <= chunk.offset + len(chunk.data) <= len(upload.data):
                raise BadMessage(
                    BAD_ARGS,
                    f"bytes {chunk.offset} to {chunk.offset + len(chunk.data)} lie outside the upload "
                    f"of {len(upload.data)}",
                )
            if chunk.data:
                upload.fill(chunk.offset, chunk.data)
            upload.touched = self._clock()

    def close(self, asked: CloseUpload, owner: str) -> list[Message]:
        with self._lock:
            upload = self._open.get(asked.upload)
            done = self._done.get(asked.upload)
            if upload is None and done is not None and done[0] == asked:
                return [UploadDone(asked.upload, done[1])]
        if upload is None or upload.owner != owner:
            raise BadMessage(NOT_FOUND, f"no upload {asked.upload!r:.70} is open; open it first")
        if gaps := upload.missing():
            return [UploadMissing(asked.upload, offset, length) for offset, length in gaps[:MOST_ROWS]]
        found = f"{zlib.crc32(upload.data):08x}"
        if not re.fullmatch(r"(0x)?[0-9a-fA-F]{1,8}", asked.crc32) or int(asked.crc32, 16) != int(found, 16):
            raise BadMessage(
                BAD_ARGS, f"the checksum is {found}, not {asked.crc32!r:.12}; send the bytes again"
            )
        self._keep(upload)
        with self._lock:
            self._open.pop(asked.upload, None)
            self._done[asked.upload] = (asked, len(upload.data))
            while len(self._done) > 4 * MOST_OPEN:
                self._done.pop(next(iter(self._done)))
        return [UploadDone(asked.upload, len(upload.data))]

    def path(self, name: str) -> Path | None:
        """The file of a finished upload."""
        for suffix in (".wav", ".flac"):
            if (path := self._folder / f"{name}{suffix}").is_file():
                return path
        return None

    def _keep(self, upload: Upload) -> None:
        """As a file that the engine can read, or not at all."""
        is_flac = upload.opened.format == "file" and upload.data[:4] == b"fLaC"
        path = self._folder / f"{upload.opened.upload}.{'flac' if is_flac else 'wav'}"
        try:
            if upload.opened.format == "file":
                write_bytes(path, bytes(upload.data))
            else:
                write(path, Audio(_samples(upload), upload.opened.rate))
            open_audio(path).close()
        except StemwrightError as error:
            path.unlink(missing_ok=True)
            raise BadMessage(BAD_INPUT, str(error)) from error

    def _refuse_size(self, size: int, owner: str) -> None:
        own = sum(len(one.data) for one in self._open.values() if one.owner == owner)
        every = sum(len(one.data) for one in self._open.values())
        if own + size > MOST_BYTES:
            raise BadMessage(
                TOO_LARGE,
                f"{size} bytes asked for, {own} are open; one client gets {MOST_BYTES}. Give a path instead.",
            )
        if every + size > MOST_ALL or len(self._open) >= MOST_OPEN:
            raise BadMessage(BUSY, "too many uploads are open; ask again when one has ended")

    def _forget_idle(self) -> None:
        now = self._clock()
        for name in [name for name, one in self._open.items() if now - one.touched > IDLE]:
            del self._open[name]


def _check(asked: OpenUpload) -> None:
    if not ID.fullmatch(asked.upload):
        raise BadMessage(BAD_ARGS, f"the id {asked.upload!r:.70} cannot be used: letters, digits, . _ -")
    if asked.format not in WIDTHS:
        raise BadMessage(BAD_ARGS, f"no format {asked.format!r:.20}; there are {', '.join(WIDTHS)}")
    if asked.bytes < 1:
        raise BadMessage(BAD_ARGS, f"{asked.bytes} bytes; an upload has one or more")
    if asked.format == "file":
        return
    if not LOWEST_RATE <= asked.rate <= HIGHEST_RATE or not 1 <= asked.channels <= 64:
        raise BadMessage(
            BAD_ARGS,
            f"{asked.rate} Hz in {asked.channels} channels; {asked.format} takes "
            f"{LOWEST_RATE} to {HIGHEST_RATE} Hz in 1 to 64",
        )
    if asked.bytes % (WIDTHS[asked.format] * asked.channels):
        raise BadMessage(BAD_ARGS, f"{asked.bytes} bytes are no whole number of frames")


def _samples(upload: Upload) -> np.ndarray:
    """(K, N) float32"""
    kind = "<f4" if upload.opened.format == "f32" else "<i2"
    plain = np.frombuffer(upload.data, kind).reshape(-1, upload.opened.channels).T
    return plain.astype(np.float32) / np.float32(1.0 if kind == "<f4" else 32768.0)
