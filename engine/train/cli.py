"""stemwright train STEP: the shipped model's recipe, step by step.

prompts    the prompt bank: what users may type, embedded
songs      compose and render songs into a pool, without end or so many
codec      fit the codec's tables to a pool; engine/train/codec.json has the shipped model's
diffusion  train the denoiser on the pool and the recordings
vocoder    train the vocoder
embedding  train the audio tower, for reference sounds as prompts
text       build the text tower's graph
curves     draw a diffusion run's losses

Stop any training with Ctrl-C and give the same command again to go on. `stemwright train STEP --help` has the
flags.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, fields
from importlib import import_module
from pathlib import Path
from typing import Any

from stemwright.engine.errors import BadInput

TRAINED = {
    "diffusion": ("diffusion", "Settings", "train"),
    "vocoder": ("vocoder", "VocoderSettings", "train"),
    "embedding": ("audio_tower", "AudioTowerSettings", "train"),
}


def main(argv: Sequence[str] | None = None) -> int:
    words = list(sys.argv[1:] if argv is None else argv)
    steps = {
        "prompts": prompts,
        "songs": songs,
        "codec": codec,
        "text": text,
        "graph": graph,
        "curves": curves,
    }
    parser = argparse.ArgumentParser(
        prog="stemwright train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("step", choices=[*steps, *TRAINED])
    step = parser.parse_args(words[:1]).step
    if step in TRAINED:
        return trained(step, words[1:])
    return steps[step](words[1:])


def trained(step: str, words: list[str]) -> int:
    """A step whose flags are the fields of its settings."""
    place, settings_name, function = TRAINED[step]
    module = import_module(f"stemwright.engine.train.{place}")
    settings: Any = getattr(module, settings_name)
    parser = argparse.ArgumentParser(prog=f"stemwright train {step}", description=settings.__doc__)
    for field in fields(settings):
        parser.add_argument("--" + field.name.replace("_", "-"), **flag_of(field))
    run: Callable[..., None] = getattr(module, function)
    chosen = settings(**vars(parser.parse_args(words)))
    if step != "diffusion" or not sys.stderr.isatty():
        run(chosen)
        return 0
    try:
        run(chosen, redraw)
    finally:
        redraw("")
    return 0


def redraw(line: str) -> None:
    """On the terminal, in place of the one before."""
    sys.stderr.write(f"\r{line}\033[K")
    sys.stderr.flush()


def flag_of(field: Field[Any]) -> dict[str, Any]:
    if field.default is MISSING:
        return {"required": True}
    if "bool" in str(field.type):
        return {
            "action": argparse.BooleanOptionalAction,
            "default": field.default,
            "help": "default: as fits",
        }
    return {"type": type(field.default), "default": field.default, "help": f"default: {field.default!r}"}


def prompts(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="stemwright train prompts")
    parser.add_argument("file", type=Path, help="the bank to write, e.g. runs/bank.npz")
    from stemwright.engine.train.prompt_bank import build_bank

    build_bank(parser.parse_args(words).file)
    return 0


def songs(words: list[str]) -> int:
    from stemwright.engine.train.render import main as render

    render(words)
    return 0


def codec(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="stemwright train codec")
    parser.add_argument("pool", type=Path, help="folder of rendered songs, e.g. runs/pool")
    parser.add_argument("file", type=Path, help="the tables to write, e.g. runs/codec.json")
    parser.add_argument("--songs", type=int, default=40, help="how many to fit to; default: 40")
    options = parser.parse_args(words)
    from stemwright.engine.train.codec import fit_codec, write_codec
    from stemwright.engine.train.pool import SongPool

    write_codec(fit_codec(SongPool(options.pool), options.songs), options.file)
    return 0


def text(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="stemwright train text")
    parser.add_argument("folder", type=Path, help="where text.onnx and tokenizer.json go, e.g. runs/text")
    from stemwright.engine.train.text_tower import build_text_tower

    build_text_tower(parser.parse_args(words).folder)
    return 0


def graph(words: list[str]) -> int:
    """It was here until exporting got a command of its own."""
    moved = " ".join(["stemwright export graph", *words])
    raise BadInput(f"`stemwright train graph` does nothing any more; the same is done by: {moved}")


def curves(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="stemwright train curves")
    parser.add_argument("run", type=Path, help="folder of a diffusion run, e.g. runs/first")
    parser.add_argument("--picture", type=Path, default=Path("curves.png"), help="default: curves.png")
    options = parser.parse_args(words)
    from stemwright.engine.train.curves import draw

    draw(options.run, options.picture)
    return 0


if __name__ == "__main__":  # errors and Ctrl-C end as they do in `stemwright train`
    from stemwright.engine.cli import main as whole

    raise SystemExit(whole(["train", *sys.argv[1:]]))
