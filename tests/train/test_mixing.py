import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch", reason="training needs the [train] extra")

from stemwright.engine.train.mixing import Chances, Mixer, Stem, cut, divide, is_audible
from stemwright.engine.train.pool import PooledSong, Recordings, SongPool, read_recordings
from stemwright.engine.train.prompt_bank import LABELS, Bank, embed_bank, item_key

FRAMES = 16000
CALM = Chances(absent=0, union=0, guest=0, vocals=0, recording=0, speed=0, drop_stem=0)


@pytest.fixture(scope="module")
def bank() -> Bank:
    """Every text its own random direction."""
    rng = np.random.default_rng(0)

    def embed(texts: list[str]) -> np.ndarray:
        rows = rng.standard_normal((len(texts), 8)).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    return embed_bank(embed, each=1)


@pytest.fixture
def pool(tmp_path: Path) -> SongPool:
    """Two songs whose stems are sines of their own, so that a part can be told by its pitch."""
    write_shard(tmp_path, "a", [["drums", 0, 100, "x"], ["bass", 33, 100, "x"], ["bass", 34, 100, "x"]])
    return SongPool(tmp_path)


def sine(number: int, frames: int = 40000) -> np.ndarray:
    return np.sin(2 * np.pi * 100 * (number + 1) * np.arange(frames) / 16000).astype(np.float32) * 0.2


def write_shard(folder: Path, name: str, rows: list[list[object]]) -> None:
    stems = np.stack([sine(number) * 32767 for number in range(len(rows))]).astype(np.int16)
    np.save(folder / f"{name}.npy", stems)
    (folder / f"{name}.json").write_text(json.dumps([rows]))


def mixer(pool: SongPool, bank: Bank, chances: Chances) -> Mixer:
    return Mixer(pool, Recordings({"vocals": [np.full(9000, 4000, np.int16)]}), bank, FRAMES, chances)


def test_source_and_rest_sum_to_a_mixture_at_the_models_level(pool: SongPool, bank: Bank) -> None:
    levels = []
    for seed in range(40):
        example = mixer(pool, bank, CALM).draw(np.random.default_rng(seed))
        assert example.source.shape == example.rest.shape == (FRAMES,)
        levels.append(20 * np.log10(np.sqrt(np.mean((example.source + example.rest) ** 2))))
    assert np.mean(levels) == pytest.approx(
        -20, abs=1.2
    )  # spread 2 dB, 40 draws: three errors of the mean are 0.95


def test_stems_of_one_class_are_one_source(pool: SongPool) -> None:
    stems = [Stem("drums", 0, sine(0)), Stem("bass", 33, sine(1)), Stem("bass", 34, sine(2))]
    source, rest = divide(stems, {"bass"})
    np.testing.assert_allclose(source, sine(1) + sine(2), atol=1e-6)
    np.testing.assert_allclose(rest, sine(0), atol=1e-6)


def test_an_absent_instrument_has_silence_as_its_source_and_a_prompt_of_its_own(
    pool: SongPool, bank: Bank
) -> None:
    chances = Chances(absent=1, union=0, guest=0, vocals=0, recording=0, speed=0, drop_stem=0)
    for seed in range(10):
        example = mixer(pool, bank, chances).draw(np.random.default_rng(seed))
        assert not example.source.any()
        present = [row for label in ("drums", "bass") for row in bank.index[item_key(label)]]
        assert np.abs(bank.embeddings[present].astype(np.float32) - example.conditions[2]).sum(1).min() > 1e-3


def test_singing_joins_as_often_as_it_should(pool: SongPool, bank: Bank) -> None:
    chances = Chances(absent=0, union=0, guest=0, vocals=1, recording=0, speed=0, drop_stem=0)
    rows = [row for key, group in bank.index.items() if key.startswith("vocals|") for row in group]
    sung = bank.embeddings[rows].astype(np.float32)
    asked = 0
    for seed in range(60):
        example = mixer(pool, bank, chances).draw(np.random.default_rng(seed))
        asked += bool(np.abs(sung - example.conditions[2]).sum(1).min() < 1e-3)
    assert 8 < asked < 34  # a third of sixty, within three standard deviations (11)


def test_the_same_seed_draws_the_same_example(pool: SongPool, bank: Bank) -> None:
    first, again = (mixer(pool, bank, Chances()).draw(np.random.default_rng(5)) for _ in range(2))
    assert np.array_equal(first.source, again.source)
    assert np.array_equal(first.conditions, again.conditions)


def test_a_new_shard_joins_the_pool_when_it_is_refreshed(pool: SongPool) -> None:
    write_shard(pool.folder, "b", [["organ", 16, 90, "x"]])
    assert len(pool.songs) == 1
    pool.refresh()
    pool.refresh()
    assert [song.labels for song in pool.songs] == [("drums", "bass", "bass"), ("organ",)]


def test_stems_are_cut_at_the_same_place(pool: SongPool) -> None:
    ramp = np.arange(40000, dtype=np.int16)
    song = PooledSong(np.stack([ramp, ramp]), ("drums", "bass"), (0, 33))
    for seed in range(5):
        waves = [
            stem.wave / np.abs(stem.wave).max() for stem in cut(song, 1000, 0.0, np.random.default_rng(seed))
        ]
        np.testing.assert_allclose(waves[0], waves[1], atol=1e-6)


def test_a_source_far_below_its_mixture_is_not_audible() -> None:
    assert is_audible(sine(0) * 0.05, sine(1))
    assert not is_audible(sine(0) * 0.005, sine(1))


def test_the_held_out_songs_are_not_among_the_recordings(shared: Path) -> None:
    recordings = read_recordings(shared / "data")
    assert set(recordings.phrases) == {"vocals", "guitar", "drums", "strings"}
    assert set(LABELS) >= set(recordings.phrases)
    assert sum(len(phrase) for phrase in recordings.phrases["vocals"]) > 16000 * 60 * 20
