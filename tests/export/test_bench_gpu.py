"""The benchmark for a graphics card, without one: what it says, a trial on the processor, and its ways over
a fake card. torch's CUDA calls in it are not run by any test.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [export] extra")
pytest.importorskip("onnxscript", reason="needs the [export] extra")

from tests.engine.fake_card import FakeCard  # noqa: E402
from tests.engine.test_looped import network, opened  # noqa: E402

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter of torch warns of its own deprecations


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The script, as a module."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import gpu as script

    yield script
    for name in ("gpu", "gpu_ways"):
        sys.modules.pop(name, None)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_without_a_card_it_says_so_in_one_line_and_fails(
    gpu: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert gpu.main(["--results", str(tmp_path / "gpu.json")]) == 7
    told = capsys.readouterr()
    assert told.out == "" and told.err.count("\n") == 1
    assert "no NVIDIA card is here" in told.err and "nothing was measured" in told.err
    assert not (tmp_path / "gpu.json").exists()


@pytest.mark.slow
def test_a_trial_on_the_processor_has_a_row_for_every_way_and_right_results(
    gpu: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert gpu.main(["--device", "cpu", "--tiny", "--runs", "2", "--results", str(tmp_path / "a.json")]) == 0
    found = json.loads((tmp_path / "a.json").read_text())
    assert found["is_trial"] is True and found["machine"]["cards"] == []
    for ceilings in found["ceilings"].values():
        assert set(ceilings) == {"copy", "fp32", "fp16", "bf16"} and min(ceilings.values()) > 0
    rows = found["rows"]
    assert len(rows) == 2 * 2 * len(gpu.WAYS)  # two designs, two batches
    for row in rows:
        if row["milliseconds"] is None:
            assert "needs a card" in row["note"] or "pip install" in row["note"], row
        else:
            assert row["tflops"] > 0 and row["share"] > 0
            assert row["cosine"] is None or row["cosine"] > 0.999, row  # measured 0.9999 in bf16
    measured = {row["way"] for row in rows if row["milliseconds"] is not None}
    assert "torch eager, bf16" in measured and "ONNX Runtime processor, fp32" in measured
    assert capsys.readouterr().out.count("\n") == len(rows)


def test_plans_and_captured_samplings_are_timed_by_the_cards_clock(
    gpu: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import gpu_ways

    card = FakeCard()
    graph, _ = opened(card)
    times: list[int] = []

    def timed(work: Any) -> float:
        work()
        times.append(1)
        return 0.001 * len(times)

    monkeypatch.setattr(card, "timed", timed, raising=False)
    bench = gpu_ways.Bench("cuda", 5, True, (2,), tmp_path, plans={("a", "fp16"): (graph, card)})
    case = gpu_ways.Case("a", "dit", None, None, tmp_path, tmp_path)
    random = np.random.default_rng(0)
    arrays = {
        name: random.standard_normal(shape).astype(np.float32)
        for name, shape in {"latents": (2, 3, 4, 5), "levels": (2, 3), "conditions": (2, 3, 7)}.items()
    }
    seconds, spread, out = gpu_ways.plan_way(bench, case, arrays, "fp16")
    np.testing.assert_allclose(out, network(**arrays), atol=1e-6)
    assert len(times) == 2 + 5 and seconds == pytest.approx(0.005) and spread == pytest.approx(0.003)
    launches = card.launches
    gpu_ways.loop_way(bench, case, arrays, "fp16")
    assert card.launches == launches + 1 + 2 + 5  # one to compare, two that do not count, five
    assert gpu_ways.plan_steps(bench, case, arrays, "fp16")[0] > 0
