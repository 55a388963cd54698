"""The SuperCollider class in sclang, with scsynth on JACK, against the real server and the default model."""

import os
from pathlib import Path

import numpy as np
import pytest

from tests.bridge.real import Child, free_ports, needs, server_command
from tests.daw_scripts.live_coding.studio import (
    BAR,
    HEADLESS,
    HERE,
    PATIENCE,
    SCRIPTS,
    Studio,
    mono,
    places,
    said,
    sound_of,
)

QUARK = SCRIPTS / "supercollider" / "Stemwright"
BLOCK = 64  # frames of scsynth
NEEDS = needs("supercollider-language supercollider-server jackd2", "sclang", "scsynth", "jackd", "jack_lsp")


def sclang(script: str, environment: dict[str, str], folder: Path, *classes: Path) -> Child:
    """sclang with the class installed as a user would: its folder in the configuration."""
    config = folder / "sclang_conf.yaml"
    paths = "".join(f'    - "{path}"\n' for path in (QUARK, *classes))
    config.write_text(f"includePaths:\n{paths}excludePaths: []\npostInlineWarnings: false\n")
    begin = {"STEMWRIGHT_BEGIN": str(HERE / "begin.scd")}
    return Child(["sclang", "-l", str(config), str(HERE / script)], {**environment, **HEADLESS, **begin})


def settings(studio: Studio, sound: dict[str, str], out: Path, song: Path) -> dict[str, str]:
    scsynth, second, nobody = free_ports(3)
    own = studio.environment(out, song, scsynth=scsynth, scsynth2=second, nobody=nobody)
    return {**own, **sound}


@pytest.fixture(scope="module")
def files(studio: Studio, sound: dict[str, str]) -> dict[str, list[list[str]]]:
    """What one session with files and Buffers said."""
    out = studio.out("sc-files")
    with sclang("files.scd", settings(studio, sound, out, studio.song), out) as client:
        assert client.ended(PATIENCE) == 0, client.told()
    found = said(client.lines)
    assert "ends" in found, client.told()
    assert not [line for line in client.lines if "ERROR" in line], client.told()
    return found


@NEEDS
def test_the_server_tells_sclang_what_it_is_and_has(files: dict[str, list[list[str]]]) -> None:
    assert files["pong"] == [["7"]]
    assert files["status"][0][1] == "default"
    count, prompt = files["presets"][0]
    assert (int(count) > 10, prompt) == (True, "bass")


@NEEDS
def test_a_file_with_an_odd_name_becomes_stems_in_buffers_and_progress_rises(
    files: dict[str, list[list[str]]], studio: Studio
) -> None:
    assert files["file"] == [["finished", "", "", "2"]]
    stems = []
    for kind, row in zip(("bass", "rest"), files["file result"], strict=True):
        assert (row[0], row[3:]) == (kind, [str(BAR), "2"])
        stems.append(sound_of(row[2]))
    np.testing.assert_allclose(stems[0] + stems[1], sound_of(studio.song), atol=1e-6)
    count, _, last, is_rising = files["progress"][0]
    assert int(count) >= 2 and float(last) > 0.5 and is_rising == "true"
    assert files["buffers"] == [["first", "first", "2.0"]]


@NEEDS
def test_a_second_scsynth_gets_its_own_stems_of_its_own_buffer(files: dict[str, list[list[str]]]) -> None:
    assert files["buffer"] == [["finished", "", "", "2"]]
    assert files["other"] == [["second", "second", "bass drums"]]
    assert [row[1] for row in files["buffer result"]] == ["5", "5"]


@NEEDS
def test_variations_of_a_preset_are_buffers_of_their_own_and_no_file_is_left_behind(
    files: dict[str, list[list[str]]],
) -> None:
    assert files["variations"] == [["finished", "", "", "4"]]
    assert files["seeds"] == [["2", "true"]]
    assert [row[1] for row in files["variations result"] if row[0] == "bass"] == ["0", "1"]
    assert files["left behind"] == [["0"]]


@NEEDS
@pytest.mark.parametrize(
    ("key", "state", "code", "words"),
    [
        ("typo", "failed", "bad_args", "no option 'promt'"),
        ("missing", "failed", "not_found", "Check the spelling"),
        ("nothing listened to", "failed", "no_audio", "x.listen"),
        ("no server", "failed", "no_server", "stemwright serve"),
        ("cancelled", "cancelled", "", ""),
    ],
)
def test_what_does_not_end_well_says_why(
    files: dict[str, list[list[str]]], key: str, state: str, code: str, words: str
) -> None:
    (row,) = files[key]
    assert row[:2] == [state, code] and words in row[2] and row[3] == "0"


@NEEDS
def test_a_job_outlives_cmd_period_and_a_lease_is_renewed(files: dict[str, list[list[str]]]) -> None:
    assert files["after CmdPeriod"] == [["finished", "", "", "2"]]
    assert (files["lease"], files["leases"]) == ([["60.0"]], [["2"]])


@NEEDS
def test_the_language_goes_on_while_jobs_run(files: dict[str, list[list[str]]]) -> None:
    """A clock of 20 ticks a second ran beside them. Lateness is also other processes' on a busy machine."""
    ticks, latest = (float(word) for word in files["ticks"][0])
    assert ticks > 20 and latest < 1.0


def check_phase(out: Path, results: list[list[str]], bar: Path, *, passes: int) -> None:
    """The bar captured is the bar played, from its first frame, and the stem is heard with it on every pass.

    Measured: 0 frames apart, frames exact to 1e-6. The bar's end is left out: on a busy machine without
    realtime, scsynth's idea of when the next bar begins moves by up to 90 ms.
    """
    bass, rest = (mono(row[2]) for row in results)
    whole = slice(0, BAR - 6000)
    np.testing.assert_allclose((bass + rest)[whole], mono(bar)[whole], atol=1e-5)
    record = sound_of(out / "record.wav")
    inner = slice(1000, BAR // 2)  # without the fades
    loop, stem = (
        places(heard, wanted[inner]) for heard, wanted in zip(record, (mono(bar), bass), strict=True)
    )
    assert len(stem) >= passes
    for place in stem:
        assert min(abs(place - other) for other in loop) <= BLOCK, (loop, stem)


@NEEDS
def test_the_last_bar_of_a_bus_comes_apart_and_its_stem_plays_in_phase(
    studio: Studio, sound: dict[str, str]
) -> None:
    out = studio.out("sc-bars")
    with sclang("bars.scd", settings(studio, sound, out, studio.bar), out) as client:
        assert client.ended(PATIENCE) == 0, client.told()
    found = said(client.lines)
    assert found["too early"][0][:2] == ["failed", "no_audio"]
    assert found["no input"][0][:2] == ["failed", "no_audio"] and "--input" in found["no input"][0][2]
    assert found["bars"] == [["finished", "", "", "2"]], client.told()
    assert found["place"] == [["0.0", "4.0", "2.0"]]
    assert [row[3:] for row in found["bars result"]] == [[str(BAR), "1"]] * 2
    check_phase(out, found["bars result"], studio.bar, passes=2)


@NEEDS
def test_the_last_bar_of_the_servers_live_input_comes_apart_in_phase(
    studio: Studio, sound: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """scsynth plays a loop into `serve --input` through JACK; where the bar lies is found by ear."""
    pytest.importorskip("sounddevice", reason="needs sounddevice and libportaudio2", exc_type=OSError)
    out = studio.out("sc-input")
    environment = settings(studio, sound, out, studio.bar)
    with sclang("input.scd", environment, out) as client:
        client.wait_for("said:\tscsynth is up")
        command = [*server_command(tmp_path / "spool", studio.folder), "--input", "SuperCollider"]
        with Child(command, {**sound, "OMP_NUM_THREADS": "1"}) as server:
            port = server.wait_for(r"ready on \S+ port (\d+)")[1]
            (out / "port.part").write_text(port)
            os.replace(out / "port.part", out / "port")
            assert client.ended(PATIENCE) == 0, client.told()
    found = said(client.lines)
    assert found["bars"] == [["finished", "", "", "2"]], client.told() + server.told()
    assert found["place"] == [["0.0", "4.0", "2.0"]]
    assert [row[3:] for row in found["bars result"]] == [[str(BAR), "2"]] * 2
    check_phase(out, found["bars result"], studio.bar, passes=1)


@NEEDS
@pytest.mark.parametrize("name", ["Stemwright", "StemwrightJob"])
def test_the_help_can_be_read_and_tells_of_methods_that_exist(
    name: str, studio: Studio, sound: dict[str, str]
) -> None:
    out = studio.out(f"sc-help-{name}")
    environment = settings(studio, sound, out, studio.song)
    environment["STEMWRIGHT_HELP"] = str(QUARK / "HelpSource" / "Classes" / f"{name}.schelp")
    with sclang("help.scd", environment, out) as client:
        assert client.ended(PATIENCE) == 0, client.told()
    found = said(client.lines)
    assert found["help"] == [["true"]], client.told()
    assert len(found["method"]) > 10
    assert not [method for method, is_there in found["method"] if is_there != "true"]
    assert not [line for line in client.lines if "SCDoc" in line and "WARN" in line], client.told()
