"""The prompts a training run draws from, with their embeddings looked up instead of computed.

bank.npz  embeddings (n, D) float16, unit length
          texts      JSON, n strings
          index      JSON, "label|program" → rows; the program is "-" for the whole class
          sets       JSON, "label+label" (order of LABELS) → rows describing that mixture
          unions     JSON, text → [labels, row]: words that cover several classes
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.train.classes import CLASSES
from stemwright.engine.train.prompt_words import (
    CLASS_WORDS,
    DESCRIPTIONS,
    KIND_WORDS,
    KIT_WORDS,
    PROGRAM_WORDS,
    SET_TEMPLATES,
    TEMPLATES,
    UNIONS,
)

LABELS = tuple(each.label for each in CLASSES)
LARGEST_SET = 6  # stems named in one description of a mixture

OTHER_FAMILIES = {
    47: "drums",
    **dict.fromkeys(range(96, 104), "synth pad"),
    **dict.fromkeys((104, 105, 106, 107), "guitar"),
    **dict.fromkeys((108, 112, 114), "chromatic percussion"),
    **dict.fromkeys((109, 111), "reed"),
    110: "strings",
    **dict.fromkeys((113, 115, 116, 117, 118, 119), "drums"),
}

Program = int | str | None
Item = tuple[str, Program]
Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def split_words(row: str) -> list[str]:
    return [word.strip() for word in row.split(";")]


def family(program: int) -> str | None:
    """Class of a General MIDI program (0-based): the composer's, else by its nature; None for mere noises."""
    played = {each: kind.label for kind in CLASSES if kind.label != "drums" for each in kind.programs}
    return played.get(program) or OTHER_FAMILIES.get(program)


def words_for(label: str, program: Program = None) -> list[str]:
    """Names of a class, of a program or kit of it, or of a kind of it ("female"); nothing if unknown."""
    if program is None:
        return split_words(CLASS_WORDS[label])
    if isinstance(program, str):
        row = KIND_WORDS.get((label, program), "")
    elif label == "drums" and program in KIT_WORDS:
        row = KIT_WORDS[program]
    else:
        row = PROGRAM_WORDS.get(program, "")
    return split_words(row) if row else []


def phrases(words: Iterable[str]) -> list[str]:
    """Every word in every template and in four descriptions, an article never doubled."""
    pairs = [(form, word) for place, word in enumerate(words) for form in (*TEMPLATES, *_descriptions(place))]
    return list(dict.fromkeys(form.format(word).replace("the the ", "the ") for form, word in pairs))


def _descriptions(place: int) -> tuple[str, ...]:
    """Four of DESCRIPTIONS, others for the next word; 29 is prime, so all get their turn."""
    return tuple(DESCRIPTIONS[(4 * place + step) % len(DESCRIPTIONS)] for step in range(4))


def prompts_for(label: str, program: Program = None) -> list[str]:
    """What a user might type for this class (and program, kit or kind)."""
    return phrases(words_for(label, program))


def canonical(label: str) -> str:
    """The paper's prompt for a class."""
    return f"the sound of the {label}"


def unions() -> dict[str, tuple[str, ...]]:
    """Word → the classes it covers, for words that name no single class."""
    return {word: labels for row, labels in UNIONS.items() for word in split_words(row)}


def items_known() -> list[Item]:
    """Every (label, program) the bank has prompts for."""
    known: list[Item] = [(label, None) for label in LABELS]
    known += [(label, program) for program in PROGRAM_WORDS if (label := family(program))]
    known += [("drums", program) for program in KIT_WORDS]
    known += list(KIND_WORDS)
    return list(dict.fromkeys(known))


def set_prompt(items: Sequence[Item], rng: np.random.Generator) -> str:
    """A description of the mixture of these stems, in random words and order; "silence" for none."""
    names = [str(rng.choice(_some_words(item, rng))) for item in items]
    rng.shuffle(names)
    if not names:
        return "silence"
    listed = names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]
    return str(rng.choice(SET_TEMPLATES)).format(listed)


def _some_words(item: Item, rng: np.random.Generator) -> list[str]:
    label, program = item
    if program is not None and rng.random() < 0.5:
        return words_for(label, program) or words_for(label)
    return words_for(label)[: 1 if rng.random() < 0.5 else None]


def item_key(label: str, program: Program = None) -> str:
    return f"{label}|{'-' if program is None else program}"


def set_key(labels: Iterable[str]) -> str:
    """Name of a mixture's classes; each once, in the order of LABELS, the first six."""
    present = set(labels)
    return "+".join([label for label in LABELS if label in present][:LARGEST_SET])


def set_prompts(each: int, seed: int) -> dict[str, list[str]]:
    """`each` descriptions of every mixture of up to six classes."""
    rng = np.random.default_rng(seed)
    sizes = range(1, LARGEST_SET + 1)
    mixtures = [chosen for size in sizes for chosen in combinations(LABELS, size)]
    return {set_key(chosen): [_set_text(chosen, rng) for _ in range(each)] for chosen in mixtures}


def _set_text(labels: Sequence[str], rng: np.random.Generator) -> str:
    programs: dict[str, list[Program]] = {label: [] for label in labels}
    for label, program in items_known():
        if label in programs:
            programs[label].append(program)
    chosen = [(label, programs[label][int(rng.integers(len(programs[label])))]) for label in labels]
    return set_prompt(chosen, rng)


@dataclass(frozen=True)
class Bank:
    """Prompts with their embeddings."""

    texts: list[str]
    embeddings: NDArray[np.float16]  # (n, D) unit length
    index: dict[str, list[int]]
    sets: dict[str, list[int]]
    unions: dict[str, tuple[tuple[str, ...], int]]

    def rows(self, label: str, program: Program = None) -> list[int]:
        """Rows of a stem's prompts; the class's where the program has none."""
        return self.index.get(item_key(label, program)) or self.index[item_key(label)]

    def draw(self, label: str, program: Program, rng: np.random.Generator) -> NDArray[np.float32]:
        """One prompt's embedding (D,): of the class and of the program equally often."""
        rows = self.rows(label, program if rng.random() < 0.5 else None)
        return self._one_of(rows, rng)

    def _one_of(self, rows: list[int], rng: np.random.Generator) -> NDArray[np.float32]:
        return np.asarray(self.embeddings[rows[int(rng.integers(len(rows)))]], np.float32)

    def draw_set(self, labels: Iterable[str], rng: np.random.Generator) -> NDArray[np.float32]:
        """The embedding (D,) of a description of a mixture of these classes."""
        rows = self.sets[set_key(labels)]
        return self._one_of(rows, rng)


def embed_bank(embed: Embed, *, each: int = 2, seed: int = 0) -> Bank:
    """Embed every prompt once. `embed` takes texts and gives (n, D) unit vectors."""
    prompts = {item_key(*item): prompts_for(*item) for item in items_known()}
    mixtures = set_prompts(each, seed)
    covered = unions()
    union_texts = [text for word in covered for text in phrases([word])]
    texts = list(dict.fromkeys(_flat(prompts) + _flat(mixtures) + union_texts))
    place = {text: row for row, text in enumerate(texts)}
    return Bank(
        texts=texts,
        embeddings=embed(texts).astype(np.float16),
        index={key: [place[text] for text in group] for key, group in prompts.items()},
        sets={key: [place[text] for text in group] for key, group in mixtures.items()},
        unions={text: (labels, place[text]) for word, labels in covered.items() for text in phrases([word])},
    )


def _flat(groups: dict[str, list[str]]) -> list[str]:
    return [text for group in groups.values() for text in group]


def write_bank(bank: Bank, path: Path) -> None:
    tables = {"texts": bank.texts, "index": bank.index, "sets": bank.sets, "unions": bank.unions}
    encoded = {name: np.array(json.dumps(table)) for name, table in tables.items()}
    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, embeddings=bank.embeddings, **encoded)  # type: ignore[arg-type]
    part.replace(path)


def read_bank(path: Path) -> Bank:
    with np.load(path, allow_pickle=False) as stored:
        table = {name: json.loads(str(stored[name])) for name in ("texts", "index", "sets", "unions")}
        embeddings = stored["embeddings"]
    covered = {text: (tuple(labels), row) for text, (labels, row) in table["unions"].items()}
    return Bank(table["texts"], embeddings, table["index"], table["sets"], covered)


def build_bank(path: Path) -> Bank:
    """Embed the bank with the full-precision tower, write it and return it."""
    from stemwright.engine.train.text_tower import embed_texts, full_tokenizer, full_tower

    tower, tokenizer = full_tower(), full_tokenizer()
    bank = embed_bank(lambda texts: embed_texts(tower, tokenizer, texts))
    write_bank(bank, path)
    return bank


def main() -> None:
    """`python -m stemwright.engine.train.prompt_bank FILE.npz` builds the bank there."""
    import sys

    build_bank(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
