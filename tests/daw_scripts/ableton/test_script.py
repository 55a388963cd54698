"""The script's parts that need no real server, and the fake itself."""

import ast
import math
import os
import random
import shutil
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from pythonosc.osc_message import OscMessage

from tests.bridge.real import packet
from tests.daw_scripts.ableton.puppet import Puppet

HERE = Path(__file__).resolve().parent
SCRIPT = HERE.parents[2] / "daw_scripts" / "ableton" / "Stemwright"
SOURCES = sorted(SCRIPT.glob("*.py"))
PYENV = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
OLD = next(map(str, sorted(PYENV.glob("3.7.*/bin/python"))), None) or shutil.which("python3.7")
STDLIB = sys.stdlib_module_names
Desks = Callable[..., Any]


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    yield made
    made.close()


@pytest.fixture
def desk(desks: Desks, puppet: Puppet) -> Any:
    return desks(puppet.port)


# grammar and imports


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_file_has_the_grammar_of_python_3_7(path: Path) -> None:
    ast.parse(path.read_text("utf-8"), path.name, feature_version=(3, 7))


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_every_import_is_the_scripts_own_of_pythons_library_or_of_live(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [node.module or ""]
        for name in names:
            known = STDLIB | ({"Live", "ableton", "_Framework"} if path.name == "surface.py" else set())
            assert name.split(".")[0] in known, f"{path.name} imports {name}"


def test_nothing_in_it_waits_or_starts_a_thread() -> None:
    text = "\n".join(path.read_text("utf-8") for path in SOURCES)
    for word in (
        "threading",
        "time.sleep",
        "select.",
        "setblocking(True)",
        "settimeout",
        ".communicate(",
        ".wait(",
    ):
        assert word not in text


def test_the_copy_of_the_protocol_is_that_of_the_server() -> None:
    original = SCRIPT.parents[1] / "protocol" / "stemwright_protocol.py"
    copy = SCRIPT / original.name
    assert copy.read_bytes() == original.read_bytes(), "stale: make protocol"


@pytest.mark.skipif(OLD is None, reason="needs python3.7, which Live 11 and 12.0 have inside")
def test_a_whole_job_runs_under_python_3_7(tmp_path: Path) -> None:
    assert OLD is not None
    command = [OLD, "-W", "error", str(HERE / "transcript.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    if "No module named" in done.stderr or "pyenv" in done.stderr:
        pytest.skip(f"python3.7 does not run here: {done.stderr[:200]}")
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[0] == "3.7"
    assert done.stdout.split("\n")[1] == "Gtr; bass - Gtr; rest - Gtr"


# OSC


@pytest.mark.parametrize("arguments", [(), (1, -2), (0.5, "ä\"'"), ("", "abc", "abcd", 2**31 - 1)])
def test_messages_are_those_of_python_osc(desk: Any, arguments: tuple[Any, ...]) -> None:
    from Stemwright import osc

    assert osc.encode("/a/b", arguments) == packet("/a/b", *arguments)
    assert osc.decode(packet("/a/b", *arguments)) == ("/a/b", list(arguments))


def test_a_place_in_a_file_goes_with_all_its_digits(desk: Any) -> None:
    from Stemwright import osc

    message = OscMessage(osc.encode("/a", [osc.Double(3000.2571875)]))
    assert message.params == [3000.2571875]


def test_no_packet_gets_past_the_codec_but_as_bad_packet(desk: Any) -> None:
    from Stemwright import osc

    rng = random.Random(5)
    good = packet("/stemwright/result", "job", 0, 3, "bass", "/out/bass.wav", 10.24, 7)
    for _ in range(20000):
        data = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        data = data[: rng.randint(0, len(data))] if rng.random() < 0.3 else data
        try:
            _, arguments = osc.decode(bytes(data))
        except osc.BadPacket:
            continue
        assert all(isinstance(one, int | float | str) for one in arguments)


def test_what_does_not_fit_a_packet_is_refused(desk: Any, tmp_path: Path) -> None:
    import numpy as np
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((48000, 1)), 48000)
    desk.clip(path)
    desk.order("extract " + "x" * 10000)
    assert "This cannot be sent" in desk.shown[-1] and not desk.app.tasks
    with pytest.raises(struct.error):
        struct.pack(">i", 2**31)


# settings


def test_settings_that_are_wrong_are_told_and_the_last_ones_stay(desk: Any) -> None:
    desk.write(what="", folder="", port="many", door=0, command="", midi="")
    desk.order("cancel")
    assert any("port = many; it may be 1 to 65535" in line for line in desk.shown)
    assert desk.app.settings.folder == desk.stems


def test_a_pad_that_is_set_while_live_runs_works_at_once(desk: Any, puppet: Puppet, clip: Any) -> None:
    assert desk.c_instance.forwarded == []
    desk.write(what="", folder="", port=puppet.port, door=0, command="", midi="note 2/40 = extract bass")
    desk.until(lambda: desk.c_instance.forwarded == [("note", 1, 40)], "not mapped", 10)
    desk.script.receive_midi((0x91, 40, 1))
    assert asked(puppet)[1]["prompt"] == ["bass"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("note 36 = do", 'it looks like "note 1/36"'),
        ("note 17/36 = do", "channels are 1 to 16"),
        ("note 1/36 = make tea", "is no order; there are do, extract"),
        ("cc 1/20 = loudness 1 8", 'as in "variations 1 8"'),
        ("cc 1/20 = variations 8", 'as in "variations 1 8"'),
    ],
)
def test_a_wrong_line_of_the_midi_map_is_named(desk: Any, line: str, words: str) -> None:
    from Stemwright.settings import parsed
    from Stemwright.trouble import Trouble

    with pytest.raises(Trouble, match=words.replace("(", r"\(")):
        parsed(f"[midi]\n{line}\n")


def test_the_file_that_is_written_for_the_user_can_be_read(desk: Any, tmp_path: Path) -> None:
    from Stemwright.settings import DOOR, Keeper

    keeper = Keeper(str(tmp_path / "new"))
    keeper.open()
    assert (keeper.settings.port, keeper.settings.door, keeper.settings.notes) == (7836, DOOR, {})
    text = (tmp_path / "new" / "ableton.ini").read_text("utf-8")
    (tmp_path / "new" / "ableton.ini").write_text(text.replace("#note", "note").replace("#cc", "cc"), "utf-8")
    keeper.look()
    assert (len(keeper.settings.notes), len(keeper.settings.knobs)) == (6, 4)


@pytest.fixture
def clip(desk: Any, tmp_path: Path) -> Any:
    import numpy as np
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((48000, 1)), 48000)
    return desk.clip(path)


def asked(puppet: Puppet) -> tuple[str, dict[str, Any]]:
    """The last request: its address's end, and its options; prompts as a list."""
    address, arguments = puppet.jobs()[-1]
    keys, values = arguments[1::2], arguments[2::2]
    found: dict[str, Any] = dict(zip(keys, values, strict=True))
    found["prompt"] = [value for key, value in zip(keys, values, strict=True) if key == "prompt"]
    return address.rpartition("/")[2], found


def test_words_come_from_the_order_then_the_names_then_the_settings_then_the_last_time(
    desk: Any, puppet: Puppet, clip: Any
) -> None:
    track = desk.song.tracks[0]
    desk.order("do")
    assert "Say what you want to hear" in desk.shown[-1]
    desk.order("extract drums")
    assert asked(puppet)[1]["prompt"] == ["drums"]
    desk.order("do")
    assert asked(puppet)[1]["prompt"] == ["drums"]  # the last time's
    desk.write(what="prompt = piano; organ", folder="", port=puppet.port, door=0, command="", midi="")
    desk.order("do")
    assert asked(puppet)[1]["prompt"] == ["piano", "organ"]
    track.put(name="Track [strings]")
    desk.order("do")
    assert asked(puppet)[1]["prompt"] == ["strings"]
    clip.put(name='Loop [歌 "solo"]')
    desk.order("add")
    assert asked(puppet) == ("add", asked_again(puppet, desk, ['歌 "solo"']))
    desk.order("extract slap bass")
    assert asked(puppet)[1]["prompt"] == ["slap bass"]


def asked_again(puppet: Puppet, desk: Any, prompts: list[str]) -> dict[str, Any]:
    """What `again` sends, which is what was sent before."""
    desk.order("again")
    found = asked(puppet)[1]
    assert found["prompt"] == prompts
    return found


def test_options_of_the_settings_and_of_knobs_go_with_the_request(
    desks: Desks, puppet: Puppet, tmp_path: Path
) -> None:
    import numpy as np
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((48000, 1)), 48000)
    knobs = ("20 = variations 1 8", "21 = prompt bass; drums; vocals", "22 = guidance 1 6")
    midi = "\n".join(["note 1/36 = extract bass", *(f"cc 2/{knob}" for knob in knobs)])
    desk = desks(puppet.port, what="rest = no\nsteps = 4\nseed = 7\nguidance = 2", midi=midi)
    desk.clip(path)
    assert sorted(desk.c_instance.forwarded) == [("cc", 1, 20), ("cc", 1, 21), ("cc", 1, 22), ("note", 0, 36)]
    desk.script.receive_midi((0xB1, 20, 127))
    assert desk.shown[-1] == "Stemwright: variations: 8"
    desk.script.receive_midi((0xB1, 22, 64))
    desk.script.receive_midi((0x90, 36, 0))  # a note off, as some pads send it
    assert not desk.app.tasks
    desk.script.receive_midi((0x90, 36, 100))
    _, found = asked(puppet)
    wanted = {
        "rest": 0,
        "steps": 4,
        "seed": 7,
        "variations": 8,
        "guidance": pytest.approx(3.52),
        "start": 0.0,
    }
    assert {name: found[name] for name in wanted} == wanted
    assert found["prompt"] == ["bass"] and found["seconds"] == 1.0
    desk.script.receive_midi((0xB1, 21, 127))
    desk.order("do")
    assert asked(puppet)[1]["prompt"] == ["vocals"]
    desk.script.receive_midi((0xF0, 1, 2, 3, 0xF7))  # and nothing for anything else
    desk.script.receive_midi((0x95, 99, 1))


def test_a_knob_chooses_among_the_presets_of_the_server(desks: Desks, puppet: Puppet) -> None:
    desk = desks(puppet.port, midi="cc 1/20 = preset")
    desk.script.receive_midi((0xB0, 20, 127))
    assert "no presets known" in desk.shown[-1]
    assert puppet.heard()
    puppet.say("presets.reply", 0, 2, "vocals", "extract", "vocals", "#f2a7c3")
    puppet.say("presets.reply", 1, 2, "groove", "generate", "funk", "")
    desk.until(lambda: len(desk.app.presets) == 2, "not heard", 10)
    desk.script.receive_midi((0xB0, 20, 127))
    assert desk.app.turned == {"preset": "vocals"}
    desk.script.receive_midi((0xB0, 20, 0))
    assert desk.app.turned == {"preset": "groove"} and desk.app.presets["groove"] == ("generate", None)


def test_what_was_asked_last_is_remembered_beyond_the_set(
    desks: Desks, puppet: Puppet, desk: Any, clip: Any
) -> None:
    desk.order('extract the "low" bass; 歌')
    first = asked(puppet)
    desk.close()
    desk.open()
    desk.song.view.put(selected_track=desk.song.tracks[0], detail_clip=clip)
    desk.order("again")
    assert asked(puppet) == first
    (Path(desk.home) / "ableton-last.json").write_text("[1]", "utf-8")
    desk.close()
    desk.open()
    desk.order("again")
    assert "nothing to do again" in desk.shown[-1]


# orders of other programs


def test_another_program_of_this_machine_gives_orders_and_hears_what_comes_of_them(
    desks: Desks, puppet: Puppet, tmp_path: Path, free_port: int
) -> None:
    import numpy as np
    import soundfile

    path = tmp_path / "a.wav"
    soundfile.write(path, np.zeros((48000, 1)), 48000)
    desk = desks(puppet.port, door=free_port)
    desk.clip(path)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as program:
        program.settimeout(10)
        program.connect(("127.0.0.1", free_port))
        for data in (
            b"\0",
            packet("/stemwright/live/do"),
            packet("/stemwright/live/do", 3),
            packet("/x", "extract a"),
        ):
            program.send(data)
        program.send(packet("/stemwright/live/do", "extract bass"))
        desk.until(lambda: bool(desk.app.tasks), "no job", 10)
        said = OscMessage(program.recv(65536))
        assert said.address == "/stemwright/live/said" and said.params[0].startswith(
            "extract: bass, 'Loop', 1.00 s"
        )
        job = puppet.jobs()[0][1][0]
        puppet.say("fail", "/stemwright/extract", "bad_job", "no such thing", job)
        desk.finish(10)
        heard = [OscMessage(program.recv(65536)) for _ in range(2)]
        assert [one.params for one in heard] == [["bass: no such thing"], ["failed", "bass"]]
    assert len(puppet.jobs()) == 0


def test_a_taken_port_for_orders_is_no_obstacle(desks: Desks, puppet: Puppet) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        desk = desks(puppet.port, door=other.getsockname()[1])
        assert desk.app.door is None
        assert any("is taken; no orders" in line for line in desk.c_instance.log)


# warp and names


def test_beats_lie_on_the_line_between_the_markers_and_beyond_them(desk: Any) -> None:
    from Stemwright.warp import seconds_at

    markers = [(1.0, 2.0), (2.0, 4.0), (5.0, 6.0)]
    assert [seconds_at(markers, beats) for beats in (0.0, 2.0, 3.0, 5.0, 7.0)] == [0.0, 1.0, 1.5, 3.5, 6.5]


@pytest.mark.parametrize("tempo", [60.0, 93.17, 120.0, 174.999])
def test_a_straight_warp_at_the_songs_tempo_is_followed(desk: Any, tempo: float) -> None:
    from Stemwright.warp import straight

    first, last = straight([(0.3, 0.0), (0.3 + 60 / tempo / 32, 1 / 32)], 4.0, 20.0, tempo)
    assert math.isclose(first, 0.3 + 240 / tempo) and math.isclose(last, 0.3 + 1200 / tempo)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("a/b", "a_b"),
        ("..", "_"),
        ("", "_"),
        ("CON", "_CON"),
        ("  x. ", "x"),
        ("歌" * 90, "歌" * 40),
        ("a\nb", "a_b"),
    ],
)
def test_names_of_files_suit_every_system(desk: Any, name: str, wanted: str) -> None:
    from Stemwright.files import safe

    assert safe(name) == wanted


def test_the_server_is_started_without_what_live_sets_for_its_own_python(
    desk: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from Stemwright import server

    told = tmp_path / "told"
    program = tmp_path / 'a "program"'
    program.write_text(
        f'#!/bin/sh\nenv > "{told}.part"; echo "$@" >> "{told}.part"; mv "{told}.part" "{told}"\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PYTHONHOME", "/live")
    monkeypatch.setenv("DYLD_LIBRARY_PATH", "/live")
    server.start(str(program), 7900, [str(tmp_path)]).wait()
    text = told.read_text()
    assert "/live" not in text
    assert (
        text.splitlines()[-1].startswith("serve --port 7900 --root ")
        and str(tmp_path) in text.splitlines()[-1]
    )


def test_a_batch_file_is_not_started_since_a_shell_would_read_the_paths(desk: Any, tmp_path: Path) -> None:
    from Stemwright import server
    from Stemwright.trouble import Trouble

    program = tmp_path / "stemwright.bat"
    program.touch(0o755)
    with pytest.raises(Trouble, match="batch file"):
        server.program(str(program))


# the fake refuses what Live would


def test_the_fake_refuses_what_is_not_documented(desk: Any, clip: Any) -> None:
    import threading

    with pytest.raises(AttributeError, match="no attribute 'render'"):
        _ = clip.render
    with pytest.raises(AttributeError, match="no attribute"):
        desk.song.tracks[0].freeze = True
    with pytest.raises(AttributeError, match="no setter"):
        clip.file_path = "x"
    with pytest.raises(TypeError, match="signature"):
        clip.color = 1.5
    with pytest.raises(TypeError, match="signature"):
        desk.song.tracks[0].create_audio_clip(Path("x"), 1.0)
    with pytest.raises(NotImplementedError, match="Live does"):
        clip.crop()
    found: list[BaseException] = []

    def touch() -> None:
        try:
            _ = clip.name
        except AssertionError as error:
            found.append(error)

    thread = threading.Thread(target=touch)
    thread.start()
    thread.join()
    assert "another thread" in str(found[0])


def test_the_fake_has_no_newer_calls_than_its_version(desks: Desks, puppet: Puppet) -> None:
    desk = desks(puppet.port, version=(12, 0, 4))
    track = desk.song.add("A")
    for name in ("create_audio_clip", "create_take_lane", "take_lanes"):
        with pytest.raises(AttributeError):
            getattr(track, name)
