"""CLAP at run time, without torch: words and sounds → unit vectors of one space. A `Conditioner`.

The embeddings are those the official MGE-LDM was trained with (laion-clap's HTSAT-base and roberta-base):
words are cut into at most 77 tokens; a sound is ten seconds in mono at 48 kHz, in full precision. A prompt
that is blank is a row of zeros, the model's null.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from stemwright.engine.conditioner import BATCH, encodable, open_graph, open_tokenizer, unit
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadJob
from stemwright.engine.manifest import Fields

if TYPE_CHECKING:
    from onnxruntime import InferenceSession
    from tokenizers import Tokenizer

LONGEST = 77  # tokens of a prompt in laion-clap, its two marks included; the rest is cut off
PAD, PAD_TOKEN = 1, "<pad>"  # roberta-base's


@dataclass(frozen=True)
class Ear:
    """How CLAP hears: power spectra of a periodic Hann window, centred, reflected at the clip's ends.

    rate    Hz
    fft     audio frames of a spectrum
    hop     audio frames from one to the next
    frames  M, spectra of a clip: ten seconds
    """

    rate: int = 48000
    fft: int = 1024
    hop: int = 480
    frames: int = 1001

    @property
    def length(self) -> int:
        """Audio frames of a clip."""
        return (self.frames - 1) * self.hop

    def spectra(self, wave: Array) -> Array:
        """(N,) of any length at `rate` → (M, F) squared magnitudes"""
        padded = np.pad(clip(wave, self.length, self.rate), self.fft // 2, mode="reflect")
        turns = np.arange(self.fft) / self.fft
        window = (0.5 - 0.5 * np.cos(2 * np.pi * turns)).astype(np.float32)
        spectra = np.fft.rfft(sliding_window_view(padded, self.fft)[:: self.hop] * window)
        return (spectra.real**2 + spectra.imag**2).astype(np.float32)


def clip(wave: Array, length: int, step: int) -> Array:
    """(N,) → (length,): of a long sound the loudest stretch, a short one repeated as often as it fits.

    step  where a stretch may begin: at multiples of this; the first of equally loud ones is taken

    laion-clap takes a stretch at random; training never met a longer sound, and the same prompt is to give
    the same stem. What repeating leaves over is silence, as there.
    """
    if len(wave) > length:
        energy = np.concatenate([[0.0], np.cumsum(np.square(wave, dtype=np.float64))])
        starts = np.arange(0, len(wave) - length + 1, step)
        start = int(starts[np.argmax(energy[starts + length] - energy[starts])])
        return wave[start : start + length]
    whole = np.zeros(length, np.float32)
    repeated = np.tile(wave, length // max(len(wave), 1))
    whole[: len(repeated)] = repeated
    return whole


class ClapConditioner:
    """Unit vectors of words and of sounds.

    text       graph: ids, mask (B, L) int64 → (B, D)
    tokenizer  for the `tokenizers` library
    audio      graph: power (B, M, F) → (B, D), or None
    longest    tokens of a prompt, its two marks included; the rest is cut off

    Nothing is loaded before it is needed.
    """

    def __init__(
        self,
        text: Path,
        tokenizer: Path,
        audio: Path | None = None,
        *,
        width: int = 512,
        longest: int = LONGEST,
        ear: Ear | None = None,
        threads: int = 1,
    ) -> None:
        self.width, self._longest = width, longest
        self._text_path, self._tokenizer_path, self._audio_path = text, tokenizer, audio
        self._ear, self._threads = ear or Ear(), threads
        self.rate = self._ear.rate

    def text(self, prompts: Sequence[str]) -> Array:
        """Prompts → (B, D), each row of length 1; a blank prompt is a row of zeros."""
        found = np.zeros((len(prompts), self.width), np.float32)
        named = [row for row, prompt in enumerate(prompts) if prompt.strip()]
        for start in range(0, len(named), BATCH):
            rows = named[start : start + BATCH]
            found[rows] = self._embed([encodable(prompts[row]) for row in rows])
        return found

    def audio(self, waves: Array) -> Array:
        """(B, N) at `rate` → (B, D), each row of length 1."""
        if self._audio_path is None:
            raise BadJob("this model understands text prompts only, not sounds; describe the sound in words.")
        rows = [
            self._audio_session.run(None, {"power": self._ear.spectra(wave)[None]})[0][0] for wave in waves
        ]
        return unit(np.reshape(rows, (-1, self.width)))

    def _embed(self, prompts: list[str]) -> Array:
        lines = self._tokenizer.encode_batch(prompts)
        feeds = {
            "ids": np.array([line.ids for line in lines], np.int64),
            "mask": np.array([line.attention_mask for line in lines], np.int64),
        }
        return unit(self._text_session.run(None, feeds)[0])

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        tokenizer = open_tokenizer(self._tokenizer_path)
        tokenizer.enable_truncation(self._longest)
        tokenizer.enable_padding(pad_id=PAD, pad_token=PAD_TOKEN)
        return tokenizer

    @cached_property
    def _text_session(self) -> InferenceSession:
        return open_graph(self._text_path, self._threads)

    @cached_property
    def _audio_session(self) -> InferenceSession:
        assert self._audio_path is not None
        return open_graph(self._audio_path, self._threads)


def open_clap(fields: Fields, file: Callable[[str], Path], *, threads: int = 1) -> ClapConditioner:
    """Of a model folder whose conditioning is of kind "clap".

    fields  {"width": 512, "text", "tokenizer", and "audio", "longest" and "ear" or absent}
    file    its verified files by name
    """
    ear, plain = fields.inner("ear", {}), Ear()
    audio = fields.take("audio", str, "")
    return ClapConditioner(
        file(fields.take("text", str)),
        file(fields.take("tokenizer", str)),
        file(audio) if audio else None,
        width=fields.whole("width", 1, 1 << 16),
        longest=fields.whole("longest", 2, 1 << 16, LONGEST),
        ear=Ear(
            rate=ear.whole("rate", 1000, 384_000, plain.rate),
            fft=ear.whole("fft", 16, 1 << 16, plain.fft),
            hop=ear.whole("hop", 1, 1 << 16, plain.hop),
            frames=ear.whole("frames", 2, 1 << 16, plain.frames),
        ),
        threads=threads,
    )
