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

    MGE-LDM (arXiv 2505.23305), section 3.3.
    """

    given: tuple[str, ...]
    prompted: str
    returned: tuple[str, ...]


TASKS = {
    Task.EXTRACT: Roles(given=("mix",), prompted="source", returned=("source", "submix")),
    Task.ADD: Roles(given=("submix",), prompted="source", returned=("source",)),
    Task.ACCOMPANY: Roles(given=("source",), prompted="submix", returned=("submix",)),
    Task.GENERATE: Roles(given=(), prompted="mix", returned=("mix", "submix", "source")),
}
