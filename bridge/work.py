"""Requests done: the engine asked, the stems in the job's folder.

Several requests that differ in their prompts only are done in one pass; each gets the stems and the rest that
it would get alone. All results of a job are whole files before done.json is written, which is what makes it
finished: after a crash there is all of a job, or nothing that counts.
"""

from __future__ import annotations

import errno
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stemwright.bridge import asking
from stemwright.bridge.asking import Region
from stemwright.bridge.grammar import BAD_INPUT, BAD_JOB, DISK_FULL, INTERNAL, MODEL, TOO_LARGE, BadMessage
from stemwright.bridge.pool import MadeFile, Tell, WorkEvent
from stemwright.bridge.request import Request
from stemwright.bridge.results import Shape, Stems
from stemwright.bridge.spool import OUT, Done, clear, held, read_done, write_done
from stemwright.engine.audio import open_audio
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.errors import (
    BadInput,
    BadJob,
    BadOutput,
    BadPrompt,
    Cancelled,
    MissingExtra,
    ModelError,
    StemwrightError,
)
from stemwright.engine.job import Job, OnProgress, Progress, Prompt
from stemwright.engine.writing import FULL

PATIENCE = 30.0  # seconds for the process before us to leave the job's folder
log = logging.getLogger(__name__)

IsCancelled = Callable[[str], bool]


@dataclass
class Errand:
    """One job of a batch. rows: its prompts among those of the batch"""

    request: Request
    folder: Path
    prompts: tuple[Prompt, ...] = ()
    rows: slice = field(default_factory=lambda: slice(0))
    results: list[MadeFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    gain: float = 1.0
    has_ended: bool = False

    @property
    def job(self) -> str:
        return self.request.job


@dataclass(frozen=True)
class Sound:
    """What comes out of one pass: blocks (stems, K, n); notes are complete after the last.

    mixture  (begin, frames) → (K, n) of the region the stems are parts of; None where they are not
    """

    shape: Shape
    blocks: Iterable[Array]
    notes: Callable[[], Sequence[str]]
    mixture: Callable[[int, int], Array] | None = None


def do(
    engine: Engine, batch: Sequence[Request], folders: Sequence[Path], tell: Tell, is_cancelled: IsCancelled
) -> None:
    """Do these jobs, each in its own folder. `tell` gets progress, and one end for each: done, cancelled or
    failed.

    batch         one request, or several that share an `order.batch_key`
    is_cancelled  is asked at every sampler step
    """
    begin = time.monotonic()
    with ExitStack() as stack:
        errands = []
        for request, folder in zip(batch, folders, strict=True):
            try:
                stack.enter_context(held(folder, PATIENCE))
                done = read_done(folder, request)  # by a process that died before it could say so
                if done is None:
                    clear(folder)
                    errands.append(Errand(request, folder))
                    continue
            except (OSError, StemwrightError) as error:
                tell(failed(request.job, error))
                continue
            tell(WorkEvent("done", request.job, results=done.results, seconds=done.seconds))
        _Batch(engine, errands, tell, is_cancelled, begin).run()


def own(errand: Errand, block: Array, mixture: Array | None) -> Array:
    """The stems of one job in a block (stems, K, n), and what they leave of the mixture, as alone."""
    if mixture is None:
        return block
    stems = block[errand.rows]
    rest = mixture - stems.sum(axis=0)
    return np.concatenate([stems, rest[None]])


class _Batch:
    """Jobs in one pass. One that ends early takes no further part; when all have, the pass is stopped."""

    def __init__(
        self, engine: Engine, errands: list[Errand], tell: Tell, is_cancelled: IsCancelled, begin: float
    ) -> None:
        self._engine, self._errands, self._begin = engine, errands, begin
        self._tell, self._is_cancelled = tell, is_cancelled

    def run(self) -> None:
        try:
            self._prepare()
            if self._open():
                for number, seed in enumerate(asking.seeds(self._request)):
                    self._pass(seed, self._watch(number))
            for errand in self._open():
                self._finish(errand)
        except (BadPrompt, BadJob) as error:
            self._apart(error)
        except Exception as error:
            for errand in self._open():
                self._end(errand, ended_by(errand.job, error))

    @property
    def _request(self) -> Request:
        """What all of them share."""
        return self._errands[0].request

    def _open(self) -> list[Errand]:
        return [errand for errand in self._errands if not errand.has_ended]

    def _prepare(self) -> None:
        row = 0
        for errand in self._errands:
            errand.prompts = asking.prompts(errand.request)
            errand.rows = slice(row, row + len(errand.prompts))
            row = errand.rows.stop

    def _apart(self, error: Exception) -> None:
        """A prompt that cannot be used is the end of its own job only."""
        left = self._open()
        for errand in left:
            if len(self._errands) == 1:
                self._end(errand, ended_by(errand.job, error))
            else:
                alone = [Errand(errand.request, errand.folder)]
                _Batch(self._engine, alone, self._tell, self._is_cancelled, self._begin).run()

    def _pass(self, seed: int, on_progress: OnProgress) -> None:
        self._check()
        prompts = [prompt for errand in self._errands for prompt in errand.prompts]
        is_joint = self._request.joint and len(self._errands) == 1
        job = asking.job(self._request, prompts, seed, is_joint=is_joint)
        with self._sound(job, on_progress) as sound, ExitStack() as stack:
            wanted = sound.shape.asked(self._request)
            files = [
                stack.enter_context(Stems(self._paths(errand, seed), sound.shape, wanted, seed))
                for errand in self._errands
            ]
            begin = 0
            for block in sound.blocks:
                mixture = self._mixture(sound, begin, block.shape[2])
                begin += block.shape[2]
                for errand, stems in zip(self._errands, files, strict=True):
                    if errand.has_ended:
                        stems.discard()
                    else:
                        stems.write(own(errand, block, mixture))
            for errand, stems in zip(self._errands, files, strict=True):
                if not errand.has_ended:
                    self._keep(errand, stems, sound.notes())

    @contextmanager
    def _sound(self, job: Job, on_progress: OnProgress) -> Iterator[Sound]:
        if self._request.path is None:
            yield self._whole(job, on_progress)
            return
        with open_audio(self._request.path) as file, open_audio(self._request.path) as again:
            region = Region.of(file, self._request)
            if asking.is_masked(self._request):
                extraction = self._engine.extract(job, region, on_progress)
                shape = Shape(region.rate, region.channels, region.frames)

                def mixture(begin: int, frames: int) -> Array:
                    return again.read(region.begin + begin, frames).samples

                yield Sound(shape, extraction, lambda: extraction.notes, mixture)
            else:
                yield self._whole(replace(job, audio=region.read()), on_progress)

    def _whole(self, job: Job, on_progress: OnProgress) -> Sound:
        result = self._engine.run(job, on_progress)
        first = result.stems[0].audio
        block = np.stack([stem.audio.samples for stem in result.stems])
        return Sound(Shape(first.rate, first.channels, first.frames), [block], lambda: result.notes)

    def _paths(self, errand: Errand, seed: int) -> list[Path]:
        folder = errand.folder / OUT
        if not errand.has_ended:
            folder.mkdir(mode=0o700, exist_ok=True)
            return [
                folder / asking.file_name(errand.request, kind, seed) for kind in asking.kinds(errand.request)
            ]
        return []

    def _mixture(self, sound: Sound, begin: int, frames: int) -> Array | None:
        """Of a block; needed only where several jobs share the pass."""
        return None if sound.mixture is None or len(self._errands) == 1 else sound.mixture(begin, frames)

    def _keep(self, errand: Errand, stems: Stems, notes: Sequence[str]) -> None:
        errand.gain = min(errand.gain, stems.commit())
        errand.results += [
            MadeFile(kind, path, stems.seconds, stems.seed)
            for kind, path in zip(asking.kinds(errand.request), stems.paths, strict=True)
        ]
        others = [prompt.text.strip() for one in self._errands if one is not errand for prompt in one.prompts]
        own = [prompt.text.strip() for prompt in errand.prompts]
        foreign = {f"no {name} heard" for name in others if name not in own}
        errand.notes += [note for note in notes if note not in foreign and note not in errand.notes]

    def _watch(self, number: int) -> OnProgress:
        """Progress of one pass as that of the job, and the place where cancelling is seen."""
        passes = self._request.variations

        def on_progress(now: Progress) -> None:
            self._check()
            done, total = number * now.total + now.done, passes * now.total
            left = (time.monotonic() - self._begin) / done * (total - done) if done else None
            for errand in self._open():
                self._tell(WorkEvent("progress", errand.job, Progress(done, total, now.stage, left)))

        return on_progress

    def _check(self) -> None:
        """End what was cancelled; Cancelled when nothing is left to do."""
        for errand in self._open():
            if self._is_cancelled(errand.job):
                self._end(errand, WorkEvent("cancelled", errand.job))
        if not self._open():
            raise Cancelled("stopped on request")

    def _finish(self, errand: Errand) -> None:
        seconds = time.monotonic() - self._begin
        results = tuple(errand.results)
        write_done(errand.folder, Done(errand.request, results, seconds, tuple(errand.notes), errand.gain))
        errand.has_ended = True
        self._tell(WorkEvent("done", errand.job, results=results, seconds=seconds))

    def _end(self, errand: Errand, event: WorkEvent) -> None:
        """Without results: nothing of the job is left."""
        errand.has_ended = True
        with suppress(OSError):
            clear(errand.folder)
        self._tell(event)


def ended_by(job: str, error: Exception) -> WorkEvent:
    """The end that an error means for a job."""
    return WorkEvent("cancelled", job) if isinstance(error, Cancelled) else failed(job, error)


def failed(job: str, error: BaseException) -> WorkEvent:
    """What went wrong, as a code and a sentence."""
    code, text = _reason(error)
    if code == INTERNAL:
        log.error("job %s: %s", job, text, exc_info=error)
    return WorkEvent("failed", job, code=code, text=text)


def _reason(error: BaseException) -> tuple[str, str]:
    if is_full(error):
        return (
            DISK_FULL,
            "no room on the spool's disk for the results. Free some space there, then ask again.",
        )
    if isinstance(error, MemoryError):
        return TOO_LARGE, "not enough memory for this region. Choose a shorter one."
    if isinstance(error, BadMessage):
        return error.code, str(error)
    codes = {
        BadInput: BAD_INPUT, BadPrompt: BAD_JOB, BadJob: BAD_JOB, ModelError: MODEL, MissingExtra: MODEL,
        BadOutput: BAD_JOB if error.__cause__ is None else INTERNAL,
    }  # fmt: skip
    code = next((code for kind, code in codes.items() if isinstance(error, kind)), INTERNAL)
    if isinstance(error, StemwrightError):
        return code, str(error)
    return INTERNAL, f"an error of ours ({type(error).__name__}: {error}); the server's log has more."


def is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind it."""
    while error is not None:
        if isinstance(error, OSError) and (error.errno in FULL or error.errno == errno.ENOSPC):
            return True
        error = error.__cause__
    return False
