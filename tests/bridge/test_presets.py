"""Presets are read from TOML, refused by name, and stand behind what a request says itself."""

import colorsys
import os
from itertools import combinations
from pathlib import Path

import pytest

from stemwright.bridge.grammar import BAD_ARGS, UNKNOWN_PRESET, BadMessage
from stemwright.bridge.messages import LONGEST_REPLY
from stemwright.bridge.messages import Preset as Row
from stemwright.bridge.options import JOB_TASKS
from stemwright.bridge.presets import BadPreset, Shelf, filled, made, presets, shipped, user_folder
from stemwright.bridge.request import make


def written(folder: Path, text: str, name: str = "own.toml") -> Path:
    (folder / name).write_text(text, encoding="utf-8")
    return folder


def test_the_shipped_presets_have_no_troubles_and_cover_three_fields() -> None:
    troubles: list[str] = []
    found = presets(on_problem=troubles.append)
    assert not troubles
    assert 15 <= len(found) <= 25
    assert {Path(one.file).stem for one in found.values()} == {"band", "electronic", "orchestral"}
    assert all(one.colour and one.prompts for one in found.values())


@pytest.mark.parametrize("name", presets())
def test_every_shipped_preset_makes_a_request_of_its_task(name: str) -> None:
    preset = presets()[name]
    source = () if preset.task == "generate" else (("path", "in.wav"),)
    request = make("j1", preset.task, filled((("preset", name), *source), presets()))
    assert request.prompts == preset.prompts
    row = Row(0, len(presets()), name, preset.task, ", ".join(preset.prompts), preset.colour)
    assert sum(len(str(part)) + 8 for part in row.arguments()) < LONGEST_REPLY


def test_shipped_colours_can_be_told_apart() -> None:
    colours = {
        name: [int(one.colour[at : at + 2], 16) / 255 for at in (1, 3, 5)] for name, one in presets().items()
    }
    nearest = min(
        (sum((x - y) ** 2 for x, y in zip(colours[a], colours[b], strict=True)) ** 0.5, a, b)
        for a, b in combinations(colours, 2)
    )
    assert nearest[0] > 0.08, nearest  # of √3
    assert len({round(colorsys.rgb_to_hsv(*rgb)[0], 2) for rgb in colours.values()}) > 15


def test_a_users_preset_stands_in_place_of_the_shipped_one_and_the_last_folder_counts(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    written(first, '[bass]\nprompt = "fretless bass"\n[mine]\nprompt = "kazoo"\n')
    written(second, '[bass]\nprompt = "double bass"\n')
    found = presets([shipped(), first, second])
    assert found["bass"].prompts == ("double bass",)
    assert found["mine"].prompts == ("kazoo",)
    assert found["drums"] == presets()["drums"]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('task = "remix"', "task is 'remix'; it may be extract, add, accompany, generate"),
        ("steps = 0", "steps is 0; it may be 1 to 1000"),
        ('steps = "many"', "steps: a number is needed"),
        ("steps = true", "steps is true; a number is needed"),
        ("steps = 2.5", "steps: a whole number"),
        ("guidance = nan", "guidance: a number is needed"),
        ("guidence = 2", "no option 'guidence'; did you mean guidance?"),
        ("zzz = 2", "no option 'zzz'; there are task, colour, prompt"),
        ('render = "loud"', "render is 'loud'; it may be preserve, decode"),
        ('colour = "red"', "colour is 'red'; write it as \"#rrggbb\""),
        ("colour = 3", "colour is 3"),
        ("prompt = 7", "prompt is a text, or a list of texts"),
        ('prompt = ["a", 7]', "prompt is a text, or a list of texts"),
        ('prompt = ""', "prompt: the prompt is empty"),
        (f'prompt = "{"x" * 1001}"', "1001 characters"),
        (f"prompt = {['drums'] * 33}", "33 prompts; 32 at most"),
        ('prompt = "a\\u0000b"', "NUL"),
        ('path = "in.wav"', "path belongs to a job, not to a preset"),
        ("bars = 4", "bars belongs to a job"),
        ('preset = "bass"', "preset belongs to a job"),
        ("rest = [1]", "rest: a number is needed"),
        ("seed = 1979-05-27", "seed: a number is needed"),
        ("", "is empty; give it at least a prompt"),
    ],
)
def test_a_bad_preset_is_told_with_file_and_table_and_the_others_stay(
    tmp_path: Path, table: str, said: str
) -> None:
    troubles: list[str] = []
    folder = written(tmp_path, f'[before]\nprompt = "oboe"\n[bad]\n{table}\n[after]\nprompt = "harp"\n')
    found = presets([shipped(), folder], on_problem=troubles.append)
    assert {"before", "after", "bass"} <= set(found) and "bad" not in found
    assert len(troubles) == 1
    assert troubles[0].startswith(f"{tmp_path / 'own.toml'}: [bad] ")
    assert said in troubles[0]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"[a\nprompt = 1", "is not TOML"),
        (b'[a]\nprompt = "x"\n[a]\nprompt = "y"', "is not TOML"),
        (b'[a]\nprompt = "\xff"', "is not UTF-8 at byte 14"),
        (b'[a]\nprompt = "x"\n#' + b"#" * (1 << 20), "over 1048576 bytes"),
        (b"a = " + b"[" * 100_000, "nests too deeply"),
        (b'prompt = "x"', "[prompt] is no table; write it below a line [own]"),
        (b'["../up"]\nprompt = "x"', "is no name"),
        (b'["' + b"n" * 65 + b'"]\nprompt = "x"', "is no name"),
    ],
)
def test_a_bad_file_is_told_and_the_others_stay(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "own.toml").write_bytes(content)
    written(tmp_path, '[other]\nprompt = "harp"\n', "other.toml")
    troubles: list[str] = []
    found = presets([shipped(), tmp_path], on_problem=troubles.append)
    assert "other" in found and "bass" in found
    assert len(troubles) == 1 and said in troubles[0] and "own.toml" in troubles[0]


def test_a_bad_preset_leaves_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    written(tmp_path, '[bass]\nprompt = "tuba"\nsteps = -1\n')
    assert presets([shipped(), tmp_path])["bass"].prompts == ("bass",)


def test_the_same_name_twice_in_a_folder_is_told_and_the_first_stays(tmp_path: Path) -> None:
    written(tmp_path, '[one]\nprompt = "oboe"\n', "a.toml")
    written(tmp_path, '[one]\nprompt = "harp"\n', "b.toml")
    troubles: list[str] = []
    assert presets([shipped(), tmp_path], on_problem=troubles.append)["one"].prompts == ("oboe",)
    assert len(troubles) == 1 and "a.toml already" in troubles[0]


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    troubles: list[str] = []
    assert presets([shipped(), tmp_path / "none"], on_problem=troubles.append) == presets()
    assert len(troubles) == 1 and "No such file" in troubles[0]


def test_a_user_without_a_folder_of_presets_is_not_bothered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.delenv("STEMWRIGHT_PRESETS", raising=False)
    troubles: list[str] = []
    presets([shipped(), user_folder()], on_problem=troubles.append)
    assert not troubles
    monkeypatch.setenv("STEMWRIGHT_PRESETS", str(tmp_path / "none"))
    presets([shipped(), user_folder()], on_problem=troubles.append)
    assert len(troubles) == 1


def test_a_file_saved_by_notepad_is_read(tmp_path: Path) -> None:
    (tmp_path / "own.TOML").write_bytes(b'\xef\xbb\xbf[mine]\r\nprompt = "B\xc3\xa4sse"\r\nrest = false\r\n')
    found = presets([tmp_path])["mine"]
    assert found.prompts == ("Bässe",)
    assert found.get("rest") == 0
    assert found.get("steps") is None


def test_a_reference_sound_is_taken_from_beside_its_preset(tmp_path: Path) -> None:
    absolute = tmp_path / "else" / "b.wav"
    written(tmp_path, f"[one]\nlike = 'clips/a.wav'\n[two]\nlike = '{absolute}'\n")
    found = presets([tmp_path])
    assert found["one"].get("like") == str(tmp_path / "clips" / "a.wav")
    assert found["two"].get("like") == str(absolute)


def test_what_the_request_says_goes_before_the_preset() -> None:
    known = {"p": made("p", {"prompt": ["drums", "bass"], "steps": 20, "guidance": 2, "negative": "voice"})}
    pairs = filled((("steps", 5), ("preset", "p"), ("path", "in.wav")), known)
    assert dict(pairs) == {
        "steps": 5, "path": "in.wav", "prompt": "bass", "guidance": 2.0, "negative": "voice"
    }  # fmt: skip
    assert [value for name, value in pairs if name == "prompt"] == ["drums", "bass"]
    assert pairs[:2] == (("steps", 5), ("path", "in.wav"))


def test_prompts_of_the_request_replace_those_of_the_preset() -> None:
    known = {"p": made("p", {"prompt": ["drums", "bass"], "steps": 20})}
    pairs = filled((("prompt", "oboe"), ("preset", "p")), known)
    assert pairs == (("prompt", "oboe"), ("steps", 20))


def test_without_a_preset_pairs_stay_as_they_are() -> None:
    pairs = (("prompt", "a"), ("prompt", "b"), ("nonsense", 3))
    assert filled(pairs, presets()) == pairs


def test_an_unknown_preset_is_refused_with_names_near_it() -> None:
    with pytest.raises(BadMessage, match=r"no preset 'orgen'; near it: organ") as caught:
        filled((("preset", "orgen"),), presets())
    assert caught.value.code == UNKNOWN_PRESET
    with pytest.raises(BadMessage, match="there are none"):
        filled((("preset", "x"),), {})


@pytest.mark.parametrize("pairs", [(("preset", "bass"), ("preset", "drums")), (("preset", 7),)])
def test_two_presets_or_a_number_are_refused(pairs: tuple[tuple[str, str | int], ...]) -> None:
    with pytest.raises(BadMessage) as caught:
        filled(pairs, presets())
    assert caught.value.code == BAD_ARGS


def test_a_shelf_changes_only_by_reload(tmp_path: Path) -> None:
    shelf = Shelf([shipped(), tmp_path])
    written(tmp_path, '[mine]\nprompt = "kazoo"\n[bad]\nsteps = 0\n')
    assert "mine" not in shelf and not shelf.troubles
    before = shelf.values()
    shelf.reload()
    assert shelf["mine"].prompts == ("kazoo",)
    assert len(shelf.troubles) == 1
    assert len(before) == len(shelf) - 1 == len(presets())
    assert list(shelf) == [preset.name for preset in shelf.values()] == [name for name, _ in shelf.items()]


def test_a_table_alone_makes_a_preset() -> None:
    assert made("p", {"prompt": "oboe", "colour": "#AABBCC"}).colour == "#aabbcc"
    assert made("p", {"prompt": "oboe"}).task in JOB_TASKS
    with pytest.raises(BadPreset, match="is no table"):
        made("p", 3)


def test_the_users_folder_is_named_by_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STEMWRIGHT_PRESETS", str(tmp_path))
    assert user_folder() == tmp_path
    monkeypatch.delenv("STEMWRIGHT_PRESETS")
    assert user_folder().parts[-2:] == ("stemwright", "presets")


def test_every_shipped_file_lies_in_the_package() -> None:
    assert sorted(os.listdir(shipped())) == ["band.toml", "electronic.toml", "orchestral.toml"]
