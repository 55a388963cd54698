"""Ardour's session file: regions put onto playlists. Ardour's headless Lua has no import; its XML has.

A region there is a Region in a Playlist, another one for the whole file, and a Source a channel; their
numbers come from the session's counter. Times are counted in ticks of 1/282240000 s, which all usual rates
divide.
"""

import os
import xml.etree.ElementTree as Tree
from pathlib import Path
from typing import NamedTuple

TICKS = 282240000  # a second
CHANNEL_MARKS = {1: [""], 2: ["%L", "%R"]}


class Piece(NamedTuple):
    """A region to be. names: its files in the session's own folder, one a channel; start, frames: samples"""

    playlist: str
    title: str
    names: list[str]
    start: int
    frames: int


def marks(channels: int) -> list[str]:
    """What the files of a region's channels have behind its name."""
    return CHANNEL_MARKS.get(channels) or [f"%{number + 1}" for number in range(channels)]


def audio_folder(session: Path) -> Path:
    """Where the session keeps its sound: named after the session's folder; Ardour stops at a second one."""
    place = session.parent / "interchange"
    found = [one for one in place.iterdir() if one.is_dir()] if place.is_dir() else []
    own = [one for one in found if one.name == session.parent.name]
    if len(found) != 1 and not own:
        raise ValueError(f"{place} has {len(found)} folders; open and save the session in Ardour once")
    return (own or found)[0] / "audiofiles"


def insert(root: Tree.Element, pieces: list[Piece]) -> None:
    rate = int(root.get("sample-rate", "0"))
    if not rate or TICKS % rate:
        raise ValueError(f"the session's rate is {rate} Hz; that is none this script knows")
    playlists = {one.get("id"): one for one in root.iter("Playlist")}
    for piece in pieces:
        if piece.playlist not in playlists:
            raise ValueError(f"the session has lost playlist {piece.playlist}")
        sources = [_source(root, name, channel) for channel, name in enumerate(piece.names)]
        _child(root, "Regions").append(_region(root, piece, sources, rate, is_whole=True))
        playlists[piece.playlist].append(_region(root, piece, sources, rate, is_whole=False))


def another_playlist(root: Tree.Element, playlist: str) -> str:
    """One more for the same track, empty and not chosen → its id"""
    by_id = {one.get("id"): one for one in root.iter("Playlist")}
    taken = {one.get("name") for one in root.iter("Playlist")}
    base, _, count = by_id[playlist].get("name", "").rpartition(".")
    base, number = (base, int(count)) if count.isdigit() else (by_id[playlist].get("name", ""), 0)
    while f"{base}.{number}" in taken or not number:
        number += 1
    own = {"id": _number(root), "name": f"{base}.{number}"}
    Tree.SubElement(_child(root, "UnusedPlaylists"), "Playlist", {**by_id[playlist].attrib, **own})
    return own["id"]


def save(root: Tree.Element, session: Path) -> None:
    """Whole at every moment."""
    part = session.with_name(f".{session.name}.part")
    Tree.ElementTree(root).write(part, encoding="UTF-8", xml_declaration=True)
    os.replace(part, session)


def _child(root: Tree.Element, name: str) -> Tree.Element:
    found = root.find(name)
    return Tree.SubElement(root, name) if found is None else found


def _number(root: Tree.Element) -> str:
    number = int(root.get("id-counter", "0")) + 1
    root.set("id-counter", str(number + 1))
    return str(number)


def _source(root: Tree.Element, name: str, channel: int) -> str:
    number = _number(root)
    facts = {
        "name": name, "take-id": "", "type": "audio", "flags": "", "id": number, "natural-position": "a0",
        "channel": "0", "origin": "", "gain": "1",
    }  # fmt: skip
    Tree.SubElement(_child(root, "Sources"), "Source", facts)
    return number


def _region(root: Tree.Element, piece: Piece, sources: list[str], rate: int, is_whole: bool) -> Tree.Element:
    ticks = TICKS // rate
    start = 0 if is_whole else piece.start
    facts: dict[str, str] = {
        "name": piece.title, "id": _number(root), "type": "audio", "channels": str(len(sources)),
        "start": "a0", "length": f"a{piece.frames * ticks}@a{start * ticks}",
        "whole-file": str(int(is_whole)),
        "sync-position": "a0", "ancestral-start": "a0", "ancestral-length": "a0@a0",
        "stretch": "1", "shift": "1", "layering-index": "0", "scale-amplitude": "1", "first-edit": "nothing",
        "opaque": "1", "external": "1", "tags": "", "contents": "0",
        # with fades, stem + rest would not be the mix at the ends
        "fade-in-active": "0", "fade-out-active": "0", "default-fade-in": "0", "default-fade-out": "0",
    }  # fmt: skip
    for name in (
        "muted", "locked", "video-locked", "automatic", "import", "sync-marked", "left-of-split", "hidden",
        "right-of-split", "position-locked", "valid-transients", "envelope-active",
    ):  # fmt: skip
        facts[name] = "0"
    for channel, source in enumerate(sources):
        facts[f"source-{channel}"] = facts[f"master-source-{channel}"] = source
    return Tree.Element("Region", facts)
