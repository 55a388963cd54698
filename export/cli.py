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
    plan_flags(kinds.add_parser("plan", help="a model's graph to a TensorRT plan"))
    pack_flags(kinds.add_parser("pack", help="trained parts to a model folder"))
    arguments = parser.parse_args(argv)
    return {"graph": graph, "plan": plan, "pack": packed}[arguments.what](arguments)


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


def plan_flags(command: argparse.ArgumentParser) -> None:
    command.add_argument("model", nargs="?", default="default", help="a name or a folder (default: default)")
    command.add_argument(
        "--cards",
        default="this",
        metavar="LIST",
        help="this: the card that is here; rtx: GeForce 30, 40, 50 in one plan; turing: GeForce 16, 20; "
        "or compute capabilities (default: this), e.g. --cards SM86,SM89",
    )
    command.add_argument(
        "--precision",
        choices=("fp32", "fp16", "bf16"),
        default="fp16",
        help="of matrix products; norms and sums stay single (default: fp16), e.g. --precision fp32",
    )
    command.add_argument(
        "--builder",
        choices=("tensorrt_rtx", "tensorrt", "torch_tensorrt"),
        default="tensorrt_rtx",
        help="tensorrt_rtx for GeForce and RTX, tensorrt for any card, torch_tensorrt by way of torch "
        "(default: tensorrt_rtx), e.g. --builder tensorrt",
    )
    command.add_argument(
        "--largest-batch", type=int, default=16, metavar="N", help="default: 16, e.g. --largest-batch 32"
    )


def plan(arguments: argparse.Namespace) -> int:
    from stemwright.export.plan import PORTABLE, TURING, Target, build_plan

    named = {"this": (), "rtx": PORTABLE, "turing": (TURING,)}
    cards = named.get(arguments.cards, tuple(filter(None, arguments.cards.split(","))))
    batch = (1, min(2, arguments.largest_batch), arguments.largest_batch)
    path = build_plan(arguments.model, Target(cards, arguments.precision, batch), arguments.builder)
    print(f"{path}  {path.stat().st_size / 1e6:.1f} MB")
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
