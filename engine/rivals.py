"""Who competes with the prompts of an extraction.

Asked for one instrument, a model alone claims too much: what it takes for an absent one is another's sound.
So other instruments, the model's rivals, are asked for silently, and what they claim counts against the
stem. A rival that means what the prompt means must not compete: nearness of the words tells, and in doubt it
stays out, for a stem that competes with itself loses more than one without a competitor.

P prompts · R rivals · A words the rivals are known by · D conditioning width
"""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.asked import Asked, on_track, parsed
from stemwright.engine.conditioner import unit
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadPrompt, ModelDamaged
from stemwright.engine.job import Job, Prompt
from stemwright.engine.modelfiles import listed
from stemwright.engine.modelfolder import Model
from stemwright.engine.prompts import listed_sounds
from stemwright.engine.settings import Settings
from stemwright.engine.tracks import Roles

BLUR = 0.08  # more margin for a reference sound: without, 10 of 100 had their own kind as a rival; with, 0


@dataclass(frozen=True)
class Rivals:
    """A model's rivals as points of its conditioning.

    names   (R,) what is asked for
    points  (R, D) and where it lies
    words   (A, D) unit vectors: all that the rivals are known by
    owners  (A,) which rival each word belongs to
    margin  in cosines
    weight  of their claims
    loud    and against a stem that is loud
    """

    names: tuple[str, ...]
    points: Array
    words: Array
    owners: NDArray[np.intp]
    margin: float
    weight: float
    loud: float

    def near(self, points: Array, blur: float = 0.0) -> NDArray[np.bool_]:
        """(n, D) points of one meaning → (R,): the nearest to each of them, and all within the margin.

        blur  added to the margin
        """
        cosines = unit(points) @ self.words.T
        best = np.stack([cosines[:, self.owners == rival].max(axis=1) for rival in range(len(self.names))], 1)
        close: NDArray[np.bool_] = (best >= best.max(axis=1, keepdims=True) - self.margin - blur).any(axis=0)
        return close


@dataclass(frozen=True)
class Competition:
    """The rivals of some prompts.

    asked     as the denoiser is given them; those that compete with a prompt at all
    competes  (P, R) whether a rival's claims count against a prompt
    weight    of their claims
    loud      and against a stem that is loud
    """

    asked: Asked
    competes: NDArray[np.bool_]
    weight: float
    loud: float


def rivals_of(model: Model) -> Rivals | None:
    """Embed the rivals of a model; None where it has none."""
    asked = model.manifest.rivals
    if asked is None or not (asked.weight or asked.loud):
        return None
    known, texts = names_and_words(asked.prompts)
    points = kept_points(model, asked.points, len(texts)) if asked.points else model.conditioner.text(texts)
    place = {text: row for row, text in enumerate(texts)}
    return Rivals(
        names=tuple(asked.prompts),
        points=points[: len(known)],
        words=unit(points[[place[word] for words in known for word in words]]),
        owners=np.repeat(np.arange(len(known)), [len(words) for words in known]),
        margin=asked.margin,
        weight=asked.weight,
        loud=asked.loud,
    )


def names_and_words(prompts: Mapping[str, tuple[str, ...]]) -> tuple[list[list[str]], list[str]]:
    """What each rival is known by, and every text there is to embed, the rivals' prompts first."""
    known = [[listed_sounds(name)[0], *words] for name, words in prompts.items()]
    return known, list(dict.fromkeys([*prompts, *(word for words in known for word in words)]))


def kept_points(model: Model, name: str, count: int) -> Array:
    """(count, D) embeddings that lie in the model's folder; ModelDamaged where they do not fit."""
    path = listed(model.folder, model.manifest, name)
    try:
        points = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{path}: cannot be read ({error}). Install the model again.") from error
    if points.shape != (count, model.conditioner.width) or points.dtype != np.float16:
        raise ModelDamaged(f"{path}: has {points.shape} {points.dtype}, {count} rivals' words are listed.")
    found: Array = points.astype(np.float32)
    return found


def competition(
    rivals: Rivals | None, job: Job, model: Model, asked: Asked, roles: Roles
) -> Competition | None:
    """Which rivals compete with which prompts of a job; None where none does.

    Joint stems are of one mind: a rival near any of their prompts competes with none of them.
    """
    if rivals is None:
        return None
    track = model.tracks.index(roles.prompted)
    near = np.stack(
        [
            _near(rivals, prompt, condition[track], model)
            for prompt, condition in zip(job.prompts, asked.conditions, strict=True)
        ]
    )
    if job.joint:
        near[:] = near.any(axis=0)
    kept = np.flatnonzero(~near.all(axis=0))
    if not len(kept):
        return None
    names = tuple(rivals.names[rival] for rival in kept)
    conditions = on_track(rivals.points[kept], model, roles)
    silent = Asked(names, conditions, negatives=None, is_inverted=(False,) * len(kept))
    return Competition(silent, ~near[:, kept], rivals.weight, rivals.loud)


def quick(settings: Settings) -> Settings:
    """How rivals are asked: in one step, without guidance; their claims are summed, details do not count."""
    return replace(settings, levels=settings.levels[:1], guidance=1.0, is_held=True, resamples=1)


def _near(rivals: Rivals, prompt: Prompt, condition: Array, model: Model) -> NDArray[np.bool_]:
    """(R,): those near a sound that the words of the prompt name or list, or near its reference."""
    words, found = parsed(prompt), np.zeros(len(rivals.names), bool)
    for text in [] if words is None else listed_sounds(words.positive):
        with suppress(BadPrompt):  # of many words the model need not know each
            found |= rivals.near(model.conditioner.text([text]))
    if prompt.audio is not None or not found.any():
        found |= rivals.near(condition[None], BLUR)
    return found
