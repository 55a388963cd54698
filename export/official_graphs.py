"""The files of an official model's networks, and the graphs drawn to them, held against torch.

The whole denoiser in torch beside the graph would take twice its memory; so its first block, with the way in
and the way out, stands for all of them: the others are drawn by the same strokes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from onnx import ModelProto
from safetensors import safe_open
from torch import Tensor, nn

from stemwright.engine.errors import ModelDamaged
from stemwright.engine.models.dit import MODULATIONS, Dit, DitConfig
from stemwright.engine.models.official import hollow_dit, hollow_oobleck
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig, fold_weight_norm
from stemwright.engine.runtimes.graphs import Runtime
from stemwright.engine.runtimes.oobleck import Decoder as ProcessorDecoder
from stemwright.engine.runtimes.oobleck import Encoder as ProcessorEncoder
from stemwright.export.dit_graph import modulation_graph, step_graph
from stemwright.export.family import Family
from stemwright.export.oobleck_graph import decoder_graph, encoder_graph
from stemwright.export.parity import as_arrays, check_parity, difference, lengths, sample
from stemwright.export.spec import BATCH, GraphSpec, Port, Sizes

DENOISER, AUTOENCODER = "denoiser.safetensors", "autoencoder.safetensors"
STEP, MODULATION, ENCODER, DECODER = "denoiser.onnx", "modulation.onnx", "encoder.onnx", "decoder.onnx"
TOLERANCE = 1e-3  # of the check while importing, which is to find mistakes, not rounding
PIECE = Sizes(4, 100, 1 << 16)  # latent frames the autoencoder codes at once; the least is what is checked

OWN: dict[str, Callable[[Path], Runtime]] = {"encoder": ProcessorEncoder, "decoder": ProcessorDecoder}

Draw = Callable[[OobleckConfig, GraphSpec, Path], ModelProto]
Network = TypeVar("Network", bound=nn.Module)


def step_spec(sizes: DitConfig, window: int) -> GraphSpec:
    latents = ("B", sizes.tracks, sizes.latent_channels, window)
    return GraphSpec(
        name="denoiser",
        inputs=(
            Port("latents", latents),
            Port("levels", ("B", sizes.tracks), is_share=True),
            Port("modulation", ("B", sizes.depth, MODULATIONS, sizes.width)),
        ),
        outputs=(Port("velocity", latents),),
        sizes={"B": BATCH},
    )


def modulation_spec(sizes: DitConfig) -> GraphSpec:
    return GraphSpec(
        name="modulation",
        inputs=(Port("conditions", ("B", sizes.tracks, sizes.condition_width)),),
        outputs=(Port("modulation", ("B", sizes.depth, MODULATIONS, sizes.width)),),
        sizes={"B": BATCH},
    )


def encoder_spec(sizes: OobleckConfig) -> GraphSpec:
    latents = ("B", sizes.latent_channels, "T")
    return GraphSpec(
        name="encoder",
        inputs=(Port("waves", ("B", sizes.audio_channels, "T", sizes.hop)),),
        outputs=(Port("mean", latents), Port("deviation", latents)),
        sizes={"B": BATCH, "T": PIECE},
    )


def decoder_spec(sizes: OobleckConfig) -> GraphSpec:
    return GraphSpec(
        name="decoder",
        inputs=(Port("latents", ("B", sizes.latent_channels, "T")),),
        outputs=(Port("waves", ("B", sizes.audio_channels, "T", sizes.hop)),),
        sizes={"B": BATCH, "T": PIECE},
    )


def write_graphs(family: Family, folder: Path, on_graph: Callable[[], None]) -> None:
    """Draw the four graphs beside the weights; ModelDamaged where one does not compute what torch does."""
    sizes, window = family.denoiser, family.window
    write(step_graph(sizes, step_spec(sizes, window), folder / DENOISER), folder / STEP)
    write(modulation_graph(sizes, modulation_spec(sizes), folder / DENOISER), folder / MODULATION)
    on_graph()
    check_first_block(sizes, window, folder)
    on_graph()
    autoencoder = opened_autoencoder(family.autoencoder, folder / AUTOENCODER)
    for module, spec, draw in autoencoder_parts(autoencoder):
        path = folder / f"{spec.name}.onnx"
        write(draw(autoencoder.config, spec, folder / AUTOENCODER), path)
        check(module, spec, path)
        check_own(module, spec, OWN[spec.name](path))
        on_graph()


def write(graph: ModelProto, path: Path) -> None:
    path.write_bytes(graph.SerializeToString())


def check(module: nn.Module, spec: GraphSpec, path: Path) -> None:
    check_parity(module.eval(), replace(spec, tolerance=TOLERANCE), path, trials=1)


def check_own(module: nn.Module, spec: GraphSpec, network: Runtime) -> None:
    """The same of what runs in the graph's place on the processor."""
    inputs = sample(spec, lengths(spec, 0))
    expected = module.eval()(*inputs)
    both = zip(
        network.run(**as_arrays(spec, inputs)),
        [expected] if isinstance(expected, Tensor) else expected,
        strict=True,
    )
    worst = max(difference(ours, theirs.numpy()) for ours, theirs in both)
    if not worst <= TOLERANCE:
        raise ModelDamaged(
            f"{spec.name}: what runs on the processor differs from torch by {worst:.2g}, more than "
            f"{TOLERANCE:.2g}; it is not kept."
        )


def check_first_block(sizes: DitConfig, window: int, folder: Path) -> None:
    one, probe = replace(sizes, depth=1), folder / "probe.onnx"
    network = opened_denoiser(one, folder / DENOISER)
    for module, spec, graph in (
        (Step(network), step_spec(one, window), step_graph),
        (Modulation(network), modulation_spec(one), modulation_graph),
    ):
        write(graph(one, spec, folder / DENOISER), probe)
        check(module, spec, probe)
    probe.unlink()


def opened_denoiser(sizes: DitConfig, weights: Path) -> Dit:
    """The denoiser, or its first blocks, with the weights of the file."""
    return filled(hollow_dit(sizes), weights)


def opened_autoencoder(sizes: OobleckConfig, weights: Path) -> Oobleck:
    """The autoencoder, weight norm folded in, with the weights of the file."""
    with torch.device("meta"):
        hollow = fold_weight_norm(hollow_oobleck(sizes))
    assert isinstance(hollow, Oobleck)
    return filled(hollow, weights)


def filled(network: Network, weights: Path) -> Network:
    """`network` with its tensors read from the file, in single precision; the file may have more."""
    with safe_open(weights, "pt") as file:
        state = {key: file.get_tensor(key).float() for key in network.state_dict()}
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval().requires_grad_(False)


def autoencoder_parts(autoencoder: Oobleck) -> list[tuple[nn.Module, GraphSpec, Draw]]:
    sizes = autoencoder.config
    return [
        (Encoder(autoencoder), encoder_spec(sizes), encoder_graph),
        (Decoder(autoencoder), decoder_spec(sizes), decoder_graph),
    ]


class Step(nn.Module):
    """One step of the sampler, the prompts' modulation at hand."""

    def __init__(self, dit: Dit) -> None:
        super().__init__()
        self.dit = dit

    def forward(self, latents: Tensor, levels: Tensor, modulation: Tensor) -> Tensor:
        return self.dit.denoise(latents, levels, modulation)


class Modulation(nn.Module):
    """What the prompts do, (B, S, D) → (B, L, 6, W)."""

    def __init__(self, dit: Dit) -> None:
        super().__init__()
        self.dit = dit

    def forward(self, conditions: Tensor) -> Tensor:
        return self.dit.modulation(conditions)


class Encoder(nn.Module):
    """Waves (B, K, T, hop) → mean and deviation (B, C, T)"""

    def __init__(self, oobleck: Oobleck) -> None:
        super().__init__()
        self.oobleck = oobleck

    def forward(self, waves: Tensor) -> tuple[Tensor, Tensor]:
        return self.oobleck.encode_stats(waves.flatten(2))


class Decoder(nn.Module):
    """Latents (B, C, T) → waves (B, K, T, hop)"""

    def __init__(self, oobleck: Oobleck) -> None:
        super().__init__()
        self.oobleck = oobleck

    def forward(self, latents: Tensor) -> Tensor:
        waves: Tensor = self.oobleck.decode(latents).unflatten(2, (-1, self.oobleck.config.hop))
        return waves
