"""Sound on its way out: written beside its place, put there whole, or not at all.

WAV (float32, 24 or 16 bit; RF64 beyond 4 GiB) and FLAC (24 or 16 bit). A part-file in the same folder takes
the samples; it is flushed to the disk and only then gets its name, so that neither an error, nor Ctrl-C, nor
a full disk leaves half a stem.

Integers cannot hold more than full scale, and how loud a stem is shows only at its end. So the samples of an
integer file are kept as float32 until then. Peaks over full scale are never clipped: the file is refused
with the gain that it needs, or `commit_all` turns down all files of a job by one gain, which keeps their sum.
"""

import errno
import io
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadOutput
from stemwright.engine.headers import wav_header

if TYPE_CHECKING:
    from stemwright.engine.audio import Audio

BITS = {"float": 32, "pcm24": 24, "pcm16": 16}
FLAC_CHANNELS = 8
FLAC_RATE = 655_350  # Hz
DITHER_FRAMES = 1 << 16  # frames dithered at once; part of what a seed means
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


def quoted(path: str | os.PathLike[str]) -> str:
    """A name in quotes on one line, whatever is in it."""
    return repr(os.fspath(path))


def write(
    path: str | os.PathLike[str],
    audio: "Audio",
    *,
    subtype: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
) -> None:
    """Write a whole sound; see `AudioWriter`."""
    with AudioWriter(
        path, audio.rate, audio.channels, subtype=subtype, seed=seed, overwrite=overwrite
    ) as file:
        file.write(audio.samples)


def commit_all(writers: Sequence["AudioWriter"]) -> float:
    """Give all files their names, or none. Returns the gain their integers needed: 1 unless one peaks higher.

    The same gain for all, so that the stems still sum to the mixture (turned down as much). The caller tells
    the user. float32 files need no gain and get none.
    """
    loudest = max((writer.peak for writer in writers if not writer.is_float), default=0.0)
    gain = fitting_gain(loudest)
    done: list[AudioWriter] = []
    try:
        for writer in writers:
            writer.finish(1.0 if writer.is_float else gain)
        for writer in writers:
            writer.commit()
            done.append(writer)
    except BaseException:
        for writer in done:
            writer.withdraw()
        raise
    return gain


def fitting_gain(peak: float) -> float:
    """The gain that brings `peak` to full scale; 1 if it is not above."""
    return 1.0 if peak <= 1.0 else (1.0 - 2.0**-24) / peak


class AudioWriter:
    """A WAV or FLAC file (by its suffix) written block by block; it gets its name at `commit`, whole.

    subtype    "float" | "pcm24" | "pcm16"; None: float for WAV, pcm24 for FLAC
    seed       of the dither (triangular, ±1 step) of 24 and 16 bit
    overwrite  False: a file of that name is kept and BadOutput raised, at the start and again at the end

    As a context manager it commits at the end of the block, and removes its part-files after any exception.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        rate: int,
        channels: int,
        *,
        subtype: str | None = None,
        seed: int = 0,
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        self.rate, self.channels, self.seed, self.overwrite = rate, channels, seed, overwrite
        self.is_flac = self.path.suffix.lower() == ".flac"
        self.subtype = subtype or ("pcm24" if self.is_flac else "float")
        self.frames = 0
        self.peak = 0.0  # of what was written, full scale 1
        self._file: BinaryIO | None = None  # open for writing: the part-file, or its float32 samples
        self._parts: list[Path] = []  # to be removed unless committed; the last is the finished one
        self._is_finished = False
        self._is_new = False
        _refuse_format(self)

    @property
    def is_float(self) -> bool:
        return self.subtype == "float"

    def __enter__(self) -> "AudioWriter":
        with _failures(self.path):
            _refuse_place(self.path, self.overwrite)
            self._file = self._part()
            if self.is_float:
                self._file.write(self._header())
        return self

    def write(self, samples: Array) -> None:
        """Append (K, n)."""
        assert samples.ndim == 2 and samples.shape[0] == self.channels, samples.shape
        assert self._file is not None, "write inside `with`, before commit"
        if not samples.size:
            return
        peak = float(np.abs(samples).max())
        assert np.isfinite(peak), "a stem must not hold NaN or Inf"
        with self._cleanly():
            self._file.write(np.ascontiguousarray(samples.T, dtype="<f4").data)
        self.frames += samples.shape[1]
        self.peak = max(self.peak, peak)

    def finish(self, gain: float = 1.0) -> None:
        """Complete the part-file and flush it to the disk; `gain` is applied to integers."""
        if self._is_finished:
            return
        with self._cleanly():
            assert self._file is not None, "finish inside `with`"
            if self.is_float:
                self._file.seek(0)
                self._file.write(self._header())
            else:
                self._refuse_peak(gain)
                spool, self._file = self._file, self._part()
                with spool:
                    (_write_flac if self.is_flac else _write_wav)(
                        self, self._file, _integers(self, spool, gain)
                    )
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._is_finished = True

    def commit(self, gain: float = 1.0) -> None:
        """Finish, and give the file its name."""
        if self._is_finished and not self._parts:
            return
        self.finish(gain)
        with self._cleanly():
            self._is_new = not os.path.lexists(self.path)
            _publish(self._parts[-1], self.path, self.overwrite)
            self._parts.pop()
            self.discard()
            _sync_folder(self.path.parent)

    def withdraw(self) -> None:
        """Take back a file that `commit` has put where none was."""
        if self._is_new:
            with suppress(OSError):
                self.path.unlink()

    def discard(self) -> None:
        """Remove the part-files."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None
        while self._parts:
            with suppress(OSError):
                self._parts[-1].unlink()
            self._parts.pop()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        self.discard()

    @contextmanager
    def _cleanly(self) -> Iterator[None]:
        """Nothing stays behind when this block fails."""
        try:
            with _failures(self.path):
                yield
        except BaseException:
            self.discard()
            raise

    def _part(self) -> BinaryIO:
        """A new file beside the final one, readable by whom the final one is to be."""
        part = self.path.parent / f".stemwright-{secrets.token_hex(8)}.part"
        self._parts.append(part)
        flags = os.O_CREAT | os.O_EXCL | os.O_RDWR | getattr(os, "O_BINARY", 0)
        return os.fdopen(os.open(part, flags, 0o666), "w+b")

    def _header(self) -> bytes:
        return wav_header(self.frames, self.rate, self.channels, BITS[self.subtype], self.is_float)

    def _refuse_peak(self, gain: float) -> None:
        if self.peak * gain > 1.0:
            decibels = 20 * np.log10(self.peak * gain)
            raise BadOutput(
                f"{quoted(self.path)}: peaks {decibels:.2f} dB over full scale, which "
                f"{BITS[self.subtype]} bit cannot hold. Write float WAV, or turn it down by "
                f"{decibels:.2f} dB (gain {fitting_gain(self.peak * gain):.4f})."
            )


def _integers(writer: AudioWriter, spool: BinaryIO, gain: float) -> Iterator[NDArray[np.int32]]:
    """The kept float32 samples as integers (n, K) with dither.

    At full scale itself the dither may reach past the last step; there it stays on it (2 steps at most).
    """
    noise = np.random.default_rng(writer.seed)
    full = 1 << (BITS[writer.subtype] - 1)
    spool.seek(0)
    while data := spool.read(DITHER_FRAMES * writer.channels * 4):
        samples = np.frombuffer(data, "<f4").reshape(-1, writer.channels).astype(np.float64)
        dither = noise.random(samples.shape) - noise.random(samples.shape)
        yield np.clip(np.rint(samples * (gain * full) + dither), -full, full - 1).astype(np.int32)


def _write_wav(writer: AudioWriter, file: BinaryIO, blocks: Iterator[NDArray[np.int32]]) -> None:
    size = BITS[writer.subtype] // 8
    file.write(writer._header())
    for block in blocks:
        file.write(np.ascontiguousarray(block.astype("<i4").reshape(-1, 1).view(np.uint8)[:, :size]).data)
    if writer.frames * writer.channels * size % 2:
        file.write(b"\0")


def _write_flac(writer: AudioWriter, file: BinaryIO, blocks: Iterator[NDArray[np.int32]]) -> None:
    import soundfile

    bits = BITS[writer.subtype]
    watched = _Watched(file)
    try:
        with soundfile.SoundFile(
            watched, "w", writer.rate, writer.channels, format="FLAC", subtype=f"PCM_{bits}"
        ) as flac:
            for block in blocks:
                flac.write(block << (32 - bits))
    except (soundfile.SoundFileError, AssertionError) as error:  # soundfile asserts that all was written
        raise watched.error or BadOutput(
            f"{quoted(writer.path)}: FLAC cannot hold this ({writer.rate} Hz, {writer.channels} channels). "
            "Write WAV."
        ) from error
    if watched.error:
        raise watched.error
    if _flac_frames(file) != writer.frames:
        raise BadOutput(f"{quoted(writer.path)}: was interrupted while it was finished. Run it again.")


def _flac_frames(file: BinaryIO) -> int | None:
    """Length as its header has it, which is written last: an interrupt in a callback of the library is lost,
    and so is what the callback had to write.
    """
    import soundfile

    file.seek(0)
    try:
        with soundfile.SoundFile(file) as written:
            return int(written.frames)
    except (soundfile.SoundFileError, AssertionError):
        return None


class _Watched:
    """A file for libsndfile to write to: the first error is kept here, and nothing more written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self.error is None:
            try:
                return self._file.write(data)
            except OSError as error:
                self.error = error
        return 0

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        try:
            return self._file.seek(offset, whence)
        except OSError as error:
            self.error = self.error or error
            return 0

    def tell(self) -> int:
        return self._file.tell()


def _publish(part: Path, path: Path, overwrite: bool) -> None:
    """Give `part` the name `path` in one step; without `overwrite` only where nothing is, races included."""
    if overwrite:
        os.replace(part, path)
        return
    try:
        os.link(part, path)
    except FileExistsError:
        raise _exists(path) from None
    except OSError:  # no hard links here (FAT, some network disks): hold the name, then replace it
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        except FileExistsError:
            raise _exists(path) from None
        os.replace(part, path)
        return
    os.unlink(part)


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the system lets a folder be flushed."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def _failures(path: Path) -> Iterator[None]:
    """OSError → BadOutput that names the file, the reason and the way out."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        code = getattr(error, "errno", None)
        reason = getattr(error, "strerror", None) or str(error)
        remedy = "Free some space" if code in FULL else "Check the folder and its permissions"
        raise BadOutput(
            f"{quoted(path)}: cannot be written ({reason}); nothing is left of it. "
            f"{remedy}, or choose another --output."
        ) from error


def _exists(path: Path) -> BadOutput:
    return BadOutput(f"{quoted(path)}: exists already and is kept. Use --overwrite, or another --output.")


def _refuse_place(path: Path, overwrite: bool) -> None:
    if path.is_dir():
        raise BadOutput(f"{quoted(path)}: is a folder; a file is to be written. Choose another name.")
    if not path.parent.is_dir():
        raise BadOutput(f"{quoted(path)}: its folder does not exist. Make it, or choose another --output.")
    with suppress(FileNotFoundError):
        path.lstat()
        if not overwrite:
            raise _exists(path)


def _refuse_format(writer: AudioWriter) -> None:
    name = quoted(writer.path)
    if writer.path.suffix.lower() not in (".wav", ".flac"):
        raise BadOutput(f"{name}: only WAV and FLAC are written. End the name in .wav or .flac.")
    if writer.subtype not in BITS:
        raise BadOutput(f"{name}: no such sample format: {writer.subtype!r}. Choose from {', '.join(BITS)}.")
    if not writer.is_flac:
        return
    if writer.is_float:
        raise BadOutput(f"{name}: FLAC has no float samples. Choose pcm24 or pcm16, or write WAV.")
    if writer.channels > FLAC_CHANNELS:
        raise BadOutput(
            f"{name}: FLAC holds {FLAC_CHANNELS} channels, this has {writer.channels}. Write WAV."
        )
    if writer.rate > FLAC_RATE:
        raise BadOutput(f"{name}: FLAC goes up to {FLAC_RATE} Hz, this has {writer.rate} Hz. Write WAV.")
