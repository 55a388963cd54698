"""What a DAW would find in a project, read back by others' parsers and held against Bitwig's schemas."""

import json
import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import rpp
import xmlschema

from stemwright.engine.cli import main

SCHEMAS = Path(__file__).parents[1] / "fixtures" / "dawproject"


@dataclass
class Track:
    """What a DAW would find on a track. start, seconds: of its only clip; level: linear"""

    name: str
    file: Path
    is_muted: bool
    colour: str
    channels: int
    seconds: float
    level: float
    start: float = 0.0


def read_rpp(path: Path) -> tuple[Any, list[Track]]:
    """The project and its tracks; files are found from the project's folder on, as REAPER does."""
    project = rpp.loads(os.fsdecode(path.read_bytes()))
    again = rpp.dumps(project)
    assert "`" in again or rpp.loads(again).findall("TRACK") == project.findall("TRACK")  # its writer drops `
    return project, [_rpp_track(path, track) for track in project.findall("TRACK")]


def _rpp_track(path: Path, track: Any) -> Track:
    (item,) = track.findall("ITEM")
    (source,) = item.findall("SOURCE")
    colour = int(track.find("PEAKCOL")[1])
    assert colour >> 24 == 1
    return Track(
        name=track.find("NAME")[1],
        file=path.parent / source.find("FILE")[1],
        is_muted=track.find("MUTESOLO")[1] == "1",
        colour="#" + (colour & 0xFFFFFF).to_bytes(3, "little").hex(),
        channels=int(track.find("NCHAN")[1]),
        start=float(item.find("POSITION")[1]),
        seconds=float(item.find("LENGTH")[1]),
        level=float(track.find("VOLPAN")[1]),
    )


def read_dawproject(path: Path) -> tuple[ElementTree.Element, list[Track]]:
    """The project, valid by the schemas, and its tracks; their sound is put beside the file to be heard."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        archive.extractall(path.parent / "inside")
    for name, schema in (("project.xml", "Project.xsd"), ("metadata.xml", "MetaData.xsd")):
        xmlschema.validate(path.parent / "inside" / name, SCHEMAS / schema)
    root = ElementTree.parse(path.parent / "inside" / "project.xml").getroot()
    return root, [_daw_track(path, root, lane) for lane in root.iterfind("Arrangement/Lanes/Lanes")]


def _daw_track(path: Path, root: ElementTree.Element, lane: ElementTree.Element) -> Track:
    def one(parent: ElementTree.Element, way: str) -> ElementTree.Element:
        (found,) = parent.findall(way)
        return found

    track = one(root, f"Structure/Track[@id='{lane.get('track')}']")
    clip = one(lane, "Clips/Clip")
    audio = one(clip, "Audio")
    beat = 60 / float(one(root, "Transport/Tempo").attrib["value"])
    assert clip.get("contentTimeUnit") == "seconds"
    assert float(clip.attrib["duration"]) * beat == pytest.approx(float(audio.attrib["duration"]), rel=1e-12)
    return Track(
        name=track.attrib["name"],
        file=path.parent / "inside" / one(audio, "File").attrib["path"],
        is_muted=one(track, "Channel/Mute").get("value") == "true",
        colour=track.attrib["color"],
        channels=int(audio.attrib["channels"]),
        start=float(clip.attrib["time"]) * beat,
        seconds=float(audio.attrib["duration"]),
        level=float(one(track, "Channel/Volume").attrib["value"]),
    )


def read_folder(path: Path) -> tuple[Any, list[Track]]:
    """The manifest of one song, by its path."""
    content = json.loads(path.read_text())
    return content, [
        Track(
            name=track["name"],
            file=path.parent / track["file"],
            is_muted=track["muted"],
            colour=track["colour"],
            channels=track["channels"],
            start=track["start"],
            seconds=track["length"],
            level=track["gain"],
        )
        for track in content["tracks"]
    ]


KINDS: dict[str, tuple[str, str, Callable[[Path], tuple[Any, list[Track]]]]] = {
    "rpp": ("session.rpp", "session.rpp", read_rpp),
    "dawproject": ("session.dawproject", "session.dawproject", read_dawproject),
    "folder": ("", "song.project.json", read_folder),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def tracks_of(song: Path, kind: str, *words: str, command: str = "extract") -> list[Track]:
    """Run it into the folder `in the DAW` beside the song; → the tracks."""
    place, file, read = KINDS[kind]
    folder = song.parent / "in the DAW"
    source = [] if command == "generate" else [str(song)]
    assert main([command, *source, *words, "--project", f"{folder}/{place}"]) == 0
    return read(folder / file)[1]
