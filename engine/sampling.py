"""The one path: some tracks given, the others sampled under a prompt, for a batch of windows and prompts.

P prompts · W wanted tracks; rows of a batch are windows × prompts
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.asked import Asked
from stemwright.engine.contracts import Array, Uncertain
from stemwright.engine.errors import BadJob
from stemwright.engine.guidance import Guided, continued, forwards, guided, held
from stemwright.engine.inpainting import Draw, inpainted
from stemwright.engine.job import Posterior
from stemwright.engine.modelfolder import Model
from stemwright.engine.runtimes.course import Sampling, at_once, can_loop, course
from stemwright.engine.sampler import OnStep
from stemwright.engine.settings import Settings

CODING = 1  # tells the noise of the codec from the sampler's


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
    is_held = is_given & settings.is_held
    whole = np.zeros(
        (windows * prompts, len(is_given), model.codec.channels, model.manifest.window), np.float32
    )
    if given is not None:
        whole[:, is_given] = np.repeat(given, prompts, axis=0)[:, None]
    if beginning is not None:
        whole[:, ~is_given, :, : beginning.shape[-1]] = beginning
    moving = whole[:, ~is_held]  # tracks that are at the sampler's level
    draw = _draws(moving.shape[1:], prompts, [(settings.seed, turn, place) for place in places])
    is_known = np.zeros((moving.shape[1], 1, moving.shape[-1]), bool)
    is_known[is_given[~is_held]] = True
    is_known[..., : 0 if beginning is None else beginning.shape[-1]] = True
    denoise = held(_guided(model, settings, asked, windows), whole, is_held)
    if settings.is_inpainted and is_known.any():
        latents = inpainted(
            denoise,
            moving,
            is_known,
            draw,
            settings.levels,
            resamples=settings.resamples,
            on_call=on_step,
        )
    else:
        noise = draw()
        clean = None
        if beginning is None:
            clean = _at_once(model, settings, asked, windows, noise, whole, is_held, on_step)
        else:
            denoise = continued(denoise, beginning, noise)
        if clean is None:
            clean = settings.sampler(denoise, noise, settings.levels, on_step)
        latents = np.where(is_known, moving, clean)
    wanted = latents[:, ~is_given[~is_held]]
    return wanted.reshape(windows, prompts, *wanted.shape[1:])


def encoded(model: Model, settings: Settings, waves: Array, places: Sequence[int], turn: int) -> Array:
    """(windows, N) → (windows, C, T): the mean of the codec's distribution, or a sample of it.

    places, turn  as in `sampled`: the sample depends on them and the seed
    """
    if settings.posterior is Posterior.MEAN:
        return model.codec.encode(waves)
    if not isinstance(model.codec, Uncertain):
        raise BadJob(
            f'the codec of the model "{model.manifest.name}" leaves nothing to chance; its posterior is mean.'
        )
    means, spreads = model.codec.posterior(waves)
    draw = _draws(means.shape[1:], 1, [(settings.seed, turn, place, CODING) for place in places])
    sample: Array = means + spreads * draw()
    return sample


def wanted_track(model: Model, settings: Settings, name: str, *, is_anything_given: bool = True) -> int:
    """Where a track stands among the wanted ones."""
    given = settings.roles.given if is_anything_given else ()
    return [track for track in model.tracks.names if track not in given].index(name)


def _conditions(asked: Asked, windows: int) -> tuple[Array, Array | None]:
    """Of all rows; and what to steer away from."""
    negatives = None if asked.negatives is None else np.tile(asked.negatives, (windows, 1, 1))
    return np.tile(asked.conditions, (windows, 1, 1)), negatives


def _guided(model: Model, settings: Settings, asked: Asked, windows: int) -> Guided:
    """The network under the prompts, for all rows."""
    conditions, negatives = _conditions(asked, windows)
    scale, null, rescale = settings.guidance, settings.null, settings.rescale
    return guided(model.denoiser, conditions, scale, negatives, null=null, rescale=rescale)


def _at_once(
    model: Model,
    settings: Settings,
    asked: Asked,
    windows: int,
    noise: Array,
    whole: Array,
    is_held: NDArray[np.bool_],
    on_step: OnStep | None,
) -> Array | None:
    """The clean latents where a graphics card does the whole sampling; None where it is done step by step."""
    if settings.rescale or not can_loop(model.denoiser, len(settings.levels)):
        return None
    conditions, negatives = _conditions(asked, windows)
    every, mixing = forwards(conditions, settings.guidance, negatives, settings.null)
    path = course(settings.sampler, settings.levels)
    clean = at_once(model.denoiser, Sampling(noise, whole, is_held, every, mixing, path))
    if clean is not None and on_step is not None:
        for step in range(len(settings.levels)):
            on_step(step + 1)
    return clean


def _draws(shape: tuple[int, ...], prompts: int, seeds: Sequence[tuple[int, ...]]) -> Draw:
    """(windows × prompts, *shape) standard normal numbers at every call.

    A window's depend on its seeds alone, so that batches may be cut anyhow, and are the same for all prompts.
    """
    generators = [np.random.Generator(np.random.PCG64(each)) for each in seeds]

    def draw() -> Array:
        numbers = [generator.standard_normal(shape, dtype=np.float32) for generator in generators]
        return np.stack(numbers).repeat(prompts, axis=0)

    return draw
