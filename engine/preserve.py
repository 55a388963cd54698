"""Extraction that keeps the mixture: windows in, masks on the mixture out, in a stream of bounded memory.

P prompts · K channels; what comes out is (P + 1, K, n): the stems, then the rest
"""

from collections.abc import Iterator, Sequence

import numpy as np

from stemwright.engine.asked import Asked
from stemwright.engine.contracts import Array
from stemwright.engine.feed import SILENT, Feed, Source, loudness
from stemwright.engine.modelfolder import Model
from stemwright.engine.pace import Pace
from stemwright.engine.refine import Grid, Refiner, presence
from stemwright.engine.rivals import Competition, quick
from stemwright.engine.sampling import encoded, sampled, wanted_track
from stemwright.engine.settings import Settings
from stemwright.engine.shares import alone, contested, insistence, shares
from stemwright.engine.spectral import BINS, STRIDE
from stemwright.engine.windows import Overlap, Window, batches

ROWS = 2  # windows × prompts sampled at once: on one core more is slower, and cancelling waits for a batch
ABSENT = 0.03  # share of the mixture under which an instrument is called not heard


def batch_size(prompts: int) -> int:
    """Windows per batch."""
    return max(1, ROWS // prompts)


def ticks(windows: int, prompts: int, settings: Settings, rivals: Competition | None) -> int:
    """How often an extraction tells of its progress."""
    groups = 0 if rivals is None else len(_groups(prompts, rivals))
    calls = settings.calls(is_given=True)
    return -(-windows // batch_size(prompts)) * (settings.looks * (calls + 1) + groups + 1)


def _groups(prompts: int, rivals: Competition) -> list[slice]:
    """The rivals that are sampled at once with the windows of a batch."""
    size, count = max(1, ROWS // batch_size(prompts)), len(rivals.asked.names)
    return [slice(first, first + size) for first in range(0, count, size)]


class Preserve:
    """One extraction under way. Iterate once; `notes` are complete after that."""

    def __init__(
        self,
        model: Model,
        settings: Settings,
        asked: Asked,
        source: Source,
        windows: Sequence[Window],
        *,
        is_joint: bool,
        rivals: Competition | None = None,
    ) -> None:
        self._model, self._settings, self._asked = model, settings, asked
        self._source, self._windows, self._is_joint = source, windows, is_joint
        self._rivals = rivals
        self._heard = np.zeros(len(asked.names))  # presence × energy
        self._energy = 0.0

    def spans(self, pace: Pace) -> Iterator[Array]:
        """(P + 1, K, n) in order; all together as long as the source."""
        source, manifest = self._source, self._model.manifest
        grid = Grid(manifest.rate, STRIDE, BINS)
        refiner = Refiner(source.rate, source.channels, len(self._asked.names), grid)
        overlap = Overlap(self._windows, manifest.hop // STRIDE)
        feed = Feed(source.rate, manifest.rate, manifest.hop)
        blocks = source.blocks()
        place = 0
        for batch in batches(self._windows, batch_size(len(self._asked.names))):
            while not feed.has(batch[-1]) and (block := next(blocks, None)) is not None:
                feed.push(block)
                yield _span(refiner.push(mixture=block))
            if not feed.has(batch[-1]):
                feed.finish()
            waves = np.stack([feed.take(window, manifest.window) for window in batch])
            for masks in self._masks(waves, place, pace):
                yield _span(refiner.push(masks=overlap.add(masks)))
            pace.tick("render")
            place += len(batch)
        for block in blocks:  # what the resampler keeps back is a few frames: the masks reach to the end
            yield _span(refiner.push(mixture=block))
        yield _span(refiner.finish())

    def _masks(self, waves: Array, place: int, pace: Pace) -> Iterator[Array]:
        """(windows, N) → (P, F, M) of each window"""
        levels = loudness(waves)
        gains = 10 ** (self._model.manifest.level / 20) / np.maximum(levels, SILENT)
        levelled = (waves * gains[:, None]).astype(np.float32)
        latents = self._encoded(levelled, place, 0)
        pace.tick("encode")
        all_spectra = self._spectra(levelled, latents, place, pace)
        all_claims = self._claims(latents, place, pace)
        for spectra, claims, given, level in zip(all_spectra, all_claims, latents, levels, strict=True):
            sources, rests = spectra
            self._listen(sources, rests, float(level) ** 2)
            if level < SILENT:
                yield np.zeros_like(sources)
                continue
            mixture = None if claims is None else self._model.codec.spectrum(given[None])[0]
            yield shares(
                sources,
                rests,
                self._settings.power,
                is_joint=self._is_joint,
                is_inverted=self._asked.is_inverted,
                claims=None if claims is None else self._weighed(claims, sources, rests, mixture),
                mixture=mixture,
            )

    def _spectra(self, waves: Array, latents: Array, place: int, pace: Pace) -> Array:
        """(windows, N) → (windows, 2, P, F, M) log amplitudes of source and rest, the mean of all looks.

        Where a patch of the codec begins is chance; looks that begin a little later each see other patches.
        latents  those of the first look
        """
        looks, step = self._settings.looks, self._model.codec.hop // STRIDE  # step in spectrum frames
        delays = [look * step // looks for look in range(looks)]
        found = [self._look(self._asked, self._settings, latents, place, 0, pace)]
        for look, delay in enumerate(delays[1:], 1):
            latents = self._encoded(_delayed(waves, delay * STRIDE), place, look)
            pace.tick("encode")
            found.append(self._look(self._asked, self._settings, latents, place, look, pace))
        total = np.zeros_like(found[0])
        seen = np.zeros(total.shape[-1], np.float32)
        for spectra, delay in zip(found, delays, strict=True):
            total[..., : len(seen) - delay] += spectra[..., delay:]
            seen[: len(seen) - delay] += 1
        return total / seen

    def _encoded(self, waves: Array, place: int, look: int) -> Array:
        """(windows, N) → (windows, C, T)"""
        return encoded(self._model, self._settings, waves, range(place, place + len(waves)), look)

    def _look(
        self, asked: Asked, settings: Settings, latents: Array, place: int, look: int, pace: Pace
    ) -> Array:
        """(windows, C, T) → (windows, 2, P, F, M)"""
        found = sampled(
            self._model,
            settings,
            asked,
            latents,
            range(place, place + len(latents)),
            turn=look,
            on_step=lambda done: pace.tick("sample"),
        )
        tracks = [wanted_track(self._model, settings, name) for name in settings.roles.returned]
        spectrum = self._model.codec.spectrum
        return np.stack([[spectrum(window[:, track]) for track in tracks] for window in found])

    def _claims(self, latents: Array, place: int, pace: Pace) -> Sequence[Array | None]:
        """(windows, C, T) → for each (P, F, M): what the rivals of every prompt claim; ≥ 0

        They are asked as in the first look, a few at a time, and summed in their order.
        """
        if self._rivals is None:
            return [None] * len(latents)
        shape = (
            len(latents),
            len(self._asked.names),
            BINS,
            latents.shape[2] * self._model.codec.hop // STRIDE,
        )
        total = np.zeros(shape, np.float32)
        for group in _groups(shape[1], self._rivals):
            competes = self._rivals.competes[:, group]
            found = self._look(self._rivals.asked[group], quick(self._settings), latents, place, 0, pace)
            for window, spectra in enumerate(found):
                for rival, (source, rest) in enumerate(spectra.transpose(1, 0, 2, 3)):
                    total[window, competes[:, rival]] += alone(source, rest, self._settings.power)
        return list(total)

    def _weighed(self, claims: Array, sources: Array, rests: Array, mixture: Array | None) -> Array:
        """(P, F, M) claims as they count against each prompt; mixture: (F, M) natural log amplitudes"""
        assert self._rivals is not None and mixture is not None
        once = contested(alone(sources, rests, self._settings.power), claims)
        return claims * insistence(once, mixture, self._rivals.loud, self._rivals.weight)

    def _listen(self, sources: Array, rests: Array, energy: float) -> None:
        self._energy += energy
        for prompt, (source, rest) in enumerate(zip(sources, rests, strict=True)):
            self._heard[prompt] += energy * presence(source, rest)

    @property
    def notes(self) -> tuple[str, ...]:
        """Which instruments were not heard, and what of the prompts has no effect."""
        if self._energy < SILENT**2:
            return ("the input is silent",)
        shares_heard = zip(
            self._asked.names, self._asked.is_inverted, self._heard / self._energy, strict=True
        )
        absent = [name for name, inverted, heard in shares_heard if heard < ABSENT and not inverted]
        return (*(f"no {name} heard" for name in absent), *self._asked.notes(self._settings.guidance))


def _delayed(waves: Array, frames: int) -> Array:
    """(windows, N), that much later; as long"""
    return np.pad(waves, ((0, 0), (frames, 0)))[:, : waves.shape[1]]


def _span(parts: tuple[Array, Array]) -> Array:
    stems, rest = parts
    return np.concatenate([stems, rest[None]])
