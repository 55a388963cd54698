"""Songs to stems: composed, played by soundfonts and one-shots, through effects, into shards on disk."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.train import synthesis
from stemwright.engine.train.classes import class_named
from stemwright.engine.train.compose import compose
from stemwright.engine.train.effects import random_effects, ratio_of
from stemwright.engine.train.groove import Groove, read_grooves
from stemwright.engine.train.oneshots import Instrument, read_oneshots
from stemwright.engine.train.score import Part, Song
from stemwright.engine.train.singer import sing
from stemwright.engine.train.soundfont import SoundFont

Wave = NDArray[np.float32]

RATE = 16000
SECONDS = 10.24
SONGS_PER_SHARD = 100
SPREAD = 4.0  # dB around a class's usual level
VIBRATO = {
    "strings": 0.5,
    "brass": 0.4,
    "reed": 0.5,
    "pipe": 0.5,
    "synth lead": 0.5,
    "choir": 0.3,
    "guitar": 0.1,
}
FONTS = {
    "fluid": Path("/usr/share/sounds/sf2/FluidR3_GM.sf2"),
    "muse": Path("/usr/share/sounds/sf3/MuseScore_General_Full.sf3"),
    "csound": Path("/usr/share/sounds/sf2/sf_GMbank.sf2"),
    "opl3": Path("/usr/share/sounds/sf2/OPL-3_FM_128M.sf2"),
    "timgm": Path("/usr/share/sounds/sf2/TimGM6mb.sf2"),  # kept for evaluation: never train on it
}
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instruments:
    """What songs are played with: one soundfont, its name, and recordings that now and then replace it."""

    font: SoundFont
    name: str
    oneshots: tuple[Instrument, ...] = ()
    grooves: tuple[Groove, ...] = ()
    recorded: float = 0.3  # share of songs with one-shots or a recorded groove
    synthesised: float = 0.0  # share of basses, synth leads and pads made here instead of by the font
    sung: float = 0.0  # share of songs with a synthetic singer


@dataclass(frozen=True)
class RenderedSong:
    """Stems of one song, int16 (S, N) at 16 kHz; their sum does not clip. One row of the others per stem."""

    stems: NDArray[np.int16]
    labels: tuple[str, ...]
    programs: tuple[int | str | None, ...]
    families: tuple[str, ...]
    tempo: float


def random_song(
    instruments: Instruments, rng: np.random.Generator, *, seconds: float = SECONDS
) -> RenderedSong:
    """A new song composed and rendered; songs of fewer than two sounding stems are thrown away."""
    while True:
        groove = None
        if instruments.grooves and rng.random() < instruments.recorded * 0.6:
            groove = instruments.grooves[rng.integers(len(instruments.grooves))]
        sings = instruments.sung > 0 and rng.random() < instruments.sung
        composed = compose(rng, seconds=seconds, groove=groove, sings=sings)
        song = render_song(composed, instruments, rng, seconds=seconds)
        if len(song.labels) >= 2:
            return song


def render_song(
    song: Song, instruments: Instruments, rng: np.random.Generator, *, seconds: float = SECONDS
) -> RenderedSong:
    """Every part played, treated and levelled; silent parts are dropped; parts of one class stay apart."""
    recorded = bool(instruments.oneshots) and rng.random() < instruments.recorded
    stems: list[Wave] = []
    rows: list[tuple[str, int | str | None, str]] = []
    for part in song.parts:
        wave, label, program, family = played(part, instruments, recorded, seconds, rng)
        stem = levelled(random_effects(wave, label, rng, RATE, tempo=song.tempo), label, rng)
        if stem is not None:
            stems.append(stem)
            rows.append((label, program, family))
    labels, programs, families = zip(*rows, strict=True) if rows else ((), (), ())
    return RenderedSong(whole(stems, round(seconds * RATE), rng), labels, programs, families, song.tempo)


def played(
    part: Part, instruments: Instruments, recorded: bool, seconds: float, rng: np.random.Generator
) -> tuple[Wave, str, int | str | None, str]:
    """A part's sound, label, program and family: by one-shots where wanted and possible, else the font."""
    if recorded and rng.random() < 0.7:
        able = [each for each in instruments.oneshots if suits(each, part)]
        for place in rng.permutation(len(able))[:3]:
            wave = able[place].play(part, seconds, rng)
            if wave is not None:
                return wave, able[place].label, able[place].program, able[place].family
    if part.label == "vocals":
        wave, kind = sing(part, seconds, rng)
        return wave, part.label, kind, "singer"
    if part.label in synthesis.LABELS and rng.random() < instruments.synthesised:
        program = int(rng.choice((38, 39))) if part.label == "bass" else None
        return synthesis.synthesise(part, seconds, rng), part.label, program, "synthesiser"
    kit = int(rng.integers(8)) if rng.random() < 0.5 else 0
    vibrato = int(rng.integers(10, 110)) if rng.random() < VIBRATO.get(part.label, 0.0) else 0
    wave = instruments.font.play(part, seconds, kit=kit, vibrato=vibrato)
    return wave, part.label, part.program, instruments.name


def suits(instrument: Instrument, part: Part) -> bool:
    """Whether one-shots may stand for a part: same class, or a solo voice for a choir's part."""
    return instrument.label == part.label or (instrument.label == "vocals" and part.label == "choir")


def levelled(wave: Wave, label: str, rng: np.random.Generator) -> Wave | None:
    """The stem at its class's level ± SPREAD dB, measured where it plays; None if it is silent."""
    frames = np.sqrt(np.mean(np.square(wave[: len(wave) // 400 * 400].reshape(-1, 400)), 1))
    if not np.isfinite(frames).all() or frames.max() < 1e-5:
        return None
    playing = frames[frames > frames.max() * ratio_of(-40)]
    if len(playing) < 0.03 * len(frames):
        return None
    level = class_named(label).level + float(np.clip(rng.normal(0, SPREAD), -2.5 * SPREAD, 2.5 * SPREAD))
    return (wave * (ratio_of(level) / float(np.sqrt(np.mean(playing**2))))).astype(np.float32)


def whole(stems: list[Wave], frames: int, rng: np.random.Generator) -> NDArray[np.int16]:
    """Stems as int16 (S, N) under one gain, at which neither a stem nor their sum clips."""
    if not stems:
        return np.zeros((0, frames), np.int16)
    stack = np.stack(stems) * ratio_of(rng.uniform(-6, 3))
    peak = max(float(np.abs(stack).max()), float(np.abs(stack.sum(0)).max()))
    return np.asarray(np.rint(stack * min(1.0, 0.98 / peak) * 32767), np.int16)


def write_pool(
    folder: Path,
    count: int | None,
    seed: int,
    soundfonts: Sequence[str],
    *,
    oneshots: Path | None = None,
    grooves: tuple[Path, Path] | None = None,
    without: Sequence[str] = (),
    synthesised: float = 0.0,
    sung: float = 0.0,
) -> None:
    """Render `count` songs (None: without end) into shards; shards that exist are kept.

    A shard is <font>_<seed>_<number>.npy, int16 (stems of all songs, N), and .json: for each song its
    stems as [label, program, tempo, family]. Fonts take turns by shard. The .json appears first and
    the .npy last, each whole: a reader that lists *.npy never sees half a shard.
    """
    folder.mkdir(parents=True, exist_ok=True)
    fonts = [(name, SoundFont(FONTS.get(name, Path(name)))) for name in soundfonts]
    recordings = read_oneshots(oneshots, without=without) if oneshots else ()
    performances = read_grooves(*grooves) if grooves else ()
    shard = 0
    while count is None or shard * SONGS_PER_SHARD < count:
        name, font = fonts[shard % len(fonts)]
        stem = folder / f"{Path(name).stem}_{seed}_{shard:05d}"
        if not stem.with_suffix(".npy").exists():
            songs = (
                SONGS_PER_SHARD if count is None else min(SONGS_PER_SHARD, count - shard * SONGS_PER_SHARD)
            )
            instruments = Instruments(
                font, Path(name).stem, recordings, performances, synthesised=synthesised, sung=sung
            )
            write_shard(stem, instruments, seed, shard, songs)
        shard += 1


def write_shard(stem: Path, instruments: Instruments, seed: int, shard: int, songs: int) -> None:
    """One shard of `songs` songs; song i of shard s draws from the seed (seed, s, i)."""
    rendered = [
        random_song(instruments, np.random.default_rng((seed, shard, place))) for place in range(songs)
    ]
    rows = [
        [
            [label, program, round(song.tempo, 2), family]
            for label, program, family in zip(song.labels, song.programs, song.families, strict=True)
        ]
        for song in rendered
    ]
    part = stem.with_suffix(".json.part")
    part.write_text(json.dumps(rows), encoding="utf-8")
    part.rename(stem.with_suffix(".json"))
    part = stem.with_suffix(".npy.part")
    with part.open("wb") as file:
        np.save(file, np.concatenate([song.stems for song in rendered]))
    part.rename(stem.with_suffix(".npy"))
    log.info("%s: %d songs, %d stems", stem.name, songs, sum(len(row) for row in rows))


def main(arguments: Sequence[str] | None = None) -> None:
    """The worker's command line: render a pool."""
    parser = argparse.ArgumentParser(description="Render composed songs into shards of stems for training.")
    parser.add_argument("--out", type=Path, required=True, help="folder for the shards")
    parser.add_argument(
        "--fonts",
        default="fluid,muse",
        help="fluid, muse, csound, opl3, timgm or paths, comma separated (default: fluid,muse)",
    )
    parser.add_argument("--seed", type=int, default=1, help="the same seed gives the same songs (default: 1)")
    parser.add_argument("--songs", type=int, default=None, help="how many (default: without end)")
    parser.add_argument(
        "--data", type=Path, default=None, help="folder with oneshots/ and midi/ (default: soundfonts only)"
    )
    parser.add_argument(
        "--without", default="", help="one-shot sources to leave out, comma separated (default: none)"
    )
    parser.add_argument(
        "--synthesised", type=float, default=0.0, help="share of synth parts made here (default: 0)"
    )
    parser.add_argument(
        "--sung", type=float, default=0.0, help="share of songs with a synthetic singer (default: 0)"
    )
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    midi = options.data / "midi" if options.data else None
    write_pool(
        options.out,
        options.songs,
        options.seed,
        options.fonts.split(","),
        oneshots=options.data / "oneshots" if options.data else None,
        grooves=(midi / "groove-midi.tar.xz", midi / "groove-info.csv") if midi else None,
        without=tuple(filter(None, options.without.split(","))),
        synthesised=options.synthesised,
        sung=options.sung,
    )


if __name__ == "__main__":
    main()
