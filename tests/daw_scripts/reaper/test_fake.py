"""The REAPER scripts in a fake REAPER, with a fake server: every case of cases.lua, under each Lua that is here."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[2] / "daw_scripts" / "reaper" / "Stemwright"
CASES = re.findall(r"^function cases\.(\w+)\(", (HERE / "cases.lua").read_text("utf-8"), re.MULTILINE)
LUAS = [name for name in ("lua5.4", "lua5.3") if shutil.which(name)]


@pytest.mark.skipif(not LUAS, reason="needs lua5.4 or lua5.3; CONTRIBUTING.md names the packages")
@pytest.mark.parametrize("lua", LUAS or ["lua"])
@pytest.mark.parametrize("case", CASES)
def test_in_a_fake_reaper(case: str, lua: str, tmp_path: Path) -> None:
    command = [lua, str(HERE / "cases.lua"), str(SCRIPTS), str(tmp_path), case]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
