"""Training examples: a source, the rest of its mixture, and the prompt that asks for it; never one twice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray

from stemwright.engine.spectral import RATE
from stemwright.engine.train.pool import PooledSong, Recordings, SongPool
from stemwright.engine.train.prompt_bank import Bank

Wave = NDArray[np.float32]

SILENT = 10 ** (-38 / 20)  # a source this far below its mixture is redrawn
LEVEL = 10 ** (-20 / 20)  # RMS a mixture is brought to, as at inference


@dataclass(frozen=True)
class Chances:
    """How often an example is made which way."""

    absent: float = 0.14  # prompt names a class the mixture has not: the source is silence
    union: float = 0.08  # prompt covers several classes ("horns and strings")
    guest: float = 0.22  # one stem of another song joins
    vocals: float = 0.38  # recorded singing joins
    recording: float = 0.14  # another recorded class joins
    speed: float = 0.6  # the mixture is played faster or slower
    drop_stem: float = 0.2  # each stem of the song stays away


@dataclass
class Example:
    """rest (N,), source (N,) at the model's level; conditions (3, D) of mix, submix and source"""

    rest: Wave
    source: Wave
    conditions: Wave


@dataclass(frozen=True)
class Stem:
    label: str
    program: int | str | None
    wave: Wave


class Mixer:
    """Draws examples of one length."""

    def __init__(
        self, songs: SongPool, recordings: Recordings, bank: Bank, frames: int, chances: Chances
    ) -> None:
        self.songs, self.recordings, self.bank = songs, recordings, bank
        self.frames, self.chances = frames, chances

    def draw(self, rng: np.random.Generator) -> Example:
        """A random example. A silent source is redrawn up to ten times (MGE-LDM section 4)."""
        for _ in range(10):
            stems = self._stems(rng)
            chosen, condition = self._choose(stems, rng)
            source, rest = divide(stems, chosen)
            if is_audible(source, rest) or (not source.any() and is_audible(rest, source)):
                break
        labels = {stem.label for stem in stems}
        mix, submix = self.bank.draw_set(labels, rng), self.bank.draw_set((labels - chosen) or labels, rng)
        source, rest = self._speed(source, rest, rng)
        gain = (
            LEVEL * 10 ** (rng.normal(0, 2) / 20) / max(float(np.sqrt(np.mean((source + rest) ** 2))), 1e-5)
        )
        return Example(rest * gain, source * gain, np.stack([mix, submix, condition]))

    def _stems(self, rng: np.random.Generator) -> list[Stem]:
        chances, length = self.chances, int(self.frames * 1.25)
        song = self.songs.draw(rng)
        stems = cut(song, length, chances.drop_stem, rng)
        if rng.random() < chances.guest:
            stems += cut(self.songs.draw(rng), length, 0.0, rng, at_most=1)
        if "vocals" in self.recordings.phrases and rng.random() < chances.vocals:
            stems.append(self._recorded("vocals", length, rng))
        others = [label for label in self.recordings.labels() if label != "vocals"]
        if others and rng.random() < chances.recording:
            stems.append(self._recorded(others[int(rng.integers(len(others)))], length, rng))
        return stems

    def _recorded(self, label: str, length: int, rng: np.random.Generator) -> Stem:
        wave = self.recordings.stretch(label, length, rng)
        if label == "vocals" and rng.random() < 0.25:  # a second voice, or a doubling
            wave = wave + 0.6 * self.recordings.stretch(label, length, rng)
        wave = room(wave, rng) if rng.random() < 0.6 else wave
        level = 10 ** (rng.normal(-20 if label == "vocals" else -22, 4) / 20)
        return Stem(label, None, wave * np.float32(level / max(active_level(wave), 1e-4)))

    def _choose(self, stems: list[Stem], rng: np.random.Generator) -> tuple[set[str], Wave]:
        """The classes asked for, none of them there if the instrument is to be absent; the prompt's (D,)."""
        present = sorted({stem.label for stem in stems})
        dice = rng.random()
        if dice < self.chances.absent:
            missing = [label for label in all_labels(self.bank) if label not in present]
            label = missing[int(rng.integers(len(missing)))]
            return {label}, self.bank.draw(label, None, rng)
        if dice < self.chances.absent + self.chances.union:
            return self._union(rng)
        # a class's chance does not grow with its stems: rare ones are asked for as often as drums
        label = present[int(rng.integers(len(present)))]
        programs = [stem.program for stem in stems if stem.label == label]
        return {label}, self.bank.draw(label, programs[0] if len(programs) == 1 else None, rng)

    def _union(self, rng: np.random.Generator) -> tuple[set[str], Wave]:
        texts = list(self.bank.unions)
        covered, row = self.bank.unions[texts[int(rng.integers(len(texts)))]]
        return set(covered), self.bank.embeddings[row].astype(np.float32)

    def _speed(self, source: Wave, rest: Wave, rng: np.random.Generator) -> tuple[Wave, Wave]:
        if rng.random() < self.chances.speed:
            ratio = 2 ** (rng.uniform(-3.5, 3.5) / 12)
            both = soxr.resample(np.stack([source, rest], axis=1), RATE, RATE * ratio, quality="MQ")
            source, rest = both[:, 0], both[:, 1]
        return source[: self.frames], rest[: self.frames]


def divide(stems: list[Stem], chosen: set[str]) -> tuple[Wave, Wave]:
    """(source, rest): the sum of the chosen classes' stems, and of the others'."""
    nothing = np.zeros_like(stems[0].wave)
    wanted = sum((stem.wave for stem in stems if stem.label in chosen), start=nothing)
    return wanted, sum((stem.wave for stem in stems if stem.label not in chosen), start=nothing)


def all_labels(bank: Bank) -> list[str]:
    return [key.removesuffix("|-") for key in bank.index if key.endswith("|-")]


def cut(
    song: PooledSong, frames: int, drop: float, rng: np.random.Generator, at_most: int | None = None
) -> list[Stem]:
    """The same random span of each stem that stays, at levels moved by a few dB."""
    start = int(rng.integers(max(1, song.stems.shape[1] - frames)))
    order = [int(place) for place in rng.permutation(len(song.labels))]
    staying = [place for place in order if rng.random() >= drop] or order[:2]
    return [
        Stem(
            song.labels[place],
            song.programs[place],
            song.stems[place, start : start + frames].astype(np.float32)
            * np.float32(10 ** (rng.normal(0, 3.5) / 20) / 32768),
        )
        for place in staying[:at_most]
    ]


def active_level(wave: Wave) -> float:
    """RMS over the frames that are not near silence."""
    loud = wave[np.abs(wave) > 0.003]
    return float(np.sqrt(np.mean(loud**2))) if len(loud) else 0.0


def is_audible(source: Wave, rest: Wave) -> bool:
    """True where the source is not far below its mixture."""
    return bool(np.sqrt(np.mean(source**2)) > max(SILENT * np.sqrt(np.mean((source + rest) ** 2)), 1e-4))


def room(wave: Wave, rng: np.random.Generator) -> Wave:
    """A synthetic reverb: decaying coloured noise, by fast convolution."""
    length = int(RATE * rng.uniform(0.1, 1.2))
    tail = rng.standard_normal(length).astype(np.float32) * np.exp(-6.9 * np.arange(length) / length).astype(
        np.float32
    )
    tail = np.convolve(tail, np.ones(int(rng.integers(1, 6)), np.float32), mode="same")
    tail /= max(float(np.sqrt(np.sum(tail**2))), 1e-6)
    size = -(-(len(wave) + length) // 4096) * 4096  # sizes without large prime factors are quick
    wet = np.fft.irfft(np.fft.rfft(wave, size) * np.fft.rfft(tail, size), size)[: len(wave)].astype(
        np.float32
    )
    share = np.float32(rng.uniform(0.03, 0.4))
    return (1 - share) * wave + share * wet
