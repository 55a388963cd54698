"""Extraction measured beside its floors and its ceiling: cases in, a report out.

cases ─► floor and ceiling rows (kept in a cache by content) ─┐
      └► extract(mixture, rate, prompt) ─► scores ────────────┴─► Report ─► table, JSON, plot

Also the door of `stemwright evaluate`: `main` alone prints.
"""

import argparse
import ast
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np

from stemwright.engine.audio import Audio
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadInput, BadOutput
from stemwright.engine.train import baselines, metrics, scoring
from stemwright.engine.train.baselines import Mixture
from stemwright.engine.train.evaluation_report import (
    GROUPS,
    OURS,
    Absence,
    Report,
    Score,
)
from stemwright.engine.train.evaluation_sets import Case, demo_cases, recordings_cases, soundfont_cases
from stemwright.engine.train.scoring import answer, as_mono, by_definition, reference_estimates, score

Extract = Callable[[Array, int, str], Array]  # mixture (K, N), rate in Hz, prompt → stem (K, N)


def evaluate(
    cases: Iterable[Case],
    extract: Extract | None = None,
    *,
    cache: Path | None = None,
    on_case: Callable[[Case], None] = lambda case: None,
) -> Report:
    """Every case scored in every row.

    extract  what is measured; None gives the other rows alone
    cache    a folder that keeps the other rows by the content of their case, so that they are computed once
    on_case  called with each case that is done
    """
    scores: list[Score] = []
    absences: list[Absence] = []
    mixture: Mixture | None = None
    for case in cases:
        if mixture is None or mixture.waves is not case.mixture:
            mixture = Mixture(case.mixture, case.rate)
        stem = extract(case.mixture, case.rate, case.prompt) if extract else None
        assert stem is None or stem.shape == case.mixture.shape
        if case.target is not None:
            true = metrics.mel(as_mono(case.target, case.rate))
            scores += reference_scores(case, true, mixture, cache)
            scores += [score(case, OURS, stem, true)] if stem is not None else []
        elif stem is not None:
            absences.append(
                Absence(case.group, case.song, case.label, metrics.relative_level(stem, case.mixture))
            )
        on_case(case)
    return Report(tuple(scores), tuple(absences))


def reference_scores(case: Case, true: Array, mixture: Mixture, cache: Path | None) -> list[Score]:
    """The scores of every row but ours, from the cache where it has them."""
    path = cache / f"{content_hash(case)}.json" if cache else None
    if path and path.exists():
        return [
            Score(**{**kept, "song": case.song, "group": case.group})
            for kept in json.loads(path.read_text("utf-8"))
        ]
    estimates = reference_estimates(case, mixture)
    scores = [by_definition(score(case, row, estimate, true)) for row, estimate in estimates]
    if path:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        part.write_text(json.dumps([asdict(each) for each in scores]), "utf-8")
        part.replace(path)
    return scores


def content_hash(case: Case) -> str:
    """Names a case by its samples and by the code that scores it, so that a cache is never stale."""
    content = hashlib.sha256(code_hash())
    content.update(f"{case.label} {case.rate} {case.mixture.shape}".encode())
    content.update(np.ascontiguousarray(case.mixture).tobytes())
    content.update(np.ascontiguousarray(answer(case)).tobytes())
    return content.hexdigest()[:32]


@lru_cache(maxsize=1)
def code_hash() -> bytes:
    """Digest of the code that the cached scores depend on, whatever its comments and docstrings say."""
    digest = hashlib.sha256()
    for module in (metrics, baselines, scoring):
        tree = ast.parse(Path(str(module.__file__)).read_text("utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(node):
                del node.body[0]
        digest.update(ast.dump(tree).encode())
    return digest.digest()


def engine_extractor(
    model: str, *, threads: int = 1, steps: int | None = None, guidance: float | None = None
) -> Extract:
    """What a user gets from the engine: the stem of one prompt, in the mixture's rate and channels."""
    from stemwright.engine.engine import Engine
    from stemwright.engine.job import Job, Prompt
    from stemwright.engine.tracks import Task

    engine = Engine.load(model, threads=threads)

    def extract(mixture: Array, rate: int, prompt: str) -> Array:
        job = Job(Task.EXTRACT, (Prompt(prompt),), Audio(mixture, rate), steps=steps, guidance=guidance)
        return engine.run(job).stems[0].audio.samples

    return extract


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `stemwright evaluate`."""
    parser.add_argument(
        "--model",
        default="default",
        metavar="MODEL",
        help="name or folder of a model; 'none' gives the baseline rows alone (default: %(default)s)",
    )
    parser.add_argument(
        "--sets",
        nargs="+",
        choices=[*GROUPS],
        default=[*GROUPS],
        metavar="SET",
        help="soundfont, recordings, demo (default: all three)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("shared/data"),
        metavar="DIR",
        help="folder with multitrack/<song>/<class>__<stem>.flac and demo/boas/*.flac (default: shared/data)",
    )
    parser.add_argument(
        "--pool",
        type=Path,
        metavar="DIR",
        help="songs rendered through the held-out soundfont, e.g. pool_test (default: DATA/pool_test)",
    )
    parser.add_argument(
        "--limit", type=int, metavar="N", help="the first N songs of each set, e.g. 12 (default: all)"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        metavar="DIR",
        help="keep the baseline rows there between runs, e.g. build/evaluation (default: none)",
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="write every score and the summary, e.g. evaluation.json (default: none)",
    )
    parser.add_argument(
        "--plot", type=Path, metavar="FILE", help="write the picture, e.g. evaluation.png (default: none)"
    )
    parser.add_argument(
        "--steps", type=int, metavar="N", help="sampler steps, e.g. 1 (default: the model's own)"
    )
    parser.add_argument(
        "--guidance", type=float, metavar="G", help="text guidance, e.g. 1.5 (default: the model's own)"
    )
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="processor threads (default: 1)")


def main(argv: Sequence[str] | None = None) -> int:
    """Evaluate a model, print the tables; → the exit code."""
    from stemwright.engine.train.evaluation_tables import markdown, plot

    parser = argparse.ArgumentParser(
        "stemwright evaluate",
        description="Measure a model on music it never heard, beside floors and a ceiling.",
        allow_abbrev=False,
    )
    add_arguments(parser)
    flags = parser.parse_args(argv)
    check_outputs(flags.json, flags.plot)
    extract = (
        None
        if flags.model == "none"
        else engine_extractor(flags.model, threads=flags.threads, steps=flags.steps, guidance=flags.guidance)
    )
    report = evaluate(chosen_cases(flags), extract, cache=flags.cache, on_case=_ticker())
    sys.stdout.write(markdown(report))
    if flags.json:
        flags.json.write_text(report.as_json(), "utf-8")
    if flags.plot:
        plot(report, flags.plot)
    return 0


def check_outputs(*paths: Path | None) -> None:
    """Refuses now what could not be written after all the work."""
    for path in paths:
        if path and not (path.parent.is_dir() and os.access(path.parent, os.W_OK)):
            raise BadOutput(f"{path} cannot be written: no writable folder {path.parent}. Make it first")


def chosen_cases(flags: argparse.Namespace) -> Iterator[Case]:
    """The cases of the sets asked for."""
    if flags.limit is not None and flags.limit < 1:
        raise BadInput(f"--limit {flags.limit} leaves no songs: give 1 or more, or leave it out for all")
    if "soundfont" in flags.sets:
        yield from soundfont_cases(flags.pool or flags.data / "pool_test", flags.limit)
    if "recordings" in flags.sets:
        yield from recordings_cases(flags.data / "multitrack", flags.limit)
    if "demo" in flags.sets:
        yield from demo_cases(flags.data / "demo" / "boas")


def _ticker() -> Callable[[Case], None]:
    """Counts cases on a terminal."""
    done = 0

    def tick(case: Case) -> None:
        nonlocal done
        done += 1
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{done} {case.group} {case.song} {case.label}\033[K")

    return tick
