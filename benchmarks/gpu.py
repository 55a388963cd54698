"""Speed on a graphics card: every way beside torch eager and the card's own ceilings; `make bench-gpu`.

The trained default, and the official architecture at its published size with random weights. A figure is a
median over runs after warm-up, by the card's own clock (events), the arrays on the card already; whole
samplings step by step come and go, and are timed by the wall. The ceilings, a copy and matrix products, are
measured before and after, in the same run. Writes benchmarks/gpu.json.

`--device cpu --tiny` goes the same way on the processor with small networks: it tries the script, and its
figures say nothing.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gpu_ways import STEPS, WAYS, Bench, Case, measured, on, torch_out

HERE = Path(__file__).resolve().parent
NO_CARD = (
    "no NVIDIA card is here, or torch is without CUDA: nothing was measured. Run this on a machine that has "
    "both; to try the script alone: python benchmarks/gpu.py --device cpu --tiny"
)
NO_CARD_CODE = 7  # as the command line's


@dataclass(frozen=True)
class Row:
    """One figure. milliseconds is None where there is none; the note says why."""

    model: str
    batch: int
    way: str
    milliseconds: float | None = None
    spread: float = 0.0  # middle half of the runs, in ms
    tflops: float = 0.0
    share: float = 0.0  # of the floor: the slower of arithmetic and reading the weights, at the ceilings
    cosine: float | None = None  # with torch eager in single precision
    note: str = ""


def main(words: list[str] | None = None) -> int:
    flags = parser().parse_args(words)
    if flags.device != "cpu" and not has_card():
        print(NO_CARD, file=sys.stderr)
        return NO_CARD_CODE
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    with tempfile.TemporaryDirectory(prefix="stemwright-bench-") as place, torch.no_grad():
        sizes = (1, 2) if flags.tiny else (1, 2, 8, 16)
        bench = Bench(flags.device, flags.runs, flags.tiny, sizes, Path(place))
        before = ceilings(bench)
        bench.ceilings.update(before)
        rows = [row for case in cases(bench, flags.without_official) for row in figures(bench, case)]
        after = ceilings(bench)
    for row in rows:
        print(line(row))
    found = {
        "machine": machine(flags.device),
        "is_trial": flags.device == "cpu",
        "ceilings": {"before": before, "after": after},
        "rows": [asdict(row) for row in rows],
    }
    flags.results.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument(
        "--device", choices=("cuda", "cpu"), default="cuda", help="default: cuda, e.g. --device cpu"
    )
    made.add_argument("--runs", type=int, default=50, help="of every figure (default: 50), e.g. --runs 200")
    made.add_argument("--tiny", action="store_true", help="small networks, to try the script (default: not)")
    made.add_argument(
        "--without-official", action="store_true", help="the trained default alone (default: both)"
    )
    made.add_argument(
        "--results",
        type=Path,
        default=HERE / "gpu.json",
        help="default: benchmarks/gpu.json, e.g. --results a.json",
    )
    return made


def has_card() -> bool:
    import torch

    from stemwright.engine.runtimes import cuda

    return bool(cuda.cards()) and torch.cuda.is_available()


def machine(device: str) -> dict[str, Any]:
    import onnxruntime
    import torch

    from stemwright.engine.runtimes.survey import look

    found = look()
    return {
        "cards": [asdict(card) for card in found.cards] if device != "cpu" else [],
        "processor": found.processor,
        "runtimes": found.runtimes,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def ceilings(bench: Bench) -> dict[str, float]:
    """What the card can do at most: bytes a second in a copy, floating-point operations in products."""
    import torch

    numbers, sides = (1 << 16, (64, 128)) if bench.tiny else (1 << 28, (2048, 4096, 8192))
    source = torch.zeros(numbers, device=bench.device)
    into = torch.empty_like(source)
    found = {"copy": 2 * 4 * numbers / measured(bench, partial(into.copy_, source))[0]}
    del source, into
    for kind, name in ((torch.float32, "fp32"), (torch.float16, "fp16"), (torch.bfloat16, "bf16")):
        rates = []
        for side in sides:
            left, right = (torch.randn(side, side, device=bench.device).to(kind) for _ in range(2))
            rates.append(2 * side**3 / measured(bench, partial(torch.matmul, left, right))[0])
        found[name] = max(rates)
    return found


def cases(bench: Bench, without_official: bool) -> Iterator[Case]:
    """The default's own files; the official size with random weights, exported for this run."""
    from stemwright.engine import modelfiles, modelfolder
    from stemwright.engine.models.dit import Dit, DitConfig
    from stemwright.export import networks

    if bench.tiny:
        yield from tiny(bench)
        return
    folder = modelfolder.find("default")
    network = modelfolder.network_of(folder, modelfiles.verify(folder))
    assert network.graph is not None and network.weights is not None
    module, spec = networks.folders_denoiser(folder)
    yield Case("default, trained", "bandconv", module.eval(), spec, network.graph, network.weights)
    if without_official:
        return
    import torch

    torch.manual_seed(0)
    yield exported(bench, "official size, random", "dit", Dit(DitConfig()), networks.dit_spec)


def tiny(bench: Bench) -> Iterator[Case]:
    """Both designs, small and random."""
    from stemwright.engine.models.bandconv import BandConv, BandConvConfig
    from stemwright.engine.models.dit import Dit, DitConfig
    from stemwright.export import networks

    band = BandConvConfig(width=16, depth=1, attend_every=1, hidden=16, heads=2)
    yield exported(bench, "tiny, default's design", "bandconv", BandConv(band), networks.bandconv_spec)
    dit = DitConfig(latent_channels=4, condition_width=6, width=24, depth=1, heads=4, level_features=8)
    yield exported(bench, "tiny, official design", "dit", Dit(dit), networks.dit_spec)


def exported(bench: Bench, name: str, kind: str, network: Any, spec_of: Callable[..., Any]) -> Case:
    import torch

    from stemwright.export import networks
    from stemwright.export.graph import export_graph

    for parameter in network.parameters() if bench.tiny else ():
        parameter.add_(torch.randn_like(parameter) * 0.02)  # none is left at zero
    spec = spec_of(network.config, networks.WINDOW)
    graph = export_graph(network, spec, bench.folder / kind)
    return Case(name, kind, network.eval(), spec, graph, graph.with_name(f"{spec.name}.safetensors"))


def figures(bench: Bench, case: Case) -> Iterator[Row]:
    """Every way, for every batch. A way that fails costs its row, not the run."""
    case.network.to(bench.device)
    for batch in bench.batches:
        arrays = inputs(case, batch)
        flops, stored = work(case, arrays)
        reference = torch_out(bench, case, arrays)
        for name, precision, way in WAYS:
            try:
                seconds, spread, out = way(bench, case, arrays)
            except Exception as error:  # of any runtime; it is said in the row
                told = (str(error).splitlines() or [type(error).__name__])[0][:160]
                yield Row(case.name, batch, name, note=told)
                continue
            calls = STEPS if "steps" in name else 1
            floor = calls * max(
                flops / bench.ceilings[precision],
                stored * (4 if precision == "fp32" else 2) / bench.ceilings["copy"],
            )
            yield Row(
                case.name,
                batch,
                name,
                1000 * seconds,
                1000 * spread,
                calls * flops / seconds / 1e12,
                floor / seconds,
                None if out is None else near(out, reference),
            )
    case.network.to("cpu")


def inputs(case: Case, batch: int) -> dict[str, np.ndarray[Any, Any]]:
    from stemwright.export.parity import as_arrays, sample

    return as_arrays(case.spec, sample(case.spec, {"B": batch}))


def work(case: Case, arrays: dict[str, Any]) -> tuple[int, int]:
    """Floating-point operations of a forward's products, and how many weights there are."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    tensors = on(next(case.network.parameters()).device, arrays)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        case.network(*tensors)
    return counter.get_total_flops(), sum(parameter.numel() for parameter in case.network.parameters())


def near(found: Any, expected: Any) -> float:
    from stemwright.engine.runtimes.golden import cosine

    return cosine(np.asarray(found, np.float32), expected)


def line(row: Row) -> str:
    head = f"{row.model:22} batch {row.batch:2}  {row.way:42}"
    if row.milliseconds is None:
        return f"{head} none: {row.note}"
    times = f"{row.milliseconds:9.3f} ms ± {row.spread:.3f}  {row.tflops:8.2f} TFLOP/s"
    cosine = "" if row.cosine is None else f"  cosine {row.cosine:.6f}"
    return f"{head} {times}  {row.share:6.1%} of the floor{cosine}"


if __name__ == "__main__":
    sys.exit(main())
