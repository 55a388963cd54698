"""The official denoiser once more, in numpy and double precision, one track and one head at a time."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from stemwright.engine.models.dit import Dit, DitConfig

Matrix = NDArray[np.float64]
CONFIG = DitConfig(latent_channels=4, condition_width=8, width=96, depth=2, heads=3, level_features=16)
TRACKS, SHARE, HEADS, HEAD = 3, 32, 3, 32  # a track's share of the width, the width of a head


class Weights:
    """A state dict as matrices; of a convolution that is grouped by track, one matrix per track."""

    def __init__(self, dit: Dit) -> None:
        self.state = {key: value.double().numpy() for key, value in dit.state_dict().items()}

    def __getitem__(self, key: str) -> Matrix:
        matrix: Matrix = self.state[key]
        return matrix[..., 0] if matrix.ndim == 3 else matrix

    def of_track(self, key: str, track: int) -> Matrix:
        return np.split(self[key], TRACKS)[track]


def silu(x: Matrix) -> Matrix:
    return x / (1 + np.exp(-x))


def closing(gate: Matrix) -> Matrix:
    """The weight of a branch: sigmoid(1 − gate)."""
    weight: Matrix = 1 / (1 + np.exp(gate - 1))
    return weight


def level_token(weights: Weights, levels: Matrix) -> Matrix:
    parts = []
    for track, level in enumerate(levels):
        angles = 2 * np.pi * level * weights["timestep_features.weight"][:, 0]
        x = np.concatenate([np.cos(angles), np.sin(angles)])
        for layer in ("to_timestep_embed.1", "to_timestep_embed.3"):
            x = silu(x) if layer.endswith("3") else x
            x = weights.of_track(f"{layer}.weight", track) @ x + weights.of_track(f"{layer}.bias", track)
        parts.append(x)
    return np.concatenate(parts)


def modulation(weights: Weights, layer: str, conditions: Matrix) -> Matrix:
    """(6, W): scale, shift, gate of attention, then of the feed-forward."""
    parts = []
    for track, condition in enumerate(conditions):
        x = silu(weights.of_track("to_global_embed.1.weight", track) @ condition)
        x = silu(weights.of_track("to_global_embed.3.weight", track) @ x)
        x = weights.of_track(f"{layer}to_scale_shift_gate.2.weight", track) @ x
        parts.append(x.reshape(6, SHARE))
    return np.concatenate(parts, axis=1)


def normed(x: Matrix, gamma: Matrix) -> Matrix:
    out = np.empty_like(x)
    for track in range(TRACKS):
        share = slice(track * SHARE, (track + 1) * SHARE)
        out[:, share] = (x[:, share] - x[:, share].mean()) / np.sqrt(x[:, share].var() + 1e-5)
    return out * gamma


def turned(x: Matrix) -> Matrix:
    """Each pair of channels (i, i + half) of a head as a complex number, turned by its position."""
    half = HEAD // 2
    speeds = 10000.0 ** (-np.arange(half) / half)
    pairs = (x[:, :half] + 1j * x[:, half:]) * np.exp(1j * np.arange(len(x))[:, None] * speeds)
    return np.concatenate([pairs.real, pairs.imag], axis=1)


def attended(x: Matrix, qkv: Matrix, out: Matrix) -> Matrix:
    queries, keys, values = np.split(x @ qkv.T, 3, axis=1)
    heads = []
    for head in range(HEADS):
        share = slice(head * HEAD, (head + 1) * HEAD)
        scores = np.exp(turned(queries[:, share]) @ turned(keys[:, share]).T / np.sqrt(HEAD))
        heads.append(scores / scores.sum(1, keepdims=True) @ values[:, share])
    mixed: Matrix = np.concatenate(heads, axis=1) @ out.T
    return mixed


def block(weights: Weights, layer: str, x: Matrix, conditions: Matrix) -> Matrix:
    scale, shift, gate, ff_scale, ff_shift, ff_gate = modulation(weights, layer, conditions)
    inner = normed(x, weights[f"{layer}pre_norm.gamma"]) * (1 + scale) + shift
    qkv, out = weights[f"{layer}self_attn.to_qkv.weight"], weights[f"{layer}self_attn.to_out.weight"]
    x = x + attended(inner, qkv, out) * closing(gate)
    inner = normed(x, weights[f"{layer}ff_norm.gamma"]) * (1 + ff_scale) + ff_shift
    inner = inner @ weights[f"{layer}ff.ff.0.proj.weight"].T + weights[f"{layer}ff.ff.0.proj.bias"]
    value, switch = np.split(inner, 2, axis=1)
    inner = (value * silu(switch)) @ weights[f"{layer}ff.ff.2.weight"].T + weights[f"{layer}ff.ff.2.bias"]
    return x + inner * closing(ff_gate)


def by_hand(dit: Dit, latents: Matrix, levels: Matrix, conditions: Matrix) -> Matrix:
    """latents (S, C, T), levels (S,), conditions (S, D) → (S, C, T)"""
    weights = Weights(dit)
    x = np.concatenate(latents).T
    x = (x + x @ weights["preprocess_conv.weight"].T) @ weights["transformer.project_in.weight"].T
    x = np.concatenate([level_token(weights, levels)[None], x])
    for index in range(CONFIG.depth):
        x = block(weights, f"transformer.layers.{index}.", x, conditions)
    x = x[1:] @ weights["transformer.project_out.weight"].T
    x = x + x @ weights["postprocess_conv.weight"].T
    return np.stack(np.split(x.T, TRACKS))


@pytest.mark.usefixtures("no_gradients")
def test_the_network_is_what_its_description_says() -> None:
    torch.manual_seed(1)
    dit = Dit(CONFIG).eval()
    for parameter in dit.parameters():
        parameter.mul_(1.5)  # so that level, condition and gate have a say
    latents, levels, conditions = torch.randn(2, 3, 4, 12), torch.rand(2, 3), torch.randn(2, 3, 8)
    ours = dit(latents, levels, conditions).numpy()
    for example in range(2):
        arguments = (part[example].double().numpy() for part in (latents, levels, conditions))
        theirs = by_hand(dit, *arguments)
        assert np.abs(ours[example] - theirs).max() < 1e-5 * np.abs(theirs).max()  # measured 1.0e-6
