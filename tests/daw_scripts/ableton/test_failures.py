"""What the user is told when something is not as it should be. A fake Live, and mostly a puppet as server."""

import errno
import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.bridge.real import Child, free_ports, packet, server_command
from tests.daw_scripts.ableton.puppet import Puppet

Desks = Callable[..., Any]


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    yield made
    made.close()


@pytest.fixture
def song(tmp_path: Path) -> Path:
    """One second of noise, 48 kHz."""
    path = tmp_path / "noise.wav"
    soundfile.write(path, np.random.default_rng(1).standard_normal((48000, 1)) * 0.1, 48000, subtype="FLOAT")
    return path


@pytest.fixture
def desk(desks: Desks, puppet: Puppet) -> Any:
    return desks(puppet.port)


def told(desk: Any, text: str) -> str:
    """What an order is answered with, at once."""
    desk.order(text)
    return str(desk.shown[-1]).removeprefix("Stemwright: ")


def begun(desk: Any, puppet: Puppet) -> str:
    """The id of the job that an order has sent."""
    found = puppet.jobs()
    assert [address for address, _ in found] == ["/stemwright/extract"]
    return str(found[0][1][0])


def finish(desk: Any, puppet: Puppet, job: str, folder: Path, seconds: float = 1.0) -> None:
    """The server's answers up to the end, and the two files."""
    folder.mkdir(exist_ok=True)
    puppet.say("accepted", job, 0)
    for index, kind in enumerate(("bass", "rest")):
        path = folder / f"{kind}.wav"
        soundfile.write(path, np.zeros((round(seconds * 48000), 1)), 48000, subtype="FLOAT")
        puppet.say("result", job, index, 2, kind, str(path), seconds, 0)
    puppet.say("finished", job, 0.1)


# what is selected


def test_no_clip_selected(desk: Any) -> None:
    desk.song.add("Gtr")
    assert told(desk, "extract bass").startswith("No clip is selected. Click an audio clip")


def test_a_midi_clip_has_no_audio(desk: Any) -> None:
    import fake_live

    track = desk.song.add("Keys", "midi")
    desk.song.view.put(detail_clip=fake_live.MidiClip(desk.live, track))
    assert told(desk, "extract bass").startswith("'Keys' is a MIDI clip: there is no audio in it.")


@pytest.mark.parametrize(
    ("kind", "words"),
    [("group", "is a group"), ("return", "is a return"), ("main", "is a return or the main")],
)
def test_a_group_a_return_and_the_main_track_hold_no_clips(
    desk: Any, song: Path, kind: str, words: str
) -> None:
    desk.clip(song)
    tracks = {
        "group": desk.song.add("G", "group"),
        "return": desk.song.return_tracks[0],
        "main": desk.song.master_track,
    }
    desk.song.view.put(selected_track=tracks[kind], detail_clip=None)
    assert words in told(desk, "extract bass")


def test_a_frozen_track_is_refused_with_the_way_out(desk: Any, song: Path) -> None:
    desk.clip(song)
    desk.song.tracks[0].put(is_frozen=True)
    assert told(desk, "extract bass") == (
        "'Gtr' is frozen. Unfreeze it, or flatten it (Edit menu), and select the clip again."
    )


def test_a_clip_that_is_shown_but_lies_on_another_track_than_the_selected(desk: Any, song: Path) -> None:
    desk.clip(song)
    desk.song.add("Bass")
    assert told(desk, "extract bass").startswith("The clip shown is on 'Gtr', but 'Bass' is selected.")


def test_a_missing_sample(desk: Any, song: Path) -> None:
    desk.clip(song)
    song.unlink()
    assert told(desk, "extract bass").startswith(f"The sample of 'Loop' is missing: {song}.")


def test_a_clip_that_is_being_recorded(desk: Any, song: Path) -> None:
    desk.clip(song, is_recording=True)
    assert "still being recorded" in told(desk, "extract bass")


def test_a_span_shorter_than_the_server_takes(desk: Any, song: Path) -> None:
    desk.clip(song, loop_start=0.5, loop_end=0.52)
    assert "0.020 s of audio between its markers; at least 0.05 s" in told(desk, "extract bass")


# warp


def test_a_stretched_clip_is_refused_with_the_way_out(desk: Any, song: Path) -> None:
    desk.warped(song, 100.0)
    assert told(desk, "extract bass") == (
        "the clip is stretched: it plays 1.000 s of its file in 0.833 s. Its stems would not fit. "
        "Consolidate it (Cmd/Ctrl-J, in the Arrangement), or switch its Warp off."
    )


def test_an_unevenly_warped_clip_is_refused(desk: Any, song: Path) -> None:
    import fake_live

    clip = desk.warped(song, 120.0)
    clip.put(
        warp_markers=[fake_live.WarpMarker(desk.live, *one) for one in ((0.0, 0.0), (0.52, 1.0), (1.0, 2.0))]
    )
    assert "warped unevenly: 20 ms at beat 1.00" in told(desk, "extract bass")


def test_a_warped_and_transposed_clip_is_refused(desk: Any, song: Path) -> None:
    desk.warped(song, 120.0, pitch_coarse=-2)
    assert "warped and transposed" in told(desk, "extract bass")


def test_a_clip_that_repeats_its_loop_in_the_arrangement_is_refused(desk: Any, song: Path) -> None:
    desk.warped(song, 120.0, looping=True, end_time=12.0)
    assert "repeats its loop" in told(desk, "extract bass")


def test_a_session_clip_that_begins_before_its_sample_is_refused(desk: Any, song: Path) -> None:
    desk.warped(song, 120.0, place="session", loop_start=-1.0, loop_end=1.0)
    assert "begins 0.50 s before its sample" in told(desk, "extract bass")


def test_an_arrangement_clip_that_begins_before_its_sample_gets_its_stems_where_the_sample_begins(
    desk: Any, puppet: Puppet, song: Path
) -> None:
    desk.warped(song, 120.0, loop_start=-1.0, loop_end=1.0)
    desk.order("extract bass")
    region = next(iter(desk.app.tasks.values())).job.region
    assert (region.start, region.frames, region.beats) == (0, 24000, 5.0)


def test_the_loop_brace_needs_a_steady_tempo_under_the_clip(desks: Desks, puppet: Puppet, song: Path) -> None:
    desk = desks(puppet.port, what="region = loop")
    clip = desk.clip(song)
    desk.song.put(loop=True, loop_start=4.5, loop_length=1.0)
    clip.put(end_time=clip.end_time + 0.5)
    assert "The tempo changes under 'Loop'" in told(desk, "extract bass")
    desk.song.put(loop_start=40.0)
    assert "lies outside the Arrangement's loop" in told(desk, "extract bass")
    desk.song.put(loop=False)
    assert "loop is off" in told(desk, "extract bass")


# the server


def test_without_a_server_it_is_told_once_and_the_job_waits(desks: Desks, song: Path, free_port: int) -> None:
    desk = desks(free_port)
    desk.clip(song)
    desk.order("extract bass")
    desk.until(lambda: any("no Stemwright server answers" in line for line in desk.shown), "not told")
    assert "Start it: the order start, or stemwright serve in a terminal" in desk.shown[-1]
    assert len(desk.app.tasks) == 1
    for _ in range(20):
        desk.tick()
    assert len([line for line in desk.c_instance.log if "no Stemwright server" in line]) == 1
    desk.order("cancel")
    desk.finish(20)
    assert desk.shown[-1].endswith("cancelled: bass")


def test_a_job_that_waits_is_done_once_the_server_was_started_from_live(
    desks: Desks, song: Path, tmp_path: Path, free_port: int
) -> None:
    program, number = tmp_path / "my stemwright's", tmp_path / "number"
    own = f"--http-port 0 --spool '{tmp_path}/spool' --no-midi --threads 1 --root '{tmp_path}'"
    run = f"'{sys.executable}' -m stemwright.engine.cli"
    held = f"while [ ! -e '{tmp_path}/go' ]; do sleep 0.1; done"
    program.write_text(
        f"#!/bin/sh\necho $$ > '{number}'\n{held}\nOMP_NUM_THREADS=1 exec {run} \"$@\" {own}\n"
    )
    program.chmod(0o755)
    desk = desks(free_port, command=str(program))
    desk.clip(song)
    try:
        desk.order("extract bass")
        desk.order("start")  # does not wait for the server, which does not begin before this has ended
        (tmp_path / "go").touch()
        desk.finish()
        assert desk.names == ["Gtr", "bass - Gtr", "rest - Gtr"]
        desk.order("start")
        assert "was started from here and still runs" in desk.shown[-1]
    finally:
        os.kill(int(number.read_text()), signal.SIGTERM)
        desk.until(lambda: desk.app._process is None, "it does not end")


def test_a_program_that_is_not_there_is_told_with_the_way_out(desks: Desks, free_port: int) -> None:
    desk = desks(free_port, command="/nowhere/stemwright")
    assert "pip install stemwright" in told(desk, "start")


def test_a_server_that_ends_at_once_is_told(desks: Desks, free_port: int, tmp_path: Path) -> None:
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\nexit 3\n")
    program.chmod(0o755)
    desk = desks(free_port, command=str(program))
    desk.order("start")
    desk.until(lambda: "the server ended with code 3" in desk.shown[-1], "not told")


@pytest.mark.slow
def test_a_server_killed_midway_and_started_again_finishes_the_job(
    desks: Desks, song: Path, tmp_path: Path
) -> None:
    port = free_ports(1)[0]
    command = server_command(tmp_path / "spool", tmp_path)
    command[command.index("--port") + 1] = str(port)
    desk = desks(port, what="steps = 12\nvariations = 2\nrest = no")
    desk.clip(song)
    with Child(command, {"OMP_NUM_THREADS": "1"}) as child:
        child.wait_for("ready on")
        desk.order("extract bass")
        desk.until(lambda: any("%" in line for line in desk.shown), "not begun")
        os.killpg(child.number, signal.SIGKILL)
        child.ended()
    desk.until(lambda: any("no Stemwright server answers" in line for line in desk.shown), "not told")
    with Child(command, {"OMP_NUM_THREADS": "1"}):
        desk.finish()
    assert desk.names == ["Gtr", "bass - Gtr"] and len(desk.clips_of("bass - Gtr")) == 2


def test_a_lost_answer_and_a_lost_result_are_asked_for_again(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path
) -> None:
    desk.clip(song)
    desk.order("extract bass")
    job = begun(desk, puppet)
    again: list[Any] = []
    desk.until(lambda: bool(again.extend(puppet.jobs()) or again), "not sent again", 10)
    assert again[0][1][0] == job
    puppet.say("accepted", job, 0)
    puppet.say("result", job, 1, 2, "rest", "/nowhere/rest.wav", 1.0, 0)
    puppet.say("finished", job, 0.1)
    again.clear()
    desk.until(lambda: bool(again.extend(puppet.jobs()) or again), "not asked again", 10)
    finish(desk, puppet, job, tmp_path / "out")
    desk.finish(20)
    assert desk.names == ["Gtr", "bass - Gtr", "rest - Gtr"]


def test_a_busy_server_is_waited_for(desk: Any, puppet: Puppet, song: Path, tmp_path: Path) -> None:
    desk.clip(song)
    desk.order("extract bass")
    job = begun(desk, puppet)
    puppet.say("fail", "/stemwright/extract", "queue_full", "the queue has no room", job)
    desk.tick()
    again: list[Any] = []
    desk.until(lambda: bool(again.extend(puppet.jobs()) or again), "not tried again", 10)
    finish(desk, puppet, job, tmp_path / "out")
    desk.finish(20)
    assert len(desk.names) == 3


def test_nothing_malformed_gets_in(desk: Any, puppet: Puppet, song: Path, tmp_path: Path) -> None:
    desk.clip(song)
    desk.order("extract bass")
    job = begun(desk, puppet)
    good = packet("/stemwright/result", job, 0, 1, "bass", "/x.wav", 1.0, 0)
    bad = [
        b"",
        b"/",
        b"\0" * 8,
        b"#bundle\0" + bytes(8),
        good[:-1],
        good[:-4],
        good + bytes(4),
        b"/a\0\0,i\0\0",
    ]
    bad += [
        b"/a\0\0,s\0\0\xff\xff\xff\0",
        b"/a\0\0,b\0\0\0\0\0\0",
        b"/stemwright/progress\0\0\0\0,\0\0\0",
        b"x" * 60000,
    ]
    bad += [packet("/stemwright/progress", job), packet("/stemwright/progress", job, "a", 1, 2)]
    bad += [
        packet("/stemwright/result", job, "a", 1),
        packet("/stemwright/presets.reply", 1, 2),
        packet("/x", 1),
    ]
    bad += [packet("/stemwright/fail", 1, 2), packet("/stemwright/finished")]
    for one in bad:
        puppet.send(one)
    for _ in range(3):
        desk.tick()
    assert list(desk.app.tasks) == [job] and desk.app.tasks[job].job.is_open
    finish(desk, puppet, job, tmp_path / "out")
    desk.finish(20)
    assert len(desk.names) == 3


def test_what_others_send_to_its_port_is_not_heard(desk: Any, puppet: Puppet, song: Path) -> None:
    desk.clip(song)
    desk.order("extract bass")
    job = begun(desk, puppet)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(packet("/stemwright/cancelled", job), puppet._who)
    for _ in range(3):
        desk.tick()
    assert desk.app.tasks[job].job.is_open


def test_a_result_of_another_length_is_refused(desk: Any, puppet: Puppet, song: Path, tmp_path: Path) -> None:
    desk.clip(song)
    desk.order("extract bass")
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out", 1.5)
    desk.finish(20)
    assert "bass is 1.500 s long, not 1.000 s as asked" in desk.shown[-1] and desk.names == ["Gtr"]


# the disk, and Live itself


def test_a_full_disk_is_told_before_anything_is_written(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil
    from types import SimpleNamespace

    desk.clip(song)
    desk.order("extract bass")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1_000_000))
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out")
    desk.finish(20)
    assert "17 MB are needed, 1 MB are free. They stay for some days in" in desk.shown[-1]
    assert list(Path(desk.stems).iterdir()) == [] and desk.names == ["Gtr"]


def test_a_disk_that_fills_up_while_copying_keeps_no_piece(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from Stemwright import files

    class Full:
        def __init__(self, path: str) -> None:
            Path(path).touch()

        def write(self, data: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

        def close(self) -> None:
            pass

    desk.clip(song)
    desk.order("extract bass")

    def opened(path: str, mode: str) -> Any:
        return Full(path) if mode == "xb" and "rest" in path else Path(path).open(mode)

    monkeypatch.setattr(files, "open", opened, raising=False)
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out")
    desk.finish(20)
    assert "No space left on device" in desk.shown[-1] and str(tmp_path / "out") in desk.shown[-1]
    assert list(Path(desk.stems).iterdir()) == [] and desk.names == ["Gtr"]


def test_a_set_that_is_closed_cancels_its_jobs_and_leaves_no_socket(
    desk: Any, puppet: Puppet, song: Path
) -> None:
    desk.clip(song)
    desk.order("extract bass")
    job = begun(desk, puppet)
    desk.tick()
    desk.song.close()
    desk.close()
    assert ("/stemwright/cancel", [job]) in puppet.jobs()
    desk.tick()  # Live may still call once
    assert desk.app.link is None


def test_a_set_that_is_gone_before_the_stems_come_leaves_them_in_the_folder(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path
) -> None:
    desk.clip(song)
    desk.order("extract bass")
    job = begun(desk, puppet)
    finish(desk, puppet, job, tmp_path / "out")
    desk.until(lambda: desk.app.tasks[job].copying is not None, "not copied", 10)
    desk.song.close()
    desk.finish(20)
    assert f"Drag the stems from {desk.stems}" in desk.shown[-1]
    desk.c_instance.log.clear()  # the traceback of the set that is gone


def test_the_source_deleted_meanwhile_puts_the_stems_at_the_end(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path
) -> None:
    desk.clip(song)
    desk.song.add("Other")
    desk.song.view.put(selected_track=desk.song.tracks[0])
    desk.order("extract bass")
    job = begun(desk, puppet)
    desk.song.delete_track(0)
    desk.song.view.put(selected_track=desk.song.tracks[0], detail_clip=None)
    finish(desk, puppet, job, tmp_path / "out")
    desk.finish(20)
    assert desk.names == ["Other", "bass - Gtr", "rest - Gtr"]


def test_a_clip_that_live_does_not_take_leaves_the_set_as_it_was(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path
) -> None:
    desk.clip(song)
    desk.order("extract bass")
    desk.live.refuses_clip = 2
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out")
    desk.finish(20)
    assert "Live did not take the stems (the fake was told to refuse this clip)" in desk.shown[-1]
    assert desk.stems in desk.shown[-1] and desk.names == ["Gtr"] and desk.song._step is None
    assert len(list(Path(desk.stems).iterdir())) == 2


def test_a_clip_that_loses_its_end_when_warp_goes_off_is_mended(
    desk: Any, puppet: Puppet, song: Path, tmp_path: Path
) -> None:
    desk.clip(song)
    desk.live.truncates = True
    desk.order("extract bass")
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out")
    desk.finish(20)
    (clip,) = desk.clips_of("bass - Gtr")
    assert (clip.warping, clip.loop_start, clip.loop_end) == (False, 0.0, 1.0)


def test_a_clip_that_stays_warped_is_told(desk: Any, puppet: Puppet, song: Path, tmp_path: Path) -> None:
    desk.clip(song)
    desk.live.keeps_warp = True
    desk.order("extract bass")
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out")
    desk.finish(20)
    assert any("Live keeps 'bass' warped or cut: switch its Warp off" in line for line in desk.shown)


def test_stems_go_beside_a_saved_set_and_their_names_suit_every_system(
    desks: Desks, puppet: Puppet, song: Path, tmp_path: Path
) -> None:
    project = tmp_path / 'Söng "eins" 歌 Project'
    desk = desks(puppet.port, folder="", song_path=str(project / "set.als"))
    desk.clip(song, name='AC/DC: "Loop" <1>? [bass]')
    desk.order("do")
    finish(desk, puppet, begun(desk, puppet), tmp_path / "out")
    desk.finish(20)
    made = sorted(path.name for path in (project / "Samples" / "Stemwright").iterdir())
    assert made == ["AC_DC_ _Loop_ _1__ bass.wav", "AC_DC_ _Loop_ _1__ rest.wav"]
