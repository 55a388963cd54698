"""`--project`: what a DAW is to find. A track for the input and one for each result, all from the same start.

Which tracks there are is known before any work (here); how the project's file is written is in
`project_files.py`, and each format in a file of its own.
"""

import os
from argparse import Namespace
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from stemwright.engine.commands.outputs import fitted
from stemwright.engine.errors import BadJob, BadOutput
from stemwright.engine.job import Job
from stemwright.engine.tracks import Task
from stemwright.engine.writing import quoted

ORIGINAL = "original"  # role, and name part of the input's copy
STEM = "stem"
REST = "rest"
USUAL_TEMPO = 120.0  # BPM of a project whose song's tempo nobody told
PALETTE = (  # of the stems, in their order
    "#e4572e",
    "#2e86ab",
    "#f3a712",
    "#5b8c5a",
    "#8a5cf6",
    "#c2528b",
    "#17a398",
    "#a47148",
)
GREYS = {ORIGINAL: "#5f6670", REST: "#9aa0a6"}
PLAIN = frozenset((".wav", ".flac", ".aif", ".aiff"))  # every DAW finds the same frames in them as we do


class Kind(str, Enum):
    """What a project is written as: a file's suffix, or a folder."""

    RPP = ".rpp"
    DAWPROJECT = ".dawproject"
    STEMS = ".stem.mp4"
    FOLDER = "folder"

    @property
    def has_grid(self) -> bool:
        """Whether it holds a tempo."""
        return self is not Kind.STEMS


SUFFIXES = (Kind.RPP.value, Kind.DAWPROJECT.value, Kind.STEMS.value)


@dataclass(frozen=True)
class Track:
    """One track with one clip, from 0 to the end.

    role    "original" | "stem" | "rest"
    prompt  None for the original and the rest
    """

    name: str
    role: str
    file: Path
    colour: str  # #rrggbb
    prompt: str | None = None
    is_muted: bool = False


@dataclass(frozen=True)
class Project:
    """One song's project. tempo: in BPM, None if nobody knows; copied: the input, where a copy is wanted"""

    path: Path
    kind: Kind
    title: str
    tracks: tuple[Track, ...]
    task: Task
    model: str
    seed: int
    tempo: float | None = None
    copied: Path | None = None

    @property
    def grid(self) -> float:
        """The tempo that is written, in BPM."""
        return self.tempo or USUAL_TEMPO

    @property
    def copy(self) -> Path | None:
        """Where the input's copy goes."""
        return self.tracks[0].file if self.copied else None


@dataclass(frozen=True)
class Wish:
    """What --project says. is_named: the file's own name is given, and not only its kind"""

    path: Path
    kind: Kind
    is_named: bool
    output: Path | None  # --output, where that is given
    tempo: float | None

    def base(self) -> Path:
        """The folder of everything that comes."""
        return self.path if self.kind is Kind.FOLDER else self.path.parent

    def folder(self, title: str, is_only: bool) -> Path:
        """Of one song's stems: beside the project unless --output says where; in a plain folder inside it."""
        if self.kind is Kind.FOLDER:
            return self.path if is_only else self.path / (title if title.strip(".") else "song")
        return self.output or self.base()

    def file(self, title: str, is_only: bool) -> Path:
        """Of one song's project: of several each is named after its song."""
        if self.kind is Kind.FOLDER:
            return self.folder(title, is_only) / fitted(title, ".project.json")
        if is_only and self.is_named:
            return self.path
        return self.base() / fitted(title, self.kind.value)


def wish(flags: Namespace) -> Wish | None:
    """None without --project."""
    if flags.project is None:
        if flags.tempo is not None:
            raise BadJob("--tempo is of a project's grid. Add --project, e.g. --project song.rpp")
        return None
    if getattr(flags, "ray", None) is not None:
        raise BadJob("--project is not written by a Ray cluster. Leave --ray or --project out.")
    path, kind = _kind(flags.project)
    output = None if flags.output is None else Path(flags.output)
    if output and kind is Kind.FOLDER:
        raise BadJob(
            f"the stems lie in the project's folder, {quoted(path)}. Leave --output out, or name a file: "
            "--project song.rpp"
        )
    return Wish(path, kind, path.name.lower() != kind.value, output, flags.tempo)


def _kind(word: str) -> tuple[Path, Kind]:
    path = Path(word)
    is_folder = word.endswith(("/", os.sep))
    for suffix in () if is_folder else SUFFIXES:
        if path.name.lower().endswith(suffix):  # ".rpp" alone is a kind without a name
            return path, Kind(suffix)
    if word and (is_folder or not path.suffix or path.is_dir()):
        return path, Kind.FOLDER
    raise BadOutput(
        f"--project {quoted(word)}: no project of that kind is written. End it in .rpp (REAPER), .dawproject "
        "(Bitwig, Cubase, Studio One …), .stem.mp4 (Traktor, Mixxx …), or / for a folder."
    )


def project(
    wish: Wish,
    job: Job,
    model: str,
    song: Path | None,
    title: str,
    files: Sequence[Path],
    names: Sequence[str],
    *,
    is_only: bool,
) -> Project:
    """files: of the prompts, then the rest if there is one; names: of the prompts, for files"""
    path = wish.file(title, is_only)
    stems = [
        Track(prompt.text or name, STEM, file, PALETTE[number % len(PALETTE)], prompt.text or None)
        for number, (prompt, name, file) in enumerate(zip(job.prompts, names, files, strict=False))
    ]
    rest = [Track(REST, REST, file, GREYS[REST]) for file in files[len(stems) :]]
    original: list[Track] = []
    copied = None
    if song is not None:
        lies = _original(wish, song, title, files[0].parent)
        copied = None if lies == song else song
        is_muted = job.task is Task.EXTRACT  # the stems are in it; what was added to it sounds with it
        original = [Track(f"{title} ({ORIGINAL})", ORIGINAL, lies, GREYS[ORIGINAL], is_muted=is_muted)]
    tracks = (*original, *stems, *rest)
    made = Project(path, wish.kind, title, tracks, job.task, model, job.seed, wish.tempo, copied)
    if wish.kind is Kind.RPP:
        from stemwright.engine.commands.project_rpp import check

        check(made)
    elif wish.kind is Kind.STEMS:
        from stemwright.engine.commands import project_stems

        project_stems.check(made, song)
    return made


def _original(wish: Wish, song: Path, title: str, folder: Path) -> Path:
    """Where a project finds the input: where it lies; or a copy, in a plain folder and of lossy formats.

    What an MP3 or an Ogg file holds begins some frames earlier or later from one decoder to the next: their
    copy is ours, decoded.
    """
    suffix = song.suffix if song.suffix.lower() in PLAIN else ".wav"
    if suffix == song.suffix and (wish.kind is not Kind.FOLDER or song.resolve().parent == folder.resolve()):
        return song
    return folder / fitted(title, f".{ORIGINAL}{suffix}")
