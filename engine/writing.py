"""Sound on its way out: written beside its place, put there whole, or not at all.

WAV (float32, 24 or 16 bit; RF64 beyond 4 GiB) and FLAC (24 or 16 bit). How a file gets its name, or leaves
nothing behind, is in `partfile.py`.

Integers cannot hold more than full scale, and how loud a stem is shows only at its end. So the samples of an
integer file are kept as float32 until then. Peaks over full scale are never clipped: the file is refused
with the gain that it needs, or `commit_all` turns down all files of a job by one gain, which keeps their sum.
"""

import io
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadOutput
from stemwright.engine.headers import wav_header
from stemwright.engine.partfile import FULL, PartFile, quoted

if TYPE_CHECKING:
    from stemwright.engine.audio import Audio

__all__ = ["BITS", "FULL", "AudioWriter", "commit_all", "fitting_gain", "quoted", "write"]

BITS = {"float": 32, "pcm24": 24, "pcm16": 16}
FLAC_CHANNELS = 8
FLAC_RATE = 655_350  # Hz
DITHER_FRAMES = 1 << 16  # frames dithered at once; part of what a seed means


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


def commit_all(writers: Sequence["AudioWriter"], others: Sequence[PartFile] = ()) -> float:
    """Give all files their names, or none; `others` are made last, when all sound is there.

    Returns the gain that the integers needed: 1 unless one peaks higher. The same gain for all, so that the
    stems still sum to the mixture (turned down as much). The caller tells the user. float32 files need no
    gain and get none.
    """
    loudest = max((writer.peak for writer in writers if not writer.is_float), default=0.0)
    gain = fitting_gain(loudest)
    done: list[PartFile] = []
    try:
        for writer in writers:
            writer.finish(1.0 if writer.is_float else gain)
        for other in others:
            other.finish(gain)
        for file in (*writers, *others):
            file.commit()
            done.append(file)
    except BaseException:
        for file in done:
            file.withdraw()
        raise
    return gain


def fitting_gain(peak: float) -> float:
    """The gain that brings `peak` to full scale; 1 if it is not above."""
    return 1.0 if peak <= 1.0 else (1.0 - 2.0**-24) / peak


class AudioWriter(PartFile):
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
        super().__init__(path, overwrite=overwrite)
        self.rate, self.channels, self.seed = rate, channels, seed
        self.is_flac = self.path.suffix.lower() == ".flac"
        self.subtype = subtype or ("pcm24" if self.is_flac else "float")
        self.frames = 0
        self.peak = 0.0  # of what was written, full scale 1
        _refuse_format(self)

    @property
    def is_float(self) -> bool:
        return self.subtype == "float"

    def __enter__(self) -> "AudioWriter":
        self.open()
        if self.is_float:
            with self._cleanly():
                assert self._file is not None
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

    def _complete(self, file: BinaryIO, gain: float) -> BinaryIO:
        """The header, once the length is known; of integers everything, for they were kept as float32."""
        if self.is_float:
            file.seek(0)
            file.write(self._header())
            return file
        self._refuse_peak(gain)
        self._file = self._part()
        with file:
            (_write_flac if self.is_flac else _write_wav)(self, self._file, _integers(self, file, gain))
        return self._file

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
