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
from stemwright.engine.commands.project import ORIGINAL, USUAL_TEMPO, Project, Wish, project, wish
from stemwright.engine.engine import REST
from stemwright.engine.errors import BadPrompt
from stemwright.engine.job import Inpainting, Job, Null, Posterior, Prompt, Render
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
    project: Project | None = None

    @property
    def title(self) -> str:
        return "generate" if self.found is None else quoted(self.found.path)

    @property
    def results(self) -> tuple[Path, ...]:
        project = () if self.project is None else (self.project.copy, self.project.path)
        return (*self.files, *(path for path in (self.picture, *project) if path is not None))


@dataclass(frozen=True)
class Plan:
    """What one command line asks for. job: without its audio; names: of the prompts, for files

    folder  of everything that comes; `notes` are told before any work
    """

    job: Job
    names: tuple[str, ...]
    pieces: tuple[Piece, ...]
    folder: Path
    notes: tuple[str, ...] = ()


def plan(flags: Namespace) -> Plan:
    wanted = wish(flags)
    prompts, names = _prompts(flags)
    job = _job(flags, prompts)
    pieces = tuple(_pieces(flags, job, names, wanted))
    claims = [(piece.title, file) for piece in pieces for file in piece.results]
    inputs = [piece.found.path for piece in pieces if piece.found]
    refuse_collisions(claims, inputs, overwrite=flags.overwrite)
    folder = wanted.base() if wanted and not flags.output else Path(flags.output or ".")
    return Plan(job, tuple(names), pieces, folder, _notes(wanted))


def _notes(wanted: Wish | None) -> tuple[str, ...]:
    if wanted is None or wanted.tempo is not None or not wanted.kind.has_grid:
        return ()
    return (
        f"nobody told the song's tempo; the project's grid is at {USUAL_TEMPO:.0f}, which moves no sound. "
        "--tempo BPM sets it",
    )


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
    return tuple(prompts), distinct(names, taken=[REST, ORIGINAL] if flags.project else [REST])


def _like(word: str) -> tuple[str, str]:
    """[PROMPT=]CLIP → text, clip; a file whose name holds "=" is itself."""
    text, equals, clip = word.partition("=")
    return ("", word) if not equals or Path(word).exists() else (text.strip(), clip)


def _about(words: str) -> tuple[str, str]:
    """TRACK=TEXT → track, text"""
    track, equals, text = words.partition("=")
    if not (equals and track.strip()):
        raise BadPrompt(f'--about "{words:.60}" names no track: say TRACK=TEXT, e.g. --about mix="a waltz"')
    parse_prompt(text)
    return track.strip(), text.strip()


def _job(flags: Namespace, prompts: tuple[Prompt, ...]) -> Job:
    job = Job(
        task=Task(flags.command),
        prompts=prompts,
        steps=flags.steps,
        guidance=flags.guidance,
        sampler=flags.sampler,
        seed=flags.seed,
        render=Render(flags.render) if flags.render else None,
        track=flags.track,
        about=tuple(_about(words) for words in flags.about),
        grid=flags.grid,
        last=flags.last,
        overlap=flags.overlap,
        inpainting=Inpainting(flags.inpainting),
        resamples=flags.resamples,
        null=Null(flags.null),
        rescale=flags.rescale,
        posterior=Posterior(flags.posterior),
    )
    if job.task is Task.EXTRACT:
        return replace(job, joint=flags.joint)
    if job.task is Task.GENERATE:
        return replace(job, seconds=flags.seconds, rate=flags.rate, stem_by_stem=flags.stem_by_stem)
    return job


def _pieces(flags: Namespace, job: Job, names: Sequence[str], wanted: Wish | None) -> list[Piece]:
    inputs = [] if job.task is Task.GENERATE else find([flags.input, *flags.more_inputs])
    is_only = len(inputs) < 2
    parts = [*names, REST] if _has_rest(flags, job) else list(names)

    def piece(found: Found | None, prefix: str) -> Piece:
        folder = wanted.folder(prefix, is_only) if wanted else Path(flags.output or ".")
        files = tuple(folder / fitted(prefix, f".{part}.{flags.format}") for part in parts)
        picture = folder / fitted(prefix, ".spectrogram.png")
        song = found.path if found else None
        session = (
            project(wanted, job, flags.model, song, prefix, files, names, is_only=is_only) if wanted else None
        )
        return Piece(found, files, picture if flags.spectrogram else None, session)

    if job.task is Task.GENERATE:
        return [piece(None, flags.name)]
    return [piece(found, found.path.stem) for found in inputs]


def _has_rest(flags: Namespace, job: Job) -> bool:
    """Extraction leaves a rest; but decoded, several prompts have one each, and none of them all."""
    is_decoded = job.render is Render.DECODE
    return job.task is Task.EXTRACT and flags.rest and not (is_decoded and len(job.prompts) > 1)
