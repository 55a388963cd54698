"""The prompt bank covers the classes, and finds again what it embedded."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from stemwright.engine.train.classes import CLASSES, PROGRAM_NAMES
from stemwright.engine.train.prompt_bank import (
    LABELS,
    Bank,
    canonical,
    embed_bank,
    family,
    items_known,
    prompts_for,
    read_bank,
    set_key,
    set_prompt,
    unions,
    words_for,
    write_bank,
)


def fake_embed(texts: Sequence[str]) -> np.ndarray:
    """A row per text that holds its place, so that a lookup can be checked."""
    rows = np.zeros((len(texts), 4), np.float32)
    rows[:, 0] = [len(text) for text in texts]
    return rows


@pytest.fixture(scope="module")
def bank() -> Bank:
    return embed_bank(fake_embed, each=1)


def test_every_class_and_program_of_the_composer_has_prompts() -> None:
    for kind in CLASSES:
        assert len(words_for(kind.label)) >= 8
        for program in kind.programs:
            assert len(prompts_for(kind.label, program)) >= 10, (kind.label, program)


def test_every_general_midi_program_is_named() -> None:
    for program, name in enumerate(PROGRAM_NAMES):
        label = family(program) or "guitar"
        assert words_for(label, program), name


def test_the_family_of_a_program_is_the_class_the_composer_plays_it_in() -> None:
    for kind in CLASSES[1:]:
        assert {family(program) for program in kind.programs} <= {kind.label}


def test_the_canonical_prompt_of_every_class_is_in_the_bank(bank: Bank) -> None:
    for label in LABELS:
        assert canonical(label) in {bank.texts[row] for row in bank.rows(label)}


def test_no_prompt_belongs_to_two_classes_except_through_a_union(bank: Bank) -> None:
    owner: dict[str, str] = {}
    for label, program in items_known():
        for text in prompts_for(label, program):
            assert owner.setdefault(text, label) == label, text


def test_a_union_word_is_no_name_of_a_class() -> None:
    names = {word for item in items_known() for word in words_for(*item)}
    assert not names & set(unions())
    assert unions()["keys"] == ("piano", "organ", "synth lead", "synth pad")
    assert unions()["voices"] == ("vocals", "choir")
    assert all(set(labels) <= set(LABELS) for labels in unions().values())


def test_choir_and_vocals_share_no_word() -> None:
    assert not set(words_for("choir")) & set(words_for("vocals"))


def test_rows_lead_back_to_the_prompts(bank: Bank) -> None:
    assert [bank.texts[row] for row in bank.rows("bass", 36)] == prompts_for("bass", 36)
    assert bank.rows("vocals", 77) == bank.rows("vocals")
    for text, (_, row) in bank.unions.items():
        assert bank.texts[row] == text
        assert bank.embeddings[row, 0] == len(text)


def test_a_drawn_prompt_is_one_of_the_stem(bank: Bank) -> None:
    rng = np.random.default_rng(0)
    lengths = {len(bank.texts[row]) for row in bank.rows("drums") + bank.rows("drums", 25)}
    assert all(bank.draw("drums", 25, rng)[0] in lengths for _ in range(50))


def test_a_mixture_is_described_by_all_its_stems() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        text = set_prompt([("drums", 25), ("bass", None)], rng)
        assert any(word in text for word in words_for("drums") + words_for("drums", 25))
        assert any(word in text for word in words_for("bass"))
    assert set_prompt([], rng) == "silence"


def test_every_mixture_of_up_to_six_classes_is_described(bank: Bank) -> None:
    assert len(bank.sets) == 6475  # sum of 14 over k, k = 1..6
    assert set_key(["vocals", "drums", "drums"]) == "drums+vocals"
    assert set_key(LABELS) in bank.sets
    assert bank.draw_set(["piano", "bass"], np.random.default_rng(0)).shape == (4,)


def test_a_bank_is_read_as_it_was_written(bank: Bank, tmp_path: Path) -> None:
    write_bank(bank, tmp_path / "bank.npz")
    again = read_bank(tmp_path / "bank.npz")
    assert (again.texts, again.index, again.sets, again.unions) == (
        bank.texts,
        bank.index,
        bank.sets,
        bank.unions,
    )
    np.testing.assert_array_equal(again.embeddings, bank.embeddings)
