"""The table of `make bench`, made of figures that are known."""

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("onnx", reason="needs the bench extra")
BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
FORWARD = {
    "ONNX Runtime, fp32": {"milliseconds": 40.0},
    "ONNX Runtime, 8 bits (fast)": {"milliseconds": 25.0},
    "torch eager, fp32": {"milliseconds": 80.0},
}


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import bench as script

    yield script
    sys.modules.pop("bench", None)


def test_runtimes_stand_beside_torch_and_the_peak_and_a_slow_fast_profile_is_no(bench: ModuleType) -> None:
    rows = bench._runtime_rows({"gflop": 3.0, "peak": 100.0, "forward": FORWARD})
    assert rows[0].figure == "40.0 ms, 2.00 x torch eager, 0.75 of the fp32 peak"
    assert (rows[-1].figure, rows[-1].holds) == ("1.20 (1.60 x fp32's own speed)", False)


def test_without_torch_the_runtimes_stand_beside_the_peak_alone(bench: ModuleType) -> None:
    forward = {name: one for name, one in FORWARD.items() if "torch" not in name}
    rows = bench._runtime_rows({"gflop": 3.0, "peak": 100.0, "forward": forward})
    assert rows[0].figure == "40.0 ms, 0.75 of the fp32 peak"


def test_shares_of_the_time_are_of_the_whole_and_the_greatest_comes_first(bench: ModuleType) -> None:
    best = {"text": 0.1, "network": 0.8, "rest": 0.1, "whole": 1.0}
    rows = bench._part_rows({"best": best, "fast": {"network": 0.3, "rest": 0.1, "whole": 0.5}})
    assert rows[0].what == "share of the time: network"
    assert rows[0].figure == "80.0% (fast: 60.0%)"
    assert {row.figure for row in rows} >= {"10.0% (fast: 0.0%)", "10.0% (fast: 20.0%)"}
