from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs the [export] extra")
onnx = pytest.importorskip("onnx", reason="export needs the [export] extra")
pytest.importorskip("onnxscript", reason="export needs the [export] extra")

from safetensors.numpy import load_file  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from stemwright.engine.cli import main  # noqa: E402
from stemwright.engine.errors import ModelDamaged, ModelMissing  # noqa: E402
from stemwright.engine.modelfolder import find  # noqa: E402
from stemwright.engine.models.bandconv import BandConv, BandConvConfig  # noqa: E402
from stemwright.engine.models.dit import Dit, DitConfig  # noqa: E402
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig  # noqa: E402
from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.export import (  # noqa: E402
    graph,
    networks,
    parity,
)
from stemwright.export.spec import denoiser_spec  # noqa: E402

SMALL = BandConvConfig(width=64, depth=2, hidden=64, conditioning=8)
SPEC = denoiser_spec(tracks=3, channels=192, frames=16, width=8)

pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter of torch warns of its own deprecations


def network() -> BandConv:
    torch.manual_seed(0)
    made = BandConv(SMALL)
    for parameter in made.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.05)
    return made


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("export")
    return graph.export_graph(network(), SPEC, folder, "weights.safetensors")


def test_the_graph_computes_what_torch_does_for_any_batch(exported: Path) -> None:
    module = network().eval()
    graph.halve(module)
    assert parity.check_parity(module, SPEC, exported) < 1e-4  # measured 1e-5


def test_no_weight_is_stored_twice(exported: Path) -> None:
    stored = onnx.load(exported, load_external_data=False)
    assert graph.largest_embedded(stored) < 1024
    halves = {tensor.name for tensor in stored.graph.initializer if tensor.name.endswith(".stored")}
    large = {
        f"{name}.stored"
        for name, tensor in load_file(exported.parent / "weights.safetensors").items()
        if tensor.size > 512
    }
    assert large <= halves


def test_weights_are_read_from_the_safetensors_file(exported: Path, tmp_path: Path) -> None:
    before = (exported.parent / "weights.safetensors").read_bytes()
    (tmp_path / exported.name).write_bytes(exported.read_bytes())
    (tmp_path / "weights.safetensors").write_bytes(before[:-4000] + bytes(4000))
    inputs = parity.as_arrays(SPEC, parity.sample(SPEC, {"B": 1}))
    (right,) = Graph(exported, 1).run(**inputs)
    (altered,) = Graph(tmp_path / exported.name, 1).run(**inputs)
    assert np.abs(right - altered).max() > 1e-3


def test_the_graph_tells_nothing_of_the_machine_it_was_made_on(exported: Path) -> None:
    assert b"/" + str(Path(graph.__file__).parent).encode()[1:] not in exported.read_bytes()


def test_a_graph_that_differs_from_torch_is_not_left_behind(tmp_path: Path) -> None:
    strict = replace(SPEC, tolerance=1e-12)
    with pytest.raises(ModelDamaged, match="differs from torch"):
        graph.export_graph(network(), strict, tmp_path, "weights.safetensors")
    assert list(tmp_path.iterdir()) == []


def shaken(module: torch.nn.Module, seed: int = 1) -> torch.nn.Module:
    """No weight is left at zero, so that no layer goes unheard."""
    torch.manual_seed(seed)
    for parameter in module.parameters():
        parameter.data.add_(torch.randn_like(parameter) * 0.02)
    return module.eval()


@pytest.mark.slow
def test_the_shipped_denoiser_exported_from_its_folder_passes_parity(tmp_path: Path) -> None:
    ((network, spec),) = networks.denoiser(find("default"))
    path = graph.export_graph(network, spec, tmp_path)
    assert parity.check_parity(network, spec, path) < 1e-4  # measured 6e-6


def test_a_denoiser_with_attention_passes_parity(tmp_path: Path) -> None:
    config = BandConvConfig(width=64, depth=5, attend_every=3)
    network, spec = shaken(BandConv(config)), networks.bandconv_spec(config, networks.WINDOW)
    path = graph.export_graph(network, spec, tmp_path)
    assert parity.check_parity(network, spec, path) < 1e-4  # measured 6e-6 on the shipped one


def test_the_official_architecture_with_fewer_layers_passes_parity(tmp_path: Path) -> None:
    config = DitConfig(depth=1)  # everything else is the published checkpoint's
    network, spec = shaken(Dit(config)), networks.dit_spec(config, networks.WINDOW)
    path = graph.export_graph(network, spec, tmp_path)
    assert spec.tolerance == 1e-4
    stored = load_file(tmp_path / "denoiser.safetensors")
    singles = {name for name, tensor in stored.items() if tensor.dtype == np.float32}
    assert singles == set(networks.ANGLES)  # angles lose what they mean in half precision
    assert (
        graph.largest_embedded(onnx.load(path, load_external_data=False)) < 16384
    )  # the turning of 81 places


def test_a_checkpoint_in_the_official_form_becomes_graphs_by_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = DitConfig(latent_channels=4, condition_width=6, width=24, depth=1, heads=4, level_features=8)
    state = {f"model_dit.{name}": tensor for name, tensor in shaken(Dit(sizes)).state_dict().items()}
    save_file(state, tmp_path / "official.safetensors")
    assert main(["export", "graph", "official", str(tmp_path / "official.safetensors"), str(tmp_path)]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "denoiser.onnx")
    graph_of_it = Graph(tmp_path / "denoiser.onnx")
    assert graph_of_it.inputs == ("latents", "levels", "conditions")


def test_a_run_that_is_none_is_missing_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "graph", "vocoder", str(tmp_path), str(tmp_path)]) == ModelMissing.exit_code
    assert "no training run there" in capsys.readouterr().err
    (tmp_path / "settings.json").write_text('{"width": 8, "depth": 2}')
    save_file({"strange": torch.zeros(1)}, tmp_path / "mean.safetensors")
    assert main(["export", "graph", "denoiser", str(tmp_path), str(tmp_path)]) == ModelDamaged.exit_code
    assert "not of the network that its settings.json describes" in capsys.readouterr().err


def test_a_graph_without_its_weights_is_damaged_and_named(exported: Path, tmp_path: Path) -> None:
    (tmp_path / "denoiser.onnx").write_bytes(exported.read_bytes())
    with pytest.raises(ModelDamaged, match=r"denoiser\.onnx: the file beside it .* is missing"):
        Graph(tmp_path / "denoiser.onnx")
    (tmp_path / "weights.safetensors").write_bytes(
        (exported.parent / "weights.safetensors").read_bytes()[:5000]
    )
    with pytest.raises(ModelDamaged, match=r"denoiser\.onnx: the file beside it .* cut short"):
        Graph(tmp_path / "denoiser.onnx")


def test_the_official_autoencoder_of_smaller_size_passes_parity_both_ways(tmp_path: Path) -> None:
    oobleck = shaken(Oobleck(OobleckConfig(channels=8, multiples=(1, 2), strides=(2, 4))))
    for network, spec in networks.both_ways(oobleck, window=4):
        graph.export_graph(network, spec, tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == ["decoder.onnx", "decoder.safetensors", "encoder.onnx", "encoder.safetensors"]
