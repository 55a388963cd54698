"""stemwright train songs | diffusion | vocoder | embedding | curves | pack: one step of the recipe each."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stemwright train", description=__doc__)
    steps = parser.add_subparsers(dest="step", required=True)
    add_diffusion(steps)
    add_curves(steps)
    arguments = parser.parse_args(argv)
    result: int = arguments.run_step(arguments)
    return result


def add_diffusion(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from stemwright.engine.train.diffusion import Settings

    parser = steps.add_parser("diffusion", help="train the denoiser; the same command goes on with a run")
    for field in fields(Settings):
        flag = "--" + field.name.replace("_", "-")
        if field.default is MISSING:
            parser.add_argument(flag, required=True)
        else:
            parser.add_argument(
                flag, type=type(field.default), default=field.default, help=f"default {field.default}"
            )
    parser.set_defaults(run_step=run_diffusion)


def run_diffusion(arguments: argparse.Namespace) -> int:
    from stemwright.engine.train.diffusion import Settings, train

    train(Settings(**{field.name: getattr(arguments, field.name) for field in fields(Settings)}))
    return 0


def add_curves(steps: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = steps.add_parser("curves", help="draw a run's losses as a picture")
    parser.add_argument("run", type=Path)
    parser.add_argument("--picture", type=Path, default=Path("curves.png"), help="default curves.png")
    parser.set_defaults(run_step=run_curves)


def run_curves(arguments: argparse.Namespace) -> int:
    from stemwright.engine.train.curves import draw

    draw(arguments.run, arguments.picture)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
