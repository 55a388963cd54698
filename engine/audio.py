"""Sound as the engine holds it, and the door it comes in by.

Rates are in Hz, lengths in frames; a resampled length is exact to the frame. Writing is in `writing.py`.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadInput
from stemwright.engine.headers import missing_bytes
from stemwright.engine.writing import AudioWriter, commit_all, quoted, write

if TYPE_CHECKING:
    import soundfile

__all__ = [
    "Audio",
    "AudioFile",
    "AudioWriter",
    "Resampler",
    "commit_all",
    "mono_blocks",
    "open_audio",
    "quoted",
    "read",
    "resample",
    "resampled_frames",
    "write",
]

LOWEST_RATE = 4_000  # Hz; below it no instrument can be told from another
HIGHEST_RATE = 768_000  # Hz; the fastest converters sold
MOST_CHANNELS = 64
SHORTEST = 0.1  # seconds; less is one hop of the model
LOUDEST = 2.0**20  # 120 dB over full scale: only broken files go there
BLOCK = 1 << 17  # frames read at once
UNKNOWN_FRAMES = 1 << 62  # what the decoder says then, or more
FORMATS = "WAV, FLAC, Ogg, MP3 or AIFF"


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound: `samples` float32 (K, N), full scale at ±1, and its `rate` in Hz."""

    samples: Array
    rate: int

    def __post_init__(self) -> None:
        if self.samples.ndim != 2 or self.samples.dtype != np.float32:
            raise BadInput(
                f"samples are {self.samples.dtype} {self.samples.shape}; the engine takes float32 "
                "(channels, frames). Reshape them and use .astype('float32')."
            )

    @property
    def channels(self) -> int:
        return int(self.samples.shape[0])

    @property
    def frames(self) -> int:
        return int(self.samples.shape[1])

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def mono(self) -> "Audio":
        """The mean of the channels, as one."""
        if self.channels == 1:
            return self
        return Audio(self.samples.mean(axis=0, keepdims=True), self.rate)


class AudioFile:
    """An audio file open for reading: its rate, channels and length are known before a sample is read,
    and any span can be read without the rest, so that memory does not grow with the song.
    """

    def __init__(self, path: Path, source: "soundfile.SoundFile") -> None:
        self.path = path
        self.rate: int = source.samplerate
        self.channels: int = source.channels
        self.frames: int = source.frames
        self._source = source

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def blocks(self, start: int = 0, frames: int | None = None, size: int = BLOCK) -> Iterator[Array]:
        """The span of `frames` from `start` (None: to the end) as blocks of `size`, each (K, n ≤ size)."""
        end = self.frames if frames is None else start + frames
        assert 0 <= start <= end <= self.frames, (start, end, self.frames)
        for position in range(start, end, size):
            yield self._block(position, min(size, end - position))

    def read(self, start: int = 0, frames: int | None = None) -> Audio:
        """The span as one piece; memory is that of the span."""
        end = self.frames if frames is None else start + frames
        samples = np.empty((self.channels, end - start), np.float32)
        position = 0
        for block in self.blocks(start, end - start):
            samples[:, position : position + block.shape[1]] = block
            position += block.shape[1]
        return Audio(samples, self.rate)

    def _block(self, start: int, frames: int) -> Array:
        samples = _decode(self._source, start, frames)
        if len(samples) < frames:
            raise _cut_short(self.path, start + len(samples), self.frames, self.rate)
        if not np.abs(samples).max() <= LOUDEST:  # False for NaN and Inf too
            at = start + int(np.argmin((np.abs(samples) <= LOUDEST).all(axis=1)))
            raise BadInput(
                f"{quoted(self.path)}: frame {at} (at {at / self.rate:.2f} s) is NaN, Inf or "
                f"beyond ±{LOUDEST:.0f}; samples must be numbers around full scale (±1). Export the file "
                "again, or as 24-bit WAV."
            )
        return np.ascontiguousarray(samples.T)

    def close(self) -> None:
        self._source.close()

    def __enter__(self) -> "AudioFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def open_audio(path: str | os.PathLike[str]) -> AudioFile:
    """Open a WAV, FLAC, Ogg, MP3 or AIFF file, or raise BadInput in one line; bad samples show on reading.

    A file that its own header calls longer than it is (a copy or a bounce that was interrupted) is
    refused: stems shorter than the song would line up with nothing.
    """
    path = Path(path)
    _refuse_unreadable(path)
    source = _open(path)
    try:
        _refuse_shape(path, source)
        _refuse_length(path, source)
    except BaseException:
        source.close()
        raise
    return AudioFile(path, source)


def read(path: str | os.PathLike[str]) -> Audio:
    """The whole file; see `open_audio` for what is refused."""
    with open_audio(path) as source:
        return source.read()


def mono_blocks(source: AudioFile, rate: int, start: int = 0, frames: int | None = None) -> Iterator[Array]:
    """What the model hears: the span's mean channel at `rate`, block by block, each (n,).

    All blocks together have `resampled_frames` of the span; memory is that of a block.
    """
    resampler = Resampler(source.rate, rate, channels=1)
    for block in source.blocks(start, frames):
        yield resampler.push(block.mean(axis=0, keepdims=True))[0]
    yield resampler.finish()[0]


def resampled_frames(frames: int, source: int, target: int) -> int:
    """Length after going from `source` Hz to `target` Hz, rounded to the nearest frame."""
    return (2 * frames * target + source) // (2 * source)


def resample(audio: Audio, rate: int, frames: int | None = None) -> Audio:
    """At another rate, exactly `frames` long (None: `resampled_frames`): cut, or padded with silence."""
    if frames is None:
        frames = resampled_frames(audio.frames, audio.rate, rate)
    if rate == audio.rate:
        return Audio(_fit(audio.samples, frames), rate)
    import soxr

    samples = soxr.resample(np.ascontiguousarray(audio.samples.T), audio.rate, rate, quality="HQ")
    return Audio(_fit(np.ascontiguousarray(samples.T, dtype=np.float32), frames), rate)


class Resampler:
    """`resample` in blocks: what `push` and `finish` return, put together, is what `resample` returns."""

    def __init__(self, source: int, target: int, channels: int) -> None:
        import soxr

        self.source, self.target = source, target
        self._stream = soxr.ResampleStream(source, target, channels, dtype="float32", quality="HQ")
        self._channels = channels
        self._taken = 0  # frames pushed
        self._given = 0  # frames returned

    def push(self, samples: Array) -> Array:
        """(K, n) → (K, m): as many frames as are certain by now."""
        self._taken += samples.shape[1]
        if self.source == self.target:
            return samples
        return self._give(self._stream.resample_chunk(np.ascontiguousarray(samples.T)).T)

    def finish(self) -> Array:
        """(K, m): the last frames, so that all together are `resampled_frames` of what was pushed."""
        if self.source == self.target:
            return np.zeros((self._channels, 0), np.float32)
        tail = self._stream.resample_chunk(np.zeros((0, self._channels), np.float32), last=True)
        wanted = resampled_frames(self._taken, self.source, self.target) - self._given
        assert wanted >= 0, (self._taken, self._given)
        return self._give(_fit(tail.T, wanted))

    def _give(self, samples: Array) -> Array:
        self._given += samples.shape[1]
        return np.ascontiguousarray(samples, dtype=np.float32)


def _fit(samples: Array, frames: int) -> Array:
    """(K, N) → (K, frames): cut, or padded with silence."""
    if samples.shape[1] >= frames:
        return samples[:, :frames]
    return np.pad(samples, ((0, 0), (0, frames - samples.shape[1])))


def _decode(source: "soundfile.SoundFile", start: int, frames: int) -> Array:
    """(n ≤ frames, K); n is 0 where the decoder gives up."""
    from soundfile import SoundFileError

    try:
        if source.tell() != start:
            source.seek(start)
        samples: Array = source.read(frames, dtype="float32", always_2d=True)
        return samples
    except SoundFileError:
        return np.zeros((0, source.channels), np.float32)


def _open(path: Path) -> "soundfile.SoundFile":
    import soundfile

    name = os.fspath(path) if os.name == "nt" else os.fsencode(path)  # elsewhere a name is any bytes
    try:
        return soundfile.SoundFile(name)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: a name like song.raw
        raise BadInput(
            f"{quoted(path)}: no audio is recognised in it, whatever its name; give {FORMATS} "
            "(for another kind: ffmpeg -i INPUT song.wav)."
        ) from error


def _refuse_unreadable(path: Path) -> None:
    try:
        kind = path.stat()
        if stat.S_ISDIR(kind.st_mode):
            raise BadInput(f"{quoted(path)}: is a folder; one audio file is wanted. Name a file inside it.")
        if not stat.S_ISREG(kind.st_mode):
            raise BadInput(f"{quoted(path)}: is not a plain file; give {FORMATS} saved on a disk.")
        if kind.st_size == 0:
            raise BadInput(f"{quoted(path)}: is empty (0 bytes). Export or copy it again.")
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError as error:
        raise BadInput(f"{quoted(path)}: no such file. Check the spelling and the folder.") from error
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise BadInput(
            f"{quoted(path)}: cannot be read ({reason}). Check its permissions, or copy it elsewhere."
        ) from error


def _refuse_shape(path: Path, source: "soundfile.SoundFile") -> None:
    rate, channels = source.samplerate, source.channels
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        raise BadInput(
            f"{quoted(path)}: the rate is {rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} Hz are taken. "
            "Export it at 44100 Hz, or correct the rate in its header."
        )
    if channels > MOST_CHANNELS:
        raise BadInput(
            f"{quoted(path)}: has {channels} channels; at most {MOST_CHANNELS} are taken. Split it first."
        )


def _refuse_length(path: Path, source: "soundfile.SoundFile") -> None:
    frames = source.frames
    if frames == 0:
        raise BadInput(f"{quoted(path)}: holds no sound (0 frames). Export it again.")
    if frames >= UNKNOWN_FRAMES:
        raise BadInput(
            f"{quoted(path)}: its header does not say how long it is (encoded into a pipe); the length "
            "is needed first. Make it whole: ffmpeg -i INPUT whole.flac."
        )
    seconds = frames / source.samplerate
    if seconds < SHORTEST:
        raise BadInput(
            f"{quoted(path)}: is {seconds:.5f} s long ({frames} frame{'s' * (frames > 1)}); at "
            f"least {SHORTEST} s are needed. Give a longer region, or pad it with silence."
        )
    missing = missing_bytes(path)
    if missing:
        total = frames + missing * frames // max(1, path.stat().st_size)
        raise _cut_short(path, frames, total, source.samplerate)
    if len(_decode(source, frames - 1, 1)) < 1:
        raise _cut_short(path, None, frames, source.samplerate)


def _cut_short(path: Path, frames: int | None, total: int, rate: int) -> BadInput:
    """`frames` is where it ends, None where finding out would mean decoding it."""
    end = "sooner" if frames is None else f"at {frames / rate:.2f} s"
    return BadInput(
        f"{quoted(path)}: is cut short: its header promises {total / rate:.2f} s, it ends {end}. "
        "Copy or export it again; to use what is there: ffmpeg -i INPUT whole.wav."
    )
