"""Training, export and evaluation of the vocoder."""

import json
import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="training needs the [train] extra")
pytest.importorskip("onnxscript", reason="training needs the [train] extra")

from safetensors.torch import load_file  # noqa: E402

from stemwright.engine.models.vocoder import Spectrum  # noqa: E402
from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.engine.spectral import HOP  # noqa: E402
from stemwright.engine.train import vocoder  # noqa: E402
from stemwright.engine.train.codec import read_codec  # noqa: E402
from stemwright.engine.train.features import Tables, spectrum  # noqa: E402
from stemwright.engine.train.pool import Recordings, SongPool  # noqa: E402
from stemwright.engine.train.sitting import optimiser_of  # noqa: E402
from stemwright.engine.train.vocoder_evaluation import evaluate  # noqa: E402
from stemwright.export.graph import export_graph  # noqa: E402
from stemwright.export.networks import vocoder as vocoder_network  # noqa: E402
from tests.train.small_pool import write_codec, write_pool  # noqa: E402


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> vocoder.VocoderSettings:
    folder = tmp_path_factory.mktemp("vocoder")
    write_pool(folder / "pool")
    write_codec(folder / "codec.json")
    return vocoder.VocoderSettings(
        run=str(folder / "run"),
        pool=str(folder / "pool"),
        recordings=str(folder),
        codec=str(folder / "codec.json"),
        width=16,
        depth=1,
        batch=2,
        frames=4 * HOP,
        minutes=0.02,
    )


@pytest.fixture(scope="module")
def exported(settings: vocoder.VocoderSettings, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run's graph."""
    vocoder.train(settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter of torch warns of its own deprecations
        ((network, spec),) = vocoder_network(Path(settings.run))
        return export_graph(network, spec, tmp_path_factory.mktemp("model"))


def waves(count: int = 4) -> "torch.Tensor":
    time = torch.arange(4 * HOP) / 16000
    pitches = torch.tensor([110.0, 220.0, 330.0, 1000.0])[:count, None]
    return 0.2 * torch.sin(2 * torch.pi * pitches * time) * torch.exp(-3 * (time % 0.25))


def test_steps_on_one_batch_lower_the_losses(settings: vocoder.VocoderSettings) -> None:
    network, tables = vocoder.make_vocoder(settings), Tables.of(read_codec(settings.codec))
    optimiser, generator = optimiser_of(network, 3e-3), torch.Generator().manual_seed(0)
    found = [vocoder.step_once(network, optimiser, waves(), tables, generator) for _ in range(30)]
    early, late = found[0], found[-1]
    assert late["turns"] < 0.6 * early["turns"]
    assert late["time"] < early["time"]
    spectral = ("loudness", "turns", "time", "frequency")
    assert sum(late[name] for name in spectral) < 0.8 * sum(early[name] for name in spectral)


def test_the_true_spectrum_has_no_loss_whatever_phase_it_starts_with(
    settings: vocoder.VocoderSettings,
) -> None:
    goal = vocoder.goal_of(spectrum(waves(), Tables.of(read_codec(settings.codec))))
    turned = 0.7  # radians, the same everywhere
    found = Spectrum(
        logs=torch.log(goal.amplitudes + 0.03),
        turns=torch.nn.functional.pad(torch.atan2(goal.turn_sine, goal.turn_cosine), (0, 0, 1, 0))
        / (torch.pi / 2)
        - torch.arange(513) % 4,
        cosine=goal.cosine * np.cos(turned) - goal.sine * np.sin(turned),
        sine=goal.sine * np.cos(turned) + goal.cosine * np.sin(turned),
    )
    for name, loss in vocoder.phase_losses(found, goal, 0.03).items():
        assert float(loss) < 1e-3, name


def test_a_wave_is_no_distance_from_itself_and_far_from_silence() -> None:
    assert float(vocoder.one_resolution(waves(), waves(), 512)) == 0
    assert float(vocoder.one_resolution(0 * waves(), waves(), 512)) > 1


def test_crops_are_never_silent_and_near_the_level_of_the_model(settings: vocoder.VocoderSettings) -> None:
    crops = vocoder.Crops(SongPool(Path(settings.pool)), Recordings({}), 4 * HOP)
    levels = [10 * np.log10(np.mean(crops.draw(np.random.default_rng(seed)) ** 2)) for seed in range(20)]
    assert -26.1 < min(levels) < -21 and -19 < max(levels) < -13.9


def test_a_run_goes_on_where_it_was_left(settings: vocoder.VocoderSettings, exported: Path) -> None:
    run = Path(settings.run)
    first = json.loads((run / "state.json").read_text())
    assert first["elapsed"] >= 60 * settings.minutes and first["step"] > 0
    longer = vocoder.VocoderSettings(**{**json.loads((run / "settings.json").read_text()), "minutes": 0.03})
    vocoder.train(longer)
    second = json.loads((run / "state.json").read_text())
    assert second["step"] > first["step"] and second["elapsed"] > first["elapsed"]


def test_the_graph_makes_torchs_waves_for_any_batch_and_length(
    settings: vocoder.VocoderSettings, exported: Path
) -> None:
    graph = Graph(exported)
    assert exported.stat().st_size < 500_000  # the basis alone would be 4 MB
    network = vocoder.make_vocoder(settings)
    halves = load_file(exported.with_suffix(".safetensors"))
    network.load_state_dict({name: half.float() for name, half in halves.items()})
    for batch, frames in ((1, 8), (3, 40)):
        bands = torch.randn(batch, 96, frames, generator=torch.Generator().manual_seed(frames))
        made, amplitudes = graph.run(bands=bands.numpy())
        with torch.no_grad():
            wanted, wanted_amplitudes = network(bands)
        np.testing.assert_allclose(made, wanted.numpy(), atol=1e-4)  # measured 5e-7
        np.testing.assert_allclose(amplitudes, wanted_amplitudes.numpy(), atol=1e-3)  # measured 1e-5


def test_the_evaluation_compares_every_way_on_the_same_stems(
    settings: vocoder.VocoderSettings, exported: Path
) -> None:
    table = evaluate(exported, read_codec(settings.codec), Path(settings.pool), count=1)
    metrics = {"mel", "loud mel", "resolutions", "convergence"}
    assert len(table) == 6 and all(set(row) == metrics for row in table.values())
    best = table["true amplitudes, Griffin-Lim 32"]
    assert best["convergence"] == min(row["convergence"] for row in table.values())
