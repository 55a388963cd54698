"""A job held against a model: what it leaves open is filled in, what makes no sense is refused."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from stemwright.engine import inpainting
from stemwright.engine.audio import HIGHEST_RATE, LOUDEST, LOWEST_RATE
from stemwright.engine.errors import BadInput, BadJob
from stemwright.engine.job import Inpainting, Job, Null, Posterior, Prompt, Render
from stemwright.engine.manifest import Manifest
from stemwright.engine.sampler import Sampler, ddim, named
from stemwright.engine.schedule import LARGEST_LAST, Levels, grid
from stemwright.engine.tracks import STEM_BY_STEM, TASKS, Roles, Task
from stemwright.engine.windows import widest

MOST_PROMPTS = 32
MOST_GUIDANCE = 100.0
MOST_SECONDS = 3600.0  # of generated sound
LARGEST_SEED = 2**63 - 1
MOST_RESAMPLES = 50
RESAMPLES = {Inpainting.ADAPTIVE: 1, Inpainting.CANONICAL: 1, Inpainting.REPAINT: 10}
NOISED_STEPS = 50  # at least, where given tracks are noised and nobody said: few steps hear little of them


@dataclass(frozen=True)
class Settings:
    """How a job is done, with nothing left open.

    is_held       given tracks stay clean; else they are noised to the level of the rest
    resamples     how often a step is taken where something known is noised
    is_continued  a window begins with what the one before ended with
    """

    roles: Roles
    render: Render
    levels: Levels
    sampler: Sampler
    guidance: float
    power: float
    overlap: int  # latent frames
    looks: int
    seed: int
    is_held: bool = True
    resamples: int = 1
    is_continued: bool = False
    null: Null = Null.ALL
    rescale: float = 0.0
    posterior: Posterior = Posterior.MEAN

    @property
    def steps(self) -> int:
        return len(self.levels)

    @property
    def is_inpainted(self) -> bool:
        """Whether what is known and not held is noised anew at every call."""
        return not self.is_held or self.resamples > 1

    def calls(self, *, is_given: bool, is_following: bool = False) -> int:
        """How often the network is asked for one window; following: it begins with the end of another."""
        is_known = is_following or (is_given and not self.is_held)
        return inpainting.calls(self.steps, self.resamples if is_known else 1)


def settle(job: Job, manifest: Manifest) -> Settings:
    """The settings of a job; BadJob names the number, the limit and the way out."""
    roles = STEM_BY_STEM if job.stem_by_stem else TASKS[job.task]
    roles = roles if job.track is None else replace(roles, prompted=job.track)
    _check(job, roles, manifest)
    defaults = manifest.defaults[job.task]
    is_held = job.inpainting is Inpainting.ADAPTIVE
    resamples = RESAMPLES[job.inpainting] if job.resamples is None else job.resamples
    usual = defaults.steps if is_held else max(defaults.steps, NOISED_STEPS)
    render = job.render or (Render.PRESERVE if job.task is Task.EXTRACT else Render.DECODE)
    return Settings(
        roles=roles,
        render=render,
        levels=grid(
            usual if job.steps is None else job.steps,
            manifest.grid if job.grid is None else job.grid,
            manifest.last if job.last is None else job.last,
        ),
        sampler=ddim if not is_held or resamples > 1 else named(job.sampler or defaults.sampler),
        guidance=defaults.guidance if job.guidance is None else job.guidance,
        power=defaults.power,
        overlap=defaults.overlap if job.overlap is None else _latent_frames(job.overlap, manifest),
        looks=defaults.looks,
        seed=job.seed,
        is_held=is_held,
        resamples=resamples,
        is_continued=roles.is_continued or (render is Render.DECODE and resamples > 1),
        null=job.null,
        rescale=job.rescale,
        posterior=job.posterior,
    )


def _latent_frames(seconds: float, manifest: Manifest) -> int:
    return math.ceil(seconds * manifest.rate / manifest.hop)


def _check(job: Job, roles: Roles, manifest: Manifest) -> None:
    _check_tracks(job, manifest)
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
    _check_sampling(job, manifest)
    _check_prompts(job.prompts, job.task, is_one=not (roles.is_in_turn or job.task is Task.EXTRACT))
    if job.task is Task.GENERATE:
        _check_length(job)


def _check_tracks(job: Job, manifest: Manifest) -> None:
    """Of those the job names."""
    told = [track for track, _ in job.about]
    for track in told if job.track is None else [job.track, *told]:
        if track not in manifest.tracks.names:
            raise BadJob(
                f'the model "{manifest.name}" has no track "{track:.40}"; '
                f"its tracks are {', '.join(manifest.tracks.names)}."
            )
    if len(set(told)) < len(told):
        raise BadJob("one track is described twice; say all about it at once.")


def _check_sampling(job: Job, manifest: Manifest) -> None:
    if job.last is not None and not 0 <= job.last <= LARGEST_LAST:
        raise BadJob(f"the last noise level is {job.last}; give 0 to {LARGEST_LAST}. Usual: 0, 0.02.")
    if not 0 <= job.rescale <= 1:
        raise BadJob(f"guidance is rescaled by {job.rescale}; give 0 (not at all) to 1 (wholly).")
    most = widest(manifest.window) * manifest.hop / manifest.rate
    if job.overlap is not None and not 0 <= job.overlap <= most:
        raise BadJob(
            f"the overlap is {job.overlap} s; give 0 to {most:g} s, three quarters of the model's window."
        )
    _check_inpainting(job)


def _check_inpainting(job: Job) -> None:
    if job.resamples is not None and not 1 <= job.resamples <= MOST_RESAMPLES:
        raise BadJob(f"every step is to be taken {job.resamples} times; give 1 to {MOST_RESAMPLES}.")
    is_several = (job.resamples or 1) > 1
    if job.inpainting is Inpainting.CANONICAL and is_several:
        raise BadJob("canonical inpainting takes every step once; to take it several times choose repaint.")
    is_noised = is_several or job.inpainting is not Inpainting.ADAPTIVE
    if is_noised and job.sampler not in (None, "ddim"):
        raise BadJob(
            "what is known is noised anew at every step, and the sampler "
            f'"{job.sampler}" remembers the noise of the last; choose ddim.'
        )
    is_masked = job.task is Task.EXTRACT and job.render is not Render.DECODE
    if is_several and is_masked and job.inpainting is Inpainting.ADAPTIVE:
        raise BadJob(
            f"resamples is {job.resamples}, but nothing is noised here: windows of a preserved extraction do "
            "not follow on from each other. Choose repaint, or the render decode."
        )


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
