"""What the tests do in Ardour, and what they find there afterwards."""

import json
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.bridge.real import ROOT
from tests.daw_scripts.ardour.studio import SCRIPT, Ardour, Home, until

SONG = ROOT / "engine" / "demo" / "boas.flac"  # 44.1 kHz, stereo
TITLE = "^Stemwright$"


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
    """The beginning of the demo song as floats → its samples (N, K). rate: what the file says, not resampled"""
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


def select_range(ardour: Ardour, start: int, stop: int) -> None:
    """A time range over the tracks that are selected, as a user drags it."""
    code = """
    Editor:set_loop_range(Temporal.timepos_t(start), Temporal.timepos_t(stop), "test")
    Editor:access_action("Editor", "select-loop-range")
    local time = Editor:get_selection().time
    return { time:start_sample(), time:end_sample() }"""
    assert ardour.step(code, start=start, stop=stop) == [start, stop]


def select_regions(ardour: Ardour, track: str, *cuts: int) -> None:
    """Cut the only region of a track at these samples, and select every second piece."""
    code = """
    local wanted = {}
    for route in Session:get_tracks():iter() do
      if route:name() == track then
        local playlist = route:to_track():playlist()
        for _, cut in ipairs(cuts) do
          for region in playlist:regions_at(Temporal.timepos_t(cut)):iter() do
            playlist:split_region(region, Temporal.timepos_t(cut))
          end
        end
        for region in playlist:region_list():iter() do wanted[#wanted + 1] = region end
      end
    end
    table.sort(wanted, function(a, b) return a:position():samples() < b:position():samples() end)
    local views = ArdourUI.SelectionList()
    for index = 2, #wanted, 2 do views:push_back(Editor:regionview_from_region(wanted[index])) end
    Editor:set_selection(views, ArdourUI.SelectionOp.Set)
    local found = {}
    for region in Editor:get_selection().regions:regionlist():iter() do found[#found + 1] = region:position():samples() end
    return found"""
    assert sorted(ardour.step(code, track=track, cuts=list(cuts))) == sorted(cuts[::2])


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
        local has_fades = region:to_audioregion():fade_in_active()
        regions[#regions + 1] = { region:name(), region:position():samples(), region:length():samples(), has_fades }
      end
      local info = route:presentation_info_ptr()
      found[#found + 1] = { info:order(), route:name(), info:color(), route:n_inputs():n_audio(), playlists, regions }
    end
    return found"""
    rows = sorted(ardour.step(code))
    return [
        Track(name, colour, channels, sorted(playlists), sorted((Region(*one) for one in regions), key=_start))
        for _, name, colour, channels, playlists, regions in rows
    ]


def _start(region: Region) -> int:
    return region.start


def save(ardour: Ardour, name: str = "", muted: str = "") -> Path:
    """Save, by a new name, with one track muted in what is saved → the session's file"""
    code = """
    local route
    for one in Session:get_tracks():iter() do if one:name() == muted then route = one end end
    if route then route:mute_control():set_value(1, PBD.GroupControlDisposition.NoGroup) end
    Session:save_state(name, false, false, false, false, false)
    if route then route:mute_control():set_value(0, PBD.GroupControlDisposition.NoGroup) end"""
    ardour.step(code, name=name, muted=muted)
    return ardour.session.with_name(f"{name or ardour.session.stem}.ardour")


def remember(home: Home, inbox: Path, **values: Any) -> None:
    """What an earlier use of the dialog left behind."""
    (home.config / "stemwright.json").write_text(json.dumps({"inbox": str(inbox), "values": values}))


def remembered(home: Home) -> Any:
    return json.loads((home.config / "stemwright.json").read_text())["values"]


def press(ardour: Ardour, *keys: str) -> None:
    """Start the script, and answer its dialog when it is there."""
    ardour.act(SCRIPT)
    answer(ardour, *keys)


def answer(ardour: Ardour, *keys: str) -> None:
    window = ardour.window(TITLE)
    ardour.keys(window, *keys)
    ardour.gone_id(window)


def empty(inbox: Path) -> bool:
    """Nothing of a job is left there."""
    return not [one for one in inbox.iterdir() if not one.name.startswith(".")]


def emptied(inbox: Path) -> None:
    until(lambda: empty(inbox), f"an empty inbox, not {list(inbox.iterdir())}")


def keep_picture(ardour: Ardour, folder: Path, name: str) -> None:
    """A screenshot, kept where $STEMWRIGHT_ARTEFACTS says."""
    place = folder / name
    ardour.picture(place)
    if kept := os.environ.get("STEMWRIGHT_ARTEFACTS"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        shutil.copyfile(place, Path(kept) / name)
