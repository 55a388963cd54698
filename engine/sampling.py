"""The one path: some tracks given, the others sampled under a prompt, for a batch of windows and prompts.

P prompts · W wanted tracks; rows of a batch are windows × prompts
"""

from collections.abc import Sequence

import numpy as np

from stemwright.engine.asked import Asked
from stemwright.engine.contracts import Array
from stemwright.engine.guidance import continued, guided, held
from stemwright.engine.modelfolder import Model
from stemwright.engine.sampler import OnStep
from stemwright.engine.settings import Settings


def sampled(
    model: Model,
    settings: Settings,
    asked: Asked,
    given: Array | None,
    places: Sequence[int],
    *,
    turn: int = 0,
    beginning: Array | None = None,
    on_step: OnStep | None = None,
) -> Array:
    """Wanted tracks of every window under every prompt, clean: (windows, P, W, C, T).

    given      (windows, C, T) latents of the given track; None: nothing is given
    places     which window of the region each is, and
    turn       which pass of the job this is: the noise depends on them and the seed. It is the same under
               every prompt, so that a stem does not depend on which others are asked for with it
    beginning  (P, W, C, O) latents the only window begins with
    """
    prompts, windows = len(asked.names), len(places)
    is_given = model.tracks.mask(settings.roles.given if given is not None else ())
    wanted = int((~is_given).sum())
    shape = (wanted, model.codec.channels, model.manifest.window)
    noise = np.stack([_noise(shape, settings.seed, turn, place) for place in places]).repeat(prompts, axis=0)
    whole = np.zeros((windows * prompts, len(is_given), *shape[1:]), np.float32)
    if given is not None:
        whole[:, is_given] = np.repeat(given, prompts, axis=0)[:, None]
    conditions = np.tile(asked.conditions, (windows, 1, 1))
    negatives = None if asked.negatives is None else np.tile(asked.negatives, (windows, 1, 1))
    denoise = held(guided(model.denoiser, conditions, settings.guidance, negatives), whole, is_given)
    if beginning is not None:
        denoise = continued(denoise, beginning, noise)
    latents = settings.sampler(denoise, noise, settings.levels, on_step)
    if beginning is not None:
        latents[..., : beginning.shape[-1]] = beginning
    return latents.reshape(windows, prompts, *shape)


def wanted_track(model: Model, settings: Settings, name: str, *, is_anything_given: bool = True) -> int:
    """Where a track stands among the wanted ones."""
    given = settings.roles.given if is_anything_given else ()
    return [track for track in model.tracks.names if track not in given].index(name)


def _noise(shape: tuple[int, ...], *seeds: int) -> Array:
    """Standard normal numbers that depend on the seeds alone, so that batches may be cut anyhow."""
    return np.random.Generator(np.random.PCG64(seeds)).standard_normal(shape, dtype=np.float32)
