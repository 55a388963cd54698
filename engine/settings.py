"""A job held against a model: what it leaves open is filled in, what makes no sense is refused."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemwright.engine.audio import HIGHEST_RATE, LOUDEST, LOWEST_RATE
from stemwright.engine.errors import BadInput, BadJob
from stemwright.engine.job import Job, Prompt, Render
from stemwright.engine.manifest import Manifest
from stemwright.engine.sampler import Sampler, named
from stemwright.engine.schedule import Levels, grid
from stemwright.engine.tracks import STEM_BY_STEM, TASKS, Roles, Task

MOST_PROMPTS = 32
MOST_GUIDANCE = 100.0
MOST_SECONDS = 3600.0  # of generated sound
LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True)
class Settings:
    """How a job is done, with nothing left open."""

    roles: Roles
    render: Render
    levels: Levels
    sampler: Sampler
    guidance: float
    power: float
    overlap: int  # latent frames
    looks: int
    seed: int

    @property
    def steps(self) -> int:
        return len(self.levels)


def settle(job: Job, manifest: Manifest) -> Settings:
    """The settings of a job; BadJob names the number, the limit and the way out."""
    roles = STEM_BY_STEM if job.stem_by_stem else TASKS[job.task]
    _check(job, roles, manifest)
    defaults = manifest.defaults[job.task]
    steps = defaults.steps if job.steps is None else job.steps
    return Settings(
        roles=roles,
        render=job.render or (Render.PRESERVE if job.task is Task.EXTRACT else Render.DECODE),
        levels=grid(steps, manifest.grid, manifest.last),
        sampler=named(job.sampler or defaults.sampler),
        guidance=defaults.guidance if job.guidance is None else job.guidance,
        power=defaults.power,
        overlap=defaults.overlap,
        looks=defaults.looks,
        seed=job.seed,
    )


def _check(job: Job, roles: Roles, manifest: Manifest) -> None:
    absent = {*roles.given, roles.prompted, *roles.returned} - set(manifest.tracks.names)
    if absent:
        raise BadJob(
            f'the model "{manifest.name}" has no track {", ".join(sorted(absent))} '
            f"and cannot {job.task.value}; choose another model."
        )
    if job.render is Render.PRESERVE and job.task is not Task.EXTRACT:
        raise BadJob(f"{job.task.value} has no mixture to take a part out of; its render is decode.")
    if job.stem_by_stem and job.task is not Task.GENERATE:
        raise BadJob(f"stem by stem is a way to generate; {job.task.value} does not know it.")
    if job.guidance is not None and not 0 <= job.guidance <= MOST_GUIDANCE:
        raise BadJob(f"guidance is {job.guidance}; give 0 to {MOST_GUIDANCE:.0f}. 1 is none, 2 is much.")
    if not 0 <= job.seed <= LARGEST_SEED:
        raise BadJob(f"the seed is {job.seed}; give 0 to {LARGEST_SEED}.")
    _check_prompts(job.prompts, job.task, is_one=not (roles.is_in_turn or job.task is Task.EXTRACT))
    if job.task is Task.GENERATE:
        _check_length(job)


def _check_prompts(prompts: Sequence[Prompt], task: Task, *, is_one: bool) -> None:
    if not 1 <= len(prompts) <= MOST_PROMPTS:
        raise BadJob(f"{len(prompts)} prompts; give 1 to {MOST_PROMPTS}, or several jobs.")
    if is_one and len(prompts) > 1:
        raise BadJob(
            f"{len(prompts)} prompts, but {task.value} takes one: say it all in one prompt"
            + (", or generate stem by stem." if task is Task.GENERATE else ".")
        )


def _check_length(job: Job) -> None:
    if job.audio is not None:
        raise BadJob("generate takes no audio; to make a part that fits one, use add or accompany.")
    if not (math.isfinite(job.seconds) and 0.1 <= job.seconds <= MOST_SECONDS):
        raise BadJob(f"{job.seconds} s asked for; give 0.1 to {MOST_SECONDS:.0f} seconds.")
    if not LOWEST_RATE <= job.rate <= HIGHEST_RATE:
        raise BadJob(f"the rate is {job.rate} Hz; give {LOWEST_RATE} to {HIGHEST_RATE}.")


def check_samples(samples: np.ndarray) -> None:
    """Refuse what no file could have brought: no frames, NaN, Inf."""
    if samples.shape[0] == 0 or samples.shape[1] == 0:
        raise BadInput(
            f"the audio is {samples.shape[0]} channels of {samples.shape[1]} frames; give one or more."
        )
    if not np.abs(samples).max() <= LOUDEST:
        raise BadInput(f"the audio holds NaN, Inf or samples beyond ±{LOUDEST:.0f}; full scale is ±1.")
