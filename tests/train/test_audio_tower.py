"""Training and export of the audio tower."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [train] extra")
pytest.importorskip("onnxscript", reason="training needs the [train] extra")

from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.engine.train import audio_tower  # noqa: E402
from stemwright.engine.train.audio_tower import Clip, Clips, Prompts, Texts  # noqa: E402
from stemwright.engine.train.audio_tower_evaluation import ranks, rendered_clips, summary  # noqa: E402
from stemwright.engine.train.codec import read_codec  # noqa: E402
from stemwright.engine.train.features import Tables  # noqa: E402
from stemwright.engine.train.pool import Recordings, SongPool  # noqa: E402
from stemwright.engine.train.prompt_bank import Bank, read_bank  # noqa: E402
from stemwright.engine.train.sitting import optimiser_of  # noqa: E402
from stemwright.export.graph import export_graph  # noqa: E402
from stemwright.export.networks import embedding  # noqa: E402
from tests.train.small_pool import write_codec, write_pool, write_small_bank  # noqa: E402

FRAMES = 40 * 2048


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    made = tmp_path_factory.mktemp("audio-tower")
    write_pool(made / "pool")
    write_codec(made / "codec.json")
    write_small_bank(made / "bank.npz")
    return made


@pytest.fixture(scope="module")
def bank(folder: Path) -> Bank:
    return read_bank(folder / "bank.npz")


def settings(folder: Path, run: Path, minutes: float = 0.02) -> audio_tower.AudioTowerSettings:
    return audio_tower.AudioTowerSettings(
        run=str(run),
        pool=str(folder / "pool"),
        recordings=str(folder),
        bank=str(folder / "bank.npz"),
        codec=str(folder / "codec.json"),
        width=16,
        depth=1,
        batch=2,
        minutes=minutes,
    )


def clips(folder: Path) -> Clips:
    return Clips(SongPool(folder / "pool"), Recordings({}))


def test_every_class_is_drawn_as_often_as_the_others(folder: Path) -> None:
    rng = np.random.default_rng(0)
    drawn = [clips(folder)._any(FRAMES, rng).label for _ in range(60)]
    assert all(drawn.count(label) >= 10 for label in ("bass", "guitar", "pipe"))


def test_a_clip_is_named_by_its_class_and_its_program_and_by_no_other_class(bank: Bank) -> None:
    drawn = [Clip(np.zeros(1, np.float32), "bass", 33), Clip(np.zeros(1, np.float32), "bass", 38)]
    texts = Prompts(bank).draw(drawn, np.random.default_rng(0))
    named = [[bank.rows("bass"), bank.rows("bass", 33)], [bank.rows("bass"), bank.rows("bass", 38)]]
    found = bank.embeddings.astype(np.float32) @ texts.embeddings.numpy().T
    for place, groups in enumerate(named):
        allowed = {row for group in groups for row in group}
        for column in np.flatnonzero(texts.is_positive[place].numpy()):
            assert int(found[:, column].argmax()) in allowed
    assert int(texts.is_positive.sum()) == 2 * (audio_tower.PER_CLASS + 1)
    assert not bool((texts.is_positive & texts.is_negative).any())
    assert int((~texts.is_positive & ~texts.is_negative).sum()) == 2  # each other's program


def test_the_losses_are_lowest_at_the_prompts_own_place() -> None:
    places = torch.eye(4)
    texts = Texts(places, torch.eye(4) > 0, torch.eye(4) == 0, places)
    right, wrong = audio_tower.losses(places, texts), audio_tower.losses(places.flip(0), texts)
    assert float(right["contrast"]) < 1e-4 and float(right["distance"]) < 1e-6
    assert float(wrong["contrast"]) > 10 and float(wrong["distance"]) == pytest.approx(1)


def test_steps_on_one_batch_lower_both_losses(folder: Path, bank: Bank) -> None:
    network = audio_tower.make_audio_tower(settings(folder, folder))
    rng = np.random.default_rng(0)
    drawn = [clips(folder).draw(FRAMES, rng) for _ in range(4)]
    tables, texts = Tables.of(read_codec(str(folder / "codec.json"))), Prompts(bank).draw(drawn, rng)
    latents = audio_tower.latents_of(torch.from_numpy(np.stack([clip.wave for clip in drawn])), tables)
    optimiser = optimiser_of(network, 3e-3)
    found = [audio_tower.step_once(network, optimiser, latents, texts) for _ in range(40)]
    assert found[-1]["contrast"] < 0.5 * found[0]["contrast"]
    assert found[-1]["distance"] < 0.8 * found[0]["distance"]


@pytest.mark.filterwarnings("ignore")  # the exporter of torch warns of its own deprecations
def test_a_run_goes_on_where_it_was_left_and_its_graph_answers_as_torch_does(
    folder: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    audio_tower.train(settings(folder, run))
    first = json.loads((run / "state.json").read_text())
    audio_tower.train(settings(folder, run, minutes=0.03))
    second = json.loads((run / "state.json").read_text())
    assert second["step"] > first["step"] > 0 and second["elapsed"] > first["elapsed"]

    ((exported, spec),) = embedding(run)
    graph, network = Graph(export_graph(exported, spec, tmp_path)), audio_tower.read_audio_tower(run)
    for batch, frames in ((1, 3), (2, 80)):
        latents = torch.randn(batch, 192, frames, generator=torch.Generator().manual_seed(0))
        (found,) = graph.run(latents=latents.numpy())
        np.testing.assert_allclose(
            found, network(latents).numpy(), atol=2e-3
        )  # half precision; measured 1e-4
        np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


def test_ranks_count_classes_that_are_nearer_than_the_right_one(folder: Path, bank: Bank) -> None:
    tower = audio_tower.make_audio_tower(settings(folder, folder)).eval()
    found = ranks(
        tower, Tables.of(read_codec(str(folder / "codec.json"))), bank, rendered_clips(folder / "pool")
    )
    assert {label: len(places) for label, places in found.items()} == {"bass": 2, "guitar": 1, "pipe": 1}
    assert summary({"bass": [0, 2], "pipe": [3, 0]})["all"] == (4, 0.5, 0.75)
