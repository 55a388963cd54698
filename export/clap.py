"""CLAP's checkpoint → two graphs and a tokenizer in a model folder, so that running needs no torch.

The checkpoints are laion-clap's, without fusion: {"state_dict": {"module.text_branch.…": …}}, with optimizer
and a few NumPy numbers beside. Every tensor in them is accounted for: used, known to be of no use, or derived
from the others and checked. The tokenizer is not in them; it is roberta-base's.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from math import isqrt
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from stemwright.engine.clap import LONGEST, Ear
from stemwright.engine.errors import BadInput, ModelDamaged
from stemwright.engine.models.clap_audio import (
    ClapAudio,
    ClapAudioConfig,
    distance_places,
    shift_mask,
    stages,
)
from stemwright.engine.models.clap_text import ClapText, ClapTextConfig
from stemwright.engine.models.official import divided, filled, listed, shape
from stemwright.engine.partfile import put_lasting
from stemwright.export.checkpoint import read_checkpoint
from stemwright.export.graph import export_graph
from stemwright.export.spec import GraphSpec, clap_audio_spec, clap_text_spec
from stemwright.export.tokens import read_tokenizer

State = dict[str, Tensor]

TOKENIZER = "clap_tokenizer.json"
KERNELS = "audio_branch.spectrogram_extractor.stft.conv_{}.weight"
TRAINING = (  # what training had on top, and what says how it went
    "logit_scale_a",
    "logit_scale_t",
    "text_transform.",
    "audio_transform.",
    "audio_branch.tscam_conv.",
    "audio_branch.head.",
    "audio_branch.bn0.num_batches_tracked",
)
FUSION = ("fusion_model.", "mel_conv")
WORDS = "text_branch.embeddings.word_embeddings.weight"
HEAD = 64  # width of a text head
DERIVED_ERROR = 1e-3  # of the kernels, whose numbers lie within ±1: torchlibrosa's are off by 1.0e-4
NUMPY_NUMBER = ("numpy.core.multiarray.scalar", "numpy._core.multiarray.scalar")


class PickledKind:
    """Stands for numpy.dtype where a checkpoint is read; it holds nothing."""

    def __init__(self, *about: object) -> None:
        """about: what NumPy would be told"""

    def __setstate__(self, state: object) -> None:
        """Nothing of it is kept."""


def pickled_number(*about: object) -> None:
    """Stands for the maker of NumPy's numbers: those beside the tensors (an epoch, a loss) are not needed."""


def read_clap(path: Path) -> State:
    """The tensors of a CLAP checkpoint; a pickle that asks for more than tensors and numbers is refused."""
    numbers = [(pickled_number, name) for name in NUMPY_NUMBER]
    with torch.serialization.safe_globals([*numbers, (PickledKind, "numpy.dtype")]):
        state = read_checkpoint(path)
    state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    if not any(name.startswith("text_branch.") for name in state):
        raise ModelDamaged(
            f"{path}: is no CLAP checkpoint (no text_branch.* in it). Give laion-clap's file, e.g. "
            "music_audioset_epoch_15_esc_90.14.pt"
        )
    if fused := [name for name in state if any(part in name for part in FUSION)]:
        raise ModelDamaged(
            f"{path}: is a CLAP with fusion ({listed(fused)}), which no model here was trained with. "
            "Give one without."
        )
    return state


@dataclass(frozen=True)
class Clap:
    """Both towers with a checkpoint's weights."""

    text: ClapText
    audio: ClapAudio


class Both(nn.Module):
    """The towers under the checkpoint's own keys, so that all of them are checked at once."""

    def __init__(self, clap: Clap) -> None:
        super().__init__()
        self.text_branch, self.text_projection = clap.text.text_branch, clap.text.text_projection
        self.audio_branch, self.audio_projection = clap.audio.audio_branch, clap.audio.audio_projection


def open_clap(state: Mapping[str, Tensor], *, heads: int | None = None, ear: Ear | None = None) -> Clap:
    """The towers in float32; a tensor that is missing, unknown, of another shape or altered is named.

    heads, ear  what no tensor's shape tells; None: one head per 64 of the text's width, and the published ear
    """
    ear = ear or Ear()
    kept = {name: tensor for name, tensor in state.items() if not name.startswith(TRAINING)}
    sizes = text_config(kept, heads), replace(audio_config(kept), frames=ear.frames)
    with torch.device("meta"):
        clap = Clap(ClapText(sizes[0]), ClapAudio(sizes[1]))
    expected = derived(sizes[1])
    check_derived(kept, expected)
    filled(Both(clap), {name: tensor for name, tensor in kept.items() if name not in expected}, "CLAP")
    return Clap(clap.text.eval(), clap.audio.eval())


def text_config(state: Mapping[str, Tensor], heads: int | None = None) -> ClapTextConfig:
    """Sizes of the text tower whose tensors these are."""
    words, width = shape(state, "text_branch.embeddings.word_embeddings.weight", rank=2)
    positions, _ = shape(state, "text_branch.embeddings.position_embeddings.weight", rank=2)
    inner, _ = shape(state, "text_branch.encoder.layer.0.intermediate.dense.weight", rank=2)
    joint, _ = shape(state, "text_projection.2.weight", rank=2)
    return ClapTextConfig(
        words=words,
        positions=positions,
        width=width,
        layers=counted(state, r"text_branch\.encoder\.layer\.(\d+)\."),
        heads=heads or divided(width, HEAD),
        inner=inner,
        joint=joint,
    )


def audio_config(state: Mapping[str, Tensor]) -> ClapAudioConfig:
    """Sizes of the audio tower whose tensors these are."""
    bins, bands = shape(state, "audio_branch.logmel_extractor.melW", rank=2)
    width, _, patch, _ = shape(state, "audio_branch.patch_embed.proj.weight", rank=4)
    joint, _ = shape(state, "audio_projection.2.weight", rank=2)
    across, length, _ = shape(state, "audio_branch.layers.0.blocks.1.attn_mask", rank=3)
    inner, _ = shape(state, "audio_branch.layers.0.blocks.0.mlp.fc1.weight", rank=2)
    layers = range(counted(state, r"audio_branch\.layers\.(\d+)\."))
    table = "audio_branch.layers.{}.blocks.0.attn.relative_position_bias_table"
    return ClapAudioConfig(
        bins=bins,
        bands=bands,
        picture=patch * isqrt(across) * isqrt(length),
        patch=patch,
        window=isqrt(length),
        width=width,
        depths=tuple(counted(state, rf"audio_branch\.layers\.{layer}\.blocks\.(\d+)\.") for layer in layers),
        heads=tuple(shape(state, table.format(layer), rank=2)[1] for layer in layers),
        widening=divided(inner, width),
        joint=joint,
    )


def counted(state: Mapping[str, Tensor], pattern: str) -> int:
    """How many different numbers the pattern finds."""
    return len({found[1] for key in state if (found := re.match(pattern, key))})


def derived(config: ClapAudioConfig) -> dict[str, Tensor | None]:
    """Tensors of a checkpoint that follow from the sizes, and what they must be.

    None: numbers counted from 0, or zeros
    """
    real, imaginary = kernels(config.bins)
    made: dict[str, Tensor | None] = {KERNELS.format("real"): real, KERNELS.format("imag"): imaginary}
    made |= {f"text_branch.embeddings.{name}": None for name in ("position_ids", "token_type_ids")}
    for layer, stage in enumerate(stages(config)):
        for block in range(stage.depth):
            name = f"audio_branch.layers.{layer}.blocks.{block}"
            made[f"{name}.attn.relative_position_index"] = distance_places(stage.window)
            is_shifted = block % 2 and stage.edge > stage.window
            if is_shifted:
                made[f"{name}.attn_mask"] = shift_mask(stage.edge, stage.window, stage.window // 2)
    return made


def check_derived(state: Mapping[str, Tensor], expected: Mapping[str, Tensor | None]) -> None:
    """What follows from the sizes must be what we compute in its place."""
    wrong = [name for name, tensor in expected.items() if name in state and differs(state[name], tensor)]
    if wrong:
        raise ModelDamaged(
            f"the CLAP checkpoint has {len(wrong)} tensors that are not what its sizes make them: "
            f"{listed(wrong)}. Fetch it again."
        )


def differs(found: Tensor, expected: Tensor | None) -> bool:
    if expected is None:
        found = found.reshape(-1).long()
        return not (torch.equal(found, torch.arange(len(found))) or not found.any())
    same = found.shape == expected.shape
    return not same or float((found - expected).abs().max()) > DERIVED_ERROR


def kernels(bins: int) -> tuple[Tensor, Tensor]:
    """(F, 1, FFT) twice: the real and imaginary rows of a Fourier transform under a periodic Hann window."""
    fft = 2 * (bins - 1)
    turns = torch.arange(fft, dtype=torch.float64) / fft
    window = 0.5 - 0.5 * torch.cos(2 * torch.pi * turns)
    angles = 2 * torch.pi * torch.arange(bins)[:, None] * turns
    both = (torch.cos(angles) * window)[:, None], (-torch.sin(angles) * window)[:, None]
    return both[0].float(), both[1].float()


def export_clap(
    checkpoint: Path,
    tokenizer: Path | None,
    folder: Path,
    *,
    half: bool = False,
    heads: int | None = None,
    ear: Ear | None = None,
) -> dict[str, Any]:
    """Write CLAP's graphs, their weights and the tokenizer into a folder; → the manifest's "conditioning".

    tokenizer  a file or folder, see `tokens`; None is refused, for a checkpoint has none
    half       weights in half the size; heads, ear: see `open_clap`
    """
    state, ear = read_clap(checkpoint), ear or Ear()
    words = tokenizer_of(state, tokenizer)
    clap = open_clap(state, heads=heads, ear=ear)
    if clap.audio.config.bins != ear.fft // 2 + 1:
        raise ModelDamaged(
            f"{checkpoint}: hears {clap.audio.config.bins} frequencies, where {ear.fft // 2 + 1} belong. "
            "Give the HTSAT-base checkpoint."
        )
    for network, spec in networks(clap):
        exact = () if half else tuple(network.state_dict())
        export_graph(network, replace(spec, exact=exact), folder)
    put_lasting(folder / TOKENIZER, words.encode())
    return {
        "kind": "clap",
        "width": clap.text.config.joint,
        "scale": 1.0,
        "text": "clap_text.onnx",
        "tokenizer": TOKENIZER,
        "audio": "clap_audio.onnx",
        "longest": longest(clap),
        "ear": asdict(ear),
    }


def check_clap(checkpoint: Path, tokenizer: Path | None, width: int) -> None:
    """Refuse, before anything is written, what makes no conditioner of this width."""
    state = read_clap(checkpoint)
    tokenizer_of(state, tokenizer)
    joint, _ = shape(state, "text_projection.2.weight", rank=2)
    if joint != width:
        raise ModelDamaged(
            f"{checkpoint}: makes {joint} numbers of a prompt, where the denoiser takes {width}. "
            "Give the CLAP that it was trained with."
        )


def tokenizer_of(state: State, tokenizer: Path | None) -> str:
    """CLAP's, as JSON."""
    if tokenizer is None:
        raise BadInput(
            "CLAP needs roberta-base's tokenizer, which its checkpoint does not hold: --tokenizer "
            "tokenizer.json. `stemwright models fetch roberta-tokenizer` gets it."
        )
    return read_tokenizer(tokenizer, shape(state, WORDS, rank=2)[0])


def networks(clap: Clap) -> list[tuple[nn.Module, GraphSpec]]:
    text, audio = clap.text.config, clap.audio.config
    return [
        (clap.text, clap_text_spec(text.words, longest(clap), text.joint)),
        (clap.audio, clap_audio_spec(audio.frames, audio.bins, audio.joint)),
    ]


def longest(clap: Clap) -> int:
    """Tokens of a prompt."""
    return min(LONGEST, clap.text.config.longest)
