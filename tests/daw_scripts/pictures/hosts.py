"""REAPER and Live by their fakes' records, Ardour by its screenshot."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import soundfile
from PIL import Image

from tests.bridge.real import ROOT, Child, running_server, server_command
from tests.daw_scripts.pictures import draw
from tests.daw_scripts.pictures.draw import Clip, Lane
from tests.daw_scripts.reaper.test_end_to_end import QUIET, Session

NOT_A_SCREENSHOT = "drawn from a fake host's record, not a screenshot"
GREY = "#787d85"  # of a track nobody has coloured
WINDOW = (0, 0, 1510, 712)  # Ardour's, on its screen


def ardour(place: Path) -> None:
    """What tests/daw_scripts/ardour/test_ardour.py has kept."""
    folder = Path(os.environ.get("STEMWRIGHT_ARTEFACTS", ROOT / "build" / "artefacts"))
    image = Image.open(folder / "ardour-stems.png")
    draw.save(image.crop(WINDOW).resize((1200, 566), Image.Resampling.LANCZOS), place)


def reaper(place: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        session = Session(Path(folder))
        session.inbox.mkdir()
        song = session.song(5.0)
        mix = {
            "name": "Mix",
            "is_selected": True,
            "items": [{"path": str(song), "position": 0.0, "length": 5.0}],
        }
        order = {
            "rate": 44100,
            "time": [1.0, 4.5],
            "tracks": [mix, {"name": "Click", "items": []}],
            "answers": [{"prompts": "bass; drums"}],
        }
        command = [*server_command(session.folder / "spool", session.folder), "--inbox", str(session.inbox)]
        with Child(command, QUIET) as server:
            server.wait_for("ready on")
            made = session.run(order)
        assert not made["messages"], made["messages"]
        lanes = [_reaper_lane(track) for track in made["tracks"]]
        told = [
            f"undo history: {', '.join(made['steps'])}",
            f"left in the inbox: {len(session.left_over())} files",
        ]
    note = f"REAPER, a time selection on Mix, prompts bass; drums – {NOT_A_SCREENSHOT}"
    draw.arrangement(place, note, "s", (1.0, 4.5), lanes, told)


def _reaper_lane(track: dict[str, Any]) -> Lane:
    colour = track.get("colour") or 0
    clips = [
        Clip(item["position"], item["length"], take["name"] or "song.wav", draw.peaks(take["path"]))
        for item in track["items"]
        for take in item["takes"][:1]
    ]
    told = "#" + (colour & 0xFFFFFF).to_bytes(3, "little").hex() if colour else GREY
    return Lane(track["name"], told, clips)


def live(place: Path) -> None:
    sys.path.insert(0, str(ROOT / "tests" / "daw_scripts" / "ableton"))  # as a host's own modules
    from desk import Desk

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        song = folder / "Loop.wav"
        wave, rate = soundfile.read(ROOT / "engine" / "demo" / "boas.flac", stop=44100 * 5)
        soundfile.write(song, wave, rate, subtype="FLOAT")
        with running_server(folder / "spool", folder) as (_, port):
            desk = Desk(folder / "home", port)
            desk.clip(song, track="Guitar", beats=2.0, loop_start=0.5, loop_end=4.0)
            desk.song.add("Click")
            desk.song.view.put(selected_track=desk.song.tracks[0])
            desk.order("extract bass; drums")
            desk.finish()
            lanes = [_live_lane(desk, track) for track in desk.song.tracks]
            told = [f"status bar: {desk.shown[-1].replace(str(folder), '…')}"]
            desk.close()
    note = f"Live, a clip on Guitar, the order “extract bass; drums” – {NOT_A_SCREENSHOT}"
    draw.arrangement(place, note, "beats", (2.0, 9.0), lanes, told)


def _live_lane(desk: Any, track: Any) -> Lane:
    clips = []
    for clip in desk.clips_of(track.name):
        wave, rate = soundfile.read(clip.file_path, always_2d=True)
        part = Path(desk.home) / "part.wav"
        soundfile.write(part, wave[round(clip.loop_start * rate) : round(clip.loop_end * rate)], rate)
        clips.append(Clip(clip.start_time, clip.end_time - clip.start_time, clip.name, draw.peaks(part)))
    colour = getattr(track, "color", None)
    return Lane(track.name, f"#{colour:06x}" if colour else GREY, clips)
