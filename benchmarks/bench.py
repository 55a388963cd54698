"""Speed and memory as ratios, measured side by side on one core; run by `make bench`.

Every figure is a median over runs taken in turns. CPU seconds are what is compared (one thread: on a quiet
machine they are the wall seconds too); wall seconds stand beside them. Writes benchmarks/results.json.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import soundfile

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
REGION, SHORT, LONG = 10.24, 10.0, 600.0  # seconds


@dataclass(frozen=True)
class Row:
    """One line of the table. `holds` is None where there is no target or no figure."""

    what: str
    figure: str
    target: str = ""
    holds: bool | None = None


def main() -> int:
    flags = _flags()
    with tempfile.TemporaryDirectory() as folder:
        songs = {
            seconds: song(Path(folder) / f"song-{seconds}.wav", seconds) for seconds in (REGION, SHORT, LONG)
        }
        times = _child(flags.core, "extract", str(flags.runs), *map(str, songs.values()))
        found = {
            "machine": machine(),
            "extract": times,
            "denoiser": _child(flags.core, "denoiser"),
            "runtimes": _child(flags.core, "runtimes"),
            "parts": _child(flags.core, "parts", str(songs[REGION])),
            "demucs": None if flags.without_demucs else demucs(flags.core, flags.runs),
            "start": [whole_process(flags.core, songs[SHORT], Path(folder)) for _ in range(flags.runs)],
            "start_fast": [
                whole_process(flags.core, songs[SHORT], Path(folder), "fast") for _ in range(flags.runs)
            ],
            "long": whole_process(flags.core, songs[LONG], Path(folder)),
            "bridge": None if flags.without_bridge else bridge(),
            "official": official(Path(folder), flags.core, flags.runs) if flags.official else None,
        }
    rows = table(found)
    for row in rows:
        mark = {None: "", True: "yes", False: "NO"}[row.holds]
        print(f"{row.what:56} {row.figure:>52}  {row.target:>18}  {mark}")
    content = {**found, "rows": [asdict(row) for row in rows]}
    flags.results.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def _flags() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--core", type=int, default=0, help="the core to measure on (default: 0), e.g. --core 1"
    )
    parser.add_argument(
        "--runs", type=int, default=5, help="runs of each short figure (default: 5), e.g. --runs 9"
    )
    parser.add_argument(
        "--without-demucs", action="store_true", help="leave the comparison out (default: made)"
    )
    parser.add_argument(
        "--without-bridge", action="store_true", help="leave the server's figures out (default: made)"
    )
    parser.add_argument(
        "--official",
        action="store_true",
        help="also the official model's full size, with random weights: needs torch, 10 GB of disk and 9 GB "
        "of memory, and takes minutes (default: left out), e.g. make bench ARGS=--official",
    )
    parser.add_argument(
        "--results",
        type=Path,
        default=HERE / "results.json",
        help="where the figures go (default: benchmarks/results.json), e.g. --results /tmp/bench.json",
    )
    return parser.parse_args()


def machine() -> dict[str, str]:
    names = [line for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    processor = names[0].split(":")[1].strip() if names else platform.processor()
    return {"processor": processor, "python": platform.python_version(), "system": platform.system()}


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8").splitlines()
    except OSError:
        return []


def song(path: Path, seconds: float) -> Path:
    """The demo song, over and over: 44.1 kHz stereo, 16-bit WAV."""
    samples, rate = soundfile.read(ROOT / "engine/demo/boas.flac", dtype="int16", always_2d=True)
    frames = round(seconds * rate)
    soundfile.write(path, np.resize(samples, (frames, samples.shape[1])), rate, subtype="PCM_16")
    return path


def _child(core: int, *words: str) -> Any:
    command = [sys.executable, str(HERE / "child.py"), str(core), *words]
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, check=True, text=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def whole_process(core: int, path: Path, folder: Path, profile: str = "best") -> dict[str, float]:
    """The command line as a user types it: wall and CPU seconds from start to end, and peak memory in MB."""
    command = [sys.executable, "-m", "stemwright.engine.cli", "extract", str(path), "bass"]
    command += ["--output", str(folder / "out"), "--overwrite", "--threads", "1", "--profile", profile]
    start = time.perf_counter()
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **ONE_THREAD})
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(child.pid, {core})
    _, status, usage = os.wait4(child.pid, 0)
    wall = time.perf_counter() - start
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {child.returncode}")
    unit = 1e6 if sys.platform == "darwin" else 1e3  # bytes there, kilobytes elsewhere
    return {"wall": wall, "cpu": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / unit}


def demucs(core: int, runs: int) -> dict[str, Any] | None:
    """HTDemucs with random weights, in a venv of its own; None, and a line why, if it cannot run."""
    python = ROOT / ".venv-bench" / "bin" / "python"
    try:
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(python.parent.parent)], check=True)
        if subprocess.run(
            [str(python), "-c", "import demucs, numpy, torch"], capture_output=True, check=False
        ).returncode:
            install = [str(python), "-m", "pip", "install", "--quiet", "demucs", "numpy", "torch"]
            subprocess.run(install, check=True)
        command = [str(python), str(HERE / "demucs_run.py"), str(core), str(REGION), str(min(runs, 3))]
        done = subprocess.run(
            command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, check=True, text=True
        )
        result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return result
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        print(f"HTDemucs is left out: it cannot be installed or run here ({error})", file=sys.stderr)
        return None


def bridge() -> dict[str, Any]:
    """The server under load; see bridge.py."""
    command = [sys.executable, str(HERE / "bridge.py")]
    done = subprocess.run(
        command, env={**os.environ, **ONE_THREAD}, stdout=subprocess.PIPE, check=True, text=True
    )
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def official(folder: Path, core: int, runs: int) -> dict[str, Any]:
    """The official model's size; see official.py."""
    from official import measure

    return measure(folder, core, min(runs, 3))


def _official_rows(found: dict[str, Any] | None) -> list[Row]:
    if found is None:
        return []
    from official import table as rows

    return [Row(*row) for row in rows(found)]


def table(found: dict[str, Any]) -> list[Row]:
    extract = found["extract"]
    cpu = {kind: median(run[0] for run in runs) for kind, runs in extract.items()}
    wall = {kind: median(run[1] for run in runs) for kind, runs in extract.items()}
    rows = [
        _at_most(
            f"extract {REGION} s, of real time",
            cpu["region"] / REGION,
            0.1,
            f"wall {wall['region'] / REGION:.3f}",
        ),
        _at_most(
            "the same, fast profile",
            cpu["fast"] / REGION,
            0.05,
            f"{cpu['region'] / cpu['fast']:.2f} x as fast",
        ),
        Row("the same with four prompts, of real time", f"{cpu['four'] / REGION:.3f}"),
        _between("10 min song, of a 10 s song", cpu["long"] / cpu["short"], 58, 62),
        _at_most("10 min song, peak memory (MB)", found["long"]["peak_mb"], 1000),
        _at_most(
            "process start to stems on disk, 10 s (wall s)",
            median(run["wall"] for run in found["start"]),
            2.0,
            f"CPU {median(run['cpu'] for run in found['start']):.2f}",
        ),
    ]
    rows.append(_start_row("the same, fast profile", found["start_fast"]))
    rows += _denoiser_rows(found["denoiser"]) + _runtime_rows(found["runtimes"])
    rows += [*_part_rows(found["parts"]), *_demucs_rows(found["demucs"], cpu)]
    rows += _official_rows(found["official"])
    return rows if found["bridge"] is None else rows + _bridge_rows(found["bridge"])


def _bridge_rows(found: dict[str, Any]) -> list[Row]:
    from bridge import summary

    at = summary(found)
    rate, once = at["status_a_cpu_second"], at["crowd_ended_once"]
    return [
        _at_most(
            "submit to accepted while a job runs, p50 (ms)",
            at["accept_p50"],
            2.0,
            f"a flush of the disk {at['flush_p50']:.1f}",
        ),
        _at_most("the same, p99 (ms)", at["accept_p99"], 10.0, f"a flush {at['flush_p99']:.1f}"),
        _at_most("server's share on top of the engine, 10.24 s", at["overhead"], 0.05),
        Row("status answered a CPU second", f"{rate:.0f}", "at least 20000", rate >= 20_000),
        _at_most("jobs lost in that flood", at["lost"], 0),
        _at_most("progress events a second and client", at["progress_a_second"], 10),
        Row("100 clients x 100 jobs, with one end each", f"{once:.2%}", "100 %", once == 1),
        _at_most("server's memory over 9000 more jobs (MB)", at["memory_grew_mb"], 10),
    ]


def _denoiser_rows(denoiser: dict[str, Any]) -> list[Row]:
    best = max(denoiser["peak"], key=denoiser["peak"].__getitem__)
    top = denoiser["peak"][best]
    rows = [Row("fp32 matrix peak of the core", f"{top:.1f} GFLOP/s", best)]
    for name, one in denoiser["forward"].items():
        rows.append(
            Row(
                f"denoiser forward, {name}, of that peak",
                f"{one['gflops'] / top:.2f} ({one['gflops']:.0f} GFLOP/s, {one['milliseconds']:.1f} ms)",
                "at least 0.70",
                one["gflops"] / top >= 0.7,
            )
        )
    return rows


def _start_row(what: str, runs: list[dict[str, float]]) -> Row:
    wall, cpu, most = (median(run[key] for run in runs) for key in ("wall", "cpu", "peak_mb"))
    return Row(what, f"{wall:.2f} (CPU {cpu:.2f}; peak {most:.0f} MB)")


def _runtime_rows(found: dict[str, Any]) -> list[Row]:
    """Each runtime against torch eager, and against what the peak would take; the fast one against fp32."""
    forward, floor = found["forward"], found["gflop"] / found["peak"]  # seconds
    eager = forward.get("torch eager, fp32", {}).get("milliseconds")
    rows = []
    for name, one in forward.items():
        against = "" if eager is None else f", {eager / one['milliseconds']:.2f} x torch eager"
        share = f"{1000 * floor / one['milliseconds']:.2f} of the fp32 peak"
        rows.append(Row(f"{name}: forward", f"{one['milliseconds']:.1f} ms{against}, {share}"))
    best, fast = (
        forward[name]["milliseconds"] for name in ("ONNX Runtime, fp32", "ONNX Runtime, 8 bits (fast)")
    )
    share = 1000 * floor / fast
    figure = f"{share:.2f} ({best / fast:.2f} x fp32's own speed)"
    return [*rows, Row("8 bits: forward, of the fp32 peak", figure, "at least 1.40", share >= 1.4)]


def _part_rows(found: dict[str, dict[str, float]]) -> list[Row]:
    """Shares of the time, best profile and fast."""
    best, fast = found["best"], found["fast"]
    names = sorted((name for name in best if name != "whole"), key=lambda name: -best[name])
    return [
        Row(
            f"share of the time: {name}",
            f"{best[name] / best['whole']:.1%} (fast: {fast.get(name, 0) / fast['whole']:.1%})",
        )
        for name in names
    ]


def _demucs_rows(demucs: dict[str, Any] | None, cpu: dict[str, float]) -> list[Row]:
    what = f"HTDemucs on {REGION} s, of ours for one stem"
    if demucs is None:
        return [Row(what, "not measured", "at least 5")]
    ratio = median(demucs["cpu"]) / cpu["region"]
    return [
        Row(what, f"{ratio:.1f} x ({median(demucs['cpu']):.2f} CPU s)", "at least 5", ratio >= 5),
        Row(
            "HTDemucs (four stems at once), of ours for four", f"{median(demucs['cpu']) / cpu['four']:.1f} x"
        ),
    ]


def _at_most(what: str, value: float, limit: float, more: str = "") -> Row:
    figure = f"{value:.3g}" + (f" ({more})" if more else "")
    return Row(what, figure, f"at most {limit:g}", value <= limit)


def _between(what: str, value: float, least: float, most: float) -> Row:
    return Row(what, f"{value:.1f} x", f"{least:g} to {most:g}", least <= value <= most)


if __name__ == "__main__":
    sys.exit(main())
