"""From an order, a clip's name, the settings and the last time to what is asked of the server."""

from __future__ import annotations

from dataclasses import dataclass, field

from . import stemwright_protocol as protocol
from .clips import words_in_name
from .osc import Double
from .settings import split
from .trouble import Trouble

FLAGS = {"yes": 1, "no": 0, "on": 1, "off": 0, "true": 1, "false": 0, "1": 1, "0": 0}
PLAIN = ("negative", "variations", "rest", "guidance", "steps", "seed")  # options that [what] may set


@dataclass(frozen=True)
class Wish:
    """What to do with the selected clip. options: as the protocol names them"""

    task: str
    prompts: tuple[str, ...] = ()
    preset: str = ""
    options: dict[str, object] = field(default_factory=dict)
    is_loop: bool = False

    def to_json(self):
        return {
            "task": self.task, "prompts": list(self.prompts), "preset": self.preset,
            "options": dict(self.options), "region": "loop" if self.is_loop else "clip",
        }  # fmt: skip

    @property
    def title(self):
        return "; ".join(self.prompts) or self.preset


def from_json(found):
    """What was remembered; Trouble where there is nothing of use."""
    try:
        task, prompts, preset = found["task"], tuple(map(str, found["prompts"])), str(found["preset"])
        options = {str(name): value for name, value in found["options"].items()}
        is_loop = found["region"] == "loop"
    except (KeyError, TypeError, AttributeError):
        raise Trouble(
            "Nothing was asked before, so there is nothing to do again. Say what: extract bass"
        ) from None
    if task not in protocol.TASKS or not (prompts or preset):
        raise Trouble("What was asked before cannot be used. Say what you want: extract bass")
    return Wish(task, prompts, preset, options, is_loop)


def wish(what, verb, words, names, last, turned, presets):
    """The wish of an order.

    what    the settings' [what]; verb: do, preset or a task; words: behind it
    names   of the clip and its track
    last    what was remembered; turned: what knobs have set, name → value
    presets name → task, as the server told them
    """
    options = _options(what)
    options.update((name, value) for name, value in turned.items() if name in PLAIN)
    is_loop = what.get("region", "clip") == "loop"
    own = verb if verb in protocol.TASKS else ""
    task = own or _task(what)
    if verb == "preset":
        if not words:
            raise Trouble('"preset" needs a name, as in: preset vocals')
        return Wish(presets.get(words, "extract"), (), words, options, is_loop)
    said = split(words) or _named(names) or split(str(turned.get("prompt", "")))
    if said:
        return Wish(task, tuple(said), "", options, is_loop)
    preset = str(turned.get("preset", "")) or what.get("preset", "")
    if preset:
        return Wish(own or presets.get(preset, task), (), preset, options, is_loop)
    said = split(what.get("prompt", "")) or split("; ".join(map(str, last.get("prompts") or ())))
    if not said:
        raise Trouble(
            "Say what you want to hear: write it in brackets into the clip's name, as in Loop [bass], "
            "or behind prompt = in ableton.ini."
        )
    return Wish(task, tuple(said), "", options, is_loop)


def _task(what):
    task = what.get("task") or "extract"
    if task not in protocol.TASKS:
        raise Trouble(f"ableton.ini: task = {task}; it may be {', '.join(protocol.TASKS)}")
    return task


def _named(names):
    for name in names:
        said = split(words_in_name(name))
        if said:
            return said
    return []


def _options(what):
    found = {}
    for name in PLAIN:
        text = what.get(name, "")
        if text:
            found[name] = option(name, text)
    return found


def option(name, text):
    """The text of a setting as the protocol's value; Trouble says what it may be."""
    about = protocol.OPTIONS[name]
    if about["type"] == "s":
        return text
    if name == "rest":
        if text.lower() not in FLAGS:
            raise Trouble(f"ableton.ini: rest = {text}; it may be yes or no")
        return FLAGS[text.lower()]
    low, high = about["low"], about["high"]
    try:
        value = float(text) if about["type"] == "f" else int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise Trouble(f"ableton.ini: {name} = {text}; it may be a number from {low:g} to {high:g}")
    return value


def pairs(asked, region):
    """The keys and values of the request."""
    found = []
    for prompt in asked.prompts:
        found += ["prompt", prompt]
    if asked.preset:
        found += ["preset", asked.preset]
    for name, value in sorted(asked.options.items()):
        if name != "rest" or asked.task == "extract":
            found += [name, float(value) if protocol.OPTIONS[name]["type"] == "f" else value]
    if region.path:
        found += ["path", region.path, "start", Double(region.start / region.rate)]
    return [*found, "seconds", Double(region.seconds)]
