"""Our CLAP towers beside laion-clap's own.

`tiny.safetensors` was recorded with laion-clap 1.1.7's classes (HTSAT, transformers 5.23's RobertaModel) at
small sizes with random weights: the checkpoint's tensors, inputs and the embeddings. Its kernels, mel matrix
and picture have the published layout. At the published size the same comparison was made once, with random
weights: largest difference of an embedding's numbers 1.2e-7 (text) and 5.2e-8 (audio).
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from stemwright.engine.models.clap_audio import ClapAudio, ClapAudioConfig, distance_places, shift_mask
from stemwright.engine.models.clap_text import ClapText, ClapTextConfig

FOLDER = Path(__file__).resolve().parents[2] / "fixtures" / "clap"
TEXT = ClapTextConfig(words=300, positions=24, width=24, layers=2, heads=4, inner=48, joint=12)
AUDIO = ClapAudioConfig(
    bins=33, frames=50, bands=16, picture=32, window=4, width=8, depths=(2, 2), heads=(2, 4), joint=12
)


@pytest.fixture(scope="module")
def recorded() -> dict[str, Tensor]:
    return load_file(FOLDER / "tiny.safetensors")


def filled(network: nn.Module, recorded: Mapping[str, Tensor]) -> nn.Module:
    network.load_state_dict({name: recorded[f"checkpoint.{name}"] for name in network.state_dict()})
    return network.eval().requires_grad_(False)


def test_the_text_tower_is_laion_claps(recorded: dict[str, Tensor]) -> None:
    found = filled(ClapText(TEXT), recorded)(recorded["ids"], recorded["mask"])
    torch.testing.assert_close(found, recorded["text"], rtol=0, atol=2e-6)  # measured 2.7e-7


def test_the_audio_tower_is_laion_claps(recorded: dict[str, Tensor]) -> None:
    found = filled(ClapAudio(AUDIO), recorded)(recorded["power"])
    torch.testing.assert_close(found, recorded["audio"], rtol=0, atol=2e-6)  # measured 2.4e-7


def test_padding_says_nothing(recorded: dict[str, Tensor]) -> None:
    tower = filled(ClapText(TEXT), recorded)
    length = int(recorded["mask"][0].sum())
    alone = tower(recorded["ids"][:1, :length], recorded["mask"][:1, :length])
    torch.testing.assert_close(alone, recorded["text"][:1], rtol=0, atol=2e-6)  # measured 2.4e-7


def test_the_recorded_embeddings_differ_by_far_more_than_the_tolerance(recorded: dict[str, Tensor]) -> None:
    for name in ("text", "audio"):
        cosines = recorded[name] @ recorded[name].T
        assert cosines[~torch.eye(3, dtype=torch.bool)].max() < 0.95  # measured 0.942 and 0.923


def test_the_towers_keys_and_shapes_are_the_published_checkpoints() -> None:
    published = json.loads((FOLDER / "state_dict_shapes.json").read_text("utf-8"))
    with torch.device("meta"):
        towers = ClapText(), ClapAudio()
    for tower in towers:
        for name, tensor in tower.state_dict().items():
            assert list(tensor.shape) == published[name], name
    assert sum(tensor.numel() for tensor in towers[0].parameters()) == 125_302_016
    assert sum(tensor.numel() for tensor in towers[1].parameters()) == 68_644_696


def test_distances_and_masks_are_the_checkpoints_own(recorded: dict[str, Tensor]) -> None:
    block = "checkpoint.audio_branch.layers.0.blocks.1"
    assert torch.equal(distance_places(4), recorded[f"{block}.attn.relative_position_index"])
    mask = shift_mask(edge=8, window=4, shift=2)
    assert mask is not None
    assert torch.equal(mask, recorded[f"{block}.attn_mask"])
    assert shift_mask(edge=4, window=4, shift=0) is None


def test_embeddings_have_length_one_whatever_the_sound() -> None:
    torch.manual_seed(0)
    tower = ClapAudio(AUDIO).eval()
    silence = torch.zeros(1, AUDIO.frames, AUDIO.bins)
    with torch.no_grad():
        for power in (silence, silence + 1e9):
            assert math.isclose(float(tower(power).norm()), 1, abs_tol=1e-6)
