"""The official model through its graphs, against the numbers its authors' code produced."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="import needs the [export] extra")
onnx = pytest.importorskip("onnx", reason="import needs the [export] extra")

from safetensors.torch import load_file  # noqa: E402

from stemwright.engine import schedule  # noqa: E402
from stemwright.engine.contracts import Array, Denoiser  # noqa: E402
from stemwright.engine.guidance import guided, held  # noqa: E402
from stemwright.engine.modelfolder import Model, open_model  # noqa: E402
from stemwright.engine.models.official import below, dit_config, oobleck_config, split_state  # noqa: E402
from stemwright.engine.runtimes.modulated import Modulated  # noqa: E402
from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.engine.sampler import ddim  # noqa: E402
from stemwright.engine.waveform import WaveformCodec  # noqa: E402
from stemwright.export.family import Family  # noqa: E402
from stemwright.export.importing import Request, import_model  # noqa: E402
from tests.export.official import saved  # noqa: E402

Case = dict[str, Array]


@pytest.fixture(scope="module")
def tensors(shared: Path) -> dict[str, torch.Tensor]:
    path = shared / "fixtures" / "official" / "tiny.safetensors"
    if not path.is_file():
        pytest.skip("needs fixtures/official/tiny.safetensors of the shared fixtures")
    return load_file(path)


@pytest.fixture(scope="module")
def model(tensors: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory) -> Model:
    """The authors' small random model, imported as a user would."""
    state = below(tensors, "state_dict/")
    dit, autoencoder = split_state(state)
    sizes = Family("tiny", 100, denoiser=dit_config(dit), autoencoder=oobleck_config(autoencoder))
    folder = tmp_path_factory.mktemp("models")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STEMWRIGHT_MODELS", str(folder))
        return open_model(import_model(Request(saved(state, folder / "tiny.ckpt"), sizes)), threads=1)


@pytest.fixture(scope="module")
def case(tensors: dict[str, torch.Tensor]) -> Callable[[str], Case]:
    return lambda name: {key: one.numpy() for key, one in below(tensors, f"cases/{name}/").items()}


def per_tracks(flat: Array) -> Array:
    """(B, S × C, T) → (B, S, C, T)"""
    return flat.reshape(len(flat), 3, -1, flat.shape[-1])


def deviation(ours: Array, theirs: Array) -> float:
    """Largest difference, as a share of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def test_a_step_equals_the_official_one_with_and_without_guidance(
    model: Model, case: Callable[[str], Case]
) -> None:
    given = case("dit_T100")
    latents = per_tracks(given["x"])
    plain = model.denoiser(latents, given["t"], given["cond"])
    assert deviation(plain, per_tracks(given["out"])) < 1e-5  # measured 1.2e-6
    steered = guided(model.denoiser, given["cond"], 3)(latents, given["t"])
    assert deviation(steered, per_tracks(given["out_cfg3"])) < 2e-5  # measured 3.0e-6


def test_the_autoencoder_equals_the_official_one(model: Model, case: Callable[[str], Case]) -> None:
    given, codec = case("ae"), model.codec
    assert isinstance(codec, WaveformCodec)
    mean, spread = codec.posterior(given["wav"][:, 0])
    assert deviation(mean, given["z_mean"]) < 1e-5  # measured 1.3e-6
    expected = np.log1p(np.exp(given["z_stats"][:, 64:])) + 1e-4
    assert deviation(spread, expected) < 1e-5  # measured 2.9e-7
    assert deviation(codec.decode(given["z_mean"]), given["dec"][:, 0]) < 1e-5  # measured 6e-7


def test_the_autoencoders_graphs_compute_the_same(model: Model, case: Callable[[str], Case]) -> None:
    given = case("ae")
    encoder, decoder = (Graph(model.folder / f"{name}.onnx") for name in ("encoder", "decoder"))
    waves = given["wav"].reshape(len(given["wav"]), 1, -1, 2048)
    mean, _ = encoder.run(waves=waves)
    (decoded,) = decoder.run(latents=given["z_mean"])
    assert deviation(mean, given["z_mean"]) < 1e-5  # measured 1.3e-6
    assert deviation(decoded.reshape(given["dec"].shape), given["dec"]) < 1e-5  # measured 6e-7


def test_the_sampler_of_all_tracks_equals_the_official_one(model: Model, case: Callable[[str], Case]) -> None:
    given = case("total")
    noise = per_tracks(given["noise"])
    denoise = held(guided(model.denoiser, given["cond"], 2), np.zeros_like(noise), np.zeros(3, bool))
    assert deviation(ddim(denoise, noise, schedule.levels(10)), per_tracks(given["out"])) < 2e-5  # 1.3e-6


def test_the_sampler_with_a_given_mixture_equals_the_official_one(
    model: Model, case: Callable[[str], Case]
) -> None:
    given, is_given = case("given0"), np.array([True, False, False])
    noise = per_tracks(given["noise"])
    whole = np.zeros_like(noise)
    whole[:, 0] = given["given_z"]
    denoise = held(guided(model.denoiser, given["cond"], 2), whole, is_given)
    ours = ddim(denoise, noise[:, ~is_given], schedule.levels(10))
    assert deviation(ours, per_tracks(given["out"])[:, 1:]) < 5e-5  # measured 2.1e-6


def test_pieces_join_as_if_the_whole_were_coded_at_once(model: Model, case: Callable[[str], Case]) -> None:
    given, codec = case("ae"), model.codec
    assert isinstance(codec, WaveformCodec)
    in_pieces = WaveformCodec(
        codec.encoder,
        codec.decoder,
        codec.rate,
        codec.audio_channels,
        codec.channels,
        codec.strides,
        piece=17,
    )
    wave, latents = given["wav"][:, 0], given["z_mean"]
    assert deviation(in_pieces.encode(wave), codec.encode(wave)) < 1e-5  # measured 1.1e-6
    assert deviation(in_pieces.decode(latents), codec.decode(latents)) < 1e-5  # measured 4.4e-7


def test_an_edge_is_heard_as_far_as_the_pieces_reach(model: Model, case: Callable[[str], Case]) -> None:
    latents, codec = case("ae")["z_mean"], model.codec
    assert isinstance(codec, WaveformCodec)
    assert codec.reach == 10
    decoder = Graph(model.folder / "decoder.onnx")  # whose rounding is the same wherever a frame stands
    (whole,) = decoder.run(latents=latents)
    (cut,) = decoder.run(latents=np.ascontiguousarray(latents[..., 30:]))
    error = np.abs(cut[0, 0] - whole[0, 0, 30:]).max(axis=1) / np.abs(whole).max()
    assert error[10:].max() < 1e-7 < error[9]  # measured 0 and 2.5e-7; 4e-5 at 7, 5e-3 at 2


def test_prompts_change_the_modulation_once_not_every_step(model: Model) -> None:
    assert isinstance(model.denoiser, Modulated)
    calls = []

    class Counted:
        name, inputs, outputs = "modulation", ("conditions",), ("modulation",)

        def run(self, **arrays: Array) -> tuple[Array, ...]:
            calls.append(arrays)
            return (np.zeros((1, 2, 6, 192), np.float32),)

    def denoiser(latents: Array, levels: Array, modulation: Array) -> Array:
        assert modulation.shape == (1, 2, 6, 192)
        return latents

    denoise: Denoiser = Modulated(denoiser, Counted())
    conditions = np.ones((1, 3, 512), np.float32)
    for level in (1.0, 0.5, 0.2):
        denoise(np.ones((1, 3, 64, 100), np.float32), np.full((1, 3), level, np.float32), conditions.copy())
    assert len(calls) == 1
    denoise(np.ones((1, 3, 64, 100), np.float32), np.ones((1, 3), np.float32), conditions * 2)
    assert len(calls) == 2


def test_no_weight_is_inside_a_graph(model: Model) -> None:
    for path in sorted(model.folder.glob("*.onnx")):
        graph = onnx.load(path, load_external_data=False)
        inside = [tensor for tensor in graph.graph.initializer if not tensor.external_data]
        assert max(len(tensor.raw_data) for tensor in inside) < 4096
        assert path.stat().st_size < 200_000


def test_weights_in_half_precision_wait_for_their_layer_before_they_are_widened(
    tensors: dict[str, torch.Tensor], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else all of them are widened at the start and kept: at full size 7.4 GB beside a file of 2."""
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path))
    state = below(tensors, "state_dict/")
    dit, autoencoder = split_state(state)
    sizes = Family("tiny", 100, denoiser=dit_config(dit), autoencoder=oobleck_config(autoencoder))
    folder = import_model(Request(saved(state, tmp_path / "tiny.ckpt"), sizes, precision="fp16"))
    for path in sorted(folder.glob("*.onnx")):
        graph = onnx.load(path, load_external_data=False).graph
        makers = {output: node for node in graph.node for output in node.output}
        widened = [node.input[0] for node in graph.node if node.op_type == "Cast"]
        assert len(widened) >= 4
        assert all(name in makers and makers[name].op_type == "Reshape" for name in widened)
