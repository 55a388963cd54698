import json
from pathlib import Path

import numpy as np

from stemwright.engine.train.codec import fit_codec, read_codec, write_codec
from stemwright.engine.train.pool import SongPool

SHIPPED = Path(__file__).parents[2] / "engine" / "train" / "codec.json"


def noise_pool(folder: Path) -> SongPool:
    """Two songs of two stems of noise that comes and goes."""
    rng = np.random.default_rng(0)
    swell = np.abs(np.sin(np.arange(81920) / 9000))
    stems = (rng.standard_normal((4, 81920)) * swell * 2000).astype(np.int16)
    np.save(folder / "a.npy", stems)
    rows = [["drums", 0, 100, "x"], ["bass", 33, 100, "x"]]
    (folder / "a.json").write_text(json.dumps([rows, rows]))
    return SongPool(folder)


def test_latents_of_fitted_tables_have_unit_variance_and_the_loudest_coefficient_first(
    tmp_path: Path,
) -> None:
    pool = noise_pool(tmp_path)
    codec = fit_codec(pool, songs=2)
    assert codec.kept[0] == 0  # the mean of a patch varies most
    waves = pool.songs[0].stems.astype(np.float32) / 32768
    mixture = waves.sum(axis=0, keepdims=True)
    latents = codec.encode(mixture * (0.1 / np.sqrt(np.mean(mixture**2))))
    assert 0.5 < latents.std() < 2  # measured 0.9: fitted to the stems too
    assert list(codec.scales) == sorted(codec.scales, reverse=True)


def test_tables_come_back_from_disk(tmp_path: Path) -> None:
    codec = fit_codec(noise_pool(tmp_path), songs=1)
    write_codec(codec, tmp_path / "codec.json")
    assert read_codec(tmp_path / "codec.json") == codec


def test_the_shipped_tables_are_the_default_models() -> None:
    manifest = SHIPPED.parents[1] / "weights" / "default" / "manifest.json"
    stored = json.loads(manifest.read_text("utf-8"))["codec"]
    shipped = json.loads(SHIPPED.read_text("utf-8"))
    assert {name: stored[name] for name in shipped} == shipped
