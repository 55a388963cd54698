"""What of the Ardour script calls nothing of Ardour, in plain Lua; and what is the same as elsewhere."""

import shutil
import subprocess
from pathlib import Path

import pytest
import soundfile

from tests.bridge.real import ROOT
from tests.daw_scripts.ardour.studio import LUA, SCRIPTS

MODULES = SCRIPTS / "stemwright"
PLAIN_LUA = next((name for name in ("lua5.3", "lua5.4") if shutil.which(name)), "")


@pytest.mark.skipif(not PLAIN_LUA, reason="needs lua5.3 or lua5.4: apt-get install lua5.3")
def test_modules_without_host_calls_do_what_they_say(tmp_path: Path) -> None:
    done = subprocess.run(
        [PLAIN_LUA, str(LUA / "modules.lua"), str(MODULES), str(tmp_path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert "ALL GOOD" in done.stdout, done.stderr
    samples, rate = soundfile.read(tmp_path / "two.wav", dtype="float32")
    assert (samples.shape, rate) == ((300, 2), 44100)
    assert samples[:, 0].tolist() == [frame / 1024 for frame in range(1, 301)]
    assert samples[:, 1].tolist() == [-frame / 1024 for frame in range(1, 301)]


def test_the_protocol_beside_the_modules_is_the_generated_one() -> None:
    generated = ROOT / "daw_scripts" / "protocol" / "stemwright_protocol.lua"
    assert (MODULES / generated.name).read_bytes() == generated.read_bytes(), f"copy {generated} again"


@pytest.mark.skipif(not shutil.which("luacheck"), reason="needs luacheck: apt-get install lua-check")
def test_luacheck_has_nothing_to_say() -> None:
    folder = ROOT / "daw_scripts" / "ardour"
    done = subprocess.run(
        ["luacheck", "--no-color", "--quiet", "."],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout
