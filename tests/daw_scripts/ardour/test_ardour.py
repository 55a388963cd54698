"""The script in the real Ardour: its dialog is typed into, its jobs are done by the real server and model."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.bridge.real import Child, server_command
from tests.daw_scripts.ardour import desk
from tests.daw_scripts.ardour.desk import NOTE, QUESTION, TITLE, WORKING, Track
from tests.daw_scripts.ardour.studio import (
    PATIENCE,
    SCRIPT,
    Ardour,
    Home,
    export,
    make_home,
    make_session,
    needs_ardour,
    open_ardour,
    until,
)  # fmt: skip

pytestmark = [needs_ardour, pytest.mark.slow]
DRUMS = 0xE4572EFF  # the colour of the preset "drums"
EXACT = 2e-7  # of full scale, for sums of 32-bit floats on the way to the master; measured 6e-8


class Service(NamedTuple):
    """A running server and the inbox it watches."""

    inbox: Path
    server: Child


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("service")
    inbox = folder / "Ordner mit 'Namen'" / "inbox"
    inbox.mkdir(parents=True)
    command = [*server_command(folder / "spool", folder), "--inbox", str(inbox)]
    with Child(command, {"OMP_NUM_THREADS": "1"}) as server:
        server.wait_for("ready on", PATIENCE)
        yield Service(inbox, server)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return make_home(tmp_path / "home")


@pytest.fixture
def ardour(home: Home, tmp_path: Path) -> Iterator[Ardour]:
    session = make_session(home, tmp_path / 'Müllers "Lied" 歌')
    with open_ardour(home, session) as running:
        try:
            yield running
        finally:
            desk.keep_picture(running, "ardour-last.png")


def test_a_typed_prompt_puts_stem_and_rest_below_the_source_at_the_sample_and_they_sum_to_it(
    ardour: Ardour, home: Home, service: Service, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """44.1 kHz media in a session of 48 kHz; the range begins and ends on odd samples."""
    desk.remember(home, service.inbox, prompts='Jürgen\'s "bass"')  # xdotool loses an ü now and then
    desk.write_song(tmp_path / "mix.wav", 5.0)
    desk.write_song(tmp_path / "below.wav", 1.0, channels=1)
    desk.bring_in(ardour, tmp_path / "below.wav", tmp_path / "mix.wav")
    ardour.step("Session:new_audio_track(1, 2, nil, 1, 'last', -1, ARDOUR.TrackMode.Normal, true)")
    desk.select_range(ardour, "mix", 72001, 168004)
    ardour.step('Editor:access_action("Editor", "zoom-to-session")')  # for the picture
    original, rate = export(home, desk.save(ardour, "before", without="below"), tmp_path / "before.wav")

    ardour.act(SCRIPT)
    dialog = ardour.window(TITLE)
    ardour.keys(dialog, "End")
    ardour.type(dialog, "; $(touch x)")
    desk.keep_picture(ardour, "ardour-dialog.png")
    ardour.keys(dialog, "alt+o")
    ardour.gone_id(dialog)
    desk.ended(ardour, service.inbox)

    below, mix, bass, odd, rest, last = desk.tracks(ardour)
    assert [below.name, mix.name, last.name] == ["below", "mix", "last"]
    assert [bass.name, odd.name, rest.name] == ['Jürgen\'s "bass" - mix', "$(touch x) - mix", "rest - mix"]
    for track in (bass, odd, rest):
        assert [(one.start, one.frames, one.has_fades) for one in track.regions] == [(72001, 96003, False)]
        assert track.channels == 2
    assert [bass.colour, odd.colour, rest.colour] == [0x0072B2FF, 0xE69F00FF, 0x808080FF]
    desk.keep_picture(ardour, "ardour-stems.png")

    after = desk.save(ardour, "after", without="mix")
    ardour.step("Editor:undo(1)")
    assert [len(track.regions) for track in desk.tracks(ardour)] == [1, 1, 0, 0, 0, 0]
    ardour.step("Editor:redo(1)")
    assert [len(track.regions) for track in desk.tracks(ardour)] == [1, 1, 1, 1, 1, 0]
    stems, stems_rate = export(home, after, tmp_path / "after.wav")
    assert rate == stems_rate == 48000
    inside = slice(72001, 168004)
    error = float(np.abs(stems[inside] - original[inside]).max())
    with capsys.disabled():
        print("\n" + _proof((bass, odd, rest), error))
    assert error <= EXACT
    assert np.abs(original[inside]).max() > 0.1
    assert desk.remembered(home)["prompts"] == 'Jürgen\'s "bass"; $(touch x)'


def _proof(tracks: tuple[Track, ...], error: float) -> str:
    """What was found in Ardour, for whoever reads the output of a run; kept beside the pictures."""
    lines = [
        f"Ardour: {track.name!r}: samples {one.start} to {one.start + one.frames}"
        for track in tracks
        for one in track.regions
    ]
    lines.append(f"Ardour: stems + rest against the mix, both exported: at most {error:.1e} of full scale")
    text = "\n".join(lines)
    desk.artefact("ardour-proof.txt").write_text(text + "\n", encoding="utf-8")
    return text


def test_regions_of_a_mono_track_share_new_mono_tracks_and_variations_are_playlists(
    ardour: Ardour, home: Home, service: Service, tmp_path: Path
) -> None:
    """What was asked last time stands in the dialog, so that OK is enough; the preset is the server's."""
    values = {"task": "add", "prompts": "", "preset": "drums", "variations": 2, "rest": True, "seed": 7}
    desk.remember(home, service.inbox, **values)
    desk.write_song(tmp_path / "solo.wav", 4.0, channels=1, rate=48000)
    desk.bring_in(ardour, tmp_path / "solo.wav")
    desk.select_regions(ardour, "solo", 24001, 60000, 96003, 140000)

    desk.press(ardour, "alt+o")
    desk.ended(ardour, service.inbox)

    solo, stem, rest = desk.tracks(ardour)
    assert (stem.name, rest.name) == ("drums - solo", "rest - solo")
    assert (stem.colour, stem.channels, rest.channels) == (DRUMS, 1, 1)
    for track in (stem, rest):
        assert len(track.playlists) == 2
        assert [(one.start, one.frames) for one in track.regions] == [(24001, 35999), (96003, 43997)]
        assert all(one.name.endswith(", seed 7") for one in track.regions)
    assert len(solo.regions) == 5
    assert desk.remembered(home)["variations"] == 2


def test_ardour_plays_on_meanwhile_and_cancel_stops_the_job_and_leaves_the_session_and_the_inbox_as_they_were(
    ardour: Ardour, home: Home, service: Service, tmp_path: Path
) -> None:
    desk.remember(home, service.inbox, prompts="bass", steps="1000")
    desk.write_song(tmp_path / "mix.wav", 8.0)
    desk.bring_in(ardour, tmp_path / "mix.wav")
    desk.select_range(ardour, "mix", 1000, 380000)
    before = desk.tracks(ardour)

    desk.press(ardour, "alt+o")
    until(lambda: desk.states(service.inbox) == ["running"], "a running job")
    desk.keep_picture(ardour, "ardour-progress.png")
    for _ in range(3):
        desk.plays(ardour)
    assert desk.states(service.inbox) == ["running"]
    desk.answer(ardour, "alt+c", title=WORKING)

    service.server.wait_for("cancelled", PATIENCE)
    desk.ended(ardour, service.inbox)
    assert desk.tracks(ardour) == before


def test_without_a_server_the_way_out_is_told_and_the_script_starts_one(
    ardour: Ardour, home: Home, tmp_path: Path
) -> None:
    """The usual inbox below the home folder; first the offer is refused, then it is taken."""
    desk.write_song(tmp_path / "mix.wav", 3.0)
    desk.bring_in(ardour, tmp_path / "mix.wav")
    desk.select_range(ardour, "mix", 4800, 52800)
    desk.install_program(home, tmp_path)

    ardour.act(SCRIPT)
    dialog = ardour.window(TITLE)
    ardour.type(dialog, "drums")
    ardour.keys(dialog, "alt+o")
    ardour.gone_id(dialog)
    question = ardour.window(QUESTION)
    desk.keep_picture(ardour, "ardour-no-server.png")
    ardour.keys(question, "alt+n")
    ardour.gone_id(question)
    desk.ended(ardour, home.inbox)
    assert len(desk.tracks(ardour)) == 1

    desk.press(ardour, "alt+o")
    desk.answer(ardour, "alt+y", title=QUESTION)
    until(lambda: "ready" in (home.inbox / ".server.log").read_text(), "the server's log")
    desk.ended(ardour, home.inbox)
    assert [track.name for track in desk.tracks(ardour)] == ["mix", "drums - mix", "rest - mix"]


def test_what_cannot_be_done_is_said_and_changes_nothing(
    ardour: Ardour, home: Home, service: Service, tmp_path: Path
) -> None:
    desk.remember(home, service.inbox, prompts="")
    ardour.act(SCRIPT)
    desk.answer(ardour, "Return", title=NOTE)  # nothing is selected
    desk.ended(ardour, service.inbox)

    desk.write_song(tmp_path / "mix.wav", 2.0)
    desk.bring_in(ardour, tmp_path / "mix.wav")
    before = desk.tracks(ardour)
    desk.select_range(ardour, "mix", 1000, 1010)
    desk.press(ardour, "alt+o")  # no prompt: the dialog comes again
    dialog = ardour.window(TITLE)
    ardour.type(dialog, "bass")
    ardour.keys(dialog, "alt+o")
    ardour.gone_id(dialog)
    desk.answer(ardour, "Return", title=NOTE)  # the server refuses so short a sound
    desk.ended(ardour, service.inbox)
    desk.select_range(ardour, "mix", 480000, 528000)
    desk.press(ardour, "alt+o")  # silence
    desk.answer(ardour, "Return", title=NOTE)

    desk.ended(ardour, service.inbox)
    assert desk.tracks(ardour) == before
