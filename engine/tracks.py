"""Roles of the model's tracks, and which of them a task gives and wants."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Task(str, Enum):
    """What a job asks for. The one table of `TASKS` says what each means to the sampler."""

    EXTRACT = "extract"
    ADD = "add"
    ACCOMPANY = "accompany"
    GENERATE = "generate"


@dataclass(frozen=True)
class TrackSet:
    """The tracks a model samples together, in the order of its S axis."""

    names: tuple[str, ...] = ("mix", "submix", "source")

    def index(self, name: str) -> int:
        return self.names.index(name)

    def mask(self, names: tuple[str, ...]) -> NDArray[np.bool_]:
        """(S,) True at the named tracks."""
        return np.array([name in names for name in self.names])


@dataclass(frozen=True)
class Roles:
    """One row of the task table: which tracks are given, which carries the prompt, which come back.

    under         dB by which the given track usually lies under the whole mixture
    is_in_turn    prompts are made one after the other, each hearing the sum of those before
    is_continued  windows of a long region follow on from each other; else the given track decides each alone

    MGE-LDM (arXiv 2505.23305), section 3.3.
    """

    given: tuple[str, ...]
    prompted: str
    returned: tuple[str, ...]
    under: float = 0.0
    is_in_turn: bool = False
    is_continued: bool = True


TASKS = {
    Task.EXTRACT: Roles(("mix",), "source", ("source", "submix"), is_continued=False),
    Task.ADD: Roles(("submix",), "source", ("source",), under=1.0, is_in_turn=True),
    Task.ACCOMPANY: Roles(("source",), "submix", ("submix",), under=6.0),
    Task.GENERATE: Roles((), "mix", ("mix",)),
}
STEM_BY_STEM = TASKS[Task.ADD]  # generate: nothing is given to the first prompt, the sum so far to the others
