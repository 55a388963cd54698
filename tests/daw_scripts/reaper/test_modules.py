"""The parts of the REAPER scripts that call no host, under each Lua that is here; and what ReaPack needs."""

import json
import re
import shutil
import struct
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest
import soundfile

from tests.daw_scripts.reaper.make_api import OF_LUA, table, used

HERE = Path(__file__).resolve().parent
REAPER = HERE.parents[2] / "daw_scripts" / "reaper"
SCRIPTS = REAPER / "Stemwright"
LUAS = [name for name in ("lua5.4", "lua5.3") if shutil.which(name)]
CHECKS = re.findall(r"^function checks\.(\w+)\(", (HERE / "modules.lua").read_text("utf-8"), re.MULTILINE)
needs_lua = pytest.mark.skipif(not LUAS, reason="needs lua5.4 or lua5.3; CONTRIBUTING.md names the packages")


def lua(program: str, *words: str | Path, text: str = "") -> str:
    """What modules.lua prints for a command."""
    command = [program, str(HERE / "modules.lua"), str(SCRIPTS / "lib"), *map(str, words)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, input=text, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@needs_lua
@pytest.mark.parametrize("program", LUAS)
@pytest.mark.parametrize("check", CHECKS)
def test_modules(check: str, program: str, tmp_path: Path) -> None:
    lua(program, check, tmp_path)


@needs_lua
@pytest.mark.parametrize("program", LUAS)
def test_json_goes_through_lua_unchanged(program: str) -> None:
    value = {
        "text": 'quotes " \\ / line\nend\ttab \x01 \x7f ü 歌 𝄞',
        "numbers": [0, -1, 3.25, 1e300, -2.5e-9, 2**53],
        "deep": {"list": [[], {"a": True}, False], "empty text": ""},
    }
    for ensure_ascii in (True, False):
        assert json.loads(lua(program, "echo", text=json.dumps(value, ensure_ascii=ensure_ascii))) == value


@needs_lua
@pytest.mark.parametrize(
    "text", ["", "{", "[1,]", '{"a" 1}', '"\\x"', "nul", "1 2", '"a\nb"', "[" * 100, '{"a":}', "-"]
)
def test_what_is_no_json_is_refused_with_a_reason(text: str) -> None:
    assert lua(LUAS[0], "refuse", text=text).startswith("refused: ")


@needs_lua
@pytest.mark.parametrize("program", LUAS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_wav_files_are_read_by_libsndfile_sample_by_sample(
    program: str, channels: int, tmp_path: Path
) -> None:
    path = tmp_path / "made.wav"
    lua(program, "ramp", path, str(channels), "44100", "1001")
    with soundfile.SoundFile(path) as file:
        assert (file.samplerate, file.channels, file.frames) == (44100, channels, 1001)
        assert file.subtype == "FLOAT" and file.format in ("WAV", "WAVEX")
        samples = file.read(always_2d=True).reshape(-1)
    wanted = [
        struct.unpack("<f", struct.pack("<f", index / 7000 - 0.5))[0] for index in range(1001 * channels)
    ]
    assert samples.tolist() == wanted
    assert path.stat().st_size == int(lua(program, "bytes", str(channels), "1001"))


@needs_lua
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "DOUBLE"])
def test_the_facts_of_wav_files_are_those_of_libsndfile(form: str, subtype: str, tmp_path: Path) -> None:
    path = tmp_path / "any.wav"
    soundfile.write(path, [[0.5, -0.5, 0.1]] * 777, 48000, subtype=subtype, format=form)
    facts = json.loads(lua(LUAS[0], "info", path))
    assert (facts["channels"], facts["rate"], facts["frames"]) == (3, 48000, 777)
    assert facts["is_float"] == (subtype in ("FLOAT", "DOUBLE"))


@pytest.mark.skipif(not shutil.which("luacheck"), reason="needs luacheck (package lua-check)")
def test_luacheck_has_nothing_to_say() -> None:
    for folder in (REAPER, HERE):  # each has its .luacheckrc
        words = ["luacheck", "--no-color", "-q", "."]
        done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=folder)
        assert done.returncode == 0, done.stdout


def test_the_signatures_of_the_fake_are_the_published_ones(shared: Path) -> None:
    functions = json.loads((shared / "fixtures" / "reaper_api.json").read_text("utf-8"))["functions"]
    assert (HERE / "reaper_api.lua").read_text("utf-8") == table(functions), "run make_api.py again"


def test_every_call_of_the_scripts_has_its_signature_and_its_fake() -> None:
    signatures = (HERE / "reaper_api.lua").read_text("utf-8")
    fakes = "".join(file.read_text("utf-8") for file in HERE.glob("fake_*.lua"))
    calls = used()
    assert len(calls) > 60
    for name in calls - {"ImGui_GetBuiltinPath"}:
        assert name in OF_LUA or f"\n  {name} = " in signatures, name
        assert f"function Host:{name}(" in fakes, name


def test_the_copy_of_the_protocol_is_the_generated_one() -> None:
    made = REAPER.parent / "protocol" / "stemwright_protocol.lua"
    assert (SCRIPTS / "lib" / "stemwright_protocol.lua").read_text("utf-8") == made.read_text("utf-8")


def test_scripts_neither_wait_nor_run_programs_on_their_own() -> None:
    for file in sorted(SCRIPTS.rglob("*.lua")):
        found = re.findall(r"os\.execute|io\.popen|os\.exit|\bprint\(", file.read_text("utf-8"))
        assert not found, (file.name, found)


def test_only_the_main_script_is_a_package_of_its_own() -> None:
    for file in sorted(SCRIPTS.rglob("*.lua")):
        is_made = file.name == "stemwright_protocol.lua"
        first = file.read_text("utf-8").splitlines()[0]
        wanted = "-- @description" if file.name == "Stemwright.lua" else "-- @noindex"
        assert is_made or first.startswith(wanted), file.name


def test_the_index_for_reapack_names_every_file_at_the_version_of_the_header() -> None:
    header = (SCRIPTS / "Stemwright.lua").read_text("utf-8")
    found = re.search(r"@version (\S+)", header)
    assert found is not None
    index = ElementTree.parse(REAPER / "index.xml").getroot()
    assert index.tag == "index" and index.get("version") == "1" and index.get("name")
    (package,) = index.iter("reapack")
    assert package.get("type") == "script" and package.get("name") == "Stemwright.lua"
    version = package.findall("version")[-1]
    assert version.get("name") == found[1]
    sources = {}
    for source in version.findall("source"):
        assert source.text is not None and source.text.startswith("https://")
        sources[source.get("file") or "Stemwright.lua"] = source
        path = source.text.rpartition("/daw_scripts/reaper/Stemwright/")[2].replace("%20", " ")
        assert (SCRIPTS / path).is_file(), path
    assert set(sources) == {str(path.relative_to(SCRIPTS)) for path in SCRIPTS.rglob("*.lua")}
    mains = {name for name, source in sources.items() if source.get("main")}
    assert mains == {name for name in sources if "/" not in name}
