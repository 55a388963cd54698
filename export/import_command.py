"""stemwright models import: a checkpoint of the official MGE-LDM, or of its kind, to a model folder.

CHECKPOINT is the authors' unwrapped_DiT.ckpt, the same in safetensors, or what their training writes. It is
looked through before anything is written, and never run; what does not fit is named. The model is then found
by its name like any other: stemwright extract song.wav bass --model mge-ldm
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from stemwright.engine.commands.show import Screen
from stemwright.engine.errors import BadInput
from stemwright.export.family import LARGEST_WINDOW, Family, family
from stemwright.export.importing import PRECISIONS, Request, import_model


def main(words: Sequence[str]) -> int:
    """→ the exit code; the model's folder is printed."""
    flags = parser().parse_args(words)
    screen = Screen(is_json=flags.json)
    request = requested(flags)
    name = request.name or request.family.name
    folder = import_model(request, lambda at: screen.progress(f"import {name}", at))
    screen.result({"name": name, "folder": str(folder)}, [str(folder)])
    if request.clap is None:
        screen.note(f"{name} has no CLAP, so it understands no prompts yet: import it again with --clap FILE")
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        prog="stemwright models import",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    made.add_argument("checkpoint", metavar="CHECKPOINT", type=Path, help="e.g. unwrapped_DiT.ckpt")
    made.add_argument(
        "--as",
        dest="family",
        default="mge-ldm",
        metavar="KIND",
        help="what it is: mge-ldm, or the path of a JSON file with the sizes of another of its kind "
        "(default: mge-ldm), e.g. --as stereo.json",
    )
    made.add_argument(
        "--autoencoder",
        type=Path,
        metavar="FILE",
        help="the autoencoder's own checkpoint (default: what CHECKPOINT has of it), "
        "e.g. --autoencoder unwrapped_AE.ckpt",
    )
    made.add_argument(
        "--clap",
        type=Path,
        metavar="FILE",
        help="CLAP's checkpoint, which understands prompts (default: none, and no prompts), "
        "e.g. --clap music_audioset_epoch_15_esc_90.14.pt",
    )
    made.add_argument(
        "--tokenizer",
        type=Path,
        metavar="FILE",
        help="CLAP's tokenizer, roberta-base's (default: none; --clap needs it), "
        "e.g. --tokenizer tokenizer.json",
    )
    made.add_argument(
        "--precision",
        choices=tuple(PRECISIONS),
        default="fp32",
        help="of the weights on disk and in memory; what is computed stays single. Half is half the size and "
        "slower, for it is widened at every step (default: fp32), e.g. --precision fp16",
    )
    made.add_argument(
        "--window",
        type=int,
        metavar="FRAMES",
        help="latent frames the model is given at once: 100 as published, 80 as in the paper (default: the "
        "kind's own), e.g. --window 80",
    )
    made.add_argument("--name", default="", help="of the model (default: the kind's), e.g. --name mge-half")
    made.add_argument(
        "--overwrite",
        action="store_true",
        help="replace a model of that name (default: it is kept), e.g. --overwrite",
    )
    made.add_argument(
        "--json", action="store_true", help="print one JSON object (default: the folder), e.g. --json"
    )
    return made


def requested(flags: argparse.Namespace) -> Request:
    return Request(
        checkpoint=flags.checkpoint,
        family=windowed(family(flags.family), flags.window),
        clap=flags.clap,
        tokenizer=flags.tokenizer,
        autoencoder=flags.autoencoder,
        precision=flags.precision,
        name=flags.name,
        is_overwriting=flags.overwrite,
    )


def windowed(found: Family, window: int | None) -> Family:
    """The family with the window that was asked for."""
    if window is None:
        return found
    if not 1 <= window <= LARGEST_WINDOW:
        raise BadInput(f"--window {window}: a window is 1 to {LARGEST_WINDOW} latent frames, e.g. 80")
    return replace(found, window=window)
