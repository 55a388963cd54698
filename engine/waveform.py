"""Convolutional autoencoders of waveforms (Oobleck) through their graphs, in pieces of bounded memory.

A latent frame depends on its neighbourhood alone. So a long sound is coded piece by piece, each with as much
of its neighbours as its own frames can hear, and joined without a fade: the numbers are those of one call for
the whole, but for the order of sums.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.graphs import Runtime
from stemwright.engine.spectral import stft

PIECE = 128  # latent frames coded at once, beside what the edges hear
UNITS = 3 * (1 + 3 + 9)  # frames a block's residual units hear on each side
FLOOR = 0.27  # added to amplitudes before the logarithm; what the spectral codec has


@dataclass(frozen=True)
class WaveformCodec:
    """Codec of a model whose latents are an autoencoder's. Mono at the door: an autoencoder of more channels
    gets the same on each, and their mean is what `decode` gives.

    encoder  waves (B, K, T, hop) → mean, deviation (B, C, T)
    decoder  latents (B, C, T) → waves (B, K, T, hop)
    strides  fastest rate first
    """

    encoder: Runtime
    decoder: Runtime
    rate: int
    audio_channels: int
    channels: int
    strides: tuple[int, ...]
    piece: int = PIECE

    @property
    def hop(self) -> int:
        return prod(self.strides)

    @cached_property
    def reach(self) -> int:
        """Latent frames that are heard on each side of a piece."""
        return max(encoder_reach(self.strides), decoder_reach(self.strides))

    def encode(self, waves: Array) -> Array:
        """(B, N) → (B, C, T): the posterior's mean, the same at every call"""
        return self.posterior(waves)[0]

    def posterior(self, waves: Array) -> tuple[Array, Array]:
        """(B, N) → means and standard deviations, both (B, C, T); the tail is padded with silence"""
        padded = np.pad(waves, ((0, 0), (0, -waves.shape[1] % self.hop))).astype(np.float32, copy=False)
        rows = [self._posterior(row.reshape(1, 1, -1, self.hop)) for row in padded]
        means, deviations = (np.stack(part) for part in zip(*rows, strict=True))
        return means, deviations

    def decode(self, latents: Array) -> Array:
        """(B, C, T) → (B, N), the mean of the channels"""
        waves = self.decode_channels(latents)
        return waves[:, 0] if self.audio_channels == 1 else waves.mean(axis=1, dtype=np.float32)

    def decode_channels(self, latents: Array) -> Array:
        """(B, C, T) → (B, K, N)"""
        waves = np.empty((len(latents), self.audio_channels, latents.shape[2], self.hop), np.float32)
        for row, out in zip(latents, waves, strict=True):
            self._fill(out, row[None].astype(np.float32, copy=False))
        return waves.reshape(len(latents), self.audio_channels, -1)

    def spectrum(self, latents: Array) -> Array:
        """(B, C, T) → (B, 513, M): log(amplitude + floor) of the waves"""
        logs: Array = np.log(np.abs(stft(self.decode(latents))) + np.float32(FLOOR))
        return logs

    def _posterior(self, frames: Array) -> tuple[Array, Array]:
        """(1, 1, T, hop) → twice (C, T)"""
        parts = [
            [part[0, :, span.kept] for part in self.encoder.run(waves=self._on_channels(frames, span))]
            for span in spans(frames.shape[2], self.piece, self.reach)
        ]
        mean, deviation = (np.concatenate(part, axis=1) for part in zip(*parts, strict=True))
        return mean, deviation

    def _on_channels(self, frames: Array, span: "Span") -> Array:
        return np.repeat(frames[:, :, span.begin : span.end], self.audio_channels, axis=1)

    def _fill(self, out: Array, latents: Array) -> None:
        """Decode (1, C, T) into (K, T, hop)."""
        for span in spans(latents.shape[2], self.piece, self.reach):
            heard = np.ascontiguousarray(latents[..., span.begin : span.end])
            (waves,) = self.decoder.run(latents=heard)
            begin = span.begin + span.kept.start
            out[:, begin : begin + span.kept.stop - span.kept.start] = waves[0, :, span.kept]


@dataclass(frozen=True)
class Span:
    """One piece with what its edges hear: latent frames `begin` to `end`, of which `kept` count."""

    begin: int
    end: int
    kept: slice


def spans(frames: int, piece: int, reach: int) -> Iterator[Span]:
    """The pieces of `frames` latent frames, about equally long, at most `piece`."""
    count = -(-frames // piece)
    for index in range(count):
        first, last = index * frames // count, (index + 1) * frames // count
        begin, end = max(0, first - reach), min(frames, last + reach)
        yield Span(begin, end, slice(first - begin, last - begin))


def decoder_reach(strides: tuple[int, ...]) -> int:
    """Latent frames on each side that one latent frame's audio depends on."""
    first, last = -3, prod(strides) - 1 + 3  # the last convolution
    for stride in strides:
        first, last = first - UNITS, last + UNITS
        pad, kernel = stride // 2, 2 * stride
        first, last = -((kernel - 1 - pad - first) // stride), (last + pad) // stride
    return max(3 - first, last + 3)


def encoder_reach(strides: tuple[int, ...]) -> int:
    """Latent frames on each side whose audio one latent frame depends on."""
    first, last = -1, 1  # the last convolution
    for stride in reversed(strides):
        first, last = first * stride - stride // 2, last * stride - stride // 2 + 2 * stride - 1
        first, last = first - UNITS, last + UNITS
    first, last, hop = first - 3, last + 3, prod(strides)
    return max(-(first // hop), last // hop)
