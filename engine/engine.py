"""The engine: a Job in, stems out.

Two ways through it. *Preserve* streams: `Engine.extract` reads a song of any length in blocks and gives its
stems in blocks. *Decode* makes sound that did not exist, in memory. What happens to latents is the same in
both (`sampling`): a mask over the tracks, and no branch per task.
"""

import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property

import numpy as np

from stemwright.engine.asked import Asked, ask
from stemwright.engine.audio import Audio, resample, resampled_frames
from stemwright.engine.contracts import Array
from stemwright.engine.decode import decoded
from stemwright.engine.errors import BadJob
from stemwright.engine.feed import Source, Whole
from stemwright.engine.job import Job, OnProgress, Render, Result, Stem
from stemwright.engine.modelfolder import DEFAULT, Model, open_model
from stemwright.engine.pace import Pace
from stemwright.engine.preserve import Preserve, ticks
from stemwright.engine.rivals import Rivals, competition, rivals_of
from stemwright.engine.settings import Settings, check_samples, settle
from stemwright.engine.windows import Window, plan

REST = "rest"
LOUDER = 10 ** (6 / 20)  # generated sound leaves at −14 dBFS where the model works at −20
PEAK = 0.99


class Extraction:
    """Stems of one region as they get ready. Iterate once: (stems, K, n) blocks in the order of `names`.

    rate, channels, frames  those of the source; all blocks together are as long
    notes                   remarks for the user, complete after the last block
    """

    def __init__(
        self,
        work: Preserve,
        names: tuple[str, ...],
        source: Source,
        pace: Pace,
        told: Sequence[str] = (),
    ) -> None:
        """told: remarks on where the model runs, which may grow while it does"""
        self.names, self._told = names, told
        self.rate, self.channels, self.frames = source.rate, source.channels, source.frames
        self._work, self._pace = work, pace

    def __iter__(self) -> Iterator[Array]:
        for span in self._work.spans(self._pace):
            if span.shape[2]:
                yield span

    @property
    def notes(self) -> tuple[str, ...]:
        return (*self._work.notes, *self._told)


class Engine:
    """A loaded model and what can be asked of it. One job at a time."""

    def __init__(self, model: Model) -> None:
        self.model = model

    @classmethod
    def load(
        cls,
        name_or_path: str | os.PathLike[str] = DEFAULT,
        *,
        threads: int | None = None,
        device: str = "auto",
        profile: str = "best",
    ) -> "Engine":
        """Find, verify and open a model; `threads` None is one per core this process may use.

        profile  "fast": on the processor, the denoiser's products in 8 bits
        """
        return cls(open_model(name_or_path, threads=threads, device=device, profile=profile))

    def run(self, job: Job, on_progress: OnProgress | None = None) -> Result:
        """Do a job in memory. The same job and model give the same samples.

        The stems have the input's rate, channels and length (generate: the job's, in mono). Where the render
        is decode the model speaks in mono, and every channel gets the same signal.
        """
        begin = time.monotonic()
        settings = settle(job, self.model.manifest)
        if job.audio is None and settings.roles.given and not job.stem_by_stem:
            raise BadJob(f"{job.task.value} needs audio; only generate makes sound from nothing.")
        if job.audio is not None:
            check_samples(job.audio.samples)
        if settings.render is Render.PRESERVE and job.audio is not None:
            stems, notes = self._preserved(job, job.audio, on_progress)
        else:
            stems, notes = self._decoded(job, settings, on_progress)
        return Result(stems, time.monotonic() - begin, notes)

    def extract(self, job: Job, source: Source, on_progress: OnProgress | None = None) -> Extraction:
        """Extract from a source of any length in bounded memory; `job.audio` is not looked at.

        Everything that can be refused is refused here, before the first block.
        """
        settings = settle(job, self.model.manifest)
        if settings.render is not Render.PRESERVE:
            raise BadJob("decode is rendered in memory: read the file and use Engine.run.")
        asked = ask(job, self.model, settings.roles)
        windows = self._windows(source.frames, source.rate, settings)
        has_rivals = job.track is None  # they are known by how the part sounds that is taken out
        rivals = competition(self._rivals if has_rivals else None, job, self.model, asked, settings.roles)
        pace = Pace(ticks(len(windows), len(asked.names), settings, rivals), on_progress)
        work = Preserve(self.model, settings, asked, source, windows, is_joint=job.joint, rivals=rivals)
        return Extraction(work, (*asked.names, REST), source, pace, self.model.told)

    @cached_property
    def _rivals(self) -> Rivals | None:
        return rivals_of(self.model)

    def _windows(self, frames: int, rate: int, settings: Settings) -> list[Window]:
        manifest = self.model.manifest
        latent_frames = max(1, -(-resampled_frames(frames, rate, manifest.rate) // manifest.hop))
        return plan(latent_frames, manifest.window, settings.overlap)

    def _preserved(
        self, job: Job, audio: Audio, on_progress: OnProgress | None
    ) -> tuple[tuple[Stem, ...], tuple[str, ...]]:
        extraction = self.extract(job, Whole(audio), on_progress)
        samples = np.empty((len(extraction.names), audio.channels, audio.frames), np.float32)
        done = 0
        for block in extraction:
            samples[..., done : done + block.shape[2]] = block
            done += block.shape[2]
        assert done == audio.frames, (done, audio.frames)
        stems = (
            Stem(name, Audio(one, audio.rate)) for name, one in zip(extraction.names, samples, strict=True)
        )
        return tuple(stems), extraction.notes

    def _decoded(
        self, job: Job, settings: Settings, on_progress: OnProgress | None
    ) -> tuple[tuple[Stem, ...], tuple[str, ...]]:
        rate = job.audio.rate if job.audio else job.rate
        frames = job.audio.frames if job.audio else round(job.seconds * job.rate)
        asked = ask(job, self.model, settings.roles)
        windows = self._windows(frames, rate, settings)
        turns = asked.one_by_one() if settings.roles.is_in_turn else [asked]
        given = None if job.audio is None else resample(job.audio.mono(), self.model.manifest.rate).samples[0]
        waves = self._turns(settings, turns, given, windows, on_progress)
        channels = job.audio.channels if job.audio else 1
        named = _named(asked, waves, settings)
        stems = tuple(Stem(name, self._rendered(wave, rate, frames, channels)) for name, wave in named)
        return stems if job.audio else _turned_up(stems), (*asked.notes(settings.guidance), *self.model.told)

    def _turns(
        self,
        settings: Settings,
        turns: Sequence[Asked],
        given: Array | None,
        windows: Sequence[Window],
        on_progress: OnProgress | None,
    ) -> Array:
        """(P, R, N) of all prompts; where they come in turn each hears the sum of what was before."""
        returned = len(settings.roles.returned)
        units = sum(_units(settings, len(windows), given is not None, index) for index in range(len(turns)))
        units += sum(len(turn.names) for turn in turns) * len(windows)
        pace = Pace(units, on_progress)
        made: list[Array] = []
        for index, turn in enumerate(turns):
            waves = decoded(self.model, settings, turn, given, windows, pace=pace, turn=index)
            made.append(waves)
            if settings.roles.is_in_turn:
                given = _sum(given, waves[0, 0])
        assert made[0].shape[1] == returned
        return np.concatenate(made)

    def _rendered(self, wave: Array, rate: int, frames: int, channels: int) -> Audio:
        """(N,) at the model's rate → the same signal on every channel, at the input's rate and length."""
        audio = resample(Audio(wave[None], self.model.manifest.rate), rate, frames)
        return replace(audio, samples=np.repeat(audio.samples, channels, axis=0))


def _units(settings: Settings, windows: int, is_audio_given: bool, turn: int) -> int:
    """How often one pass tells of its progress before its latents are decoded."""
    is_given = is_audio_given or turn > 0
    first = settings.calls(is_given=is_given)
    following = settings.calls(is_given=is_given, is_following=settings.is_continued)
    return windows + first + (windows - 1) * following


def _sum(given: Array | None, wave: Array) -> Array:
    """What the next prompt hears; the shorter is padded with silence."""
    if given is None:
        return wave
    total = np.zeros(max(len(given), len(wave)), np.float32)
    total[: len(given)] += given
    total[: len(wave)] += wave
    return total


def _turned_up(stems: tuple[Stem, ...]) -> tuple[Stem, ...]:
    """Louder by 6 dB, but neither a stem nor their sum beyond full scale."""
    samples = [stem.audio.samples for stem in stems]
    loudest = max(float(np.abs(sound).max()) for sound in [*samples, sum(samples)])
    gain = np.float32(min(LOUDER, PEAK / max(loudest, 1e-9)))
    return tuple(replace(stem, audio=Audio(stem.audio.samples * gain, stem.audio.rate)) for stem in stems)


def _named(asked: Asked, waves: Array, settings: Settings) -> list[tuple[str, Array]]:
    """(P, R, N) → each stem with its name; the second returned track is the rest, if there is one prompt."""
    sides = [
        wave[::-1] if inverted else wave for wave, inverted in zip(waves, asked.is_inverted, strict=True)
    ]
    stems = [(name, side[0]) for name, side in zip(asked.names, sides, strict=True)]
    if len(stems) == 1 and len(settings.roles.returned) > 1:
        stems.append((REST, sides[0][1]))
    return stems
