"""The copies of the protocol are what the messages say, and the hosts that use them can read them."""

import ast
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from stemwright.bridge import messages as say
from stemwright.bridge import protocol
from stemwright.bridge.grammar import CODES, shape
from stemwright.bridge.namespace import namespace
from stemwright.bridge.options import OPTIONS
from stemwright.engine.errors import BadOutput

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = ROOT / "daw_scripts" / "protocol"
ALL = (*say.REQUESTS, *say.REPLIES, *say.EVENTS)


@pytest.mark.parametrize("path", protocol.copies(ROOT), ids=lambda path: path.name)
def test_the_committed_copy_is_not_stale(path: Path) -> None:
    assert path.read_text(encoding="utf-8") == protocol.copies(ROOT)[path], "run: make protocol"


def test_every_address_has_one_message_and_one_constant() -> None:
    assert len({kind.address for kind in ALL}) == len(ALL)
    assert len({protocol.constant(kind) for kind in ALL}) == len(ALL)
    assert not {protocol.constant(kind) for kind in ALL} & {*protocol.NUMBERS, "CODES", "TASKS", "OPTIONS"}


def test_every_message_says_what_it_is_and_every_request_its_answer() -> None:
    assert all(protocol.meaning(kind) for kind in ALL)
    unanswered = [kind for kind in say.REQUESTS if protocol.answer_of(kind) == "–"]
    assert not unanswered


@pytest.fixture(scope="module")
def by_python() -> dict[str, Any]:
    text = (SCRIPTS / "stemwright_protocol.py").read_text(encoding="utf-8")
    tree = ast.parse(text, feature_version=(3, 7))
    assert not [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    found: dict[str, Any] = {}
    exec(compile(tree, "stemwright_protocol.py", "exec"), found)
    return found


def test_the_python_constants_are_the_protocol(by_python: dict[str, Any]) -> None:
    check(by_python)


def test_the_lua_constants_are_the_protocol(tmp_path: Path) -> None:
    program = next((found for name in ("lua5.4", "lua5.3") if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip("needs Lua 5.3 or later: apt-get install lua5.4")
    script = tmp_path / "tell.lua"
    script.write_text(TELL, encoding="utf-8")
    told = subprocess.run(
        [program, str(script), str(SCRIPTS / "stemwright_protocol.lua")],
        capture_output=True, text=True, timeout=20, check=True, encoding="utf-8",
    )  # fmt: skip
    found = json.loads(told.stdout)
    assert found.pop("globals") == 0
    check(found)


# Prints a Lua module as JSON, and how many globals it left behind.
TELL = r"""
local function text(value)
  return '"' .. value:gsub('[%c"\\]', function(c) return string.format('\\u%04x', c:byte()) end) .. '"'
end
local function tell(value)
  if type(value) == "string" then return text(value) end
  if type(value) ~= "table" then return tostring(value) end
  local parts = {}
  if #value > 0 or next(value) == nil then
    for _, each in ipairs(value) do parts[#parts + 1] = tell(each) end
    return "[" .. table.concat(parts, ",") .. "]"
  end
  for name, each in pairs(value) do parts[#parts + 1] = text(name) .. ":" .. tell(each) end
  return "{" .. table.concat(parts, ",") .. "}"
end
local before = {}
for name in pairs(_G) do before[name] = true end
local module = dofile(arg[1])
module.globals = 0
for name in pairs(_G) do if not before[name] then module.globals = module.globals + 1 end end
print(tell(module))
"""


def check(found: dict[str, Any]) -> None:
    """Constants as a host sees them, against the messages and options themselves."""
    assert (found["PORT"], found["HTTP_PORT"], found["PROTOCOL"]) == (7836, 7837, say.PROTOCOL)
    assert found["EXTRACT"] == "/stemwright/extract" and found["ASK_STATUS"] == "/stemwright/status"
    assert found["UPLOAD_MISSING"] == "/stemwright/upload/missing"
    assert found["CODE_BAD_ARGS"] == "bad_args" and found["CODES"] == CODES
    for table, kinds in (("REQUESTS", say.REQUESTS), ("ANSWERS", (*say.REPLIES, *say.EVENTS))):
        assert set(found[table]) == {kind.address for kind in kinds}
        for kind in kinds:
            known = found[table][kind.address]
            plain = [part for part in shape(kind) if part[1] != "*"]
            assert list(known["fields"]) == [name for name, _, _ in plain]
            assert known["types"] == "".join(letter for _, letter, _ in plain)
            assert known["needed"] == sum(needed for _, _, needed in plain)
            assert known["has_options"] == issubclass(kind, say.JobRequest)
    assert set(found["OPTIONS"]) == {option.name for option in OPTIONS}
    for option in OPTIONS:
        known = found["OPTIONS"][option.name]
        assert known["type"] == option.kind
        assert known.get("low") == option.low and known.get("high") == option.high
        assert tuple(known.get("values", ())) == option.values
        assert known.get("is_repeated", False) == option.is_repeated


def test_texts_survive_in_both_languages() -> None:
    text = 'a "b" \\ c\nd „é“ | ]]'
    assert ast.literal_eval(protocol.python_value({"x": [text, True, 1, 0.5]})) == {"x": (text, True, 1, 0.5)}
    assert ast.literal_eval(protocol.python_value([text])) == (text,)
    assert protocol.lua_value(text) == '"a \\"b\\" \\\\ c\\nd „é“ | ]]"'
    assert protocol.lua_value([1, True]) == "{1, true}"


def test_the_json_is_the_namespace_that_is_served() -> None:
    assert json.loads((SCRIPTS / "oscquery.json").read_text(encoding="utf-8")) == namespace()


def test_the_reference_lists_every_message_option_and_code() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)
    assert sorted(rows) == sorted(
        [kind.address for kind in ALL] + [one.name for one in OPTIONS] + list(CODES)
    )


def test_notes_of_fields_come_from_the_source_with_their_defaults() -> None:
    notes = protocol.field_notes(say.OpenUpload)
    assert notes["format"].startswith("file: those of a WAV") and notes["format"].endswith("; default file")
    assert protocol.field_notes(say.Play)["loops"] == "0: until `stop`; default 1"
    assert protocol.field_notes(say.Extract)["job"].startswith("chosen by the sender")


def test_classes_named_in_a_docstring_become_addresses_but_words_stay() -> None:
    assert protocol.answer_of(say.AskStatus) == "`status.reply`"
    assert protocol.answer_of(say.Add) == "as `extract` is"
    assert (
        protocol.quoted("Stop a job. Answered by Done, or Fail.")
        == "Stop a job. Answered by `done`, or `fail`."
    )


def test_prose_around_the_markers_stays() -> None:
    text = "# Mine\n<!-- protocol -->\nold\n<!-- /protocol -->\nmore\n"
    made = protocol.marked(text)
    assert made.startswith("# Mine\n<!-- protocol -->\n| request |")
    assert made.endswith("|\n<!-- /protocol -->\nmore\n") and "old" not in made
    assert protocol.marked(made) == made
    assert protocol.marked("no markers\n") == "no markers\n"


@pytest.mark.parametrize(
    "text",
    [
        "<!-- protocol -->",
        "<!-- /protocol --><!-- protocol -->",
        "<!-- protocol --><!-- protocol --><!-- /protocol -->",
    ],
)
def test_broken_markers_are_told(text: str) -> None:
    with pytest.raises(BadOutput, match="must come once"):
        protocol.marked(text)


def test_a_cell_cannot_end_its_table() -> None:
    assert protocol.table(["a|b"], ["c"]) == "| a\\|b |\n| --- |\n| c |"


def test_writing_brings_a_stale_copy_up_to_date(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    page = tmp_path / "docs" / "protocol.md"
    page.write_text("prose\n<!-- protocol:codes -->\n<!-- /protocol:codes -->\n", encoding="utf-8")
    assert len(protocol.write(tmp_path)) == 7
    assert protocol.write(tmp_path) == []
    assert "`bad_args`" in page.read_text(encoding="utf-8")
    page.write_text(page.read_text(encoding="utf-8").replace("bad_args", "worse_args"), encoding="utf-8")
    assert protocol.write(tmp_path) == [page]


def test_outside_a_working_tree_nothing_is_written(tmp_path: Path) -> None:
    with pytest.raises(BadOutput, match="no working tree"):
        protocol.write(tmp_path)
    assert not list(tmp_path.iterdir())
