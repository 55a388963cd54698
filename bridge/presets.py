"""Presets: jobs with a name, kept in TOML files. A table is a preset; its keys are options of a job:

[slap-bass]
task = "extract"          # the default
prompt = "slap bass"      # or a list of several
guidance = 2
colour = "#8a5cf6"        # for hosts and pads
"""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence, ValuesView
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from stemwright.bridge.grammar import BAD_ARGS, UNKNOWN_PRESET, BadMessage, Pairs, Value
from stemwright.bridge.options import BY_NAME, JOB_TASKS, checked
from stemwright.bridge.request import ID, SOURCES
from stemwright.engine.errors import BadPrompt
from stemwright.engine.places import own_folder
from stemwright.engine.prompts import parse_prompt

FOLDER = "preset_files"  # beside this file, of the shipped ones
LONGEST_FILE = 1 << 20  # bytes
MOST_FILES = 1000  # of one folder
MOST_PROMPTS = 32
COLOUR = re.compile(r"#[0-9a-f]{6}")
NOT_IN_A_PRESET = (*SOURCES, "start", "preset")  # what belongs to one job alone

Report = Callable[[str], None]  # hears a sentence about each preset that cannot be used


@dataclass(frozen=True)
class Preset:
    """A job but for its input and id. `options` are checked, and hold the prompts too."""

    name: str
    task: str = "extract"
    options: Pairs = ()
    colour: str = ""  # #rrggbb, or empty
    file: str = ""  # where it stands

    @property
    def prompts(self) -> tuple[str, ...]:
        return tuple(str(value) for name, value in self.options if name == "prompt")

    def get(self, option: str) -> Value | None:
        """The value of an option, None where the preset does not say."""
        return next((value for name, value in self.options if name == option), None)


class BadPreset(ValueError):
    """A preset that cannot be used; says what would be."""


class Shelf(Mapping[str, Preset]):
    """The presets by name, as they were when last read: a server changes them only by `reload`."""

    def __init__(self, folders: Sequence[Path] | None = None) -> None:
        self._folders = folders
        self._known: dict[str, Preset] = {}
        self.troubles: tuple[str, ...] = ()
        self.reload()

    def reload(self) -> None:
        """Read all files again; `troubles` then tells of those that cannot be used."""
        troubles: list[str] = []
        known = presets(self._folders, on_problem=troubles.append)
        self._known = known  # in one go: other threads see the old or the new
        self.troubles = tuple(troubles)

    def __getitem__(self, name: str) -> Preset:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)

    def values(self) -> ValuesView[Preset]:
        return self._known.values()  # of one reading, whatever is reloaded meanwhile

    def items(self) -> ItemsView[str, Preset]:
        return self._known.items()


def filled(pairs: Iterable[tuple[str, Any]], presets: Mapping[str, Preset]) -> Pairs:
    """A request's pairs with its preset's behind them; what the request names, the preset does not add to.

    So prompts of the request replace all of the preset's. Without a preset: the pairs as they are.
    """
    pairs = tuple(pairs)
    named = [value for name, value in pairs if name == "preset"]
    if not named:
        return pairs
    if len(named) > 1:
        raise BadMessage(BAD_ARGS, f"preset came {len(named)} times; a job has one")
    preset = named_preset(str(checked("preset", named[0])), presets)
    own = tuple((name, value) for name, value in pairs if name != "preset")
    said = {name for name, _ in own}
    return own + tuple((name, value) for name, value in preset.options if name not in said)


def named_preset(name: str, presets: Mapping[str, Preset]) -> Preset:
    """The preset of that name; BadMessage suggests names that look like it."""
    found = presets.get(name)
    if found is None:
        near = difflib.get_close_matches(name[:100], presets, n=3) or list(presets)[:20]
        among = f"near it: {', '.join(near)}" if near else "there are none"
        raise BadMessage(UNKNOWN_PRESET, f"no preset {name!r:.70}; {among}")
    return found


def presets(
    folders: Sequence[Path] | None = None, *, on_problem: Report = lambda text: None
) -> dict[str, Preset]:
    """The presets of the folders, later ones in place of earlier ones of the same name; None: the shipped.

    One that cannot be used is told to `on_problem` and left out; the others stay.
    """
    found: dict[str, Preset] = {}
    for folder in (shipped(),) if folders is None else folders:
        here: dict[str, Preset] = {}
        for path in _toml_files(folder, on_problem):
            for preset in _read(path, on_problem):
                if preset.name in here:
                    on_problem(
                        f"{path}: [{preset.name}] stands in {here[preset.name].file} already; rename one"
                    )
                else:
                    here[preset.name] = preset
        found.update(here)
    return dict(sorted(found.items()))


def shipped() -> Path:
    """Where the presets of the package lie."""
    return Path(str(files("stemwright.bridge") / FOLDER))


def user_folder() -> Path:
    """Where a user's own presets lie: $STEMWRIGHT_PRESETS, or the platform's data folder."""
    named = os.environ.get("STEMWRIGHT_PRESETS")
    return Path(named) if named else own_folder("data") / "presets"


def _toml_files(folder: Path, report: Report) -> list[Path]:
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix.lower() == ".toml")
    except OSError as error:
        is_unused = isinstance(error, FileNotFoundError) and folder == user_folder()
        if not is_unused or "STEMWRIGHT_PRESETS" in os.environ:  # nobody asked for the platform's folder
            report(f"{folder}: no presets can be read there ({error.strerror})")
        return []
    if len(found) > MOST_FILES:
        report(f"{folder}: {len(found)} files of presets; the first {MOST_FILES} are read")
    return found[:MOST_FILES]


def _read(path: Path, report: Report) -> list[Preset]:
    """The presets of a file that can be used."""
    try:
        content = _content(path)
    except BadPreset as error:
        report(f"{path}: {error}")
        return []
    found = []
    for name, table in content.items():
        try:
            found.append(made(name, table, path))
        except BadPreset as error:
            report(f"{path}: [{name:.70}] {error}")
    return found


def _content(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        try:
            import tomli as tomllib
        except ImportError as error:
            raise BadPreset("needs on Python 3.10: pip install tomli") from error
    try:
        with path.open("rb") as file:
            data = file.read(LONGEST_FILE + 1)
        if len(data) > LONGEST_FILE:
            raise BadPreset(f"over {LONGEST_FILE} bytes; make several files of it")
        return tomllib.loads(data.decode("utf-8-sig"))
    except OSError as error:
        raise BadPreset(f"cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise BadPreset(f"is not UTF-8 at byte {error.start}; save it as UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise BadPreset(f"is not TOML: {error}") from error
    except RecursionError as error:
        raise BadPreset("nests too deeply; a preset is a plain table") from error


def made(name: str, table: Any, path: Path | None = None) -> Preset:
    """A table as read → the preset; BadPreset says what a key may be."""
    if not isinstance(table, dict):
        raise BadPreset(f"is no table; write it below a line [{path.stem if path else 'name'}]")
    if not ID.fullmatch(name):
        raise BadPreset("is no name: 1 to 64 letters, digits, . _ - (no . first)")
    rest = dict(table)
    task, colour = rest.pop("task", "extract"), rest.pop("colour", "")
    if task not in JOB_TASKS:
        raise BadPreset(f"task is {task!r:.40}; it may be {', '.join(JOB_TASKS)}")
    if colour and not (isinstance(colour, str) and COLOUR.fullmatch(colour.lower())):
        raise BadPreset(f'colour is {colour!r:.40}; write it as "#rrggbb"')
    if isinstance(rest.get("like"), str) and path:
        rest["like"] = str(path.parent / rest["like"])  # beside the preset; an absolute path stays
    options = [*_prompts(rest.pop("prompt", [])), *(_option(key, value) for key, value in rest.items())]
    if not options:
        raise BadPreset("is empty; give it at least a prompt")
    return Preset(name, task, tuple(options), str(colour).lower(), str(path or ""))


def _prompts(given: Any) -> list[tuple[str, Value]]:
    prompts = [given] if isinstance(given, str) else given
    if not isinstance(prompts, list) or not all(isinstance(prompt, str) for prompt in prompts):
        raise BadPreset("prompt is a text, or a list of texts")
    if len(prompts) > MOST_PROMPTS:
        raise BadPreset(f"has {len(prompts)} prompts; {MOST_PROMPTS} at most")
    try:
        for prompt in prompts:
            parse_prompt(prompt)
    except BadPrompt as error:
        raise BadPreset(f"prompt: {error}") from error
    return [_option("prompt", prompt) for prompt in prompts]


def _option(key: str, value: Any) -> tuple[str, Value]:
    if key in NOT_IN_A_PRESET:
        raise BadPreset(f"{key} belongs to a job, not to a preset; take it out")
    known = BY_NAME.get(key)
    if known is None:
        may = [name for name in BY_NAME if name not in NOT_IN_A_PRESET]
        near = difflib.get_close_matches(key, (*may, "task", "colour"), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are task, colour, {', '.join(may)}"
        raise BadPreset(f"has no option {key!r:.40}; {hint}")
    if isinstance(value, bool) and (known.kind, known.low, known.high) != ("i", 0, 1):
        needed = "text" if known.kind == "s" else "number"
        raise BadPreset(f"{key} is {str(value).lower()}; a {needed} is needed")
    try:
        return key, checked(key, value)
    except BadMessage as error:
        raise BadPreset(str(error)) from error
