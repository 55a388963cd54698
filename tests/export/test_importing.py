"""Checkpoints become models that open and run; what is no sound checkpoint is refused by name, and nothing
is left of it."""

import errno
import json
import os
import pickle
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="import needs the [export] extra")
pytest.importorskip("onnx", reason="import needs the [export] extra")

from safetensors.torch import load_file, save_file  # noqa: E402

from stemwright.engine.audio import Audio  # noqa: E402
from stemwright.engine.cli import main  # noqa: E402
from stemwright.engine.engine import Engine  # noqa: E402
from stemwright.engine.errors import BadInput, BadOutput, ModelDamaged, ModelMissing  # noqa: E402
from stemwright.engine.job import Job, Progress, Prompt, Render  # noqa: E402
from stemwright.engine.manifest import read_manifest  # noqa: E402
from stemwright.engine.modelfiles import verify  # noqa: E402
from stemwright.engine.modelfolder import Model, open_model  # noqa: E402
from stemwright.engine.models.official import open_dit, open_oobleck, split_state  # noqa: E402
from stemwright.engine.tracks import Task  # noqa: E402
from stemwright.export import importing  # noqa: E402
from stemwright.export.family import family  # noqa: E402
from stemwright.export.importing import Request, import_model  # noqa: E402
from stemwright.export.store import Store  # noqa: E402
from tests.engine.fakes import FakeConditioner  # noqa: E402
from tests.export.official import DIT, SMALL, STEREO, State, checkpoint, saved, sizes_of  # noqa: E402

SECONDS = 20.0  # generous: to refuse a file takes a fraction of one


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's own folder of models, empty."""
    folder = tmp_path / "models"
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(folder))
    return folder


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return saved(checkpoint(), tmp_path / "unwrapped_DiT.ckpt")


def left(models: Path) -> list[str]:
    """What lies in the folder of models, hidden files too."""
    return sorted(path.name for path in models.iterdir()) if models.exists() else []


def imported(path: Path, **changes: Any) -> Model:
    import_model(replace(Request(path, SMALL), **changes))
    return open_model("small", threads=1)


def spoken(model: Model) -> Engine:
    """The model with a conditioner that knows two words."""
    conditioner = FakeConditioner(("bass", "hat"))
    conditioner.width = DIT.condition_width
    conditioner.text = lambda prompts: np.ones((len(prompts), DIT.condition_width), np.float32)  # type: ignore[method-assign]
    return Engine(replace(model, conditioner=conditioner))


def song(seconds: float, rate: int = 44100) -> Audio:
    noise = np.random.default_rng(3).standard_normal((2, round(seconds * rate)))
    return Audio((0.1 * noise).astype(np.float32), rate)


def conditions(batch: int = 2) -> dict[str, np.ndarray]:
    noise = np.random.default_rng(4)
    return {
        "latents": noise.standard_normal((batch, 3, 4, SMALL.window), np.float32),
        "levels": noise.random((batch, 3), np.float32),
        "conditions": noise.standard_normal((batch, 3, 8), np.float32),
    }


def by_torch(state: State) -> np.ndarray:
    inputs = [torch.from_numpy(array) for array in conditions().values()]
    with torch.no_grad():
        velocity: np.ndarray = open_dit(split_state(state)[0])(*inputs).numpy()
        return velocity


def deviation(found: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def test_the_command_line_makes_a_model_that_is_whole_and_says_what_it_was_made_of(
    models: Path, file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = tmp_path / "small.json"
    sizes.write_text(json.dumps(sizes_of(SMALL)))
    assert main(["models", "import", str(file), "--as", str(sizes), "--json"]) == 0
    told = capsys.readouterr()
    assert json.loads(told.out) == {"name": "small", "folder": str(models / "small")}
    assert "no CLAP" in told.err
    assert left(models) == ["small"]
    manifest = verify(models / "small")
    assert (manifest.window, manifest.rate, manifest.hop) == (12, 16000, 256)
    assert manifest.provenance["made_of"].keys() == {"unwrapped_DiT.ckpt"}
    assert len(manifest.provenance["made_of"]["unwrapped_DiT.ckpt"]) == 64
    assert manifest.licence and manifest.last == 0.02
    assert set(manifest.files) == {path.name for path in (models / "small").iterdir()} - {"manifest.json"}


def test_the_imported_denoiser_computes_what_torch_does(models: Path, file: Path) -> None:
    velocity = imported(file).denoiser(**conditions())
    assert deviation(velocity, by_torch(checkpoint())) < 1e-5  # measured 4e-7


@pytest.mark.parametrize(("precision", "limit"), [("fp16", 3e-3), ("bf16", 2e-2)])
def test_half_precision_halves_the_files_and_stays_near(
    models: Path, file: Path, precision: str, limit: float
) -> None:
    whole = sum(listed.size for listed in read_manifest(import_model(Request(file, SMALL))).files.values())
    model = imported(file, precision=precision, is_overwriting=True)
    stored = load_file(model.folder / "denoiser.safetensors")
    kinds = {tensor.dtype for tensor in stored.values() if tensor.ndim > 1 and tensor.numel() > 100}
    assert kinds == {getattr(torch, {"fp16": "float16", "bf16": "bfloat16"}[precision])}
    assert stored["timestep_features.weight"].dtype == torch.float32  # an angle
    assert sum(listed.size for listed in model.manifest.files.values()) < whole
    assert 0 < deviation(model.denoiser(**conditions()), by_torch(checkpoint())) < limit  # 4e-4 and 4e-3


def test_an_extraction_runs_in_both_renders_and_keeps_the_mixture(models: Path, file: Path) -> None:
    engine, heard = spoken(imported(file)), song(1.3)
    for render in Render:
        job = Job(Task.EXTRACT, (Prompt("bass"),), heard, steps=2, render=render)
        stems = engine.run(job).stems
        assert [stem.audio.samples.shape for stem in stems] == [heard.samples.shape] * 2
        assert all(np.isfinite(stem.audio.samples).all() for stem in stems)
        if render is Render.PRESERVE:
            total = stems[0].audio.samples + stems[1].audio.samples
            assert np.abs(total - heard.samples).max() < 1e-6  # measured 3e-8


def test_a_stereo_model_at_44100_hz_is_a_matter_of_its_sizes(models: Path, tmp_path: Path) -> None:
    path, sizes = saved(checkpoint(STEREO), tmp_path / "stereo.ckpt"), tmp_path / "stereo.json"
    sizes.write_text(json.dumps(sizes_of(STEREO)))
    assert main(["models", "import", str(path), "--as", str(sizes)]) == 0
    model = open_model("stereo", threads=1)
    assert (model.manifest.rate, model.manifest.hop, model.codec.channels) == (44100, 512, 4)
    for task in (Task.EXTRACT, Task.ADD, Task.ACCOMPANY):
        job = Job(task, (Prompt("bass"),), song(0.3), steps=2)
        assert np.isfinite(spoken(model).run(job).stems[0].audio.samples).all()
    oobleck = open_oobleck(split_state(checkpoint(STEREO))[1])
    latents = torch.randn(1, 4, 7, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = oobleck.decode(latents).numpy()
    found = model.codec.decode_channels(latents.numpy())  # type: ignore[attr-defined]
    assert expected.shape == (1, 2, 7 * 512)
    assert deviation(found, expected) < 1e-5  # measured 5e-7


def test_safetensors_and_the_autoencoders_own_file_do_as_well(models: Path, tmp_path: Path) -> None:
    state = checkpoint()
    latents = np.ones((1, 4, 3), np.float32)
    whole = imported(saved(state, tmp_path / "both.ckpt"))
    before = whole.denoiser(**conditions()), whole.codec.decode(latents)
    parts = {
        prefix: {key: tensor for key, tensor in state.items() if key.startswith(prefix)}
        for prefix in ("model_dit.", "pretransform.model.")
    }
    save_file(parts["model_dit."], tmp_path / "dit.safetensors")
    alone = {key.removeprefix("pretransform.model."): t for key, t in parts["pretransform.model."].items()}
    autoencoder = saved(alone, tmp_path / "unwrapped_AE.ckpt")
    other = imported(tmp_path / "dit.safetensors", autoencoder=autoencoder, is_overwriting=True)
    np.testing.assert_array_equal(other.denoiser(**conditions()), before[0])
    np.testing.assert_array_equal(other.codec.decode(latents), before[1])


def test_of_a_training_checkpoint_the_mean_of_the_weights_is_taken(models: Path, tmp_path: Path) -> None:
    last, mean = checkpoint(seed=1), checkpoint(seed=2)
    raw = {f"diffusion.{key}": tensor for key, tensor in last.items()}
    for key, tensor in mean.items():
        if key.startswith("model_dit."):
            raw[f"diffusion_ema.ema_model.{key.removeprefix('model_dit.')}"] = tensor
    raw |= {"diffusion_ema.initted": torch.ones(1), "diffusion_ema.step": torch.ones(1)}
    torch.save({"state_dict": raw, "epoch": 3, "global_step": 9, "loops": {}}, tmp_path / "last.ckpt")
    velocity = imported(tmp_path / "last.ckpt").denoiser(**conditions())
    assert deviation(velocity, by_torch(mean)) < 1e-5  # measured 6e-7
    assert deviation(velocity, by_torch(last)) > 0.1


class Evil:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_a_malicious_pickle_is_refused_by_name_and_does_not_run(models: Path, tmp_path: Path) -> None:
    path, trap = tmp_path / "evil.ckpt", tmp_path / "trap"
    torch.save({"state_dict": {**checkpoint(), "model_dit.more": Evil(trap)}}, path)
    (tmp_path / "bare.ckpt").write_bytes(pickle.dumps(Evil(trap)))
    begin = time.monotonic()
    with pytest.raises(ModelDamaged, match=r"evil\.ckpt: its pickle asks to run (posix|nt)\.mkdir"):
        import_model(Request(path, SMALL))
    with pytest.raises(ModelDamaged, match=r"bare\.ckpt: is a bare pickle"):
        import_model(Request(tmp_path / "bare.ckpt", SMALL))
    assert time.monotonic() - begin < SECONDS
    assert not trap.exists() and left(models) == []


def damaged(state: State, how: str) -> State:
    gate = "model_dit.transformer.layers.1.to_scale_shift_gate.2.weight"
    if how == "missing":
        del state[gate]
    elif how == "renamed":
        state[gate.replace("layers.1", "blocks.1")] = state.pop(gate)
    elif how == "misshapen":
        state[gate] = state[gate][:-1]
    elif how == "shallow":
        return {
            key: tensor for key, tensor in state.items() if ".layers.1." not in key or "model_dit" not in key
        }
    elif how == "not finite":
        state[gate][0] = float("nan")
    return state


@pytest.mark.parametrize(
    ("how", "told"),
    [
        ("missing", r"1 missing: transformer\.layers\.1\.to_scale_shift_gate\.2\.weight"),
        ("renamed", r"1 missing: .*layers\.1.*; 1 unexpected: transformer\.blocks\.1\.to_scale"),
        ("misshapen", r"1 of another shape: .* \[287, 16, 1\] where \[288, 16, 1\] is wanted"),
        ("shallow", r"denoiser.* 11 missing: "),
        ("not finite", r"to_scale_shift_gate\.2\.weight holds what are no finite numbers"),
    ],
)
def test_a_checkpoint_that_does_not_fit_is_refused_by_name_and_leaves_nothing(
    models: Path, tmp_path: Path, how: str, told: str
) -> None:
    path = saved(damaged(checkpoint(), how), tmp_path / "unwrapped_DiT.ckpt")
    with pytest.raises(ModelDamaged, match=told):
        import_model(Request(path, SMALL))
    assert left(models) == []


def test_of_many_differences_the_first_dozen_are_named_and_all_are_counted(
    models: Path, tmp_path: Path
) -> None:
    state = {key: tensor for key, tensor in checkpoint().items() if "model_dit.transformer" not in key}
    with pytest.raises(ModelDamaged, match=r"unwrapped\.ckpt: .* 25 missing: (\S+, ){11}\S+ and 13 more"):
        import_model(Request(saved(state, tmp_path / "unwrapped.ckpt"), SMALL))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
@pytest.mark.parametrize("form", ["ckpt", "safetensors"])
def test_a_file_that_is_cut_short_is_refused_by_name(
    models: Path, tmp_path: Path, form: str, share: float
) -> None:
    path = tmp_path / f"cut.{form}"
    save_file(checkpoint(), path) if form == "safetensors" else saved(checkpoint(), path)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(ModelDamaged, match=r"cut\.\w+: .*cut short"):
        import_model(Request(path, SMALL))
    assert left(models) == []


def test_files_of_something_else_are_refused_each_with_its_way_out(models: Path, tmp_path: Path) -> None:
    clap = {
        "module.text_branch.pooler.dense.bias": torch.zeros(2),
        "module.audio_branch.norm.bias": torch.zeros(2),
    }
    alone = {
        key.removeprefix("pretransform.model."): tensor
        for key, tensor in checkpoint().items()
        if key.startswith("pretransform")
    }
    (tmp_path / "song.ckpt").write_bytes(b"RIFF" + bytes(1000))
    save_file(clap, tmp_path / "clap.safetensors")
    denoiser = {key: tensor for key, tensor in checkpoint().items() if key.startswith("model_dit")}
    for path, told in (
        (saved(clap, tmp_path / "clap.pt"), r"clap\.pt: is a CLAP checkpoint.* --clap FILE"),
        (tmp_path / "clap.safetensors", r"clap\.safetensors: this is a CLAP checkpoint.* --clap FILE"),
        (saved(alone, tmp_path / "ae.ckpt"), r"ae\.ckpt: is the autoencoder alone.*--autoencoder"),
        (saved(denoiser, tmp_path / "dit.ckpt"), r"dit\.ckpt: has no autoencoder.*--autoencoder"),
        (tmp_path / "song.ckpt", r"song\.ckpt: is no checkpoint"),
    ):
        with pytest.raises(ModelDamaged, match=told):
            import_model(Request(path, SMALL))
    with pytest.raises(ModelMissing, match="no such file"):
        import_model(Request(tmp_path / "absent.ckpt", SMALL))
    assert left(models) == []


def test_a_model_that_is_there_is_kept_unless_it_may_be_replaced(models: Path, file: Path) -> None:
    folder = import_model(Request(file, SMALL))
    before = (folder / "manifest.json").read_bytes()
    with pytest.raises(BadOutput, match="there already and is kept"):
        import_model(Request(file, SMALL, precision="fp16"))
    assert (folder / "manifest.json").read_bytes() == before
    import_model(Request(file, SMALL, precision="fp16", is_overwriting=True))
    assert read_manifest(folder).provenance["precision"] == "fp16"
    assert left(models) == ["small"]


@pytest.mark.parametrize("stage", ["read", "convert", "graphs", "hash"])
def test_an_import_that_is_stopped_leaves_nothing_behind(models: Path, file: Path, stage: str) -> None:
    def stop(at: Progress) -> None:
        if at.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_model(Request(file, SMALL), stop)
    assert left(models) == []


def test_a_disk_that_is_too_small_is_refused_before_anything_is_written(
    models: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing.shutil, "disk_usage", lambda path: SimpleNamespace(free=10**7))
    with pytest.raises(BadOutput, match=r"takes 0\.07 GB and 0\.01 GB are free.*--precision fp16"):
        import_model(Request(file, SMALL))
    assert left(models) == []


def test_a_disk_that_gets_full_leaves_nothing_behind(
    models: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(store: Store, name: str, tensor: torch.Tensor) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Store, "add", full)
    with pytest.raises(BadOutput, match=r"No space left on device.*nothing is left of it\. Free some space"):
        import_model(Request(file, SMALL))
    assert left(models) == []


def test_a_denoiser_made_for_another_window_is_refused(models: Path, file: Path) -> None:
    folder = import_model(Request(file, replace(SMALL, window=10)))
    assert open_model(folder, threads=1).manifest.window == 10
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "window": 12}))
    with pytest.raises(ModelDamaged, match=r'"denoiser\.window" is 10 latent frames and the model\'s is 12'):
        open_model(folder, threads=1)


def test_a_model_without_clap_refuses_prompts_and_says_how_to_get_it(models: Path, file: Path) -> None:
    engine = Engine(imported(file))
    with pytest.raises(ModelMissing, match=r"without CLAP and understands no prompts.*--clap FILE"):
        engine.run(Job(Task.EXTRACT, (Prompt("bass"),), song(0.2)))


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"width": 3}, "unknown: width"),
        ({"window": 0}, "a window is 1 to"),
        ({"name": "../up"}, "a name is letters"),
        ({"tracks": ["mix"]}, "3 tracks, and 1 are named"),
        ({"autoencoder": {"strides": [3, 8, 8], "multiples": [1, 1, 1]}}, "strides are even numbers"),
        ({"autoencoder": {"strides": [2, 4]}}, "2 strides and 5 multiples"),
        ({"denoiser": {"latent_channels": 8}}, "have 8 channels, the autoencoder's 64"),
    ],
)
def test_sizes_that_contradict_each_other_are_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    path = tmp_path / "sizes.json"
    path.write_text(json.dumps(changes))
    with pytest.raises(BadInput, match=told):
        family(str(path))


def test_a_kind_that_is_not_known_names_the_known_ones() -> None:
    with pytest.raises(BadInput, match="neither a known model"):
        family("mge-xl")
