"""Quality against time: what samplers, steps, looks, rivals and profiles cost, and what they are worth.

python -m stemwright.engine.train.quality_and_time --pool runs/held-out --demo DATA/demo/boas --out docs

extract   SI-SDR improvement of one look without rivals, as a mask, by sampler and steps
ways      the same of the whole engine, with looks and rivals left out in turn, in both profiles
generate  distance of generated spectra to those of the songs, and to the same noise in very many steps

Seconds are CPU seconds of one core for 10.24 s of sound. Results are kept after each part in the output
folder, so that a run that was stopped goes on; `main` alone prints.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from stemwright.engine.audio import Audio, resample
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from stemwright.engine.job import Job, Prompt
from stemwright.engine.manifest import Manifest
from stemwright.engine.modelfolder import Model, open_model
from stemwright.engine.phase import istft
from stemwright.engine.sampler import Denoise, named
from stemwright.engine.schedule import grid
from stemwright.engine.shares import alone
from stemwright.engine.spectral import stft
from stemwright.engine.tracks import Task
from stemwright.engine.train.evaluation_sets import FRAMES, RATE, Case, demo_cases, soundfont_cases
from stemwright.engine.train.metrics import si_sdr
from stemwright.engine.train.quality_figures import MANY, SAMPLERS, Point, draw, tables

STEPS = (1, 2, 4, 8, 16)
MORE_STEPS = (2, 4, 8, 16, 32)
COMPONENTS = 16  # principal ones of a spectrum frame, for the Fréchet distance
PROMPTS = ("funk groove", "drums", "piano ballad", "rock band", "strings and flute", "synth bass and drums")
WAYS = {  # what is left out of the default → looks, rivals
    "as shipped": (2, True),
    "one look": (1, True),
    "no rivals": (2, False),
    "neither": (1, False),
}


def chosen(pool: Path, demo: Path | None, songs: int) -> list[Case]:
    """One case of each of some songs, classes in turn, and every class of the demo song; mono, 16 kHz."""
    found: dict[str, list[Case]] = {}
    for case in soundfont_cases(pool):
        if case.target is not None:
            found.setdefault(case.song, []).append(case)
    names = list(found)[:: max(1, len(found) // songs)][:songs]
    one_each = [found[name][place % len(found[name])] for place, name in enumerate(names)]
    return [
        *one_each,
        *(_short(case) for case in (demo_cases(demo) if demo else ()) if case.target is not None),
    ]


def _short(case: Case) -> Case:
    """The second half of the demo song as a case of the pool."""

    def mono(wave: Array) -> Array:
        found = resample(Audio(wave, case.rate).mono(), RATE).samples
        return np.ascontiguousarray(found[:, -FRAMES:])

    assert case.target is not None
    return replace(case, rate=RATE, mixture=mono(case.mixture), target=mono(case.target))


def gain(case: Case, stem: Array) -> float:
    """SI-SDR improvement in dB"""
    assert case.target is not None
    return si_sdr(stem, case.target[0]) - si_sdr(case.mixture[0], case.target[0])


def extracted(model: Model, sampler: str, steps: int, case: Case) -> Array:
    """(N,) the stem by one look and no rivals"""
    manifest, mixture = model.manifest, case.mixture
    level = 10 ** (manifest.level / 20) / max(float(np.sqrt(np.mean(mixture**2))), 1e-5)
    given = model.codec.encode((mixture * level).astype(np.float32))
    condition = _condition(model, case.prompt, track=2)
    noise = _noise(0, 2, *given.shape[1:])
    denoise = _held(model, given, condition)
    found = named(sampler)(denoise, noise, grid(steps, manifest.grid, manifest.last))
    rest, source = (model.codec.spectrum(found[:, track])[0] for track in range(2))
    spectrum = stft(mixture)
    wave: Array = istft(spectrum * alone(source, rest, 1.0)[None, :, : spectrum.shape[2]])[0]
    return wave


def _condition(model: Model, prompt: str, track: int) -> Array:
    condition = np.zeros((1, 3, model.conditioner.width), np.float32)
    condition[0, track] = model.conditioner.text([prompt])[0] * model.manifest.scale
    return condition


def _noise(seed: int, *shape: int) -> Array:
    return np.random.default_rng(seed).standard_normal((1, *shape), np.float32)


def _held(model: Model, given: Array, condition: Array) -> Denoise:
    def denoise(latents: Array, level: float) -> Array:
        whole = np.concatenate([given[:, None], latents], axis=1)
        return model.denoiser(whole, np.array([[0, level, level]], np.float32), condition)[:, 1:]

    return denoise


def by_steps(model: Model, cases: Sequence[Case]) -> Iterator[Point]:
    """Every sampler and number of steps; one step is the same by all."""
    for sampler in SAMPLERS:
        for steps in STEPS if sampler == SAMPLERS[0] else STEPS[1:]:
            yield point(sampler, steps, cases, partial(extracted, model, sampler, steps))


def point(name: str, steps: int, cases: Sequence[Case], extract: Callable[[Case], Array]) -> Point:
    values, seconds = [], []
    for case in cases:
        begin = time.process_time()
        stem = extract(case)
        seconds.append(time.process_time() - begin)
        values.append(gain(case, stem))
    return Point(name, steps, float(np.median(seconds)), tuple(values), tuple(case.song for case in cases))


def by_ways(engines: dict[str, Engine], cases: Sequence[Case]) -> Iterator[Point]:
    """The whole engine, as shipped and with parts left out, in both profiles."""
    for profile, engine in engines.items():
        for way, (looks, has_rivals) in WAYS.items():
            other = Engine(replace(engine.model, manifest=_without(engine.model.manifest, looks, has_rivals)))
            yield point(f"{profile}: {way}", 1, cases, partial(_asked, other))


def _asked(engine: Engine, case: Case) -> Array:
    job = Job(Task.EXTRACT, (Prompt(case.prompt),), Audio(case.mixture, case.rate))
    stem: Array = engine.run(job).stems[0].audio.samples[0]
    return stem


def _without(manifest: Manifest, looks: int, has_rivals: bool) -> Manifest:
    defaults = {**manifest.defaults, Task.EXTRACT: replace(manifest.defaults[Task.EXTRACT], looks=looks)}
    return replace(manifest, defaults=defaults, rivals=manifest.rivals if has_rivals else None)


def by_generation(model: Model, pool: Path, windows: int) -> Iterator[Point]:
    """Generated mixtures: a Fréchet distance to the songs of the pool; then the distance to many steps in dB.

    The first is of single frames' log spectra in 96 bands, from all windows together; half of the songs
    against the other half stands first.
    """
    true = _pool_bands(model, pool)
    axes = np.linalg.svd(np.concatenate(true) - np.concatenate(true).mean(0), full_matrices=False)[2]
    axes = axes[:COMPONENTS].T
    reference = np.concatenate(true) @ axes
    halves = [np.concatenate(true[place::2]) @ axes for place in range(2)]
    yield Point("songs", 0, 0.0, (frechet(*halves),), ("floor",))
    far = [_generated(model, window, "unipc", MANY)[0] for window in range(windows)]
    ways = [(name, steps) for name in SAMPLERS for steps in MORE_STEPS]
    for name, steps in [("ddim", 1), *ways, ("unipc", MANY)]:
        made = [_generated(model, window, name, steps) for window in range(windows)]
        bands = [one for one, _ in made]
        apart = [8.686 * float(np.abs(one - many).mean()) for one, many in zip(bands, far, strict=True)]
        whole = frechet(np.concatenate([one.T for one in bands]) @ axes, reference)
        seconds = float(np.median([each for _, each in made]))
        yield Point(name, steps, seconds, (whole, float(np.mean(apart))), ("frechet", "many"))


def _pool_bands(model: Model, pool: Path) -> list[Array]:
    """(M, 96) log amplitudes of each song's mixture, as the codec gives them back"""
    songs = {case.song: case.mixture for case in soundfont_cases(pool)}
    return [_bands(model, model.codec.encode(_levelled(model, wave))).T for wave in songs.values()]


def _levelled(model: Model, wave: Array) -> Array:
    loudness = max(float(np.sqrt(np.mean(wave**2))), 1e-5)
    return (wave * (10 ** (model.manifest.level / 20) / loudness)).astype(np.float32)


def _bands(model: Model, latents: Array) -> Array:
    found: Array = model.codec.bands(latents)[0]  # type: ignore[attr-defined]
    return found


def _generated(model: Model, window: int, sampler: str, steps: int) -> tuple[Array, float]:
    """(96, M) of the mix track under a prompt with guidance 2, and CPU seconds."""
    condition = _condition(model, PROMPTS[window % len(PROMPTS)], track=0)
    both = np.concatenate([condition, np.zeros_like(condition)])

    def denoise(latents: Array, level: float) -> Array:
        told, plain = model.denoiser(np.repeat(latents, 2, 0), np.full((2, 3), level, np.float32), both)
        pulled: Array = plain + np.float32(2) * (told - plain)
        return pulled[None]

    begin = time.process_time()
    noise = _noise(window, 3, model.codec.channels, model.manifest.window)
    levels = grid(steps, model.manifest.grid, model.manifest.last)
    found = named(sampler)(denoise, noise, levels)
    return _bands(model, found[:, 0]), time.process_time() - begin


def frechet(one: Array, other: Array) -> float:
    """Distance of two clouds of rows (n, D) taken for Gaussians: |m − m′|² + tr(C + C′ − 2 √(C C′))"""
    covariances = [np.cov(rows.T.astype(np.float64)) for rows in (one, other)]
    roots = np.sqrt(np.maximum(np.linalg.eigvals(covariances[0] @ covariances[1]).real, 0))
    apart = float(np.sum((one.mean(0) - other.mean(0)) ** 2))
    return apart + float(np.trace(covariances[0] + covariances[1]) - 2 * roots.sum())


def _kept(path: Path) -> list[Point] | None:
    if not path.exists():
        return None
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))
    return [Point(**{**row, "values": tuple(row["values"]), "songs": tuple(row["songs"])}) for row in rows]


def main(words: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pool", type=Path, required=True, help="rendered songs, held out")
    parser.add_argument("--demo", type=Path, help="folder with the demo song's stems (default: left out)")
    parser.add_argument("--model", default="default", help="(default: default)")
    parser.add_argument("--out", type=Path, default=Path("docs"), help="for the plot (default: docs)")
    parser.add_argument("--work", type=Path, default=Path("runs/quality-and-time"), help="for the figures")
    parser.add_argument("--songs", type=int, default=16, help="of the pool (default: 16)")
    parser.add_argument("--windows", type=int, default=6, help="that are generated (default: 6)")
    parser.add_argument("--only", choices=("extract", "ways", "generate"), help="one part (default: all)")
    flags = parser.parse_args(words)
    flags.work.mkdir(parents=True, exist_ok=True)
    model, cases = open_model(flags.model, threads=1), chosen(flags.pool, flags.demo, flags.songs)

    def engines() -> dict[str, Engine]:
        return {name: Engine.load(flags.model, threads=1, profile=name) for name in ("best", "fast")}

    parts: dict[str, Callable[[], Iterator[Point]]] = {
        "extract": lambda: by_steps(model, cases),
        "ways": lambda: by_ways(engines(), cases),
        "generate": lambda: by_generation(model, flags.pool, flags.windows),
    }
    found = {}
    for name, part in parts.items():
        path = flags.work / f"{name}.json"
        points = _kept(path)
        if points is None and flags.only in (None, name):
            points = []
            for each in part():
                points.append(each)
                print(
                    name,
                    each.name,
                    each.steps,
                    f"{each.seconds:.3f} s",
                    np.round(each.values[:2], 2),
                    flush=True,
                )
            path.write_text(json.dumps([vars(each) for each in points]), "utf-8")
        found[name] = points or []
    if all(found.values()):
        own = model.manifest.defaults
        defaults = {
            part: f"{own[task].sampler} {own[task].steps}"
            for part, task in (("extract", Task.EXTRACT), ("generate", Task.GENERATE))
        }
        draw(found, defaults, flags.out / "quality-and-time.png")
        print(*tables(found), sep="\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
