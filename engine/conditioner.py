"""Prompts → the directions in which the denoiser is steered, on the CPU, without torch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob, BadPrompt, ModelDamaged

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

SCALE = 20**0.5  # length of a condition as the denoiser sees it: unit vector × SCALE
KNOWN = 256  # single prompts remembered: a job asks for its own more than once, a server for the same again
BATCH = 64  # prompts per pass; bounds the memory of a long list


class TextConditioner:
    """Unit vectors of words, and of sounds where the model has the graph for it. A `Conditioner`.

    text.onnx       ids, mask (B, L) int64 → (B, D)
    tokenizer.json  for the `tokenizers` library
    audio.onnx      optional: latents (B, C, T) float32 → (B, D)
    encode          waves (B, N) → the latents it takes

    Nothing is loaded before it is needed.
    """

    width = 384

    def __init__(
        self,
        text: Path,
        tokenizer: Path,
        audio: Path | None = None,
        encode: Callable[[Array], Array] | None = None,
        *,
        threads: int = 1,
    ) -> None:
        self._text_path = text
        self._tokenizer_path = tokenizer
        self._audio_path = audio
        self._encode = encode
        self._threads = threads
        self._known: OrderedDict[str, Array] = OrderedDict()  # the last prompts that were asked for alone

    def text(self, prompts: Sequence[str]) -> Array:
        """Prompts → (B, D), each row of length 1; a blank prompt is a row of zeros."""
        if len(prompts) != 1:
            return self._texts(prompts)
        (prompt,) = prompts
        if prompt not in self._known:
            self._known[prompt] = self._texts(prompts)
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)
        return self._known[prompt].copy()

    def _texts(self, prompts: Sequence[str]) -> Array:
        found = np.zeros((len(prompts), self.width), np.float32)
        named = [row for row, prompt in enumerate(prompts) if prompt.strip()]
        for start in range(0, len(named), BATCH):
            rows = named[start : start + BATCH]
            found[rows] = self._embed([prompts[row] for row in rows])
        return found

    def audio(self, waves: Array) -> Array:
        """(B, N) at the codec's rate → (B, D), each row of length 1."""
        if self._audio_path is None or self._encode is None:
            raise BadJob("this model understands text prompts only, not sounds; describe the sound in words.")
        return unit(self._audio_session.run(None, {"latents": self._encode(waves)})[0])

    def _embed(self, prompts: list[str]) -> Array:
        encoded = self._tokenizer.encode_batch([encodable(prompt) for prompt in prompts])
        for prompt, line in zip(prompts, encoded, strict=True):
            self._refuse_unknown(prompt, line.tokens)
        feeds = {
            "ids": np.array([line.ids for line in encoded], np.int64),
            "mask": np.array([line.attention_mask for line in encoded], np.int64),
        }
        return unit(self._text_session.run(None, feeds)[0])

    def _refuse_unknown(self, prompt: str, tokens: list[str]) -> None:
        if any(_says_something(token) for token in tokens):
            return
        raise BadPrompt(
            f"nothing in the prompt {_short(prompt)!r} is known to this model; it understands English words "
            'in Latin script, such as "drums" or "slap bass guitar".'
        )

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return open_tokenizer(self._tokenizer_path)

    @cached_property
    def _text_session(self) -> InferenceSession:
        return open_graph(self._text_path, self._threads)

    @cached_property
    def _audio_session(self) -> InferenceSession:
        assert self._audio_path is not None
        return open_graph(self._audio_path, self._threads)


def open_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json; ModelDamaged where it is none."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise damaged(path) from error


def open_graph(path: Path, threads: int) -> InferenceSession:
    """An ONNX Runtime session on this many CPU threads."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the runtime raises nothing narrower
        raise damaged(path) from error


def unit(vectors: Any) -> Array:
    """Rows (B, D) divided by their length; a row of zeros stays so."""
    rows = np.asarray(vectors, np.float32)
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12), np.float32)


def _says_something(token: str) -> bool:
    """Whether a token holds a letter or a digit and is no marker such as [UNK] or [SEP]."""
    is_marker = len(token) > 2 and token.startswith("[") and token.endswith("]")
    return not is_marker and any(letter.isalnum() for letter in token)


def encodable(prompt: str) -> str:
    """The prompt with lone surrogates, which the tokenizer cannot take, as question marks."""
    return prompt.encode("utf-8", "replace").decode("utf-8")


def _short(prompt: str, most: int = 40) -> str:
    return prompt if len(prompt) <= most else prompt[: most - 1] + "…"


def damaged(path: Path) -> ModelDamaged:
    state = "cannot be read" if path.is_file() else "is missing"
    return ModelDamaged(f"the model's file {path.name} {state} ({path}); reinstall the model.")
