"""stemwright export WHAT: trained networks as files.

graph   a network to an ONNX graph, held against torch as part of exporting
plan    a model folder's graph to a TensorRT plan for this machine's graphics cards
pack    trained parts to a model folder

`stemwright export WHAT --help` has the flags.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

KINDS = ("denoiser", "vocoder", "embedding", "official")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="stemwright export", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(dest="what", required=True, metavar="WHAT")
    graph_flags(kinds.add_parser("graph", help="a network to an ONNX graph"))
    pack_flags(kinds.add_parser("pack", help="trained parts to a model folder"))
    arguments = parser.parse_args(argv)
    return {"graph": graph, "pack": packed}[arguments.what](arguments)


def graph_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("kind", choices=KINDS, help="which network, e.g. denoiser")
    command.add_argument(
        "source",
        type=Path,
        help="the folder of its training run, or of a model (denoiser), or a checkpoint in safetensors form "
        "(official), e.g. runs/vocoder",
    )
    command.add_argument("folder", type=Path, help="where the graph and its weights go, e.g. runs/parts")


def graph(arguments: argparse.Namespace) -> int:
    from stemwright.export.graph import export_graph
    from stemwright.export.networks import KINDS as OPENERS

    for network, spec in OPENERS[arguments.kind](arguments.source):
        print(export_graph(network, spec, arguments.folder))
    return 0


def pack_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("folder", type=Path, help="the folder to make, e.g. models/mine")
    command.add_argument("--run", type=Path, required=True, help="folder of a diffusion run, e.g. runs/first")
    command.add_argument("--codec", type=Path, required=True, help="JSON with the codec's tables")
    command.add_argument(
        "--with", dest="others", type=Path, action="append", default=[], help="folder to take over"
    )
    command.add_argument(
        "--about", type=Path, required=True, help="JSON: name, licence, defaults, provenance"
    )


def packed(arguments: argparse.Namespace) -> int:
    from stemwright.export.pack import Parts, pack

    made = pack(
        Parts(arguments.run, arguments.codec, tuple(arguments.others), arguments.about), arguments.folder
    )
    print(f"{arguments.folder}: {made.name}, {sum(file.size for file in made.files.values()) / 1e6:.1f} MB")
    return 0
