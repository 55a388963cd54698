"""Checkpoints of the official MGE-LDM: which of their tensors belong to which of our networks.

A checkpoint is a flat dict of tensors. The denoiser's file holds both networks, `model_dit.*` and
`pretransform.model.*`; the autoencoder's own file holds the latter without its prefix. Checkpoints of the
authors' training hold the same under other prefixes, the running mean (EMA) of the weights beside them.
"""

import re
from collections.abc import Collection, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from stemwright.engine.errors import ModelDamaged
from stemwright.engine.models.dit import Dit, DitConfig
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig

State = dict[str, Tensor]
Network = TypeVar("Network", bound=nn.Module)

DIT = "model_dit."
AUTOENCODER = "pretransform.model."
AUTOENCODER_ALONE = ("encoder.", "decoder.")
ONLINE, MEAN = "diffusion.", "diffusion_ema.ema_model."  # in a checkpoint of the denoiser's training
AUTOENCODERS_ONLINE, AUTOENCODERS_MEAN = "autoencoder.", "autoencoder_ema.ema_model."
TRAINING = (ONLINE, "diffusion_ema.", AUTOENCODERS_ONLINE, "autoencoder_ema.")
CLAP = ("text_branch.", "audio_branch.", "text_projection.", "audio_projection.", "logit_scale")
NAMED = 12  # keys an error spells out


def split_state(state: Mapping[str, Tensor]) -> tuple[State, State]:
    """The denoiser's and the autoencoder's tensors, under the keys `Dit` and `Oobleck` have.

    A checkpoint of the autoencoder alone gives an empty denoiser. A key of neither is refused.
    """
    dit: State = {}
    autoencoder: State = {}
    strangers: list[str] = []
    for key, tensor in unwrapped(state).items():
        if key.startswith(DIT):
            dit[key.removeprefix(DIT)] = tensor
        elif key.startswith((AUTOENCODER, *AUTOENCODER_ALONE)):
            autoencoder[key.removeprefix(AUTOENCODER)] = tensor
        else:
            strangers.append(key)
    if strangers:
        raise ModelDamaged(stranger_message(strangers))
    if not dit and not autoencoder:
        raise ModelDamaged("the checkpoint holds no tensors. Fetch it again.")
    return dit, autoencoder


def unwrapped(state: Mapping[str, Tensor]) -> State:
    """A training checkpoint's networks under the keys of an unwrapped one; any other as it is.

    The mean of the weights stands for the last ones, where there is one. What belongs to training alone
    (discriminators, losses) is left out.
    """
    if not any(key.startswith(TRAINING) for key in state):
        return dict(state)
    found = below(state, AUTOENCODERS_ONLINE) | below(state, ONLINE) | below(state, AUTOENCODERS_MEAN)
    for key, tensor in below(state, MEAN).items():
        found[key if key.startswith((DIT, AUTOENCODER)) else DIT + key] = tensor
    networks = (DIT, AUTOENCODER, *AUTOENCODER_ALONE)
    return {key: tensor for key, tensor in found.items() if key.startswith(networks)}


def below(state: Mapping[str, Tensor], prefix: str) -> State:
    """The tensors under a prefix, without it."""
    return {key.removeprefix(prefix): tensor for key, tensor in state.items() if key.startswith(prefix)}


def stranger_message(strangers: list[str]) -> str:
    """What to say about keys of neither network."""
    if any(key.removeprefix("module.").startswith(CLAP) for key in strangers):
        return (
            f"this is a CLAP checkpoint ({listed(strangers)}), which understands prompts but makes no sound. "
            "Give the denoiser's file first: stemwright models import unwrapped_DiT.ckpt --clap FILE"
        )
    return (
        f"{len(strangers)} unexpected keys ({listed(strangers)}); an official checkpoint has only "
        f"{DIT}* and {AUTOENCODER}*. Choose the unwrapped checkpoint."
    )


def dit_config(state: Mapping[str, Tensor]) -> DitConfig:
    """Sizes of the denoiser whose tensors these are."""
    width, channels = shape(state, "transformer.project_in.weight", rank=2)
    inner, _ = shape(state, "transformer.layers.0.ff.ff.0.proj.weight", rank=2)
    frequencies, _ = shape(state, "timestep_features.weight", rank=2)
    (turns,) = shape(state, "transformer.rotary_pos_emb.inv_freq", rank=1)
    _, track_width, _ = shape(state, "to_timestep_embed.3.weight", rank=3)
    _, condition_width, _ = shape(state, "to_global_embed.1.weight", rank=3)
    tracks, heads = divided(width, track_width), divided(width, 2 * turns)
    return DitConfig(
        tracks=tracks,
        latent_channels=divided(channels, tracks),
        condition_width=condition_width,
        width=width,
        depth=len({found[1] for key in state if (found := re.match(r"transformer\.layers\.(\d+)\.", key))}),
        heads=heads,
        feedforward_multiple=divided(inner, 2 * width),
        level_features=2 * frequencies,
    )


def oobleck_config(state: Mapping[str, Tensor]) -> OobleckConfig:
    """Sizes of the autoencoder whose tensors these are; the sample rate is not among them."""
    last = max(
        (int(found[1]) for key in state if (found := re.match(r"encoder\.layers\.(\d+)\.", key))), default=0
    )
    blocks = [
        shape(state, f"encoder.layers.{block}.layers.4.weight_v", rank=3) for block in range(1, last - 1)
    ]
    channels, audio_channels, _ = shape(state, "encoder.layers.0.weight_v", rank=3)
    _, latent_channels, _ = shape(state, "decoder.layers.0.weight_v", rank=3)
    return OobleckConfig(
        audio_channels=audio_channels,
        latent_channels=latent_channels,
        channels=channels,
        multiples=tuple(divided(outputs, channels) for outputs, _, _ in blocks),
        strides=tuple(divided(kernel, 2) for _, _, kernel in blocks),
    )


def open_dit(state: Mapping[str, Tensor]) -> Dit:
    """The denoiser with these weights, in float32 and ready to predict."""
    return filled(hollow_dit(dit_config(state)), state, "denoiser")


def open_oobleck(state: Mapping[str, Tensor]) -> Oobleck:
    """The autoencoder with these weights, in float32 and ready to code."""
    return filled(hollow_oobleck(oobleck_config(state)), state, "autoencoder")


def hollow_dit(sizes: DitConfig) -> Dit:
    """A denoiser without its numbers: what its state must look like."""
    with torch.device("meta"):
        return Dit(sizes)


def hollow_oobleck(sizes: OobleckConfig) -> Oobleck:
    """An autoencoder without its numbers."""
    with torch.device("meta"):
        return Oobleck(sizes)


def filled(network: Network, state: Mapping[str, Tensor], name: str) -> Network:
    """`network` with the tensors of `state` in place of its own; the tensors are not copied."""
    check_state(network, state, name)
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()}, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def check_state(network: nn.Module, state: Mapping[str, Tensor], name: str) -> None:
    """Refuse tensors that are not exactly the network's, naming what is missing, extra or misshapen."""
    wanted = network.state_dict()
    misshapen = [
        f"{key} {list(state[key].shape)} where {list(wanted[key].shape)} is wanted"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    faults = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "of another shape": misshapen,
    }
    told = [f"{len(keys)} {fault}: {listed(keys)}" for fault, keys in faults.items() if keys]
    if told:
        raise ModelDamaged(
            f"the {name}'s checkpoint does not fit; {'; '.join(told)}. "
            "Fetch it again, or say what it is with --as."
        )


def shape(state: Mapping[str, Tensor], key: str, *, rank: int) -> tuple[int, ...]:
    """The shape of a tensor from which sizes are read."""
    if key not in state:
        raise ModelDamaged(f"{key} is missing, so the network's size is unknown. Fetch the checkpoint again.")
    if state[key].ndim != rank:
        raise ModelDamaged(
            f"{key} has {state[key].ndim} axes where {rank} are wanted. Fetch the checkpoint again."
        )
    return tuple(state[key].shape)


def divided(whole: int, part: int) -> int:
    """whole / part, which a sound checkpoint has without remainder."""
    if part < 1 or whole < part or whole % part:
        raise ModelDamaged(
            f"the checkpoint's sizes contradict each other ({whole} / {part}). Fetch it again."
        )
    return whole // part


def listed(keys: Collection[str]) -> str:
    """The first keys, and how many more there are."""
    more = len(keys) - NAMED
    return ", ".join(list(keys)[:NAMED]) + (f" and {more} more" if more > 0 else "")
