"""What the user has set (ableton.ini), and what was asked last (ableton-last.json)."""

from __future__ import annotations

import configparser
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass, field

from . import stemwright_protocol as protocol
from .trouble import Trouble

FILE, LAST = "ableton.ini", "ableton-last.json"
DOOR = 7838  # UDP port that takes orders
VERBS = ("do", *protocol.TASKS, "preset", "again", "cancel", "start", "presets", "set")
TEMPLATE = """\
# Stemwright in Ableton Live. Save this file, and it is read again within two seconds.
# After a change to a port, choose the control surface anew (or restart Live).

[what]
# What to hear. Several, separated by ; become a track each. Words in [brackets] in the name of the
# clip, or of its track, go first:  "Loop 3 [slap bass; drums]"
prompt =
# What the order do does: extract, add, accompany or generate
task = extract
# The name of a preset of the server, instead of a prompt
preset =
negative =
variations = 1
# Also what is left when the part is gone (extract)
rest = yes
# Empty: the model's own
guidance =
steps =
seed =
# clip: from marker to marker; loop: only what lies inside the Arrangement's loop
region = clip

[files]
# Where the stems are kept. Empty: Samples/Stemwright beside the Live Set, or Music/Stemwright in your
# home while it is not saved
folder =

[server]
port = 7836
# The program, for the order "start". Empty: looked for where pip puts it
command =
# Where other programs give orders (ask.py); 0: nowhere
door = 7838

[midi]
# Pads and knobs of the control surface's input: channel/number = order.
# Remove the # before those you want.
# What is set above, or stands in the name of the clip:
#note 1/36 = do
#note 1/37 = extract slap bass; drums
#note 1/38 = preset vocals
#note 1/39 = again
#note 1/40 = cancel
# The server:
#note 1/41 = start
# From, to:
#cc 1/20 = variations 1 8
#cc 1/21 = guidance 1 6
# One of the server's:
#cc 1/22 = preset
#cc 1/23 = prompt bass; drums; vocals; electric guitar
"""
NUMBERS = ("variations", "guidance", "steps", "seed")
KNOBS = (*NUMBERS, "preset", "prompt")


@dataclass(frozen=True)
class Knob:
    """What a controller sets: a number from `low` to `high`, a preset, or one of `words`."""

    name: str
    low: float = 0.0
    high: float = 0.0
    words: tuple[str, ...] = ()

    def value(self, turned):
        """0 to 127 → the number or word; None for presets, whose names the server knows"""
        if self.words:
            return pick(self.words, turned)
        value = self.low + (self.high - self.low) * turned / 127.0
        return round(value, 2) if self.name == "guidance" else round(value)


@dataclass
class Settings:
    """what: option → text, as in the file. notes, knobs: (channel 0 to 15, number) → order, Knob"""

    what: dict[str, str] = field(default_factory=dict)
    folder: str = ""
    port: int = protocol.PORT
    door: int = DOOR
    command: str = ""
    notes: dict[tuple[int, int], str] = field(default_factory=dict)
    knobs: dict[tuple[int, int], Knob] = field(default_factory=dict)


def pick(words, turned):
    return words[min(len(words) * turned // 128, len(words) - 1)]


def home():
    """Where both files lie: $STEMWRIGHT_ABLETON, or beside the presets that are your own."""
    named = os.environ.get("STEMWRIGHT_ABLETON")
    if named:
        return named
    user = os.path.expanduser("~")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or os.path.join(user, "AppData", "Local")
    elif sys.platform == "darwin":
        base = os.path.join(user, "Library", "Application Support")
    else:
        base = os.environ.get("XDG_DATA_HOME") or os.path.join(user, ".local", "share")
    return os.path.join(base, "stemwright")


def split(text):
    """ "bass; drums" → ["bass", "drums"]"""
    return [word.strip() for word in text.split(";") if word.strip()]


def parsed(text):
    """The file's text → Settings; Trouble names the line or key that is wrong."""
    reader = configparser.ConfigParser(
        delimiters=("=",),
        comment_prefixes=("#",),
        interpolation=None,
        strict=False,
        empty_lines_in_values=False,
    )
    try:
        reader.read_string(text)
    except configparser.Error as error:
        raise Trouble("{} cannot be read: {}".format(FILE, str(error).replace("\n", " "))) from error
    read = {name: dict(reader.items(name)) for name in reader.sections()}
    server = read.get("server", {})
    settings = Settings(
        what={name: value.strip() for name, value in read.get("what", {}).items()},
        folder=os.path.expanduser(read.get("files", {}).get("folder", "").strip()),
        port=_whole(server, "port", protocol.PORT, 1),
        door=_whole(server, "door", DOOR, 0),
        command=os.path.expanduser(server.get("command", "").strip()),
    )
    for key, order in read.get("midi", {}).items():
        _map(settings, key, order.strip())
    return settings


def _whole(section, name, default, low):
    text = section.get(name, "").strip() or str(default)
    if not text.isdigit() or not low <= int(text) <= 65535:
        raise Trouble(f"{FILE}: {name} = {text}; it may be {low} to 65535")
    return int(text)


def _map(settings, key, order):
    kind, _, place = key.partition(" ")
    channel, _, number = place.strip().partition("/")
    is_number = channel.strip().isdigit() and number.strip().isdigit()
    if kind not in ("note", "cc") or not is_number:
        raise Trouble(f'{FILE}: "{key}" is no key for [midi]; it looks like "note 1/36" or "cc 1/20"')
    at = (int(channel) - 1, int(number))
    if not (0 <= at[0] <= 15 and 0 <= at[1] <= 127):
        raise Trouble(f"{FILE}: {key}: channels are 1 to 16, numbers 0 to 127")
    if kind == "note":
        verb_of(order)
        settings.notes[at] = order
    else:
        settings.knobs[at] = _knob(key, order)


def verb_of(order):
    """ "extract slap bass" → ("extract", "slap bass"); Trouble when it is no order"""
    verb, _, rest = order.strip().partition(" ")
    if verb not in VERBS:
        raise Trouble('"{:.60}" is no order; there are {}'.format(order, ", ".join(VERBS)))
    return verb, rest.strip()


def _knob(key, order):
    name, _, rest = order.partition(" ")
    if name == "preset":
        return Knob(name)
    if name == "prompt" and split(rest):
        return Knob(name, words=tuple(split(rest)))
    try:
        low, high = (float(word) for word in rest.split())
    except ValueError:
        low = high = -1.0
    if name not in NUMBERS or low < 0 or high < low:
        raise Trouble(
            f'{FILE}: {key} = {order}; it may be "preset", "prompt bass; drums", or as in "variations 1 8" '
            f"one of {', '.join(NUMBERS)}, from, to"
        )
    return Knob(name, low, high)


class Keeper:
    """The two files. `settings` is always whole: what cannot be read leaves the last ones in force."""

    def __init__(self, folder=None):
        self.folder = folder or home()
        self.path = os.path.join(self.folder, FILE)
        self.settings = Settings()
        self.last = {}
        self._stamp = None

    def open(self):
        """Write the file for the user to edit if there is none, and read both."""
        try:
            os.makedirs(self.folder, exist_ok=True)
            if not os.path.exists(self.path):
                _write(self.path, TEMPLATE)
        except OSError:
            pass  # a disk that cannot be written: the defaults will do
        self.last = self._read_last()
        self.look()

    def look(self):
        """Read the settings again where the file is another; Trouble, once, when it is wrong."""
        try:
            state = os.stat(self.path)
            stamp = (state.st_mtime_ns, state.st_size)
            if stamp == self._stamp:
                return
            self._stamp = stamp
            with open(self.path, encoding="utf-8-sig") as file:
                text = file.read()
        except OSError:
            return
        except UnicodeDecodeError as error:
            raise Trouble(f"{self.path} is not UTF-8. Save it as UTF-8.") from error
        self.settings = parsed(text)

    def remember(self, last):
        self.last = last
        with suppress(OSError):  # then it is remembered until Live ends
            _write(os.path.join(self.folder, LAST), json.dumps(last, ensure_ascii=False, indent=1))

    def _read_last(self):
        try:
            with open(os.path.join(self.folder, LAST), encoding="utf-8") as file:
                found = json.load(file)
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}


def _write(path, text):
    """All of it or nothing."""
    part = path + ".part"
    with open(part, "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(part, path)
