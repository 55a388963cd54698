"""The key and value pairs of a job request: what each means, its type and range; checked in one place.

Words and limits are the engine's own. What depends on the model, or on several options at once, is refused by
the engine when the job is done: `bad_job`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from stemwright.bridge.grammar import BAD_ARGS, BadMessage, Value, fitted
from stemwright.engine.job import Inpainting, Null, Posterior, Render
from stemwright.engine.sampler import SAMPLERS
from stemwright.engine.schedule import GRIDS, LARGEST_LAST, STEPS_LIMIT
from stemwright.engine.settings import MOST_GUIDANCE, MOST_RESAMPLES, MOST_SECONDS

JOB_TASKS = ("extract", "add", "accompany", "generate")
MOST_VARIATIONS = 16


@dataclass(frozen=True)
class Option:
    """kind: i, f or s; low, high: the range of a number; values: the words that text may be"""

    name: str
    kind: str
    meaning: str
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    is_repeated: bool = False


def words(kind: type[Enum]) -> tuple[str, ...]:
    """What the engine calls the members."""
    return tuple(member.value for member in kind)


OPTIONS: tuple[Option, ...] = (
    Option("prompt", "s", "the sound, in words; again for several stems", is_repeated=True),
    Option("negative", "s", "what to steer away from; acts with guidance"),
    Option("like", "s", "path of a reference sound, in place of a prompt or beside it"),
    Option("preset", "s", "name of a preset; what the request says itself goes first"),
    Option("model", "s", "name of a model; default the server's"),
    Option("path", "s", "the input: an audio file inside the allowed folders"),
    Option("upload", "s", "the input: the id of a finished upload"),
    Option("capture", "s", "the input: the id of a capture"),
    Option("last", "f", "the input: so many seconds of the live input, up to now", 0.1, 600),
    Option("bars", "f", "the input: so many bars of the live input, up to the last bar line", 0.25, 256),
    Option("start", "f", "where the region begins in the input, in seconds", 0, 1e6),
    Option("seconds", "f", "length of the region, or of what is generated", 0.05, 86400),
    Option("steps", "i", "sampler steps; default the model's", 1, STEPS_LIMIT),
    Option("guidance", "f", "weight of the prompt; 1 is none", 0, MOST_GUIDANCE),
    Option("sampler", "s", "default the model's", values=tuple(SAMPLERS)),
    Option("seed", "i", "the same seed gives the same stem; default 0", 0, 2**31 - 1),
    Option("variations", "i", "so many seeds, counted up from `seed`", 1, MOST_VARIATIONS),
    Option("render", "s", "a mask on the mixture, or the decoder's waveform", values=words(Render)),
    Option("track", "s", "which track the prompts describe: mix, submix or source; default the task's own"),
    Option("grid", "s", "how the steps' noise levels are spaced; default the model's", values=GRIDS),
    Option("last_level", "f", "noise level the steps end at; default the model's", 0, LARGEST_LAST),
    Option(
        "overlap", "f", "seconds that the windows of a long region share, at most three quarters of one; "
        "default the model's", 0, MOST_SECONDS,
    ),
    Option(
        "inpainting", "s", "how given tracks are held: clean, or noised like the rest at every step, or that "
        "several times a step; default adaptive", values=words(Inpainting),
    ),
    Option(
        "resamples", "i", "how often a step is taken where something known is noised; default 1, "
        "with repaint 10", 1, MOST_RESAMPLES,
    ),
    Option(
        "null", "s", "what guidance compares with: no prompt on any track, or each track's own taken away; "
        "default all", values=words(Null),
    ),
    Option("rescale", "f", "share of the spread added by guidance that is taken back; default 0", 0, 1),
    Option(
        "posterior", "s", "what given sound becomes where the model's encoder gives a distribution; "
        "default mean", values=words(Posterior),
    ),
    Option("joint", "i", "several prompts share one mask (1, the default) or not (0)", 0, 1),
    Option("stem_by_stem", "i", "generate: one pass a prompt (1)", 0, 1),
    Option("rest", "i", "extract: also what is left (1, the default)", 0, 1),
    Option("rate", "i", "of the results, in Hz; default the input's (generate: 44100)", 8000, 384000),
    Option("channels", "i", "of the results; default the input's", 1, 64),
    Option("format", "s", "of the results: 32-bit float WAV, or 24-bit FLAC", values=("wav", "flac")),
    Option("priority", "s", "a live job overtakes a batch; default live", values=("live", "batch")),
    Option("play", "i", "play the first result when it is there (1), in time with its region", 0, 1),
)  # fmt: skip
BY_NAME = {option.name: option for option in OPTIONS}


def checked(name: str, value: Any) -> Value:
    """The value of an option, of its type and in its range; BadMessage says what would be."""
    option = BY_NAME.get(name)
    if option is None:
        raise BadMessage(BAD_ARGS, f"no option {name!r:.40}; there are: {', '.join(BY_NAME)}")
    try:
        found = fitted(option.kind, value)
    except ValueError as error:
        raise BadMessage(BAD_ARGS, f"{name}: {error}") from error
    assert not isinstance(found, bytes)
    if isinstance(found, str):
        if option.values and found not in option.values:
            raise BadMessage(BAD_ARGS, f"{name} is {found!r:.40}; it may be {', '.join(option.values)}")
    elif option.low is not None and option.high is not None and not option.low <= found <= option.high:
        raise BadMessage(BAD_ARGS, f"{name} is {found:g}; it may be {option.low:g} to {option.high:g}")
    return found
