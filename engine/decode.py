"""Sound that did not exist: latents of a region, sampled window after window, and the waves they decode to.

P prompts · W wanted tracks · R returned tracks; one channel at the model's rate
"""

from collections.abc import Sequence

import numpy as np

from stemwright.engine.asked import Asked
from stemwright.engine.contracts import Array
from stemwright.engine.feed import active_loudness
from stemwright.engine.modelfolder import Model
from stemwright.engine.pace import Pace
from stemwright.engine.sampling import encoded, sampled, wanted_track
from stemwright.engine.settings import Settings
from stemwright.engine.windows import Overlap, Window, cut


def decoded(
    model: Model,
    settings: Settings,
    asked: Asked,
    given: Array | None,
    windows: Sequence[Window],
    *,
    pace: Pace,
    turn: int = 0,
) -> Array:
    """One pass: (P, R, N) at the level of the given track (N,), or at the model's where nothing is given."""
    gain = _gain(given, settings, model)
    heard = None if given is None else given * np.float32(gain)
    latents = _region(model, settings, asked, heard, windows, pace=pace, turn=turn)
    tracks = [
        wanted_track(model, settings, name, is_anything_given=given is not None)
        for name in settings.roles.returned
    ]
    waves = [_waves(model, prompt[tracks], windows, pace) for prompt in latents]
    return np.stack(waves) / np.float32(gain)


def _gain(given: Array | None, settings: Settings, model: Model) -> float:
    """What brings the given track to the level it was given at in training; 1 for nothing and for silence."""
    loud = 0.0 if given is None else active_loudness(given)
    return 10 ** ((model.manifest.level - settings.roles.under) / 20) / loud if loud else 1.0


def _region(
    model: Model,
    settings: Settings,
    asked: Asked,
    given: Array | None,
    windows: Sequence[Window],
    *,
    pace: Pace,
    turn: int,
) -> Array:
    """(P, W, C, T) of the whole region"""
    overlap = Overlap(windows)
    joined: list[Array] = []
    last: Array | None = None
    for place, window in enumerate(windows):
        latents = None
        if given is not None:
            heard = cut(given, window, model.manifest.window, model.manifest.hop)[None]
            latents = encoded(model, settings, heard, [place], turn)
        pace.tick("encode")
        beginning = None
        if last is not None and settings.is_continued:
            beginning = last[..., window.start - windows[place - 1].start :]
        (last,) = sampled(
            model,
            settings,
            asked,
            latents,
            [place],
            turn=turn,
            beginning=beginning,
            on_step=lambda done: pace.tick("sample"),
        )
        joined.append(overlap.add(last))
    return np.concatenate(joined, axis=-1)


def _waves(model: Model, latents: Array, windows: Sequence[Window], pace: Pace) -> Array:
    """(R, C, T) → (R, N), window by window, so that the memory the decoder needs does not grow."""
    overlap = Overlap(windows, model.manifest.hop)
    parts: list[Array] = []
    for window in windows:
        piece = latents[..., window.start : window.start + window.length]
        missing = model.manifest.window - window.length  # a graph may know one length alone
        whole = np.pad(piece, ((0, 0), (0, 0), (0, missing)), mode="edge")
        parts.append(overlap.add(model.waves(whole)))
        pace.tick("render")
    return np.concatenate(parts, axis=-1)
