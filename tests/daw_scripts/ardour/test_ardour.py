"""The script in the real Ardour: its dialog is typed into, its jobs are done by the real server and model."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tests.bridge.real import Child, server_command
from tests.daw_scripts.ardour import desk
from tests.daw_scripts.ardour.desk import TITLE
from tests.daw_scripts.ardour.studio import (
    SCRIPT, Ardour, Home, export, make_home, make_session, needs_ardour, open_ardour,
)  # fmt: skip

pytestmark = [needs_ardour, pytest.mark.slow]
EXACT = 2e-7  # of full scale: what the sums of 32-bit floats on Ardour's way to the master leave


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
        server.wait_for("ready on")
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
            desk.keep_picture(running, tmp_path, "ardour-last.png")


def test_a_typed_prompt_puts_stem_and_rest_below_the_source_at_the_sample_and_they_sum_to_it(
    ardour: Ardour, home: Home, service: Service, tmp_path: Path
) -> None:
    """44.1 kHz media in a session of 48 kHz; the range begins and ends on odd samples."""
    desk.remember(home, service.inbox)
    desk.write_song(tmp_path / "mix.wav", 5.0)
    desk.write_song(tmp_path / "below.wav", 1.0, channels=1)
    desk.bring_in(ardour, tmp_path / "below.wav", tmp_path / "mix.wav")
    ardour.step("Session:new_audio_track(1, 2, nil, 1, 'last', -1, ARDOUR.TrackMode.Normal, true)")
    desk.select_range(ardour, 72001, 168004)
    original, rate = export(home, desk.save(ardour, "before", muted="below"), tmp_path / "before.wav")

    ardour.act(SCRIPT)
    dialog = ardour.window(TITLE)
    ardour.type(dialog, "Jürgen's \"bass\"; $(touch x)")
    desk.keep_picture(ardour, tmp_path, "ardour-dialog.png")
    ardour.keys(dialog, "alt+o")
    ardour.gone_id(dialog)
    desk.emptied(service.inbox)

    below, mix, bass, odd, rest, last = desk.tracks(ardour)
    assert [below.name, mix.name, last.name] == ["below", "mix", "last"]
    assert [bass.name, odd.name, rest.name] == ["Jürgen's \"bass\" - mix", "$(touch x) - mix", "rest - mix"]
    for track in (bass, odd, rest):
        assert [(one.start, one.frames, one.has_fades) for one in track.regions] == [(72001, 96003, False)]
        assert track.channels == 2
    assert [bass.colour, odd.colour, rest.colour] == [0x0072B2FF, 0xE69F00FF, 0x808080FF]
    desk.keep_picture(ardour, tmp_path, "ardour-stems.png")

    after = desk.save(ardour, "after", muted="mix")
    ardour.step("Editor:undo(1)")
    assert [len(track.regions) for track in desk.tracks(ardour)] == [1, 1, 0, 0, 0, 0]
    ardour.step("Editor:redo(1)")
    assert [len(track.regions) for track in desk.tracks(ardour)] == [1, 1, 1, 1, 1, 0]
    _check_sum(original, after, home, tmp_path, rate)
    assert desk.remembered(home)["prompts"] == "Jürgen's \"bass\"; $(touch x)"


def _check_sum(original: np.ndarray, after: Path, home: Home, folder: Path, rate: int) -> None:
    stems, stems_rate = export(home, after, folder / "after.wav")
    assert rate == stems_rate == 48000
    inside = slice(72001, 168004)
    error = np.abs(stems[inside] - original[inside]).max()
    print(f"stem + rest against the mix, exported: largest difference {error:.2e} of {np.abs(original).max():.2f}")
    assert error <= EXACT
    assert np.abs(original[inside]).max() > 0.1
