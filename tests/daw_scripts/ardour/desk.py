"""What the tests do in Ardour, and what they find there afterwards."""

import json
import os
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.bridge.real import ROOT
from tests.daw_scripts.ardour.studio import JOB, SCRIPT, Ardour, Home, until

SONG = ROOT / "engine" / "demo" / "boas.flac"  # 44.1 kHz, stereo
TITLE = "^Stemwright$"
WORKING, NOTE, QUESTION = "^Stemwright: working$", "^Stemwright: note$", "^Stemwright: question$"


class Region(NamedTuple):
    """start, frames: samples of the session"""

    name: str
    start: int
    frames: int
    has_fades: bool


class Track(NamedTuple):
    """playlists: names of all of them; regions: of the chosen one"""

    name: str
    colour: int
    channels: int
    playlists: list[str]
    regions: list[Region]


def write_song(place: Path, seconds: float, *, channels: int = 2, rate: int = 44100) -> NDArray[np.float32]:
    """The beginning of the demo song as floats → its samples (N, K)

    rate  what the file says, in Hz; nothing is resampled
    """
    samples, _ = soundfile.read(SONG, frames=round(seconds * rate), dtype="float32", always_2d=True)
    samples = samples[:, :channels]
    soundfile.write(place, samples, rate, subtype="FLOAT")
    return samples


def bring_in(ardour: Ardour, *files: Path) -> None:
    """Import files at the session's start, a track each."""
    code = """
    for _, path in ipairs(files) do
      local one = C.StringVector()
      one:push_back(path)
      Editor:do_import(one, Editing.ImportDistinctFiles, Editing.ImportAsTrack, ARDOUR.SrcQuality.SrcBest,
        ARDOUR.MidiTrackNameSource.SMFTrackName, ARDOUR.MidiTempoMapDisposition.SMFTempoIgnore,
        Temporal.timepos_t(0), ARDOUR.PluginInfo(), ARDOUR.Track(), false)
    end"""
    ardour.step(code, files=[str(file) for file in files])


def select_range(ardour: Ardour, track: str, start: int, stop: int) -> None:
    """A time range over one track, as a user drags it."""
    code = """
    local function selected()
      local names = {}
      for route in Editor:get_selection().tracks:routelist():iter() do names[#names + 1] = route:name() end
      return table.concat(names, "|")
    end
    for _ = 1, 20 do
      if selected() == track then break end
      Editor:access_action("Editor", "select-prev-route")
    end
    Editor:set_loop_range(Temporal.timepos_t(start), Temporal.timepos_t(stop), "test")
    Editor:access_action("Editor", "select-loop-range")
    local time = Editor:get_selection().time
    return { time:start_sample(), time:end_sample(), selected() }"""
    assert ardour.step(code, track=track, start=start, stop=stop) == [start, stop, track]


def select_regions(ardour: Ardour, track: str, *cuts: int) -> None:
    """Cut the only region of a track at these samples, and select every second piece."""
    code = """
    for route in Session:get_tracks():iter() do
      local playlist = route:name() == track and route:to_track():playlist()
      for _, cut in ipairs(playlist and cuts or {}) do
        for region in playlist:regions_at(Temporal.timepos_t(cut)):iter() do
          playlist:split_region(region, Temporal.timepos_t(cut))
        end
      end
    end"""
    ardour.step(code, track=track, cuts=list(cuts))
    until(lambda: _selected_pieces(ardour, track) == sorted(cuts)[::2], "the selected regions")


def _selected_pieces(ardour: Ardour, track: str) -> list[int]:
    """Select every second region of a track, once all of them are drawn → where they begin"""
    code = """
    local pieces, views, found = {}, ArdourUI.SelectionList(), {}
    for route in Session:get_tracks():iter() do
      if route:name() == track then
        for region in route:to_track():playlist():region_list():iter() do pieces[#pieces + 1] = region end
      end
    end
    table.sort(pieces, function(a, b) return a:position():samples() < b:position():samples() end)
    for index = 2, #pieces, 2 do
      if not pcall(views.push_back, views, Editor:regionview_from_region(pieces[index])) then return {} end
    end
    Editor:set_selection(views, ArdourUI.SelectionOp.Set)
    for region in Editor:get_selection().regions:regionlist():iter() do
      found[#found + 1] = region:position():samples()
    end
    table.sort(found)
    return found"""
    return list(ardour.step(code, track=track))


def tracks(ardour: Ardour) -> list[Track]:
    """The session's tracks from top to bottom."""
    code = """
    local found = {}
    for route in Session:get_tracks():iter() do
      local playlists, regions = {}, {}
      for playlist in Session:playlists():playlists_for_track(route:to_track()):iter() do
        playlists[#playlists + 1] = playlist:name()
      end
      for region in route:to_track():playlist():region_list():iter() do
        local start, frames = region:position():samples(), region:length():samples()
        regions[#regions + 1] = { region:name(), start, frames, region:to_audioregion():fade_in_active() }
      end
      local info = route:presentation_info_ptr()
      local channels = route:n_inputs():n_audio()
      found[#found + 1] = { info:order(), route:name(), info:color(), channels, playlists, regions }
    end
    return found"""
    rows = sorted(ardour.step(code))
    return [
        Track(
            name, colour, channels, sorted(playlists), sorted((Region(*one) for one in regions), key=_start)
        )
        for _, name, colour, channels, playlists, regions in rows
    ]


def _start(region: Region) -> int:
    return region.start


def save(ardour: Ardour, name: str = "", without: str = "") -> Path:
    """Save, by a new name, with the regions of one track left away in the copy → the session's file"""
    ardour.step("Session:save_state(name, false, false, false, false, false)", name=name)
    session = ardour.session.with_name(f"{name or ardour.session.stem}.ardour")
    empty_track(session, without)
    return session


def empty_track(session: Path, name: str) -> None:
    """Take the regions off a track, in the file: muting takes Ardour a moment that nobody tells."""
    tree = ElementTree.parse(session)
    for playlist in tree.getroot().iter("Playlist"):
        for region in playlist.findall("Region") if playlist.get("name") == name else ():
            playlist.remove(region)
    tree.write(session, encoding="UTF-8", xml_declaration=True)


def remember(home: Home, inbox: Path, **values: Any) -> None:
    """What an earlier use of the dialog left behind."""
    (home.config / "stemwright.json").write_text(json.dumps({"inbox": str(inbox), "values": values}))


def remembered(home: Home) -> Any:
    return json.loads((home.config / "stemwright.json").read_text())["values"]


def press(ardour: Ardour, *keys: str) -> None:
    """Start the script, and answer its dialog when it is there."""
    ardour.act(SCRIPT)
    answer(ardour, *keys)


def answer(ardour: Ardour, *keys: str, title: str = TITLE) -> None:
    window = ardour.window(title)
    ardour.keys(window, *keys)
    ardour.gone_id(window)


def ended(ardour: Ardour, inbox: Path) -> None:
    """Until the script has ended; its inbox is empty then. Looking at the inbox alone would not tell: it is
    empty before the job, too, and what is asked of Ardour while the script runs is not answered for certain.
    """
    sign = ardour.home.path / "script.ended"

    def is_there() -> bool:
        ardour.alive()
        return sign.exists()

    until(is_there, "the end of the script", JOB)
    sign.unlink()
    assert not [one for one in inbox.iterdir() if not one.name.startswith(".")]


def plays(ardour: Ardour) -> None:
    """Until the clock runs. Where it does not, play is pressed again: a busy Ardour 7.3 may ignore it."""

    def is_running() -> bool:
        last = ardour.clock()
        time.sleep(0.5)
        if ardour.clock() != last:
            return True
        ardour.send("/transport_play", 1)
        return False

    until(is_running, "a running clock")


def states(inbox: Path) -> list[str]:
    """Of all jobs in an inbox, as the server wrote them."""
    return [json.loads(one.read_text())["state"] for one in inbox.glob("*/status.json")]


def install_program(home: Home, folder: Path) -> None:
    """The program where pip puts it, with ports of its own and one thread."""
    place = home.path / ".local" / "bin" / "stemwright"
    place.parent.mkdir(parents=True)
    words = f'serve --port 0 --http-port 0 --no-midi --threads 1 --spool "{folder}/spool"'
    command = f'exec "{sys.executable}" -m stemwright.engine.cli {words} "$@"'
    place.write_text(f"#!/bin/sh\nshift\n{command}\n")
    place.chmod(0o755)


def keep_picture(ardour: Ardour, name: str) -> None:
    """A screenshot among the artefacts."""
    ardour.picture(artefact(name))


def artefact(name: str) -> Path:
    """Where something of a run is kept, for a CI to carry away: build/artefacts, or $STEMWRIGHT_ARTEFACTS."""
    folder = Path(os.environ.get("STEMWRIGHT_ARTEFACTS", ROOT / "build" / "artefacts"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / name
