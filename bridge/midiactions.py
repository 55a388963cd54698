"""What a pad or a knob may do, said in one line of text; the app turns an Action into requests.

preset NAME [OPTION=VALUE …]            start a preset
prompt WORDS … [OPTION=VALUE …]         the same as extract
extract|add|accompany|generate WORDS … [OPTION=VALUE …]
set OPTION                              a controller runs over the option's whole range
set OPTION LOW to HIGH                  a controller runs over this part of it
set OPTION VALUE                        a note, a program or a button
capture NUMBER seconds|bars
cancel last|all
play | stop
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace

from stemwright.bridge.grammar import BAD_ARGS, BadMessage, Pairs, Value
from stemwright.bridge.options import BY_NAME, JOB_TASKS, Option, checked
from stemwright.bridge.request import SOURCES

KINDS = ("note", "controller", "program")
VERBS = ("preset", "prompt", *JOB_TASKS, "set", "capture", "cancel", "play", "stop")
HIGHEST = 127  # of a MIDI number or value
PRESSED = 64  # a controller used as a button is down from here on
UNITS = {"second": "seconds", "seconds": "seconds", "bar": "bars", "bars": "bars"}
LENGTHS = {"seconds": BY_NAME["last"], "bars": BY_NAME["bars"]}


@dataclass(frozen=True)
class Trigger:
    """What sets an action off. number: 0 to 127; channel: 1 to 16, None is any"""

    kind: str  # note, controller or program
    number: int
    channel: int | None = None

    def __str__(self) -> str:
        return f"{self.kind} {self.number} on " + (
            f"channel {self.channel}" if self.channel else "any channel"
        )


@dataclass(frozen=True)
class Action:
    """What is to be done. Which fields count depends on `kind`.

    job      task ("" : the preset's own), pairs, defaults (see with_defaults)
    set      pairs: the one option and its value, once it is fired; Midi keeps it for the next jobs
    capture  length, unit
    cancel   scope: last or all
    play     the last result that came to be; stop: what plays
    """

    kind: str
    task: str = ""
    pairs: Pairs = ()
    defaults: Pairs = ()
    option: str = ""  # set
    low: float = 0.0  # set by a controller: what its 0 means
    high: float = 0.0  # and its 127
    length: float = 0.0
    unit: str = ""  # seconds or bars
    scope: str = ""
    text: str = ""  # as in the map
    trigger: Trigger | None = None  # as it came: with its channel
    at: float = 0.0  # when it came, in monotonic seconds

    @property
    def is_scaled(self) -> bool:
        """Whether a controller's position is the value."""
        return self.kind == "set" and not self.pairs


def parsed(text: str) -> Action:
    """A line as above → its Action; BadMessage says what stands there and what may."""
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadMessage(
            BAD_ARGS, f"{text!r:.80}: {error}; put words with a quote in them between others"
        ) from error
    verb, rest = (words[0], words[1:]) if words else ("", [])
    if verb in ("preset", "prompt", *JOB_TASKS):
        action = _job(verb, rest)
    elif verb == "set":
        action = _set(rest)
    elif verb == "capture":
        action = _capture(rest)
    elif verb == "cancel":
        action = _cancel(rest)
    elif verb in ("play", "stop"):
        action = _plain(verb, rest)
    else:
        raise BadMessage(BAD_ARGS, f"no action {verb!r:.40}; an action begins with {', '.join(VERBS)}")
    return replace(action, text=text)


def fired(action: Action, trigger: Trigger, at: float, value: int = HIGHEST) -> Action:
    """The action as it happens; a controller's `value` 0 to 127 is scaled into the option's range."""
    pairs = action.pairs
    if action.is_scaled:
        pairs = ((action.option, scaled(BY_NAME[action.option], value, action.low, action.high)),)
    return replace(action, pairs=pairs, trigger=trigger, at=at)


def scaled(option: Option, value: int, low: float, high: float) -> Value:
    """0 → low, 127 → high, evenly between; whole numbers are rounded"""
    found = low + (high - low) * value / HIGHEST
    return round(found) if option.kind == "i" else found


def merged(task: str, own: Pairs, behind: Pairs) -> Pairs:
    """`own`, and of `behind` what it does not name; an input only where one is taken and none named."""
    names = {name for name, _ in own}
    takes_input = task != "generate" and not names & set(SOURCES)
    return own + tuple(
        (name, value) for name, value in behind if name not in names and (name not in SOURCES or takes_input)
    )


def with_defaults(action: Action, task: str, pairs: Pairs) -> Pairs:
    """The pairs of a job, its preset filled in and its task known, and behind them the map's defaults."""
    return merged(task, pairs, action.defaults)


def _job(verb: str, words: list[str]) -> Action:
    plain = [word for word in words if "=" not in word]
    pairs = tuple(_pair(word) for word in words if "=" in word)
    if verb == "preset":
        if len(plain) != 1:
            raise BadMessage(BAD_ARGS, f"preset takes one name, as in: preset slap-bass; {len(plain)} came")
        return Action("job", pairs=(("preset", plain[0]), *pairs))
    if plain:
        pairs = (("prompt", " ".join(plain)), *pairs)
    if not {name for name, _ in pairs} & {"prompt", "preset", "like"}:
        raise BadMessage(BAD_ARGS, f"{verb} says not what to hear, as in: {verb} slap bass")
    return Action("job", task="extract" if verb == "prompt" else verb, pairs=pairs)


def _pair(word: str) -> tuple[str, Value]:
    name, _, text = word.partition("=")
    return name, _value(name, text)


def _value(name: str, text: str) -> Value:
    option = BY_NAME.get(name)
    if option is None or option.kind == "s":
        return checked(name, text)
    return checked(name, _number(name, text))


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise BadMessage(BAD_ARGS, f"{name}: a number is needed, {text!r:.40} came") from error


def _set(words: list[str]) -> Action:
    option = BY_NAME.get(words[0]) if words else None
    settable = [each.name for each in BY_NAME.values() if each.kind != "s" or each.values]
    if option is None or option.name not in settable:
        raise BadMessage(
            BAD_ARGS,
            f"set takes an option, {' '.join(words[:1])!r:.40} came; there are {', '.join(settable)}",
        )
    rest = words[1:]
    if len(rest) == 1:
        return Action("set", option=option.name, pairs=((option.name, _value(option.name, rest[0])),))
    if option.low is None or option.high is None:
        raise BadMessage(BAD_ARGS, f"set {option.name} takes one of {', '.join(option.values)}")
    if not rest:
        return Action("set", option=option.name, low=option.low, high=option.high)
    if len(rest) == 3 and rest[1] == "to":
        low, high = (checked(option.name, _number(option.name, rest[index])) for index in (0, 2))
        return Action("set", option=option.name, low=float(low), high=float(high))
    raise BadMessage(
        BAD_ARGS, f"set {option.name} takes nothing, a value, or LOW to HIGH; {' '.join(rest)!r:.60} came"
    )


def _capture(words: list[str]) -> Action:
    unit = UNITS.get(words[1]) if len(words) == 2 else None
    if unit is None:
        raise BadMessage(
            BAD_ARGS,
            f"capture takes a number, and seconds or bars: capture 4 bars; {' '.join(words)!r:.50} came",
        )
    option, length = LENGTHS[unit], _number("capture", words[0])
    assert option.low is not None and option.high is not None
    if not option.low <= length <= option.high:
        raise BadMessage(BAD_ARGS, f"capture {length:g} {unit}; it may be {option.low:g} to {option.high:g}")
    return Action("capture", length=length, unit=unit)


def _cancel(words: list[str]) -> Action:
    scope = " ".join(words) or "last"
    if scope not in ("last", "all"):
        raise BadMessage(BAD_ARGS, f"cancel takes last or all; {scope!r:.40} came")
    return Action("cancel", scope=scope)


def _plain(verb: str, words: list[str]) -> Action:
    if words:
        raise BadMessage(BAD_ARGS, f"{verb} takes nothing; {' '.join(words)!r:.40} came")
    return Action(verb)
