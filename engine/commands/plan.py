"""The words of the command line → what will be asked of the engine, and which files will come of it.

What can be refused without the model is refused here: prompts that say nothing, results that would be written
twice or over something.
"""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stemwright.engine.audio import open_audio
from stemwright.engine.commands.inputs import Found, find
from stemwright.engine.commands.outputs import distinct, fitted, refuse_collisions
from stemwright.engine.engine import REST
from stemwright.engine.errors import BadPrompt
from stemwright.engine.job import Job, Prompt, Render
from stemwright.engine.prompts import parse_prompt
from stemwright.engine.tracks import Task
from stemwright.engine.writing import quoted

LIKE_SECONDS = 60.0  # of a reference sound that are listened to


@dataclass(frozen=True)
class Piece:
    """One input and its results. files: of the prompts, in their order, then the rest if there is one"""

    found: Found | None  # None for generate
    files: tuple[Path, ...]
    picture: Path | None

    @property
    def title(self) -> str:
        return "generate" if self.found is None else quoted(self.found.path)

    @property
    def results(self) -> tuple[Path, ...]:
        return self.files if self.picture is None else (*self.files, self.picture)


@dataclass(frozen=True)
class Plan:
    """What one command line asks for. job: without its audio; names: of the prompts, for files"""

    job: Job
    names: tuple[str, ...]
    pieces: tuple[Piece, ...]


def plan(flags: Namespace) -> Plan:
    prompts, names = _prompts(flags)
    job = _job(flags, prompts)
    pieces = tuple(_pieces(flags, job, names))
    claims = [(piece.title, file) for piece in pieces for file in piece.results]
    inputs = [piece.found.path for piece in pieces if piece.found]
    refuse_collisions(claims, inputs, overwrite=flags.overwrite)
    return Plan(job, tuple(names), pieces)


def _prompts(flags: Namespace) -> tuple[tuple[Prompt, ...], list[str]]:
    """The prompts, checked, and the name of each for files."""
    prompts = [Prompt(text, negative=flags.negative) for text in flags.prompts]
    names = list(flags.prompts)
    for word in flags.like:
        text, clip = _like(word)
        with open_audio(clip) as source:
            frames = min(source.frames, round(LIKE_SECONDS * source.rate))
            prompts.append(Prompt(text, source.read(0, frames), flags.negative))
        names.append(text or Path(clip).stem)
    if not prompts:
        raise BadPrompt("no PROMPT is given. Say what to hear, e.g. bass, or give a sound: --like clip.wav")
    for prompt in prompts:
        if prompt.text or prompt.audio is None:
            parse_prompt(prompt.text)
    return tuple(prompts), distinct(names, taken=[REST])


def _like(word: str) -> tuple[str, str]:
    """[PROMPT=]CLIP → text, clip; a file whose name holds "=" is itself."""
    text, equals, clip = word.partition("=")
    return ("", word) if not equals or Path(word).exists() else (text.strip(), clip)


def _job(flags: Namespace, prompts: tuple[Prompt, ...]) -> Job:
    job = Job(
        task=Task(flags.command),
        prompts=prompts,
        steps=flags.steps,
        guidance=flags.guidance,
        sampler=flags.sampler,
        seed=flags.seed,
        render=Render(flags.render) if flags.render else None,
    )
    if job.task is Task.EXTRACT:
        return replace(job, joint=flags.joint)
    if job.task is Task.GENERATE:
        return replace(job, seconds=flags.seconds, rate=flags.rate, stem_by_stem=flags.stem_by_stem)
    return job


def _pieces(flags: Namespace, job: Job, names: Sequence[str]) -> list[Piece]:
    folder = Path(flags.output)
    parts = [*names, REST] if _has_rest(flags, job) else list(names)

    def piece(found: Found | None, prefix: str) -> Piece:
        files = tuple(folder / fitted(prefix, f".{part}.{flags.format}") for part in parts)
        picture = folder / fitted(prefix, ".spectrogram.png")
        return Piece(found, files, picture if flags.spectrogram else None)

    if job.task is Task.GENERATE:
        return [piece(None, flags.name)]
    return [piece(found, found.path.stem) for found in find([flags.input, *flags.more_inputs])]


def _has_rest(flags: Namespace, job: Job) -> bool:
    """Extraction leaves a rest; but decoded, several prompts have one each, and none of them all."""
    is_decoded = job.render is Render.DECODE
    return job.task is Task.EXTRACT and flags.rest and not (is_decoded and len(job.prompts) > 1)
