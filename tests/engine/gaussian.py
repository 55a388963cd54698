"""A model whose every conditional is known: tracks that are jointly Gaussian, mix = submix + source.

The denoiser is exact at any level of any track: with z = α x + σ ε, track by track,
E[x | z] = μ + Σ α (α Σ α + σ²)⁻¹ (z − α μ), and v = (α z − E[x | z]) / σ.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stemwright.engine import schedule
from stemwright.engine.schedule import Levels

Doubles = NDArray[np.float64]
S, C = 3, 2  # tracks, channels; frames are independent of each other
MIX, SUBMIX, SOURCE = (slice(C * track, C * (track + 1)) for track in range(S))


@dataclass(frozen=True)
class Moments:
    """Mean and covariance of a Gaussian."""

    mean: Doubles
    covariance: Doubles

    def distance(self, other: "Moments") -> float:
        """Of Wasserstein, of second order, between both."""
        root = square_root(self.covariance)
        overlap = np.trace(square_root(root @ other.covariance @ root))
        spread = np.trace(self.covariance) + np.trace(other.covariance) - 2 * overlap
        return float(np.sqrt(np.sum((self.mean - other.mean) ** 2) + max(spread, 0.0)))


def square_root(matrix: Doubles) -> Doubles:
    values, vectors = np.linalg.eigh(matrix)
    root: Doubles = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


class Tracks:
    """The distribution of one frame, (S × C,) in the order mix, submix, source; and the network for it."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        parts = rng.normal(size=(2 * C, 2 * C))
        covariance = parts @ parts.T / (2 * C) + 0.1 * np.eye(2 * C)  # of submix and source together
        lift = np.vstack([np.hstack([np.eye(C), np.eye(C)]), np.eye(2 * C)])
        self.mean = lift @ rng.normal(size=2 * C)
        self.covariance = lift @ covariance @ lift.T

    def velocity(self, level: float, mix_level: float) -> tuple[Doubles, Doubles]:
        """v = M z + m, of submix and source at `level` and the mix at its own; its v is 0 at level 0."""
        levels = np.repeat([mix_level, level, level], C)
        alpha = np.array([schedule.signal(one) for one in levels])
        sigma = np.array([schedule.noise(one) for one in levels])
        total = alpha[:, None] * self.covariance * alpha + np.diag(sigma**2)
        gain = np.linalg.solve(total, alpha[:, None] * self.covariance).T
        scale = np.divide(1, sigma, out=np.zeros(S * C), where=sigma > 0)
        matrix = scale[:, None] * (np.diag(alpha) - gain)
        offset = -scale * (self.mean - gain @ (alpha * self.mean))
        return matrix, offset

    def __call__(self, latents: Doubles, levels: Doubles, conditions: object = None) -> Doubles:
        """The Denoiser: (B, S, C, T), (B, S) → v; all rows of a batch are at the same levels."""
        (row,) = np.unique(np.asarray(levels, np.float64), axis=0)
        matrix, offset = self.velocity(float(row[-1]), float(row[0]))
        flat = np.moveaxis(latents, -1, 1).reshape(len(latents), -1, S * C) @ matrix.T + offset
        return np.moveaxis(flat.reshape(len(latents), -1, S, C), 1, -1)

    def conditional(self, mix: Doubles) -> Moments:
        """Of submix and source, where the mix is known: the truth."""
        known, rest = slice(0, C), slice(C, S * C)
        gain = np.linalg.solve(self.covariance[known, known], self.covariance[known, rest]).T
        mean = self.mean[rest] + gain @ (mix - self.mean[known])
        return Moments(mean, self.covariance[rest, rest] - gain @ self.covariance[known, rest])

    def moments(self, mix: Doubles, levels: Levels, resamples: int = 1, *, is_held: bool = False) -> Moments:
        """What an algorithm makes of submix and source, by arithmetic on mean and covariance; no sampling.

        Every call is affine in the state and in fresh noise, so the state stays Gaussian. DDIM steps, each
        taken `resamples` times; the mix is heard clean at level 0 (held), or noised anew for every call.
        """
        one = np.eye(2 * C)
        mean, covariance = np.zeros(2 * C), one
        for level, following in zip(map(float, levels), [*map(float, levels[1:]), 0.0], strict=True):
            matrix, offset = self.velocity(level, 0.0 if is_held else level)
            for turn in range(resamples if following else 1):
                if turn:
                    kept = schedule.signal(level) / schedule.signal(following)
                    mean, covariance = kept * mean, kept**2 * covariance + (1 - kept**2) * one
                angle = (following - level) * np.pi / 2
                stay = np.cos(angle) * one + np.sin(angle) * matrix[C:, C:]
                hear = np.sin(angle) * matrix[C:, :C]
                heard, blur = (1.0, 0.0) if is_held else (schedule.signal(level), schedule.noise(level))
                mean = stay @ mean + hear @ (heard * mix) + np.sin(angle) * offset[C:]
                covariance = stay @ covariance @ stay.T + blur**2 * hear @ hear.T
        return Moments(mean, covariance)


class Process:
    """Latents that are a smooth Gaussian process in time, each channel its own, unit variance.

    As a Denoiser it is exact where all tracks are at one level.
    """

    def __init__(self, frames: int, length: float = 3.0) -> None:
        apart = np.subtract.outer(np.arange(frames), np.arange(frames))
        self.variances, self.shapes = np.linalg.eigh(np.exp(-((apart / length) ** 2) / 2))

    def __call__(self, latents: Doubles, levels: Doubles, conditions: object = None) -> NDArray[np.float32]:
        level = float(np.max(levels))
        alpha, sigma = schedule.signal(level), schedule.noise(level)
        variances = np.maximum(self.variances, 0)
        gain = (self.shapes * (alpha * variances / (alpha**2 * variances + sigma**2))) @ self.shapes.T
        onto = ((alpha * np.eye(len(gain)) - gain) / sigma).astype(np.float32)
        return latents @ onto.T
