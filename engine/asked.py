"""What a job's prompts come to: the conditions the denoiser is given, and the names of the stems."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stemwright.engine.audio import resample
from stemwright.engine.contracts import Array, Hearing
from stemwright.engine.errors import BadJob, BadPrompt
from stemwright.engine.job import Job, Prompt
from stemwright.engine.modelfolder import Model
from stemwright.engine.prompts import Query, parse_prompt
from stemwright.engine.settings import check_samples
from stemwright.engine.tracks import Roles, Task


@dataclass(frozen=True)
class Asked:
    """P prompts, ready for sampling.

    names        of the stems, as they were asked for
    conditions   (P, S, D), zeros on tracks without a prompt; what is said about further tracks is in each
    negatives    (P, S, D) to steer away from; None where no prompt has any
    is_inverted  whether the prompt names what is to stay out
    """

    names: tuple[str, ...]
    conditions: Array
    negatives: Array | None
    is_inverted: tuple[bool, ...]

    def notes(self, guidance: float) -> tuple[str, ...]:
        """What of it will have no effect."""
        if guidance != 1 or self.negatives is None:
            return ()
        return ("what to steer away from acts through guidance: with guidance 1 it does nothing",)

    def __getitem__(self, rows: slice) -> "Asked":
        """Some of the prompts."""
        negatives = None if self.negatives is None else self.negatives[rows]
        return Asked(self.names[rows], self.conditions[rows], negatives, self.is_inverted[rows])

    def one_by_one(self) -> list["Asked"]:
        """The same prompts, each on its own."""
        return [self[row : row + 1] for row in range(len(self.names))]


def ask(job: Job, model: Model, roles: Roles) -> Asked:
    """Parse and embed the prompts of a job; what cannot be used is BadPrompt."""
    queries = [parsed(prompt) for prompt in job.prompts]
    inverted = tuple(words is not None and words.inverted for words in queries)
    if any(inverted) and job.task is not Task.EXTRACT:
        name = job.prompts[inverted.index(True)].text
        raise BadPrompt(
            f'"{name:.60}" says what is not wanted; to {job.task.value}, say what is. '
            "What to steer away from goes into the negative prompt."
        )
    points = np.stack(
        [_point(prompt, words, model) for prompt, words in zip(job.prompts, queries, strict=True)]
    )
    negatives = [_negative(prompt, words) for prompt, words in zip(job.prompts, queries, strict=True)]
    return Asked(
        names=tuple(_name(prompt) for prompt in job.prompts),
        conditions=on_track(points, model, roles) + _about(job, model, roles),
        negatives=on_track(_texts(negatives, model), model, roles) if any(negatives) else None,
        is_inverted=inverted,
    )


def _about(job: Job, model: Model, roles: Roles) -> Array:
    """(S, D): what is said about tracks that the prompts do not describe"""
    found = np.zeros((len(model.tracks.names), model.conditioner.width), np.float32)
    for track, text in job.about:
        if track == roles.prompted:
            raise BadJob(f"the {track} is what the prompts describe; say all about it in the prompt itself.")
        words = parse_prompt(text)
        if words.inverted:
            raise BadPrompt(f'"{text:.60}" says what the {track} is not; say what it is.')
        point = model.conditioner.text([words.positive])
        found += on_track(point, model, replace(roles, prompted=track))[0]
    return found


def parsed(prompt: Prompt) -> Query | None:
    """What the words of a prompt mean; None where it is a sound alone."""
    return None if prompt.audio is not None and not prompt.text else parse_prompt(prompt.text)


def _negative(prompt: Prompt, words: Query | None) -> str:
    """What to steer away from: as given, or as the prompt says ("guitar but not bass")."""
    return prompt.negative.strip() or (words.negative if words and words.negative else "")


def _name(prompt: Prompt) -> str:
    return prompt.text.strip() or "like the reference"


def _point(prompt: Prompt, words: Query | None, model: Model) -> Array:
    """(D,): words, a reference sound, or the mean of both"""
    points = [] if words is None else [model.conditioner.text([words.positive])[0]]
    if prompt.audio is not None:
        check_samples(prompt.audio.samples)
        heard = model.conditioner.rate if isinstance(model.conditioner, Hearing) else model.codec.rate
        points.append(model.conditioner.audio(resample(prompt.audio.mono(), heard).samples)[0])
    point: Array = np.mean(points, axis=0, dtype=np.float32)
    return point


def _texts(texts: Sequence[str], model: Model) -> Array:
    """(P, D), zeros for an empty text"""
    points = np.zeros((len(texts), model.conditioner.width), np.float32)
    rows = [row for row, text in enumerate(texts) if text.strip()]
    if rows:
        points[rows] = model.conditioner.text([parse_prompt(texts[row]).positive for row in rows])
    return points


def on_track(points: Array, model: Model, roles: Roles) -> Array:
    """(P, D) → (P, S, D) with the points, at the length the denoiser knows, on the prompted track"""
    conditions = np.zeros((len(points), len(model.tracks.names), points.shape[1]), np.float32)
    conditions[:, model.tracks.index(roles.prompted)] = points * np.float32(model.manifest.scale)
    return conditions
