"""The REAPER scripts in a fake REAPER, with a fake server: every case of the files cases_*.lua."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[2] / "daw_scripts" / "reaper" / "Stemwright"
GROUPS = ("fake", "reading", "placing", "serving", "asking")
CASES = [
    (group, case)
    for group in GROUPS
    for case in re.findall(
        r"^function cases\.(\w+)\(", (HERE / f"cases_{group}.lua").read_text("utf-8"), re.MULTILINE
    )
]
LUAS = [name for name in ("lua5.4", "lua5.3") if shutil.which(name)]  # REAPER 7, REAPER 6
SOME = ("it_works_the_second_time", "cancel_while_the_audio_is_read_leaves_nothing")  # under the second, too
FIRST = LUAS[0] if LUAS else "lua"
ALL = [
    pytest.param(group, case, lua, id=f"{case}-{lua}")
    for lua in LUAS or ["lua"]
    for group, case in CASES
    if lua == FIRST or case in SOME
]


@pytest.mark.skipif(not LUAS, reason="needs lua5.4 or lua5.3; CONTRIBUTING.md names the packages")
@pytest.mark.parametrize(("group", "case", "lua"), ALL)
def test_in_a_fake_reaper(group: str, case: str, lua: str, tmp_path: Path) -> None:
    command = [lua, str(HERE / "cases.lua"), str(SCRIPTS), str(tmp_path), group, case]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=400)
    assert done.returncode == 0, done.stderr[-3000:]
