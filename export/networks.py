"""What can be exported: the networks of training runs, of model folders and of official checkpoints.

Each comes with the specification of its graph.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stemwright.engine.errors import ModelDamaged, ModelMissing
from stemwright.engine.manifest import NAME, read_manifest
from stemwright.engine.models.audio_tower import AudioTower, AudioTowerConfig
from stemwright.engine.models.bandconv import BandConv, BandConvConfig
from stemwright.engine.models.dit import DitConfig
from stemwright.engine.models.official import open_dit, open_oobleck, split_state
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig, fold_weight_norm
from stemwright.engine.models.vocoder import Vocoder, VocoderConfig
from stemwright.engine.runtimes.eager import open_network
from stemwright.engine.spectral import BANDS, BINS, FFT, GROUPS, STRIDE
from stemwright.export.checkpoint import read_checkpoint
from stemwright.export.spec import (
    GraphSpec,
    audio_spec,
    decoder_spec,
    denoiser_spec,
    encoder_spec,
    vocoder_spec,
)

WINDOW = 80  # latent frames the engine gives the denoiser at once: 10.24 s
ANGLES = ("timestep_features.weight", "transformer.rotary_pos_emb.inv_freq")

Networks = list[tuple[nn.Module, GraphSpec]]


def denoiser(source: Path) -> Networks:
    """Of a diffusion run, or of a model folder."""
    if (source / NAME).is_file():
        return [folders_denoiser(source)]
    network = BandConv(bandconv_config(source))
    fill(network, source)
    return [(network, bandconv_spec(network.config, WINDOW))]


def folders_denoiser(folder: Path) -> tuple[nn.Module, GraphSpec]:
    manifest = read_manifest(folder)
    about = manifest.denoiser
    network = open_network(about["kind"], about["network"], folder / about["weights"])
    sizes = network.config
    if isinstance(sizes, BandConvConfig):
        return network, bandconv_spec(sizes, manifest.window)
    assert isinstance(sizes, DitConfig)
    return network, dit_spec(sizes, manifest.window)


def vocoder(source: Path) -> Networks:
    """Of its run; the settings name the codec whose floor it was trained with."""
    settings = settings_of(source)
    floor = json.loads(Path(settings["codec"]).read_text("utf-8"))["floor"]
    network = VocoderAsGraph(VocoderConfig(settings["width"], settings["depth"], floor=floor))
    fill(network, source)
    return [(network, vocoder_spec(BANDS, BINS, STRIDE))]


def embedding(source: Path) -> Networks:
    """The audio tower of its run."""
    settings = settings_of(source)
    network = AudioTower(AudioTowerConfig(width=settings["width"], depth=settings["depth"]))
    fill(network, source)
    return [(network, audio_spec(network.config.channels, network.config.conditioning))]


def official(source: Path) -> Networks:
    """Of an official checkpoint: the denoiser, the autoencoder, or both."""
    dit, autoencoder = split_state(read_checkpoint(source))
    found: Networks = []
    if dit:
        network = open_dit(dit)
        found.append((network, dit_spec(network.config, WINDOW)))
    if autoencoder:
        found.extend(both_ways(open_oobleck(autoencoder), WINDOW))
    return found


KINDS: dict[str, Callable[[Path], Networks]] = {
    "denoiser": denoiser,
    "vocoder": vocoder,
    "embedding": embedding,
    "official": official,
}


def bandconv_config(run: Path) -> BandConvConfig:
    """Sizes of a diffusion run's network."""
    settings = settings_of(run)
    known = {field.name for field in fields(BandConvConfig)} & {"width", "depth", "attend_every"}
    return BandConvConfig(**{name: settings[name] for name in known & set(settings)})


def bandconv_spec(config: BandConvConfig, window: int) -> GraphSpec:
    return denoiser_spec(config.tracks, GROUPS * config.coefficients, window, config.conditioning)


def dit_spec(config: DitConfig, window: int) -> GraphSpec:
    return denoiser_spec(config.tracks, config.latent_channels, window, config.condition_width, exact=ANGLES)


def both_ways(oobleck: Oobleck, window: int) -> Networks:
    """The autoencoder's two halves, its weight norms folded in."""
    sizes: OobleckConfig = oobleck.config
    shape = (sizes.audio_channels, sizes.latent_channels, window, sizes.hop)
    fold_weight_norm(oobleck)
    return [(Encoder(oobleck), encoder_spec(*shape)), (oobleck.decoder, decoder_spec(*shape))]


class Encoder(nn.Module):
    """(B, K, N) → the posterior's mean (B, C, T)"""

    def __init__(self, oobleck: Oobleck) -> None:
        super().__init__()
        self.encoder, self.channels = oobleck.encoder, oobleck.config.latent_channels

    def forward(self, waves: Tensor) -> Tensor:
        both: Tensor = self.encoder(waves)
        return both[:, : self.channels]


class VocoderAsGraph(Vocoder):
    """The vocoder with the inverse STFT's basis, 4 MB, made of 1024 cosines when the graph is loaded."""

    cosines: Tensor

    def __init__(self, config: VocoderConfig) -> None:
        super().__init__(config)
        del self.inverse
        turns = torch.arange(FFT, dtype=torch.float64) / FFT
        self.register_buffer("cosines", torch.cos(2 * torch.pi * turns).float(), persistent=False)

    def basis(self) -> Tensor:
        bins, frames = torch.arange(BINS)[:, None], torch.arange(FFT)[None] - FFT // 2
        places = torch.remainder(bins * frames, FFT)
        is_outer = (bins == 0) | (bins == BINS - 1)
        shares = torch.where(is_outer, 1.0, 2.0) / FFT * self.squares.sqrt()
        quarter = torch.remainder(places + FFT // 4, FFT)  # -sine is the cosine a quarter turn on
        return torch.cat([shares * self.cosines[places], shares * self.cosines[quarter]])


def settings_of(run: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads((run / "settings.json").read_text("utf-8"))
    except FileNotFoundError as error:
        raise ModelMissing(
            f"{run}: no training run there (settings.json is missing). Give a run's folder."
        ) from error
    except (OSError, ValueError) as error:
        raise ModelDamaged(f"{run / 'settings.json'}: cannot be read ({error}). Check the run.") from error
    return found


def fill(network: nn.Module, run: Path) -> None:
    """The network's weights from its run."""
    try:
        network.load_state_dict(weights_of(run))
    except RuntimeError as error:
        raise ModelDamaged(
            f"{run}: its weights are not of the network that its settings.json describes. "
            "Were the settings changed? Export a run as it was trained."
        ) from error


def weights_of(run: Path) -> dict[str, Tensor]:
    """The running mean of a run's weights."""
    path = run / "mean.safetensors"
    if not path.is_file():
        raise ModelMissing(f"{path}: is missing. Let the run write its first checkpoint, then export again.")
    return load_file(path)
