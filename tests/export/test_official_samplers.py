"""Our one path of sampling beside the official code's, through torch and through ONNX graphs.

The numbers are the official code's (e180d9a) for a small random model at its own window of 100 latent frames:
10 steps of DDIM from 1 to 0.02, guidance 2 with no prompt on any track in its place.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the [export] extra")
pytest.importorskip("onnx", reason="needs the [export] extra")

from safetensors.numpy import load_file  # noqa: E402

from stemwright.engine import sampling  # noqa: E402
from stemwright.engine.asked import Asked  # noqa: E402
from stemwright.engine.contracts import Array, Denoiser  # noqa: E402
from stemwright.engine.job import Job, Null, Prompt  # noqa: E402
from stemwright.engine.modelfolder import Model  # noqa: E402
from stemwright.engine.models.dit import Dit  # noqa: E402
from stemwright.engine.models.official import open_dit, split_state  # noqa: E402
from stemwright.engine.runtimes.eager import EagerDenoiser  # noqa: E402
from stemwright.engine.runtimes.ort import Graph  # noqa: E402
from stemwright.engine.settings import settle  # noqa: E402
from stemwright.engine.tracks import Task  # noqa: E402
from stemwright.export.graph import traced  # noqa: E402
from stemwright.export.networks import dit_spec  # noqa: E402
from tests.engine.fakes import FakeCodec, FakeConditioner, manifest  # noqa: E402

WINDOW, CHANNELS = 100, 64
Tensors = dict[str, Array]


class OfficialCodec(FakeCodec):
    channels = CHANNELS


@pytest.fixture(scope="module")
def tiny(shared: Path) -> Tensors:
    path = shared / "fixtures" / "official" / "tiny.safetensors"
    if not path.is_file():
        pytest.skip("needs fixtures/official/tiny.safetensors of the shared fixtures")
    return load_file(path)


@pytest.fixture(scope="module")
def network(tiny: Tensors) -> Dit:
    start = "state_dict/"
    state = {
        key.removeprefix(start): torch.tensor(tensor) for key, tensor in tiny.items() if key.startswith(start)
    }
    return open_dit(split_state(state)[0])


@pytest.fixture(scope="module", params=["torch", "onnx"])
def denoiser(request: pytest.FixtureRequest, network: Dit) -> Denoiser:
    """The same network as torch runs it, and as a graph in single precision on ONNX Runtime."""
    if request.param == "torch":
        return EagerDenoiser(network)
    graph = Graph(traced(network, dit_spec(network.config, WINDOW)).SerializeToString())

    def denoise(latents: Array, levels: Array, conditions: Array) -> Array:
        arrays = {"latents": latents, "levels": levels, "conditions": conditions}
        return graph.run(**{name: np.ascontiguousarray(array, np.float32) for name, array in arrays.items()})[
            0
        ]

    return denoise


def tracks(flat: Array) -> Array:
    """The official code keeps the tracks on the channel axis: (B, S × C, T) → (B, S, C, T)."""
    return flat.reshape(len(flat), 3, CHANNELS, WINDOW)


def sampled(
    denoiser: Denoiser, case: Tensors, task: Task, monkeypatch: pytest.MonkeyPatch, **options: Any
) -> Array:
    """(W, C, T) by the engine's own path, from the noise of the official code"""
    about = manifest(window=WINDOW, schedule={"last": 0.02})
    model = Model(Path(), about, OfficialCodec(), FakeConditioner(("bass",)), denoiser)
    job = Job(task, (Prompt("bass"),), steps=10, grid="uniform", guidance=2.0)
    settings = settle(replace(job, **options), about)
    given = case.get("given_z")
    noise = tracks(case["noise"])
    wanted = noise[:, 1:] if given is not None else noise
    monkeypatch.setattr(sampling, "_draws", lambda *_: lambda: wanted)
    asked = Asked(("bass",), case["cond"], None, (False,))
    return sampling.sampled(model, settings, asked, given, [0])[0, 0]


def deviation(ours: Array, theirs: Array) -> float:
    """Largest difference, as a share of the largest value."""
    return float(np.abs(ours - theirs).max() / np.abs(theirs).max())


def case(tiny: Tensors, name: str) -> Tensors:
    start = f"cases/{name}/"
    return {key.removeprefix(start): tensor for key, tensor in tiny.items() if key.startswith(start)}


def test_extraction_equals_the_official_sampler_with_the_mixture_given(
    tiny: Tensors, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = case(tiny, "given0")
    theirs = tracks(numbers["out"])[0]
    np.testing.assert_array_equal(theirs[0], numbers["given_z"][0])
    ours = sampled(denoiser, numbers, Task.EXTRACT, monkeypatch)
    assert deviation(ours, theirs[1:]) < 2e-5  # measured: torch 4.9e-6, ONNX 7.3e-6; 1e-3 is asked


def test_generation_equals_the_official_sampler_of_all_tracks(
    tiny: Tensors, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = case(tiny, "total")
    ours = sampled(denoiser, numbers, Task.GENERATE, monkeypatch)
    assert deviation(ours, tracks(numbers["out"])[0]) < 1e-5  # measured: torch 1.2e-6, ONNX 1.5e-6


def test_with_one_prompt_own_nulls_equal_the_official_sampler_too(
    tiny: Tensors, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch
) -> None:
    numbers = case(tiny, "total")
    ours = sampled(denoiser, numbers, Task.GENERATE, monkeypatch, null=Null.OWN)
    assert deviation(ours, tracks(numbers["out"])[0]) < 1e-5  # measured: torch 1.2e-6, ONNX 1.5e-6


@pytest.mark.parametrize("options", [{"last": 0.0}, {"rescale": 0.5}, {"guidance": 1.0}])
def test_another_way_to_sample_gives_another_result(
    tiny: Tensors, denoiser: Denoiser, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """So that the tests above can fail."""
    numbers = case(tiny, "total")
    ours = sampled(denoiser, numbers, Task.GENERATE, monkeypatch, **options)
    assert deviation(ours, tracks(numbers["out"])[0]) > 3e-3  # measured: .09, .006, .03
