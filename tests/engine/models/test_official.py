"""Official checkpoints open into our networks, and damaged ones are refused by name."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from stemwright.engine.errors import ModelDamaged
from stemwright.engine.models.dit import Dit, DitConfig
from stemwright.engine.models.official import (
    dit_config,
    oobleck_config,
    open_dit,
    open_oobleck,
    split_state,
)
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig

State = dict[str, Tensor]
DIT = DitConfig(latent_channels=4, condition_width=8, width=96, depth=2, heads=3, level_features=16)
OOBLECK = OobleckConfig(channels=4, latent_channels=4, multiples=(1, 3), strides=(2, 4))
pytestmark = pytest.mark.usefixtures("no_gradients")


@pytest.fixture
def checkpoint() -> State:
    """A small checkpoint of both networks."""
    torch.manual_seed(1)
    dit, autoencoder = Dit(DIT).state_dict(), Oobleck(OOBLECK).state_dict()
    return {f"model_dit.{key}": value for key, value in dit.items()} | {
        f"pretransform.model.{key}": value for key, value in autoencoder.items()
    }


def test_the_official_checkpoint_splits_into_both_networks(hollow: State) -> None:
    dit, autoencoder = split_state(hollow)
    assert (len(dit), len(autoencoder)) == (276, 365)
    assert dit_config(dit) == DitConfig()
    assert oobleck_config(autoencoder) == OobleckConfig()
    open_dit(dit)
    open_oobleck(autoencoder)


def test_the_autoencoders_own_checkpoint_has_no_denoiser(hollow: State) -> None:
    both = split_state(hollow)
    dit, autoencoder = split_state(both[1])
    assert dit == {}
    assert autoencoder.keys() == both[1].keys()


def test_a_smaller_model_opens_with_its_own_sizes_and_weights(checkpoint: State, tmp_path: Path) -> None:
    save_file(checkpoint, tmp_path / "both.safetensors")
    dit_state, autoencoder_state = split_state(load_file(tmp_path / "both.safetensors"))
    dit, oobleck = open_dit(dit_state), open_oobleck(autoencoder_state)
    assert dit.config == DIT
    assert oobleck.config == OOBLECK
    assert all(torch.equal(value, checkpoint[f"model_dit.{key}"]) for key, value in dit.state_dict().items())
    assert not dit.training
    assert not any(parameter.requires_grad for parameter in (*dit.parameters(), *oobleck.parameters()))


def test_half_precision_checkpoints_open_in_float32(checkpoint: State) -> None:
    dit, _ = split_state({key: value.half() for key, value in checkpoint.items()})
    assert {value.dtype for value in open_dit(dit).state_dict().values()} == {torch.float32}


def test_a_missing_tensor_is_named(checkpoint: State) -> None:
    del checkpoint["model_dit.transformer.layers.1.self_attn.to_out.weight"]
    del checkpoint["pretransform.model.decoder.layers.1.layers.0.alpha"]
    dit, autoencoder = split_state(checkpoint)
    with pytest.raises(
        ModelDamaged, match=r"denoiser.* 1 missing: transformer\.layers\.1\.self_attn\.to_out\.weight"
    ):
        open_dit(dit)
    with pytest.raises(ModelDamaged, match=r"autoencoder.* 1 missing: decoder\.layers\.1\.layers\.0\.alpha"):
        open_oobleck(autoencoder)


def test_a_missing_block_is_named(checkpoint: State) -> None:
    dit, _ = split_state(
        {key: value for key, value in checkpoint.items() if "transformer.layers.0." not in key}
    )
    with pytest.raises(ModelDamaged, match=r"transformer\.layers\.0\..* is missing"):
        open_dit(dit)


def test_an_unexpected_tensor_is_named(checkpoint: State) -> None:
    dit, _ = split_state(checkpoint | {"model_dit.memory_tokens": torch.zeros(2)})
    with pytest.raises(ModelDamaged, match="1 unexpected: memory_tokens"):
        open_dit(dit)


def test_a_misshapen_tensor_is_named_with_both_shapes(checkpoint: State) -> None:
    checkpoint["model_dit.preprocess_conv.weight"] = torch.zeros(12, 12, 3)
    dit, _ = split_state(checkpoint)
    with pytest.raises(
        ModelDamaged, match=r"preprocess_conv\.weight \[12, 12, 3\] where \[12, 12, 1\] is wanted"
    ):
        open_dit(dit)


@pytest.mark.parametrize(
    ("key", "shape", "told"),
    [
        ("transformer.project_in.weight", (95, 12), "contradict each other"),
        ("transformer.project_in.weight", (96,), "1 axes where 2 are wanted"),
        ("transformer.rotary_pos_emb.inv_freq", (0,), "contradict each other"),
    ],
)
def test_sizes_that_cannot_be_are_refused(
    checkpoint: State, key: str, shape: tuple[int, ...], told: str
) -> None:
    dit, _ = split_state(checkpoint)
    with pytest.raises(ModelDamaged, match=told):
        open_dit(dit | {key: torch.zeros(shape)})


def test_a_checkpoint_of_something_else_is_refused(checkpoint: State) -> None:
    strangers = {f"unet.{index}": torch.zeros(1) for index in range(15)}
    with pytest.raises(ModelDamaged, match=r"15 unexpected keys \(unet\.0, .*, unet\.11 and 3 more\)"):
        split_state(checkpoint | strangers)
    with pytest.raises(ModelDamaged, match="no tensors"):
        split_state({})


def test_of_a_training_checkpoint_the_mean_stands_for_the_last_weights(checkpoint: State) -> None:
    raw = {f"diffusion.{key}": value for key, value in checkpoint.items()}
    raw |= {
        f"diffusion_ema.ema_model.{key.removeprefix('model_dit.')}": value + 1
        for key, value in checkpoint.items()
        if key.startswith("model_dit.")
    }
    raw |= {"diffusion_ema.step": torch.zeros(1), "losses.weight": torch.zeros(1)}
    dit, autoencoder = split_state(raw)
    assert dit.keys() == open_dit(dit).state_dict().keys()
    assert all(torch.equal(value, checkpoint[f"model_dit.{key}"] + 1) for key, value in dit.items())
    assert all(
        torch.equal(value, checkpoint[f"pretransform.model.{key}"]) for key, value in autoencoder.items()
    )


def test_the_autoencoders_training_checkpoint_has_its_mean_too(checkpoint: State) -> None:
    _, plain = split_state(checkpoint)
    raw = {f"autoencoder.{key}": value for key, value in plain.items()}
    raw |= {f"autoencoder_ema.ema_model.{key}": value + 1 for key, value in plain.items()}
    raw |= {"discriminator.weight": torch.zeros(1)}
    dit, autoencoder = split_state(raw)
    assert dit == {}
    assert all(torch.equal(value, plain[key] + 1) for key, value in autoencoder.items())
