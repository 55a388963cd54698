"""stemwright export pack: make a model folder of trained parts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="stemwright export", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    packing = kinds.add_parser("pack", help="trained parts to a model folder")
    packing.add_argument("folder", type=Path, help="the folder to make, e.g. models/mine")
    packing.add_argument("--run", type=Path, required=True, help="folder of a diffusion run, e.g. runs/first")
    packing.add_argument("--codec", type=Path, required=True, help="JSON with the codec's tables")
    packing.add_argument(
        "--with", dest="others", type=Path, action="append", default=[], help="folder to take over"
    )
    packing.add_argument(
        "--about", type=Path, required=True, help="JSON: name, licence, defaults, provenance"
    )
    arguments = parser.parse_args(argv)
    from stemwright.export.pack import Parts, pack

    made = pack(
        Parts(arguments.run, arguments.codec, tuple(arguments.others), arguments.about), arguments.folder
    )
    print(f"{arguments.folder}: {made.name}, {sum(file.size for file in made.files.values()) / 1e6:.1f} MB")
    return 0
