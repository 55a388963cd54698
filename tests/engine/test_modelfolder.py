"""Model folders: found, verified, opened; and every way in which one can be wrong."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemwright.engine.errors import ModelDamaged, ModelError, ModelMissing, ModelTooNew
from stemwright.engine.manifest import LARGEST, Defaults, read_manifest
from stemwright.engine.modelfiles import verify, write_manifest
from stemwright.engine.modelfolder import find, levelled, list_models, open_model
from stemwright.engine.tracks import Task
from tests.engine.tiny_graph import denoiser, vocoder

CONTENT: dict[str, Any] = {
    "name": "tiny",
    "family": "bandconv",
    "tracks": ["mix", "submix", "source"],
    "rate": 16000,
    "hop": 2048,
    "window": 80,
    "codec": {"kind": "spectral", "kept": [0, 1, 8], "scales": [1, 1, 1], "means": [0] * 96, "floor": 0.27},
    "conditioning": {
        "kind": "text",
        "width": 384,
        "scale": 2,
        "text": "words.onnx",
        "tokenizer": "words.json",
    },
    "denoiser": {"kind": "bandconv", "graph": "graphs/denoiser.onnx"},
    "vocoder": {"graph": "vocoder.onnx"},
    "defaults": {"add": {"steps": 25, "guidance": 2, "sampler": "unipc"}},
    "licence": "MIT",
}
FILES = ("graphs/denoiser.onnx", "vocoder.onnx", "words.onnx", "words.json")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A whole model in a user's folder of models."""
    monkeypatch.setenv("STEMWRIGHT_MODELS", str(tmp_path))
    made = tmp_path / "tiny"
    (made / "graphs").mkdir(parents=True)
    (made / "graphs" / "denoiser.onnx").write_bytes(denoiser())
    (made / "vocoder.onnx").write_bytes(vocoder())
    (made / "words.onnx").write_bytes(vocoder())
    (made / "words.json").write_text("{}")
    write_manifest(made, CONTENT, FILES)
    return made


def rewrite(folder: Path, **changes: Any) -> None:
    """Alter the manifest without its writer's checks."""
    path = folder / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_a_model_is_found_by_its_name_and_by_its_path(folder: Path) -> None:
    assert find("tiny") == folder == find(str(folder)) == list_models()["tiny"]


def test_a_missing_model_names_the_known_ones(folder: Path) -> None:
    with pytest.raises(ModelMissing, match=r'no model "huge"; known are: .*tiny'):
        find("huge")


def test_a_folder_without_a_manifest_is_no_model(folder: Path) -> None:
    (folder.parent / "empty").mkdir()
    assert "empty" not in list_models()
    with pytest.raises(ModelMissing):
        find(str(folder.parent / "empty"))
    with pytest.raises(ModelMissing, match=r"manifest\.json is missing"):
        read_manifest(folder.parent / "empty")


def test_a_manifest_reads_back_as_it_was_written(folder: Path) -> None:
    manifest = verify(folder)
    assert manifest.name == "tiny" and manifest.tracks.names == ("mix", "submix", "source")
    assert manifest.defaults[Task.ADD] == Defaults(25, 2.0, "unipc", 1.0, 8)
    assert manifest.defaults[Task.EXTRACT] == Defaults()
    assert set(manifest.files) == set(FILES)
    assert not list(folder.glob("*.part"))


def test_a_file_cut_short_is_damaged_and_named(folder: Path) -> None:
    path = folder / "graphs" / "denoiser.onnx"
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelDamaged, match=r"denoiser\.onnx: has \d+ bytes where \d+ belong.*again"):
        verify(folder)


def test_a_file_of_the_right_size_with_another_byte_is_damaged_and_named(folder: Path) -> None:
    path = folder / "vocoder.onnx"
    content = bytearray(path.read_bytes())
    content[7] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelDamaged, match=r"vocoder\.onnx: was altered"):
        open_model("tiny")


def test_a_missing_file_is_damaged_and_named(folder: Path) -> None:
    (folder / "vocoder.onnx").unlink()
    with pytest.raises(ModelDamaged, match=r"vocoder\.onnx: is missing"):
        verify(folder)


def test_a_newer_format_asks_for_an_upgrade(folder: Path) -> None:
    rewrite(folder, format=2, tracks="unheard of")
    with pytest.raises(ModelTooNew, match=r"has format 2; this Stemwright reads up to 1"):
        verify(folder)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a/../../b", "a//b", "", "..", "C:evil", "..\\evil", "a\0b"]
)
def test_a_file_name_that_leads_out_of_the_folder_is_refused(folder: Path, name: str) -> None:
    rewrite(folder, files={name: {"sha256": "0" * 64, "bytes": 1}})
    with pytest.raises(ModelDamaged, match="outside its folder"):
        verify(folder)


def test_weights_that_are_not_listed_are_refused(folder: Path) -> None:
    write_manifest(
        folder, {**CONTENT, "denoiser": {**CONTENT["denoiser"], "weights": "w.safetensors"}}, FILES
    )
    with pytest.raises(ModelDamaged, match=r"w\.safetensors', whose hash"):
        open_model(folder)


def test_a_link_out_of_the_folder_is_refused_even_when_its_hash_is_right(folder: Path) -> None:
    outside = folder.parent / "outside.onnx"
    (folder / "vocoder.onnx").rename(outside)
    (folder / "vocoder.onnx").symlink_to(outside)
    with pytest.raises(ModelDamaged, match="leads out of the model's folder"):
        verify(folder)


def test_a_link_inside_the_folder_and_a_linked_folder_are_fine(folder: Path) -> None:
    (folder / "vocoder.onnx").rename(folder / "other.onnx")
    (folder / "vocoder.onnx").symlink_to("other.onnx")
    (folder.parent / "alias").symlink_to(folder)
    assert verify(folder.parent / "alias").name == "tiny"


@pytest.mark.parametrize("name", FILES)
def test_a_part_whose_hash_is_not_listed_is_refused(folder: Path, name: str) -> None:
    write_manifest(folder, CONTENT, set(FILES) - {name})
    with pytest.raises(ModelDamaged, match=f"{re.escape(name)}', whose hash it does not list"):
        open_model(folder)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"rate": "16000"}, '"rate"'),
        ({"rate": True}, '"rate"'),
        ({"window": 0}, '"window"'),
        ({"hop": 1e9}, '"hop"'),
        ({"tracks": ["mix", "mix"]}, '"tracks"'),
        ({"tracks": None}, '"tracks" is missing'),
        ({"codec": []}, '"codec"'),
        ({"schedule": {"grid": "odd"}}, '"schedule.grid"'),
        ({"schedule": {"last": -0.01}}, '"schedule.last"'),
        ({"defaults": {"add": {"steps": 10**6}}}, '"defaults.add.steps"'),
        ({"defaults": {"add": {"overlap": 79}}}, '"defaults.add.overlap"'),
        ({"defaults": {"add": {"guidance": float("nan")}}}, '"defaults.add.guidance"'),
        ({"defaults": {"add": 3}}, '"defaults.add"'),
        ({"files": {"a": {"sha256": "x", "bytes": 1}}}, "sha256"),
        ({"files": {"a": 3}}, '"files.a"'),
        ({"conditioning": {"kind": "text"}}, '"conditioning.scale"'),
    ],
)
def test_a_field_of_the_wrong_kind_or_range_is_named(
    folder: Path, changes: dict[str, Any], named: str
) -> None:
    rewrite(folder, **changes)
    with pytest.raises(ModelDamaged, match=named):
        verify(folder)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"format": 1', "\xff", "[" * 100_000, "NaN"])
def test_a_manifest_that_is_not_one_is_damaged(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelDamaged, match=r"manifest\.json"):
        verify(folder)


def test_a_manifest_of_many_megabytes_is_not_even_parsed(folder: Path) -> None:
    (folder / "manifest.json").write_bytes(b" " * (LARGEST + 1))
    with pytest.raises(ModelDamaged, match="far smaller"):
        verify(folder)


@pytest.mark.parametrize(
    ("part", "content"),
    [("codec", {"kind": "quantum"}), ("conditioning", {"kind": "telepathy", "scale": 1})],
)
def test_a_part_of_an_unknown_kind_asks_for_an_upgrade(
    folder: Path, part: str, content: dict[str, Any]
) -> None:
    write_manifest(folder, {**CONTENT, part: content}, FILES)
    with pytest.raises(ModelTooNew, match=content["kind"]):
        open_model(folder)


@pytest.mark.parametrize(
    "changes",
    [{"kept": [64]}, {"kept": [0.5, 1, 2]}, {"scales": [1]}, {"means": [0]}, {"floor": 0}, {"kept": "all"}],
)
def test_codec_tables_that_do_not_fit_are_damaged(folder: Path, changes: dict[str, Any]) -> None:
    write_manifest(folder, {**CONTENT, "codec": {**CONTENT["codec"], **changes}}, FILES)
    with pytest.raises(ModelError, match=r"codec\."):
        open_model(folder)


def test_an_opened_model_runs(folder: Path) -> None:
    model = open_model("tiny", threads=1)
    assert model.codec.channels == 36 and model.tracks.names == ("mix", "submix", "source")
    latents = np.ones((1, 3, 36, 80), np.float32)
    velocity = model.denoiser(latents, np.ones((1, 3), np.float32), np.zeros((1, 3, 4), np.float32))
    np.testing.assert_array_equal(velocity, -latents)
    assert model.voice is not None and model.voice.codec is model.codec


def test_a_model_without_a_vocoder_takes_the_codecs_own_waves(folder: Path) -> None:
    write_manifest(folder, {**CONTENT, "vocoder": {}}, FILES)
    model = open_model("tiny", threads=1)
    latents = np.ones((1, 36, 2), np.float32)
    np.testing.assert_array_equal(model.waves(latents), model.codec.decode(latents))


def test_a_reference_sound_is_heard_at_the_models_level(folder: Path) -> None:
    codec = open_model("tiny", threads=1).codec
    loud = np.random.default_rng(0).standard_normal((1, 8192)).astype(np.float32)
    encode = levelled(codec, -20.0)
    np.testing.assert_allclose(encode(loud), encode(loud * 0.01), atol=1e-4)
    assert np.isfinite(encode(loud * 0)).all()
