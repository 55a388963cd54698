"""laion-clap's checkpoint → graphs and tokenizer, and the prompts of a model that has them."""

import json
import pickle
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="export needs the [export] extra")
pytest.importorskip("onnxscript", reason="export needs the [export] extra")

from safetensors.torch import load_file, save_file  # noqa: E402
from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402
from torch import Tensor  # noqa: E402

from stemwright.engine.audio import Audio  # noqa: E402
from stemwright.engine.clap import ClapConditioner, Ear, open_clap  # noqa: E402
from stemwright.engine.engine import Engine  # noqa: E402
from stemwright.engine.errors import BadInput, ModelDamaged  # noqa: E402
from stemwright.engine.job import Job, Prompt  # noqa: E402
from stemwright.engine.manifest import Fields  # noqa: E402
from stemwright.engine.tracks import Task  # noqa: E402
from stemwright.export import clap as exporter  # noqa: E402
from stemwright.export.importing import Request, import_model  # noqa: E402
from stemwright.export.tokens import read_tokenizer  # noqa: E402
from tests.export.official import SMALL, saved  # noqa: E402
from tests.export.official import checkpoint as official  # noqa: E402

FIXTURE = Path(__file__).resolve().parents[1] / "fixtures" / "clap" / "tiny.safetensors"
EAR = Ear(fft=64, hop=16, frames=50)
WORDS = 300
Change = Callable[[dict[str, Tensor]], object]


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    return load_file(FIXTURE)


@pytest.fixture(scope="module")
def state(recorded: dict[str, Tensor]) -> dict[str, Tensor]:
    return {
        name.removeprefix("checkpoint."): tensor
        for name, tensor in recorded.items()
        if name.startswith("checkpoint.")
    }


def vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Marks as in RoBERTa, 256 bytes, a few merges, and words that never come, up to 299; then <mask>."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("d", "r"), ("u", "m"), ("dr", "um"), ("b", "a"), ("s", "s"), ("ba", "ss")]
    merged = ["".join(pair) for pair in merges]
    words = ["<s>", "<pad>", "</s>", "<unk>", *letters, *merged]
    words += [f"madeupword{place}" for place in range(WORDS - 1 - len(words))] + ["<mask>"]
    return {word: place for place, word in enumerate(words)}, merges


def small_tokenizer() -> Tokenizer:
    words, merges = vocabulary()
    tokenizer = Tokenizer(models.BPE(vocab=words, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    tokenizer.add_special_tokens(["<s>", "<pad>", "</s>", "<unk>", "<mask>"])
    return tokenizer


@pytest.fixture(scope="module")
def tokens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tokens") / "tokenizer.json"
    small_tokenizer().save(str(path))
    return path


def as_published(state: dict[str, Tensor]) -> dict[str, Any]:
    """What laion-clap's training saves: the tensors under "module.", NumPy numbers and an optimizer."""
    return {
        "epoch": np.int64(15),
        "name": "small",
        "best": np.float64(0.9014),
        "state_dict": {f"module.{name}": tensor for name, tensor in state.items()},
        "optimizer": {"state": {0: {"step": 3, "mean": torch.zeros(7)}}},
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor]) -> Path:
    path = tmp_path_factory.mktemp("checkpoint") / "small.pt"
    torch.save(as_published(state), path)
    return path


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path, tokens: Path) -> Path:
    folder = tmp_path_factory.mktemp("model")
    about = exporter.export_clap(checkpoint, tokens, folder, heads=4, ear=EAR)
    (folder / "conditioning.json").write_text(json.dumps(about))
    return folder


def conditioner(folder: Path) -> ClapConditioner:
    about = json.loads((folder / "conditioning.json").read_text())
    assert about["kind"] == "clap"
    return open_clap(Fields(about, folder), lambda name: folder / name)


def renamed_numpy(path: Path, target: Path) -> Path:
    """The same file with NumPy's numbers under the name they had before NumPy 2, as in the published file."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w") as made:
        for entry in source.namelist():
            content = source.read(entry)
            if entry.endswith("data.pkl"):
                assert b"numpy._core" in content
                content = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
            made.writestr(entry, content)
    return target


def test_a_published_checkpoint_is_read_with_its_numpy_numbers(
    checkpoint: Path, state: dict[str, Tensor], tmp_path: Path
) -> None:
    for path in (checkpoint, renamed_numpy(checkpoint, tmp_path / "old.pt")):
        found = exporter.read_clap(path)
        assert found.keys() == state.keys()
        assert all(torch.equal(found[name], state[name]) for name in state)


def test_a_checkpoint_in_safetensors_form_is_read(state: dict[str, Tensor], tmp_path: Path) -> None:
    save_file(state, tmp_path / "clap.safetensors")
    assert exporter.read_clap(tmp_path / "clap.safetensors").keys() == state.keys()


class Harm:
    def __reduce__(self) -> tuple[Any, ...]:
        return print, ("run",)


@pytest.mark.parametrize("harm", [Harm(), np.zeros(3), pickle.PicklingError("no")])
def test_a_pickle_that_asks_for_more_is_refused_by_name(
    harm: object, state: dict[str, Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.pt"
    torch.save({**as_published(state), "harm": harm}, path)
    with pytest.raises(ModelDamaged, match=r"print|_reconstruct|PicklingError"):
        exporter.read_clap(path)
    assert capsys.readouterr().out == ""


def test_numpys_numbers_are_refused_again_afterwards(checkpoint: Path) -> None:
    exporter.read_clap(checkpoint)
    with pytest.raises(ModelDamaged, match=r"numpy"):
        exporter.read_checkpoint(checkpoint)


CHANGES: dict[str, tuple[Change, str]] = {
    "missing": (lambda state: state.pop("audio_branch.norm.bias"), r"1 missing: audio_branch\.norm\.bias"),
    "unknown": (lambda state: state.update(surplus=torch.zeros(1)), r"1 unexpected: surplus"),
    "misshapen": (
        lambda state: state.update({"text_projection.0.bias": torch.zeros(5)}),
        r"text_projection\.0\.bias \[5\] where \[12\]",
    ),
    "other distances": (
        lambda state: state["audio_branch.layers.0.blocks.0.attn.relative_position_index"].add_(1),
        r"relative_position_index",
    ),
    "another window": (
        lambda state: state["audio_branch.spectrogram_extractor.stft.conv_real.weight"].mul_(1.01),
        r"conv_real",
    ),
    "other positions": (
        lambda state: state["text_branch.embeddings.position_ids"].add_(1),
        r"position_ids",
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_tensor_that_does_not_belong_is_named(change: str, state: dict[str, Tensor]) -> None:
    altered = {name: tensor.clone() for name, tensor in state.items()}
    alter, message = CHANGES[change]
    alter(altered)
    with pytest.raises(ModelDamaged, match=message):
        exporter.open_clap(altered, heads=4, ear=EAR)


def test_a_file_that_is_no_clap_or_one_with_fusion_is_refused(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    path = tmp_path / "file.safetensors"
    save_file({"model_dit.weight": torch.zeros(1)}, path)
    with pytest.raises(ModelDamaged, match="no CLAP checkpoint"):
        exporter.read_clap(path)
    fused = "audio_branch.patch_embed.fusion_model.local_att.0.weight"
    save_file({**state, fused: torch.zeros(1)}, path)
    with pytest.raises(ModelDamaged, match="with fusion"):
        exporter.read_clap(path)


def test_the_graphs_give_laion_claps_embeddings(exported: Path, recorded: dict[str, Tensor]) -> None:
    open_model = conditioner(exported)
    feeds = {"ids": recorded["ids"].numpy(), "mask": recorded["mask"].numpy()}
    words = open_model._text_session.run(None, feeds)[0]
    np.testing.assert_allclose(words, recorded["text"], atol=3e-6)  # measured 2.4e-7
    sounds = open_model._audio_session.run(None, {"power": recorded["power"].numpy()})[0]
    np.testing.assert_allclose(sounds, recorded["audio"], atol=3e-6)  # measured 2.4e-7


def test_a_sound_becomes_laion_claps_embedding_of_it(exported: Path, recorded: dict[str, Tensor]) -> None:
    found = conditioner(exported).audio(recorded["waves"].numpy())
    np.testing.assert_allclose(found, recorded["audio"], atol=3e-6)  # measured 1.3e-7


def test_the_spectra_are_torchlibrosas(recorded: dict[str, Tensor]) -> None:
    for wave, power in zip(recorded["waves"].numpy(), recorded["power"].numpy(), strict=True):
        np.testing.assert_allclose(EAR.spectra(wave), power, atol=1e-5 * power.max())  # measured 4.5e-7


def test_prompts_are_unit_vectors_and_a_blank_one_is_the_null(exported: Path) -> None:
    words = conditioner(exported)
    found = words.text(["drum", "", "bass and drum " * 100, "ドラム 🥁 \ud800"])
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), [1, 0, 1, 1], atol=1e-6)  # measured 1e-7
    np.testing.assert_allclose(words.text(["drum"])[0], found[0], atol=1e-5)  # measured 0
    assert abs(found[0] @ found[2]) < 0.9  # measured 0.46


def test_a_long_prompt_keeps_its_end_mark(exported: Path) -> None:
    line = conditioner(exported)._tokenizer.encode("bass " * 100)
    assert (len(line.ids), line.ids[0], line.ids[-1]) == (
        22,
        0,
        2,
    )  # laion-clap's 77, if there were as many positions


def test_an_imported_model_takes_words_sounds_and_what_to_steer_away_from(
    exported: Path, checkpoint: Path, tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_exported(source: Path, words: Path, folder: Path, *, half: bool) -> dict[str, Any]:
        assert (source, words, half) == (checkpoint, tokens, False)
        for file in exported.glob("clap_*"):
            shutil.copy(file, folder)
        about: dict[str, Any] = json.loads((exported / "conditioning.json").read_text())
        return about

    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr(exporter, "export_clap", as_exported)
    family = replace(SMALL, denoiser=replace(SMALL.denoiser, condition_width=12))
    file = saved(official(family), tmp_path / "unwrapped_DiT.ckpt")
    import_model(Request(file, family, clap=checkpoint, tokenizer=tokens))
    engine = Engine.load("small", threads=1)
    assert isinstance(engine.model.conditioner, ClapConditioner)

    def made(**prompt: Any) -> np.ndarray:
        job = Job(Task.GENERATE, (Prompt(**prompt),), seconds=0.2, rate=16000, steps=2, guidance=3.0)
        return engine.run(job).stems[0].audio.samples

    noise = Audio(0.1 * np.random.default_rng(0).standard_normal((2, 30000)).astype(np.float32), 44100)
    results = [
        made(text="drum"),
        made(text="bass"),
        made(text="drum", negative="bass"),
        made(text="", audio=noise),
        made(text="drum", audio=noise),
    ]
    assert all(np.isfinite(one).all() and one.any() for one in results)
    differences = [np.abs(one - results[0]).max() / np.abs(results[0]).max() for one in results[1:]]
    assert min(differences) > 1e-3, differences  # measured 4.6e-3


def test_half_precision_halves_the_files_and_hardly_turns_the_vectors(
    checkpoint: Path, tokens: Path, exported: Path, recorded: dict[str, Tensor], tmp_path: Path
) -> None:
    about = exporter.export_clap(checkpoint, tokens, tmp_path, half=True, heads=4, ear=EAR)
    (tmp_path / "conditioning.json").write_text(json.dumps(about))
    for name in ("clap_text.safetensors", "clap_audio.safetensors"):
        assert (tmp_path / name).stat().st_size < 0.62 * (exported / name).stat().st_size
    found = conditioner(tmp_path).audio(recorded["waves"].numpy())
    assert np.sum(found * recorded["audio"].numpy(), axis=1).min() > 0.9999  # measured 0.99999


def test_without_a_tokenizer_the_way_out_is_told(checkpoint: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="roberta-tokenizer"):
        exporter.export_clap(checkpoint, None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_clap_of_another_width_than_the_denoisers_is_refused_before_anything_is_written(
    checkpoint: Path, tokens: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path / "models"))
    file = saved(official(SMALL), tmp_path / "unwrapped_DiT.ckpt")
    with pytest.raises(ModelDamaged, match=f"{checkpoint.name}: makes 12 numbers .* the denoiser takes 8"):
        import_model(Request(file, SMALL, clap=checkpoint, tokenizer=tokens))
    with pytest.raises(BadInput, match="roberta-tokenizer"):
        import_model(Request(file, SMALL, clap=checkpoint))
    assert not (tmp_path / "models").exists()


def test_vocab_and_merges_make_the_same_tokenizer(tokens: Path, tmp_path: Path) -> None:
    words, merges = vocabulary()
    (tmp_path / "vocab.json").write_text(json.dumps(words), "utf-8")
    (tmp_path / "merges.txt").write_text(
        "#version: 0.2\n" + "".join(f"{one} {two}\n" for one, two in merges), "utf-8"
    )
    found = Tokenizer.from_str(read_tokenizer(tmp_path, WORDS))
    expected = Tokenizer.from_str(read_tokenizer(tokens, WORDS))
    for text in ("drum and bass", "  odd\nspaces", "naïve 🥁", "<mask>", ""):
        assert found.encode(text).ids == expected.encode(text).ids
    assert found.encode("drum").tokens == ["<s>", "drum", "</s>"]


def test_a_tokenizer_of_another_model_is_refused(tokens: Path, tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has 300 words, the checkpoint 50265"):
        read_tokenizer(tokens, 50265)
    bare = small_tokenizer()
    bare.post_processor = processors.ByteLevel()
    bare.save(str(tmp_path / "bare.json"))
    with pytest.raises(BadInput, match="around a text"):
        read_tokenizer(tmp_path / "bare.json", WORDS)
    other = Tokenizer(models.BPE(vocab={"a": 0, "b": 1}, merges=[]))
    other.save(str(tmp_path / "other.json"))
    with pytest.raises(BadInput, match="not RoBERTa's"):
        read_tokenizer(tmp_path / "other.json", 2)
    with pytest.raises(BadInput, match=r"no tokenizer\.json there"):
        read_tokenizer(tmp_path, WORDS)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(BadInput, match="cannot be read"):
        read_tokenizer(tmp_path, WORDS)
