"""Audio over a client's line: a file goes in chunks, a result comes in ranges; what is lost is repeated."""

from __future__ import annotations

import itertools
import os
import time
import zlib
from typing import TYPE_CHECKING, BinaryIO

from stemwright.bridge.link import LineDown
from stemwright.bridge.messages import (
    AskBuffer,
    Buffer,
    Chunk,
    CloseUpload,
    OpenUpload,
    Ping,
    UploadMissing,
    UploadOpened,
)

if TYPE_CHECKING:
    from stemwright.bridge.client import Client

WINDOW = 8  # chunks or ranges on their way at once
UDP_WINDOW = 1 << 15  # bytes of chunks on their way at once
UDP_RANGE, TCP_RANGE = 1200, 1 << 16  # bytes of a result in one answer
AGAIN = 0.2  # seconds until ranges are asked for again over UDP
PATIENCE = 30.0  # seconds without a sign of the server
MOST_ROUNDS = 100  # of repairs of one upload that bring nothing


def send_file(client: Client, file: BinaryIO, upload: str) -> None:
    """A whole file as an upload; returns when the server has all of it."""
    size = file.seek(0, os.SEEK_END)
    opened = client.ask(OpenUpload(upload, size))[0]
    assert isinstance(opened, UploadOpened)
    _send_spans(client, file, opened, [(0, size)])
    checksum = _checksum(file)
    for _ in range(MOST_ROUNDS):
        rows = client.ask(CloseUpload(upload, checksum), PATIENCE)
        gaps = [(row.offset, row.length) for row in rows if isinstance(row, UploadMissing)]
        if not gaps:
            return
        _send_spans(client, file, opened, gaps)
    raise client.silent(f"{MOST_ROUNDS} times a part of the upload got lost")


def _send_spans(client: Client, file: BinaryIO, opened: UploadOpened, spans: list[tuple[int, int]]) -> None:
    """(offset, length) of each; after every window the server is waited for."""
    largest = opened.chunk_bytes
    window = WINDOW * largest if client.is_sure else max(UDP_WINDOW, largest)
    ahead = 0
    for begin, length in spans:
        for offset in range(begin, begin + length, largest):
            file.seek(offset)
            data = file.read(min(largest, begin + length - offset))
            client.send(Chunk(opened.upload, offset, data))
            ahead += len(data)
            if ahead >= window:
                client.ask(Ping(client.number()), PATIENCE)
                ahead = 0


def _checksum(file: BinaryIO) -> str:
    """CRC-32 of all bytes, eight hexadecimal digits"""
    file.seek(0)
    found = 0
    while data := file.read(1 << 20):
        found = zlib.crc32(data, found)
    return f"{found:08x}"


def fetch_file(client: Client, job: str, index: int, file: BinaryIO) -> None:
    """All bytes of a result into `file`."""
    largest = TCP_RANGE if client.is_sure else UDP_RANGE
    first = client.ask(AskBuffer(job, index, 0, largest))[0]
    assert isinstance(first, Buffer)
    file.write(first.data)
    offsets = iter(range(len(first.data), first.size, largest))
    waiting: dict[int, float] = {}  # offset → when it was asked for
    while True:
        for offset in itertools.islice(offsets, WINDOW - len(waiting)):
            waiting[offset] = time.monotonic()
            client.send(AskBuffer(job, index, offset, largest))
        if not waiting:
            return
        _take(client, waiting, AskBuffer(job, index, 0, largest), file)


def _take(client: Client, waiting: dict[int, float], asked: AskBuffer, file: BinaryIO) -> None:
    """One range that came; where none does, all that are waited for again."""
    try:
        message = client.receive(PATIENCE if client.is_sure else AGAIN)
    except LineDown as error:
        raise client.silent(str(error)) from error
    if message is None:
        _repeat(client, waiting, asked)
        return
    client.refuse(message, asked)
    if not isinstance(message, Buffer) or (message.job, message.index) != (asked.job, asked.index):
        client.keep(message)
    elif waiting.pop(message.offset, None) is not None:
        file.seek(message.offset)
        file.write(message.data)


def _repeat(client: Client, waiting: dict[int, float], asked: AskBuffer) -> None:
    for offset, since in waiting.items():
        if client.is_sure or time.monotonic() - since > PATIENCE:
            raise client.silent("a result stopped coming")
        client.send(AskBuffer(asked.job, asked.index, offset, asked.length))
