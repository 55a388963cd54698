"""A job as the queue keeps it: every option settled, nothing of the wire left. JSON there and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from stemwright.bridge.grammar import BAD_ARGS, BadMessage, Value
from stemwright.bridge.messages import LONGEST_ID
from stemwright.bridge.options import JOB_TASKS, checked

ID = re.compile(rf"[A-Za-z0-9_-][A-Za-z0-9._-]{{0,{LONGEST_ID - 1}}}")
SOURCES = ("path", "upload", "capture", "last", "bars")


@dataclass(frozen=True)
class Request:
    """One job, as asked. None: the model's or the input's own. Meanings: options.py

    An input is named once, by `path`, `upload`, `capture`, `last` or `bars`; the server turns the last four
    into a `path` before the job is accepted.
    """

    job: str
    task: str
    prompts: tuple[str, ...] = ()
    negative: str = ""
    like: str | None = None
    model: str | None = None
    path: str | None = None
    upload: str | None = None
    capture: str | None = None
    last: float | None = None
    bars: float | None = None
    start: float = 0.0
    seconds: float | None = None
    steps: int | None = None
    guidance: float | None = None
    sampler: str | None = None
    seed: int = 0
    variations: int = 1
    render: str | None = None
    track: str | None = None
    grid: str | None = None
    last_level: float | None = None
    overlap: float | None = None
    inpainting: str | None = None
    resamples: int | None = None
    null: str | None = None
    rescale: float | None = None
    posterior: str | None = None
    joint: bool = True
    stem_by_stem: bool = False
    rest: bool = True
    rate: int | None = None
    channels: int | None = None
    format: str = "wav"
    priority: str = "live"
    play: bool = False

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults."""
        values = ((name, getattr(self, name), default) for name, default in DEFAULTS)
        return {name: value for name, value, default in values if value != default}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Request:
        """BadMessage on anything that `to_json` would not write; numbers and words are checked as options."""
        if not isinstance(content, Mapping):
            raise BadMessage(BAD_ARGS, "a request is a JSON object")
        rest = dict(content)
        job, task, prompts = rest.pop("job", None), rest.pop("task", None), rest.pop("prompts", [])
        if not isinstance(job, str) or not isinstance(task, str):
            raise BadMessage(BAD_ARGS, 'a request needs "job" and "task", both text')
        if not isinstance(prompts, list | tuple):
            raise BadMessage(BAD_ARGS, '"prompts" is a list of texts')
        pairs = [("prompt", prompt) for prompt in prompts]
        pairs += [(name, value) for name, value in rest.items() if value is not None]
        return make(job, task, pairs)


DEFAULTS = tuple((field.name, field.default) for field in fields(Request))
FLAGS = frozenset(field.name for field in fields(Request) if str(field.type) == "bool")


def make(job: str, task: str, pairs: Iterable[tuple[str, Any]]) -> Request:
    """The request of an id, a task and its options, all checked. A preset is filled in before."""
    if not ID.fullmatch(job):
        raise BadMessage(
            BAD_ARGS,
            f"the id {job!r:.70} cannot be used: 1 to {LONGEST_ID} letters, digits, . _ - (no . first)",
        )
    if task not in JOB_TASKS:
        raise BadMessage(BAD_ARGS, f"no task {task!r:.40}; there are {', '.join(JOB_TASKS)}")
    prompts, values = _collected(pairs)
    found = replace(Request(job, task), prompts=tuple(prompts), **values)
    _check(found)
    return found


def _collected(pairs: Iterable[tuple[str, Any]]) -> tuple[list[str], dict[str, Any]]:
    prompts: list[str] = []
    values: dict[str, Any] = {}
    for name, given in pairs:
        value: Value = checked(name, given)
        if name == "prompt":
            prompts.append(str(value))
        elif name in values:
            raise BadMessage(BAD_ARGS, f"{name} came twice")
        elif name == "preset":
            raise BadMessage(BAD_ARGS, "a preset cannot name a preset")
        else:
            values[name] = bool(value) if name in FLAGS else value
    return prompts, values


def _check(request: Request) -> None:
    sources = [name for name in SOURCES if getattr(request, name) is not None]
    if request.task == "generate":
        if sources:
            raise BadMessage(BAD_ARGS, f"generate takes no input, but {sources[0]} is given; see add")
    elif len(sources) != 1:
        raise BadMessage(
            BAD_ARGS, f"{request.task} takes one input: one of {', '.join(SOURCES)}; {len(sources)} given"
        )
    if not any(prompt.strip() for prompt in request.prompts) and request.like is None:
        raise BadMessage(BAD_ARGS, 'no prompt: say what to hear, as in prompt "slap bass", or give like PATH')
