"""What a model folder says about itself: `manifest.json`, read with suspicion, written by us.

format        1; a higher number is refused, an unknown field is not
name, family  "default", "bandconv"
tracks        the S axis, e.g. ["mix", "submix", "source"]
rate, hop     Hz, and audio frames per latent frame
window        T the network was trained at
level         dBFS, the active RMS of the mixtures it was trained on
schedule      {"grid": "auto", "last": 0.02}; last: the level the steps end at, 0 in the paper
codec         {"kind": "spectral", "kept", "scales", "means", "floor"}, or
              {"kind": "oobleck", "encoder": "encoder.onnx", "decoder": "decoder.onnx", "network": {…}}
conditioning  {"kind": "text", "width": 384, "scale": 4.47, "text": "text.onnx", "tokenizer": "words.json"}
              and "audio", a graph, or absent; scale: length of the conditions in training. Or
              {"kind": "clap", …}, see `clap.open_clap`. Absent: the model understands no prompts
denoiser      {"kind": "bandconv", "graph": "denoiser.onnx", "weights": "model.safetensors", "network": {…}}
              "modulation", a graph that makes of the conditions what a "dit" is given of them, or absent
vocoder       {"graph": "vocoder.onnx"} or absent
defaults      per task {"steps", "guidance", "sampler", "power", "overlap", "looks"}
rivals        {"prompts": {"the sound of the drums": ["percussion", "snare", …], …}, "weight": 1, "loud":
              1, "margin": 0.12} or absent: who competes with the prompts of an extraction, see `Rivals`
licence, provenance, quality  for people
files         every file's {"sha256", "bytes"}, by its name in the folder, "/" between folders
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from stemwright.engine.errors import ModelDamaged, ModelMissing, ModelTooNew
from stemwright.engine.schedule import LAST, STEPS_LIMIT
from stemwright.engine.tracks import Task, TrackSet

FORMAT = 1
NAME = "manifest.json"
LARGEST = 1 << 20  # bytes of a manifest
MOST_RIVALS = 64
Kind = TypeVar("Kind")


@dataclass(frozen=True)
class Defaults:
    """How a task is done where the job does not say.

    power    of the soft mask: stem^power / (stem^power + rest^power)
    overlap  latent frames two windows share
    looks    preserve: how often a window is looked at, each time a little later in its latent frames
    """

    steps: int = 1
    guidance: float = 1.0
    sampler: str = "ddim"
    power: float = 1.0
    overlap: int = 8
    looks: int = 1


@dataclass(frozen=True)
class Rivals:
    """Sounds that are asked for silently where a stem is extracted, so that none gets what another claims.

    prompts  what is asked → other words for the same, and for what it may be part of ("orchestra")
    weight   of their claims; 1: as much as the model's own word for the rest; 0 would be none
    loud     weight against a stem that is loud in the mixture, see shares.insistence
    margin   in cosines: a rival this near the nearest in meaning does not compete; the nearest never does
    points   file of the texts' embeddings (rivals.texts), NumPy float16; "" where they are made when needed
    """

    prompts: Mapping[str, tuple[str, ...]]
    weight: float
    loud: float
    margin: float
    points: str = ""


@dataclass(frozen=True)
class Listed:
    """A file of the folder, as it was when the manifest was written."""

    sha256: str
    size: int  # bytes


@dataclass(frozen=True)
class Manifest:
    """A model folder's own account; the fields are those at the head of this file."""

    name: str
    family: str
    tracks: TrackSet
    rate: int
    hop: int
    window: int
    level: float
    grid: str
    last: float
    codec: Mapping[str, Any]
    conditioning: Mapping[str, Any]
    scale: float
    denoiser: Mapping[str, Any]
    vocoder: Mapping[str, Any] | None
    defaults: Mapping[Task, Defaults]
    rivals: Rivals | None
    files: Mapping[str, Listed]
    licence: str
    provenance: Mapping[str, Any]
    quality: Mapping[str, Any]


def read_manifest(folder: Path) -> Manifest:
    """Of a model folder; says what is wrong with it in one line."""
    path = folder / NAME
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise ModelMissing(
            f"{folder}: no model there ({NAME} is missing). `stemwright models` lists them."
        ) from error
    except OSError as error:
        raise ModelDamaged(f"{path}: cannot be read ({error.strerror}). Check its permissions.") from error
    if len(text) > LARGEST:
        raise ModelDamaged(
            f"{path}: is over {LARGEST} bytes; a manifest is far smaller. Install the model again."
        )
    try:
        return parse(json.loads(text), path)
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ModelDamaged(f"{path}: is cut short or not JSON ({error}). Install the model again.") from error


def parse(content: Any, path: Path) -> Manifest:
    """JSON → Manifest; every field that steers something is checked here, once."""
    top = Fields(content, path)
    version = top.whole("format", 1, 1 << 30)
    if version > FORMAT:
        raise ModelTooNew(
            f"{path}: has format {version}; this Stemwright reads up to {FORMAT}. Upgrade Stemwright."
        )
    schedule = top.inner("schedule", {})
    window = top.whole("window", 1, 1 << 16)
    defaults = top.inner("defaults", {})
    return Manifest(
        name=top.take("name", str),
        family=top.take("family", str),
        tracks=TrackSet(tuple(top.texts("tracks"))),
        rate=top.whole("rate", 1000, 384_000),
        hop=top.whole("hop", 1, 1 << 20),
        window=window,
        level=top.number("level", -60, 0, -20.0),
        grid=schedule.choice("grid", ("auto", "uniform", "blended")),
        last=schedule.number("last", 0, 0.5, LAST),
        codec=top.take("codec", dict),
        conditioning=top.take("conditioning", dict, {}),
        scale=_scale(top.inner("conditioning", {})),
        denoiser=top.take("denoiser", dict),
        vocoder=top.take("vocoder", dict, {}) or None,
        defaults={task: _defaults(defaults.inner(task.value, {}), window) for task in Task},
        rivals=_rivals(top),
        files={name: _listed(top.inner("files").inner(name), name, path) for name in top.take("files", dict)},
        licence=top.take("licence", str, ""),
        provenance=top.take("provenance", dict, {}),
        quality=top.take("quality", dict, {}),
    )


def _scale(conditioning: "Fields") -> float:
    """Of a model without a conditioner, and of one whose conditions are unit vectors, 1."""
    is_unit = conditioning.take("kind", str, "none") in ("none", "clap")
    return conditioning.number("scale", 1e-3, 1e3, 1.0 if is_unit else None)


def _defaults(fields: "Fields", window: int) -> Defaults:
    plain = Defaults()
    return Defaults(
        steps=fields.whole("steps", 1, STEPS_LIMIT, plain.steps),
        guidance=fields.number("guidance", 0, 100, plain.guidance),
        sampler=fields.choice("sampler", ("ddim", "unipc", "ab2")),
        power=fields.number("power", 0.1, 10, plain.power),
        overlap=fields.whole("overlap", 0, window // 2, min(plain.overlap, window // 2)),
        looks=fields.whole("looks", 1, 8, plain.looks),
    )


def _rivals(top: "Fields") -> Rivals | None:
    fields = top.inner("rivals", {})
    words = fields.inner("prompts", {})
    names = fields.take("prompts", dict, {})
    if not names:
        return None
    prompts = {name: tuple(words.texts(name)) for name in names}
    if len(prompts) > MOST_RIVALS:
        raise top.wrong("rivals.prompts", f"are {len(prompts)}; at most {MOST_RIVALS} are asked")
    if not all(text.strip() for name in prompts for text in (name, *prompts[name])):
        raise top.wrong("rivals.prompts", "hold a blank one")
    weight = fields.number("weight", 0, 10, 1.0)
    return Rivals(
        prompts=prompts,
        weight=weight,
        loud=fields.number("loud", 0, 10, weight),
        margin=fields.number("margin", 0, 2, 0.12),
        points=fields.take("points", str, ""),
    )


def _listed(fields: "Fields", name: str, path: Path) -> Listed:
    plain = PurePosixPath(name)
    if (
        plain.is_absolute()
        or {"..", ""} & set(name.split("/"))
        or "\\" in name
        or ":" in name
        or "\0" in name
    ):
        raise ModelDamaged(f"{path}: names the file {name!r}, outside its folder. Do not trust this model.")
    sha256 = fields.take("sha256", str)
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ModelDamaged(f"{path}: the sha256 of {name} is not one. Install the model again.")
    return Listed(sha256, fields.whole("bytes", 0, 1 << 50))


class Fields:
    """A JSON object whose fields are taken by kind and range; what does not fit is ModelDamaged by name."""

    def __init__(self, content: Any, path: Path, above: str = "") -> None:
        self._path, self._above = path, above
        if not isinstance(content, dict):
            raise self.wrong(above.rstrip(".") or "the whole", "is no JSON object")
        self._content = content

    def wrong(self, name: str, why: str) -> ModelDamaged:
        return ModelDamaged(f'{self._path}: "{name}" {why}. Install the model again.')

    def take(self, name: str, kind: type[Kind], default: Kind | None = None) -> Kind:
        value = self._content.get(name)
        if value is None:
            value = default
        if value is None:
            raise self.wrong(self._above + name, "is missing")
        if not isinstance(value, kind) or isinstance(value, bool):
            raise self.wrong(self._above + name, f"is {value!r:.40}, not {kind.__name__}")
        return value

    def number(self, name: str, least: float, most: float, default: float | None = None) -> float:
        value = self._content.get(name, default)
        if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(self._above + name, f"is {value!r:.40}, not a number")
        if not least <= value <= most:
            raise self.wrong(self._above + name, f"is {value}; it lies between {least} and {most}")
        return float(value)

    def whole(self, name: str, least: int, most: int, default: int | None = None) -> int:
        value = self.take(name, int, default)
        self.number(name, least, most, default)
        return value

    def numbers(self, name: str) -> list[float]:
        values = self.take(name, list)
        if not all(isinstance(value, (int, float)) and abs(value) < 1e9 for value in values):
            raise self.wrong(self._above + name, "is not a list of numbers")
        return values

    def texts(self, name: str) -> list[str]:
        values = self.take(name, list)
        if (
            not values
            or not all(isinstance(value, str) for value in values)
            or len(set(values)) < len(values)
        ):
            raise self.wrong(self._above + name, "is not a list of different names")
        return values

    def choice(self, name: str, known: tuple[str, ...]) -> str:
        """One of `known`; the first where it is absent."""
        value = self.take(name, str, known[0])
        if value not in known:
            raise self.wrong(self._above + name, f"is {value!r:.40}; known are {', '.join(known)}")
        return value

    def inner(self, name: str, default: dict[str, Any] | None = None) -> "Fields":
        return Fields(self.take(name, dict, default), self._path, f"{self._above}{name}.")
