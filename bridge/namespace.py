"""The protocol as an OSCQuery namespace: a tree of JSON objects, made from messages.py and options.py.

Requests can be sent to (ACCESS 2), answers and events come from the server (ACCESS 1). Optional arguments
are OVERLOADS; the key and value pairs of a job request, which the proposal has no word for, stand under
OPTIONS. A request without arguments has no TYPE.
"""

from __future__ import annotations

import re
from typing import Any

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import CODES, Message, shape, signature
from stemwright.bridge.messages import EVENTS, PREFIX, REPLIES, REQUESTS, JobRequest
from stemwright.bridge.options import OPTIONS, Option

Node = dict[str, Any]
UNIT = {"MIN": 0, "MAX": 1}
COUNT = {"MIN": 0}
JOB_STATES = ["queued", "running", "finished", "cancelled", "failed"]

# What an argument may be, where its type alone does not say.
RANGES: dict[type[Message], dict[str, dict[str, Any]]] = {
    say.Notify: {"on": {"VALS": [0, 1]}, "port": {"MIN": 0, "MAX": 65535}},
    say.OpenUpload: {
        "bytes": {"MIN": 1},
        "format": {"VALS": ["file", "f32", "s16"]},
        "rate": COUNT,
        "channels": COUNT,
    },
    say.Chunk: {"offset": COUNT},
    say.Capture: {"length": COUNT, "unit": {"VALS": ["seconds", "bars"]}},
    say.Play: {"index": COUNT, "loops": COUNT},
    say.AskBuffer: {"index": COUNT, "offset": COUNT, "length": {"MIN": 1, "MAX": 65536}},
    say.Status: {
        "state": {"VALS": ["starting", "ready", "working", "failing"]},
        "queued": COUNT,
        "running": COUNT,
        "progress": UNIT,
    },
    say.Accepted: {"position": COUNT},
    say.JobState: {"state": {"VALS": JOB_STATES}, "progress": UNIT},
    say.Progress: {"done": UNIT, "stage": {"VALS": ["encode", "sample", "render"]}},
    say.Result: {"index": COUNT, "count": COUNT, "seed": COUNT},
    say.Fail: {"code": {"VALS": list(CODES)}},
}


def namespace() -> Node:
    """The whole tree, from the root; the same each time."""
    root: Node = {"FULL_PATH": "/", "DESCRIPTION": "Stemwright's bridge", "ACCESS": 0, "CONTENTS": {}}
    for kind in (*REQUESTS, *REPLIES, *EVENTS):
        _put(root, kind.address, method(kind, is_request=kind in REQUESTS))
    return root


def method(kind: type[Message], *, is_request: bool) -> Node:
    """What can be said of one address."""
    shapes = [part for part in shape(kind) if part[1] != "*"]
    types = "".join(letter for _, letter, _ in shapes)
    node: Node = {
        "FULL_PATH": kind.address,
        "DESCRIPTION": f"{linked(meaning(kind))} Arguments: {signature(kind)}.",
        "ACCESS": 2 if is_request else 1,
    }
    if types:
        node["TYPE"] = types
        node["RANGE"] = [RANGES.get(kind, {}).get(name) for name, _, _ in shapes]
    needed = sum(is_needed for _, _, is_needed in shapes)
    if is_request and needed < len(types):
        node["OVERLOADS"] = [
            {"TYPE": types[:length], "RANGE": node["RANGE"][:length]} if length else {"TYPE": ""}
            for length in range(needed, len(types))
        ]
    if issubclass(kind, JobRequest):
        node["OPTIONS"] = {option.name: option_node(option) for option in OPTIONS}
    return node


def option_node(option: Option) -> Node:
    """One key of a job request's tail."""
    node: Node = {"TYPE": option.kind, "DESCRIPTION": option.meaning}
    if option.values:
        node["RANGE"] = [{"VALS": list(option.values)}]
    elif option.low is not None:
        node["RANGE"] = [{"MIN": option.low, "MAX": option.high}]
    if option.is_repeated:
        node["IS_REPEATED"] = True
    return node


def meaning(kind: type[Message]) -> str:
    """A message's docstring on one line."""
    return " ".join((kind.__doc__ or "").split())


def linked(text: str, quote: str = "") -> str:
    """Messages named by their class become addresses; a word that begins a sentence is only a word."""
    for kind in (*REQUESTS, *REPLIES, *EVENTS):
        text = re.sub(rf"(?<=[\w,;:] ){kind.__name__}\b", f"{quote}{short(kind)}{quote}", text)
    return text


def short(kind: type[Message]) -> str:
    """Its address, without what all share."""
    return kind.address.removeprefix(PREFIX + "/")


def find(root: Node, path: str) -> Node | None:
    """The node at an OSC path; None where there is none."""
    node: Node | None = root
    for name in path.strip("/").split("/") if path.strip("/") else ():
        node = node.get("CONTENTS", {}).get(name) if node is not None else None
    return node


def with_values(node: Node, values: dict[str, list[Any]]) -> Node:
    """A copy with VALUE at those addresses that have one."""
    made = dict(node)
    if node["FULL_PATH"] in values:
        made["VALUE"] = list(values[node["FULL_PATH"]])
    if "CONTENTS" in node:
        made["CONTENTS"] = {name: with_values(below, values) for name, below in node["CONTENTS"].items()}
    return made


def _put(root: Node, address: str, leaf: Node) -> None:
    node, path = root, ""
    *above, name = address.strip("/").split("/")
    for part in above:
        path += "/" + part
        new: Node = {"FULL_PATH": path, "ACCESS": 0, "CONTENTS": {}}
        node = node["CONTENTS"].setdefault(part, new)
        node.setdefault("CONTENTS", {})
    leaf_there = node["CONTENTS"].get(name, {})
    node["CONTENTS"][name] = leaf | ({"CONTENTS": leaf_there["CONTENTS"]} if leaf_there else {})
