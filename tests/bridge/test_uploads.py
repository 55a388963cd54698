import io
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemwright.bridge.grammar import BAD_ARGS, BAD_INPUT, ID_IN_USE, NOT_FOUND, TOO_LARGE, BadMessage
from stemwright.bridge.messages import Chunk, CloseUpload, OpenUpload, UploadDone, UploadMissing, UploadOpened
from stemwright.bridge.uploads import IDLE, MOST_BYTES, MOST_ROWS, Uploads
from stemwright.engine.audio import read

OWNER = "127.0.0.1"


def wav(frames: int = 6000) -> bytes:
    file = io.BytesIO()
    sound = np.random.default_rng(0).standard_normal((frames, 2)).astype(np.float32) * 0.1
    soundfile.write(file, sound, 48000, format="WAV", subtype="FLOAT")
    return file.getvalue()


def crc(data: bytes) -> str:
    return f"{zlib.crc32(data):08x}"


def code(refused: "pytest.ExceptionInfo[BadMessage]") -> str:
    return refused.value.code


def test_a_file_sent_in_any_order_and_twice_is_the_file(tmp_path: Path) -> None:
    data, uploads = wav(), Uploads(tmp_path)
    opened = uploads.open(OpenUpload("a", len(data)), OWNER, is_tcp=False)
    assert isinstance(opened, UploadOpened)
    offsets = list(range(0, len(data), 700))
    np.random.default_rng(1).shuffle(offsets)
    for offset in (*offsets, *offsets[:3]):
        uploads.chunk(Chunk("a", offset, data[offset : offset + 700]), OWNER)
    assert uploads.close(CloseUpload("a", crc(data)), OWNER) == [UploadDone("a", len(data))]
    path = uploads.path("a")
    assert path is not None and path.read_bytes() == data
    assert uploads.close(CloseUpload("a", crc(data)), OWNER) == [UploadDone("a", len(data))]  # asked again


def test_missing_ranges_are_told_and_can_be_repaired(tmp_path: Path) -> None:
    data, uploads = wav(), Uploads(tmp_path)
    uploads.open(OpenUpload("a", len(data)), OWNER, is_tcp=False)
    uploads.chunk(Chunk("a", 100, data[100:200]), OWNER)
    uploads.chunk(Chunk("a", 300, data[300:]), OWNER)
    rows = uploads.close(CloseUpload("a", crc(data)), OWNER)
    assert rows == [UploadMissing("a", 0, 100), UploadMissing("a", 200, 100)]
    for row in rows:
        assert isinstance(row, UploadMissing)
        uploads.chunk(Chunk("a", row.offset, data[row.offset : row.offset + row.length]), OWNER)
    assert uploads.close(CloseUpload("a", crc(data)), OWNER) == [UploadDone("a", len(data))]


def test_not_more_missing_rows_than_a_client_can_take(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    uploads.open(OpenUpload("a", 10000), OWNER, is_tcp=False)
    for offset in range(0, 10000, 200):
        uploads.chunk(Chunk("a", offset, bytes(100)), OWNER)
    assert len(uploads.close(CloseUpload("a", "0"), OWNER)) == MOST_ROWS


@pytest.mark.parametrize(("kind", "dtype", "scale"), [("f32", "<f4", 1.0), ("s16", "<i2", 1 / 32768)])
def test_raw_samples_become_a_float_wav(tmp_path: Path, kind: str, dtype: str, scale: float) -> None:
    sound = (np.random.default_rng(0).uniform(-0.9, 0.9, (2, 5000)) / scale).astype(dtype)
    data, uploads = sound.T.tobytes(), Uploads(tmp_path)
    uploads.open(OpenUpload("a", len(data), kind, 44100, 2), OWNER, is_tcp=True)
    uploads.chunk(Chunk("a", 0, data), OWNER)
    uploads.close(CloseUpload("a", crc(data)), OWNER)
    path = uploads.path("a")
    assert path is not None
    kept = read(path)
    assert kept.rate == 44100
    np.testing.assert_array_equal(kept.samples, sound.astype(np.float32) * np.float32(scale))


def test_what_is_no_audio_leaves_nothing(tmp_path: Path) -> None:
    uploads, data = Uploads(tmp_path), b"not audio at all"
    uploads.open(OpenUpload("a", len(data)), OWNER, is_tcp=False)
    uploads.chunk(Chunk("a", 0, data), OWNER)
    with pytest.raises(BadMessage) as refused:
        uploads.close(CloseUpload("a", crc(data)), OWNER)
    assert code(refused) == BAD_INPUT
    assert list(tmp_path.iterdir()) == []


def test_a_wrong_checksum_is_refused_and_the_bytes_can_be_sent_again(tmp_path: Path) -> None:
    data, uploads = wav(), Uploads(tmp_path)
    uploads.open(OpenUpload("a", len(data)), OWNER, is_tcp=False)
    uploads.chunk(Chunk("a", 0, bytes(len(data))), OWNER)
    for wrong in (crc(data), "xyz", ""):
        with pytest.raises(BadMessage) as refused:
            uploads.close(CloseUpload("a", wrong), OWNER)
        assert code(refused) == BAD_ARGS
    uploads.chunk(Chunk("a", 0, data), OWNER)
    assert uploads.close(CloseUpload("a", "0x" + crc(data)), OWNER) == [UploadDone("a", len(data))]


def test_ids_are_taken_once_and_the_same_words_are_the_same_upload(tmp_path: Path) -> None:
    data, uploads = wav(), Uploads(tmp_path)
    asked = OpenUpload("a", len(data))
    assert uploads.open(asked, OWNER, is_tcp=False) == uploads.open(asked, OWNER, is_tcp=False)
    with pytest.raises(BadMessage) as refused:
        uploads.open(OpenUpload("a", 5), OWNER, is_tcp=False)
    assert code(refused) == ID_IN_USE
    with pytest.raises(BadMessage) as refused:  # somebody else's
        uploads.chunk(Chunk("a", 0, b"x"), "10.0.0.1")
    assert code(refused) == NOT_FOUND


@pytest.mark.parametrize("name", ["", "../a", "a/b", ".a", "a" * 65, "a\n", "é"])
def test_an_id_is_never_a_path(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadMessage) as refused:
        Uploads(tmp_path).open(OpenUpload(name, 5), OWNER, is_tcp=False)
    assert code(refused) == BAD_ARGS


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (10, 1), (5, 6), (2**31 - 1, 1)])
def test_a_chunk_outside_the_upload_is_refused(tmp_path: Path, offset: int, size: int) -> None:
    uploads = Uploads(tmp_path)
    uploads.open(OpenUpload("a", 10), OWNER, is_tcp=False)
    with pytest.raises(BadMessage) as refused:
        uploads.chunk(Chunk("a", offset, bytes(size)), OWNER)
    assert code(refused) == BAD_ARGS


def test_sizes_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    uploads = Uploads(tmp_path)
    for size, expected in (
        (2**31 - 1, TOO_LARGE),
        (MOST_BYTES + 1, TOO_LARGE),
        (0, BAD_ARGS),
        (-1, BAD_ARGS),
    ):
        with pytest.raises(BadMessage) as refused:
            uploads.open(OpenUpload("a", size), OWNER, is_tcp=False)
        assert code(refused) == expected


@pytest.mark.parametrize(
    "asked",
    [
        OpenUpload("a", 8, "mp3"),
        OpenUpload("a", 8, "f32", 0, 1),
        OpenUpload("a", 8, "f32", 44100, 0),
        OpenUpload("a", 9, "f32", 44100, 1),
    ],
)
def test_formats_that_make_no_sense_are_refused(tmp_path: Path, asked: OpenUpload) -> None:
    with pytest.raises(BadMessage) as refused:
        Uploads(tmp_path).open(asked, OWNER, is_tcp=False)
    assert code(refused) == BAD_ARGS


def test_an_upload_that_nobody_fills_is_forgotten(tmp_path: Path) -> None:
    now = [0.0]
    uploads = Uploads(tmp_path, lambda: now[0])
    uploads.open(OpenUpload("a", 10), OWNER, is_tcp=False)
    now[0] = IDLE + 1
    uploads.open(OpenUpload("b", 10), OWNER, is_tcp=False)
    with pytest.raises(BadMessage) as refused:
        uploads.chunk(Chunk("a", 0, b"x"), OWNER)
    assert code(refused) == NOT_FOUND
