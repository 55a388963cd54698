"""DAWproject 1.0: a zip of project.xml, metadata.xml and the sound, so that one file holds the session.

Importers stumble over clips in clips and over start offsets (bitwig/dawproject #22, #79): here each track has
one clip of full length, its place in beats and its content in seconds, without warp markers.
"""

import shutil
import zipfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from stemwright.engine.commands.project import Project, Track
from stemwright.engine.commands.project_files import Shape, plain
from stemwright.engine.prompts import slug

BEGINNING = (1980, 1, 1, 0, 0, 0)  # of all times in a zip: the same job gives the same bytes
LOUDEST = 2.0  # of a fader, linear (+6 dB)
CHUNK = 1 << 20  # bytes copied at once


def pack(file: BinaryIO, project: Project, shape: Shape, lies: Callable[[Track], Path]) -> None:
    """lies: where a track's sound is to be read"""
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        for name, root in (("project.xml", _project(project, shape)), ("metadata.xml", _metadata(project))):
            with archive.open(_entry(name), "w") as target:
                target.write(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))
        for number, track in enumerate(project.tracks, start=1):
            with (
                lies(track).open("rb") as source,
                archive.open(_entry(_member(number, track)), "w", force_zip64=True) as target,
            ):
                shutil.copyfileobj(source, target, CHUNK)


def _entry(name: str) -> zipfile.ZipInfo:
    return zipfile.ZipInfo(name, BEGINNING)


def _member(number: int, track: Track) -> str:
    """Inside the zip, whatever the file is called outside: two songs' folders may hold the same name."""
    return f"audio/{number:02}-{slug(track.file.stem)}{track.file.suffix.lower()}"


def _project(project: Project, shape: Shape) -> Element:
    root = Element("Project", version="1.0")
    SubElement(root, "Application", name="Stemwright", version=version("stemwright"))
    transport = SubElement(root, "Transport")
    _real(transport, "Tempo", project.grid, "bpm", 20, 666)
    SubElement(transport, "TimeSignature", id="signature", numerator="4", denominator="4")
    structure = SubElement(root, "Structure")
    arrangement = SubElement(root, "Arrangement", id="arrangement")
    lanes = SubElement(arrangement, "Lanes", id="lanes", timeUnit="beats")
    for number, track in enumerate(project.tracks, start=1):
        _track(structure, number, track, shape)
        _clip(lanes, number, track, project, shape)
    _master(structure, shape)
    return root


def _track(structure: Element, number: int, track: Track, shape: Shape) -> None:
    lane = SubElement(
        structure,
        "Track",
        id=f"track{number}",
        name=_text(track.name),
        color=track.colour,
        contentType="audio",
        loaded="true",
    )
    channel = SubElement(
        lane,
        "Channel",
        id=f"channel{number}",
        audioChannels=str(shape.channels),
        destination="master",
        role="regular",
        solo="false",
    )
    mute = "true" if track.is_muted else "false"
    SubElement(channel, "Mute", id=f"mute{number}", name="Mute", value=mute)
    _real(channel, "Pan", 0.5, "normalized", 0, 1, number)
    level = shape.level(track)
    _real(channel, "Volume", level, "linear", 0, max(LOUDEST, level), number)


def _master(structure: Element, shape: Shape) -> None:
    lane = SubElement(structure, "Track", id="mastertrack", name="Master", contentType="audio", loaded="true")
    channels = str(max(2, shape.channels))
    SubElement(lane, "Channel", id="master", audioChannels=channels, role="master", solo="false")


def _clip(lanes: Element, number: int, track: Track, project: Project, shape: Shape) -> None:
    lane = SubElement(lanes, "Lanes", id=f"lane{number}", track=f"track{number}")
    clips = SubElement(lane, "Clips", id=f"clips{number}")
    clip = SubElement(
        clips,
        "Clip",
        name=_text(track.name),
        color=track.colour,
        time="0",
        duration=repr(shape.seconds * project.grid / 60),
        contentTimeUnit="seconds",
        playStart="0",
    )
    audio = SubElement(
        clip,
        "Audio",
        id=f"audio{number}",
        algorithm="raw",
        channels=str(shape.channels),
        sampleRate=str(shape.rate),
        duration=repr(shape.seconds),
    )
    SubElement(audio, "File", path=_member(number, track))


def _real(
    parent: Element, name: str, value: float, unit: str, least: float, most: float, number: int | None = None
) -> None:
    """A parameter with its range."""
    identity = name.lower() + ("" if number is None else str(number))
    SubElement(
        parent, name, id=identity, name=name, unit=unit, value=repr(value), min=repr(least), max=repr(most)
    )


def _metadata(project: Project) -> Element:
    root = Element("MetaData")
    SubElement(root, "Title").text = _text(project.title)
    comment = f"{project.task.value}, model {project.model}, seed {project.seed}"
    SubElement(root, "Comment").text = _text(comment)
    return root


def _text(text: str) -> str:
    """What XML can hold: a byte that is not UTF-8 is a question mark."""
    readable = plain(text).encode("utf-8", "replace").decode()
    return readable.replace("\ufffe", "?").replace("\uffff", "?")
