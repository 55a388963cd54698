"""A project's own files: written beside the stems, and named with them or not at all."""

import os
import shutil
import unicodedata
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stemwright.engine.audio import AudioWriter, open_audio
from stemwright.engine.commands.project import ORIGINAL, PLAIN, Kind, Project, Track
from stemwright.engine.partfile import PartFile


@dataclass(frozen=True)
class Shape:
    """What every track holds. gain: what integer stems were turned down by, which their tracks undo"""

    rate: int
    channels: int
    frames: int
    gain: float = 1.0

    @property
    def seconds(self) -> float:
        return self.frames / self.rate

    def level(self, track: Track) -> float:
        """The track's fader, linear: all tracks sound as loud as they were made."""
        return 1.0 if track.role == ORIGINAL else 1 / self.gain


def relative(file: Path, project: Path) -> str:
    """From the project's folder, with "/"; whole where no such way exists (another drive)."""
    lies = file.parent.resolve() / file.name
    try:
        way = os.path.relpath(lies, project.parent.resolve())
    except ValueError:
        way = str(lies)
    return way.replace(os.sep, "/")


def plain(text: str) -> str:
    """On one line: a blank for each control character and line end."""
    return "".join(" " if unicodedata.category(letter) in ("Cc", "Zl", "Zp") else letter for letter in text)


class Copy(PartFile):
    """The input again, byte for byte."""

    def __init__(self, song: Path, path: Path, *, overwrite: bool) -> None:
        super().__init__(path, overwrite=overwrite)
        self._song = song

    def _complete(self, file: BinaryIO, gain: float) -> BinaryIO:
        with self._song.open("rb") as source:
            shutil.copyfileobj(source, file)
        return file


class ProjectFile(PartFile):
    """The project, once every stem is finished. sources: the files that have no name yet"""

    def __init__(
        self, project: Project, shape: Shape, sources: Mapping[Path, PartFile], *, overwrite: bool
    ) -> None:
        super().__init__(project.path, overwrite=overwrite)
        self._project, self._shape, self._sources = project, shape, sources

    def _complete(self, file: BinaryIO, gain: float) -> BinaryIO:
        shape = Shape(self._shape.rate, self._shape.channels, self._shape.frames, gain)
        if self._project.kind is Kind.RPP:
            from stemwright.engine.commands.project_rpp import rpp

            file.write(rpp(self._project, shape))
        elif self._project.kind is Kind.DAWPROJECT:
            from stemwright.engine.commands.project_dawproject import pack

            pack(file, self._project, shape, self._lies)
        elif self._project.kind is Kind.STEMS:
            from stemwright.engine.commands import project_stems

            project_stems.pack(file, self._project, shape, self._lies)
        else:
            from stemwright.engine.commands.project_manifest import manifest

            file.write(manifest(self._project, shape))
        return file

    def _lies(self, track: Track) -> Path:
        """Where the sound of a track is now."""
        source = self._sources.get(track.file)
        return track.file if source is None else source.part


def project_files(
    stack: ExitStack, project: Project, shape: Shape, writers: list[AudioWriter], *, overwrite: bool
) -> list[PartFile]:
    """What the project needs beyond its stems; discarded with `stack` unless committed."""
    sources: dict[Path, PartFile] = {writer.path: writer for writer in writers}
    files: list[PartFile] = []
    if project.copied is not None and project.copy is not None:
        copy = _copy(stack, project.copied, project.copy, shape, overwrite)
        sources[project.copy] = copy
        files.append(copy)
    last = ProjectFile(project, shape, sources, overwrite=overwrite)
    stack.callback(last.discard)
    last.open()
    return [*files, last]


def _copy(stack: ExitStack, song: Path, path: Path, shape: Shape, overwrite: bool) -> PartFile:
    """Byte for byte, or what the engine heard of a lossy file."""
    if song.suffix.lower() in PLAIN:
        copy = Copy(song, path, overwrite=overwrite)
        stack.callback(copy.discard)
        copy.open()
        return copy
    writer = AudioWriter(path, shape.rate, shape.channels, overwrite=overwrite)
    stack.callback(writer.discard)
    with open_audio(song) as source:
        stack.enter_context(writer)
        for block in source.blocks():
            writer.write(block)
    return writer
