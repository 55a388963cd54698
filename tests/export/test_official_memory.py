"""A song of three minutes through a model of the official kind: window after window, piece after piece."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="import needs the [export] extra")
pytest.importorskip("onnx", reason="import needs the [export] extra")

from stemwright.export.importing import Request, import_model  # noqa: E402
from tests.export.long_song import peak_bytes, song_bytes  # noqa: E402
from tests.export.official import DIT, SMALL, checkpoint, saved  # noqa: E402

STRIDES = (8, 16, 16)  # 2048 frames a latent one, so that a window of 100 is 12.8 s as the published model's
LONG = replace(
    SMALL, window=100, autoencoder=replace(SMALL.autoencoder, strides=STRIDES, multiples=(1, 2, 2))
)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="asks Linux what a process has held")
def test_three_minutes_take_no_more_memory_than_their_signals(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path))
    folder = import_model(Request(saved(checkpoint(LONG), tmp_path / "long.ckpt"), LONG))
    peaks = []
    for seconds in (12.8, 180):
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            peaks.append(pool.submit(peak_bytes, str(folder), DIT.condition_width, seconds).result())
    more = song_bytes(180) - song_bytes(12.8)
    # The song, its stem and the rest are three; what was heard and answered at 16 kHz makes it 3.43, measured
    assert peaks[1] - peaks[0] < 4 * more, [(peaks[1] - peaks[0]) / more, *peaks]
