"""RoBERTa's tokenizer, read from what a user has of it and checked against a text tower.

It comes as `tokenizer.json`, or as `vocab.json` with `merges.txt`, or as the folder that holds them. A
vocabulary with the right size and marks can still be another model's: nothing in a checkpoint tells.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from stemwright.engine.errors import BadInput

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MARKS = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
GIVE = "Give roberta-base's tokenizer.json; `stemwright models fetch roberta-tokenizer` gets it."


def read_tokenizer(path: Path, words: int) -> str:
    """The tokenizer as JSON; BadInput where it is not one for a text tower of that many words."""
    tokenizer = opened(path)
    vocabulary = tokenizer.get_vocab()
    if wrong := [mark for mark, place in MARKS.items() if vocabulary.get(mark) != place]:
        raise BadInput(f"{path}: is not RoBERTa's tokenizer ({', '.join(wrong)} elsewhere or absent). {GIVE}")
    if len(vocabulary) != words or max(vocabulary.values()) >= words:
        raise BadInput(f"{path}: has {len(vocabulary)} words, the checkpoint {words}. {GIVE}")
    ids = tokenizer.encode("a").ids
    if (ids[0], ids[-1]) != (MARKS["<s>"], MARKS["</s>"]):
        raise BadInput(f"{path}: does not put <s> and </s> around a text. {GIVE}")
    return str(tokenizer.to_str())


def opened(path: Path) -> Tokenizer:
    from tokenizers import Tokenizer

    whole = path / "tokenizer.json" if path.is_dir() else path
    pair = whole.with_name("vocab.json"), whole.with_name("merges.txt")
    try:
        if whole.is_file() and whole.name not in (pair[0].name, pair[1].name):
            return Tokenizer.from_file(str(whole))
        if all(part.is_file() for part in pair):
            return of_two(*pair)
    except Exception as error:  # the library raises nothing narrower
        raise BadInput(f"{path}: cannot be read as a tokenizer ({error}). {GIVE}") from error
    raise BadInput(f"{path}: no tokenizer.json there, nor vocab.json with merges.txt. {GIVE}")


def of_two(vocabulary: Path, merges: Path) -> Tokenizer:
    """A byte-level BPE with RoBERTa's marks around a text."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

    tokenizer = Tokenizer(models.BPE.from_file(str(vocabulary), str(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    end, start = (("</s>", MARKS["</s>"]), ("<s>", MARKS["<s>"]))
    tokenizer.post_processor = processors.RobertaProcessing(end, start, add_prefix_space=False)
    tokenizer.add_special_tokens([*MARKS, AddedToken("<mask>", lstrip=True)])
    return tokenizer
