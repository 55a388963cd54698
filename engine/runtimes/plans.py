"""The cache of TensorRT plans: where they lie, what each fits, and why one is not opened.

A plan is native code in all but name: to deserialise one is to run it. So only those are opened that this
user built, in a folder nobody else can write, with the bytes their manifest was written for, and of the
model, the builder and the card at hand. None is ever shipped or downloaded.

plans/<name>.plan   the builder's bytes
plans/<name>.json   {"recipe": {…}, "key", "sha256", "bytes", "inputs", "outputs", "checked"}
"""

import hashlib
import json
import os
import platform
import re
import stat
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from stemwright.engine.errors import BadOutput, PlanRefused
from stemwright.engine.partfile import put_lasting
from stemwright.engine.places import own_folder

EXPORT = 2  # raised whenever graphs are narrowed or plans are built in another way
BUILD = "Build it: stemwright export plan"
MOST_ABOUT = 1 << 20  # bytes of a plan's manifest


@dataclass(frozen=True)
class Recipe:
    """Everything a plan depends on.

    model      name and path of the model folder, for people
    part       "denoiser"
    weights    sha256 of the weights, graph: of the ONNX graph
    precision  of its products, and singles: the weights whose products stay single
    profile    batches: least, usual, most
    builder    "tensorrt_rtx", "tensorrt" or "torch_tensorrt", and version: of TensorRT, in full
    cards      compute capabilities, e.g. ("SM86", "SM89")
    system     e.g. "linux-x86_64"
    export     EXPORT
    device     the one card it was tuned on, e.g. "H200, 132 multiprocessors"; "": any of `cards`
    tools      what else took part in building it, with versions
    """

    model: str
    part: str
    weights: str
    graph: str
    precision: str
    singles: tuple[str, ...]
    profile: tuple[int, int, int]
    builder: str
    version: str
    cards: tuple[str, ...]
    system: str
    export: int = EXPORT
    device: str = ""
    tools: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """sha256 over all of it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @property
    def name(self) -> str:
        """Of its files: the same model, builder, cards and precision take the same place."""
        words = (Path(self.model).name, self.part, self.builder, *self.cards, self.precision)
        plain = re.sub(r"[^A-Za-z0-9._-]+", "_", ".".join(words))
        return f"{plain}.{hashlib.sha256(self.model.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class Plan:
    """A plan whose bytes are those that were built."""

    recipe: Recipe
    content: bytes
    about: Mapping[str, Any]


def this_system() -> str:
    return f"{sys.platform}-{platform.machine().lower()}"


def plans_folder() -> Path:
    """$STEMWRIGHT_PLANS, or in the platform's cache."""
    named = os.environ.get("STEMWRIGHT_PLANS")
    return Path(named) if named else own_folder("cache") / "plans"


def make_folder(folder: Path) -> None:
    """For this user alone."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise BadOutput(f"{folder}: cannot be made ({error.strerror}). Set STEMWRIGHT_PLANS.") from error
    check_folder(folder)


def check_folder(folder: Path) -> None:
    """Refuse a folder that is a link, another user's, or open to others."""
    try:
        status = folder.lstat()
    except OSError as error:
        raise PlanRefused(f"{folder}: no plan was built here. {BUILD}") from error
    if not stat.S_ISDIR(status.st_mode):
        raise PlanRefused(f"{folder}: is a link or no folder; plans in it are not trusted. Remove it.")
    if sys.platform == "win32":
        return  # its access lists are the user's own below LOCALAPPDATA
    if status.st_uid != os.geteuid():
        raise PlanRefused(f"{folder}: belongs to another user; plans in it are not trusted. Remove it.")
    if status.st_mode & 0o077:
        raise PlanRefused(
            f"{folder}: is open to others (mode {stat.S_IMODE(status.st_mode):04o}); plans in it are not "
            f"trusted. Empty it, chmod 700, then build again: stemwright export plan"
        )


def store(folder: Path, recipe: Recipe, content: bytes, about: Mapping[str, Any]) -> Path:
    """Put a plan and its manifest in place; → the plan's path. The manifest comes last."""
    make_folder(folder)
    path = folder / f"{recipe.name}.plan"
    whole = {
        "recipe": asdict(recipe),
        "key": recipe.key,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        **about,
    }
    try:
        path.with_suffix(".json").unlink(missing_ok=True)
        put_lasting(path, content, 0o600)
        put_lasting(path.with_suffix(".json"), json.dumps(whole, indent=1).encode(), 0o600)
    except OSError as error:
        raise BadOutput(f"{path}: cannot be written ({error.strerror}). Check the disk.") from error
    return path


def fetch(path: Path) -> Plan:
    """A plan by its path, its bytes held against its manifest. Nothing is deserialised here.

    The bytes that are hashed are the bytes that are returned.
    """
    check_folder(path.parent)
    about = _about(path.with_suffix(".json"))
    content = _read(path, int(about["bytes"]))
    if len(content) != about["bytes"] or hashlib.sha256(content).hexdigest() != about["sha256"]:
        raise PlanRefused(f"{path}: was cut short or altered; it is not opened. {BUILD}")
    return Plan(about["made_by"], content, about)


def _about(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(_read(path, MOST_ABOUT))
        rows = found["recipe"]
        lists: dict[str, Any] = {
            name: tuple(row) if isinstance(row, list) else row for name, row in rows.items()
        }
        recipe = Recipe(**{field.name: lists[field.name] for field in fields(Recipe)})
        if recipe.key != found["key"]:
            raise ValueError("its key is not its recipe's")
        int(found["bytes"]), str(found["sha256"])
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PlanRefused(f"{path}: is damaged ({error}). {BUILD}") from error
    return {**found, "made_by": recipe}


def _read(path: Path, most: int) -> bytes:
    """A file of our own, no link, at most one byte more than `most`."""
    try:
        with open(
            os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)), "rb"
        ) as file:
            return file.read(most + 1)
    except OSError as error:
        raise PlanRefused(f"{path}: cannot be read ({error.strerror}). {BUILD}") from error


def check_fit(plan: Plan, wanted: Mapping[str, object], card: str) -> None:
    """Refuse a plan of another model, builder or card. `wanted`: fields of a Recipe as they are now."""
    made = asdict(plan.recipe)
    name = plan.recipe.name
    if card not in plan.recipe.cards:
        raise PlanRefused(
            f"{name}: was built for {', '.join(plan.recipe.cards)}; this card is {card}. "
            "Build one for it: stemwright export plan --cards this"
        )
    for field, now in wanted.items():
        if made[field] != now:
            before, after = (str(value)[:40] for value in (made[field], now))
            raise PlanRefused(f"{name}: its {field} was {before}, and is {after} now. {BUILD}")


def find(folder: Path, wanted: Mapping[str, object], card: str) -> Plan:
    """The plan that fits; else PlanRefused says what is wrong with the first, or that there is none."""
    check_folder(folder)
    refusals = []
    for path in sorted(folder.glob("*.plan")):
        try:
            plan = fetch(path)
            if any(getattr(plan.recipe, field) != wanted[field] for field in ("model", "part", "builder")):
                continue
            check_fit(plan, wanted, card)
            return plan
        except PlanRefused as error:
            refusals.append(error)
    if refusals:
        raise refusals[0]
    raise PlanRefused(f"{folder}: no plan of this model is there. {BUILD}")


def earlier(folder: Path, wanted: Mapping[str, object], card: str) -> Recipe | None:
    """The recipe of a plan of this model and builder, for this card, that may have gone out of date.

    Only what it says of itself is read: enough to build it again in the same way.
    """
    for path in sorted(folder.glob("*.json")):
        try:
            recipe: Recipe = _about(path)["made_by"]
        except PlanRefused:
            continue
        if card in recipe.cards and all(
            getattr(recipe, field) == wanted[field] for field in ("model", "part", "builder")
        ):
            return recipe
    return None
