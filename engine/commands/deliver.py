"""A job done, and its stems on disk: all of them whole, or none."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stemwright.engine.audio import AudioFile, AudioWriter, commit_all, open_audio
from stemwright.engine.commands.outputs import distinct, write_bytes
from stemwright.engine.commands.project import Project
from stemwright.engine.commands.project_files import Shape, project_files
from stemwright.engine.contracts import Array
from stemwright.engine.engine import REST, Engine
from stemwright.engine.job import Job, OnProgress, Prompt, Render
from stemwright.engine.partfile import PartFile
from stemwright.engine.picture import Sketch, png
from stemwright.engine.tracks import Task

MIX = "mix"  # the picture's first panel


@dataclass(frozen=True)
class Places:
    """Where the stems of a job go, in their order. One beyond `files` (an unwanted rest) is left out."""

    files: tuple[Path, ...]
    picture: Path | None = None
    subtype: str | None = None
    overwrite: bool = False
    project: Project | None = None


@dataclass(frozen=True)
class Made:
    """What a job came to. gain: what all integer files were turned down by; 1 is nothing"""

    rate: int
    channels: int
    frames: int
    notes: tuple[str, ...]
    gain: float


@dataclass(frozen=True)
class Stems:
    """Sound on its way: blocks (stems, K, n) and what they are."""

    names: Sequence[str]
    rate: int
    channels: int
    frames: int
    blocks: Iterable[Array]


def deliver(engine: Engine, job: Job, song: Path | None, places: Places, on_progress: OnProgress) -> Made:
    """Do the job on `song` (None for generate) and write its stems."""
    if song is None:
        return _whole(engine, job, places, on_progress)
    with open_audio(song) as source:
        if job.task is Task.EXTRACT and job.render is not Render.DECODE:
            return _streamed(engine, job, source, places, on_progress)
        return _whole(engine, replace(job, audio=source.read()), places, on_progress)


def extract_file(engine: Engine, song: Path, prompts: Sequence[str], folder: Path) -> Made:
    """`stemwright extract song prompts… --output folder --overwrite`, with the engine at hand."""
    names = [*distinct(prompts, taken=[REST]), REST]
    places = Places(tuple(folder / f"{song.stem}.{name}.wav" for name in names), overwrite=True)
    job = Job(Task.EXTRACT, tuple(Prompt(text) for text in prompts))
    return deliver(engine, job, song, places, lambda _: None)


def _streamed(engine: Engine, job: Job, source: AudioFile, places: Places, on_progress: OnProgress) -> Made:
    """Block by block, so that memory does not grow with the song. The stems of a block sum to the mix."""
    extraction = engine.extract(job, source, on_progress)
    stems = Stems(extraction.names, source.rate, source.channels, source.frames, extraction)
    gain = _write(stems, places, job.seed, mix=lambda block: block.sum(axis=0))
    return Made(source.rate, source.channels, source.frames, extraction.notes, gain)


def _whole(engine: Engine, job: Job, places: Places, on_progress: OnProgress) -> Made:
    """In memory: `job` holds its audio."""
    result = engine.run(job, on_progress)
    names = [stem.name for stem in result.stems]
    first, given = result.stems[0].audio, job.audio
    block = np.stack([stem.audio.samples for stem in result.stems])
    stems = Stems(names, first.rate, first.channels, first.frames, [block])
    gain = _write(stems, places, job.seed, mix=None if given is None else lambda _: given.samples)
    return Made(first.rate, first.channels, first.frames, result.notes, gain)


def _write(stems: Stems, places: Places, seed: int, mix: Callable[[Array], Array] | None) -> float:
    """→ the gain of `commit_all`. mix: a block's stems → the input's samples, for the picture"""
    titles = [*([] if mix is None else [MIX]), *stems.names]
    sketches = [Sketch(title, stems.rate, stems.frames) for title in titles] if places.picture else []
    with ExitStack() as stack:
        writers = [_writer(stack, path, stems, places, seed) for path in places.files]
        for block in stems.blocks:
            for writer, samples in zip(writers, block, strict=False):
                writer.write(samples)
            if sketches:
                shown = block if mix is None else (mix(block), *block)
                for one, samples in zip(sketches, shown, strict=True):
                    one.push(samples)
        image = png(sketches) if sketches else b""
        gain = commit_all(writers, _project(stack, stems, places, writers))
    if places.picture:
        write_bytes(places.picture, image)
    return gain


def _project(
    stack: ExitStack, stems: Stems, places: Places, writers: list[AudioWriter]
) -> Sequence[PartFile]:
    if places.project is None:
        return ()
    shape = Shape(stems.rate, stems.channels, stems.frames)
    return project_files(stack, places.project, shape, writers, overwrite=places.overwrite)


def _writer(stack: ExitStack, path: Path, stems: Stems, places: Places, seed: int) -> AudioWriter:
    writer = AudioWriter(
        path, stems.rate, stems.channels, subtype=places.subtype, seed=seed, overwrite=places.overwrite
    )
    stack.callback(writer.discard)  # also when stopped inside __enter__
    return stack.enter_context(writer)
