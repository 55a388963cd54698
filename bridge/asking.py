"""A request of the bridge in the words of the engine: prompts, job, region, the names of the files."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemwright.bridge.request import Request
from stemwright.engine.audio import Audio, AudioFile, open_audio
from stemwright.engine.commands.outputs import distinct, fitted
from stemwright.engine.commands.plan import LIKE_SECONDS
from stemwright.engine.contracts import Array
from stemwright.engine.engine import REST
from stemwright.engine.errors import BadInput, BadJob
from stemwright.engine.job import Inpainting, Job, Null, Posterior, Prompt, Render
from stemwright.engine.tracks import Task
from stemwright.engine.writing import quoted

SLACK = 0.01  # seconds a region may reach beyond its input: clients round, too
LARGEST_SEED = 2**31 - 1  # what a message can hold


def is_masked(request: Request) -> bool:
    """Whether the stems are masks on the input: then it streams, and the rest is what they leave."""
    return request.task == Task.EXTRACT.value and request.render != Render.DECODE.value


def prompts(request: Request) -> tuple[Prompt, ...]:
    """Its prompts with the reference sound, which stands alone or beside one prompt."""
    texts = request.prompts or ("",)
    if request.like is None:
        return tuple(Prompt(text, negative=request.negative) for text in texts)
    if len(texts) > 1:
        raise BadJob(
            f"a reference sound goes with one prompt or none, not with {len(texts)}; use a job each."
        )
    with open_audio(request.like) as source:
        sound = source.read(0, min(source.frames, round(LIKE_SECONDS * source.rate)))
    return (Prompt(texts[0].strip(), sound, request.negative),)


def seeds(request: Request) -> range:
    """One for each variation."""
    last = request.seed + request.variations - 1
    if last > LARGEST_SEED:
        raise BadJob(
            f"{request.variations} variations from seed {request.seed} end at {last}, beyond {LARGEST_SEED}. "
            "Begin at a smaller seed."
        )
    return range(request.seed, last + 1)


def job(request: Request, asked: Sequence[Prompt], seed: int, *, is_joint: bool) -> Job:
    """One pass of the engine, without its audio."""
    told = {field: made(value) for name, field, made in TOLD if (value := getattr(request, name)) is not None}
    return Job(
        Task(request.task),
        tuple(asked),
        seed=seed,
        joint=is_joint,
        stem_by_stem=request.stem_by_stem,
        **told,
    )


def meant(value: float) -> float:
    """The decimal behind a fraction of 32 bits: 0.02 comes as 0.019999999552965164 and is 0.02 again."""
    short = np.float32(value)
    return float(str(short)) if float(short) == value else value


TOLD: tuple[tuple[str, str, Callable[[Any], Any]], ...] = (  # option, field of a Job, its value
    ("seconds", "seconds", float),
    ("rate", "rate", int),
    ("steps", "steps", int),
    ("guidance", "guidance", meant),
    ("sampler", "sampler", str),
    ("render", "render", Render),
    ("track", "track", str),
    ("grid", "grid", str),
    ("last_level", "last", meant),
    ("overlap", "overlap", meant),
    ("inpainting", "inpainting", Inpainting),
    ("resamples", "resamples", int),
    ("null", "null", Null),
    ("rescale", "rescale", meant),
    ("posterior", "posterior", Posterior),
)


def kinds(request: Request) -> list[str]:
    """What the results are called, in their order: "slap-bass", "drums", "rest"."""
    texts = [text.strip() for text in request.prompts] or [""]
    like = "" if request.like is None else Path(request.like).stem
    names = distinct([text or like for text in texts], taken=[REST])
    # Decoded, several prompts have a rest each, and none of them all.
    has_rest = request.task == Task.EXTRACT.value and (is_masked(request) or len(texts) == 1)
    return [*names, REST] if has_rest and request.rest else names


def file_name(request: Request, kind: str, seed: int) -> str:
    """bass.wav, or bass.seed-8.wav where there are several."""
    variation = f".seed-{seed}" if request.variations > 1 else ""
    return fitted(kind, f"{variation}.{request.format}")


def span(start: float, seconds: float, rate: int) -> tuple[int, int]:
    """(first frame, frames) of a region.

    Both ends are rounded, so that neighbours share an edge; but a length that is a whole number of frames,
    as far as the 32 bits it came in can tell, stays that number.
    """
    begin, length = round(start * rate), seconds * rate
    if abs(length - round(length)) <= max(1e-3, length * 2**-23):
        return begin, round(length)
    return begin, round((start + seconds) * rate) - begin


@dataclass(frozen=True)
class Region:
    """A span of a file as the engine's Source; `begin` and `frames` in frames of the file."""

    file: AudioFile
    begin: int
    frames: int

    @classmethod
    def of(cls, file: AudioFile, request: Request) -> Region:
        """BadInput where the file ends before the region does."""
        seconds = file.seconds - request.start if request.seconds is None else request.seconds
        begin, frames = span(request.start, seconds, file.rate)
        beyond = begin + frames - file.frames
        if 0 < beyond <= SLACK * file.rate:
            frames -= beyond
        if begin + frames > file.frames or frames < 1:
            raise BadInput(
                f"the region from {request.start:g} to {request.start + seconds:g} s lies beyond "
                f"{quoted(file.path)}, which is {file.seconds:g} s long. Choose one inside it."
            )
        return cls(file, begin, frames)

    @property
    def rate(self) -> int:
        return self.file.rate

    @property
    def channels(self) -> int:
        return self.file.channels

    def blocks(self) -> Iterator[Array]:
        return self.file.blocks(self.begin, self.frames)

    def read(self) -> Audio:
        return self.file.read(self.begin, self.frames)
