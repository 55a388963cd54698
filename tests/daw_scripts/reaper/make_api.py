"""Makes reaper_api.lua: the published signatures of the calls that our scripts use.

python make_api.py path/to/reaper_api.json
"""

import json
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
SCRIPTS = HERE.parents[2] / "daw_scripts" / "reaper" / "Stemwright"
OF_LUA = {
    "defer",
    "atexit",
    "new_array",
    "ImGui_GetBuiltinPath",
}  # of REAPER's Lua or of ReaImGui, not of the header
HEAD = """\
-- Signatures of REAPER's published API, as C, of the calls that our scripts use.
-- Made by make_api.py from a list of the functions in REAPER's own SDK header; do not edit.

return {
"""


def used() -> set[str]:
    """Names of all calls in the scripts."""
    files = sorted(SCRIPTS.rglob("*.lua"))
    return {name for file in files for name in re.findall(r"\breaper\.(\w+)", file.read_text("utf-8"))}


def table(functions: dict[str, dict[str, str]]) -> str:
    """The file's text."""
    rows = []
    for name in sorted(used() - OF_LUA):
        one = functions[name]
        rows.append(f'  {name} = {{ args = "{one["args"]}", returns = "{one["returns"]}" }},\n')
    return HEAD + "".join(rows) + "}\n"


def main() -> None:
    functions = json.loads(Path(sys.argv[1]).read_text("utf-8"))["functions"]
    (HERE / "reaper_api.lua").write_text(table(functions), "utf-8")


if __name__ == "__main__":
    main()
