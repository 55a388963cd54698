"""The autoencoder as the processor runs it, beside the torch network of the same random weights."""

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the network it is held against is in torch")
pytest.importorskip("onnx", reason="its graphs are drawn with the [export] extra")

from stemwright.engine.contracts import Array  # noqa: E402
from stemwright.engine.errors import ModelDamaged  # noqa: E402
from stemwright.engine.models.oobleck import Oobleck, OobleckConfig  # noqa: E402
from stemwright.engine.pace import Pace  # noqa: E402
from stemwright.engine.runtimes import chain, oobleck  # noqa: E402
from stemwright.engine.runtimes.oobleck import Decoder, Encoder  # noqa: E402
from stemwright.engine.waveform import WaveformCodec  # noqa: E402
from stemwright.export.importing import PRECISIONS, convert, paired  # noqa: E402
from stemwright.export.official_graphs import (  # noqa: E402
    AUTOENCODER,
    DECODER,
    ENCODER,
    decoder_spec,
    encoder_spec,
    write,
)
from stemwright.export.oobleck_graph import decoder_graph, encoder_graph  # noqa: E402
from tests.export.official import SMALL, STEREO, shaken  # noqa: E402

SHAPES = {  # strides fast to slow, and a first or last layer alone among the slow
    "mono": SMALL.autoencoder,
    "stereo 44.1 kHz": STEREO.autoencoder,
    "one block": OobleckConfig(channels=6, latent_channels=4, multiples=(2,), strides=(128,)),
    "short hop": OobleckConfig(channels=6, latent_channels=4, multiples=(1, 2), strides=(2, 4)),
    "two paces": OobleckConfig(channels=4, latent_channels=4, multiples=(1, 2, 3), strides=(2, 16, 4)),
}


def drawn(sizes: OobleckConfig, folder: Path, precision: str = "fp32") -> Oobleck:
    """Random weights and both graphs in the folder; → the network in torch."""
    torch.manual_seed(1)
    network = Oobleck(sizes)
    state = shaken(network)
    convert(paired(state), folder / AUTOENCODER, PRECISIONS[precision], Pace(1, None))
    write(encoder_graph(sizes, encoder_spec(sizes), folder / AUTOENCODER), folder / ENCODER)
    write(decoder_graph(sizes, decoder_spec(sizes), folder / AUTOENCODER), folder / DECODER)
    return network.eval().requires_grad_(False)


def noise(*shape: int) -> Array:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


def deviation(ours: Array, theirs: "torch.Tensor") -> float:
    assert ours.shape == tuple(theirs.shape)
    return float(np.abs(ours - theirs.numpy()).max() / theirs.abs().max())


@pytest.mark.parametrize("kind", SHAPES)
@pytest.mark.parametrize("frames", [1, 13])
def test_it_equals_the_torch_network(
    tmp_path: Path, kind: str, frames: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oobleck, "STRETCH", 700)  # several, of which one is not as long as others
    monkeypatch.setattr(chain, "BLOCK", 1 << 9)
    monkeypatch.setattr(chain, "FEW", 8)
    sizes = SHAPES[kind]
    network = drawn(sizes, tmp_path)
    latents, waves = noise(2, 4, frames), noise(2, sizes.audio_channels, frames, sizes.hop)
    (decoded,) = Decoder(tmp_path / DECODER).run(latents=latents)
    expected = network.decode(torch.from_numpy(latents)).unflatten(2, (frames, sizes.hop))
    assert deviation(decoded, expected) < 5e-5  # measured up to 7.9e-6
    found = Encoder(tmp_path / ENCODER).run(waves=waves)
    both = network.encode_stats(torch.from_numpy(waves).flatten(2))
    assert max(map(deviation, found, both)) < 5e-5  # measured up to 6.3e-6


def test_large_weights_that_are_taken_as_they_are_give_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, sizes = drawn(SMALL.autoencoder, tmp_path), SMALL.autoencoder
    monkeypatch.setattr(oobleck, "LARGE", 1)
    latents, waves = noise(1, 4, 7), noise(1, 1, 7, sizes.hop)
    (decoded,) = Decoder(tmp_path / DECODER).run(latents=latents)
    assert deviation(decoded[:, 0].reshape(1, 1, -1), network.decode(torch.from_numpy(latents))) < 5e-5
    mean, _ = Encoder(tmp_path / ENCODER).run(waves=waves)
    assert (
        deviation(mean, network.encode_mean(torch.from_numpy(waves).flatten(2))) < 5e-5
    )  # measured 3.1e-6, 4.7e-6


def test_any_number_of_threads_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn(SMALL.autoencoder, tmp_path)
    monkeypatch.setattr(oobleck, "STRETCH", 500)
    latents, waves = noise(2, 4, 11), noise(2, 1, 11, 256)
    one, three = (
        Decoder(tmp_path / DECODER, threads).run(latents=latents)
        + Encoder(tmp_path / ENCODER, threads).run(waves=waves)
        for threads in (1, 3)
    )
    for alone, together in zip(one, three, strict=True):
        np.testing.assert_array_equal(alone, together)


@pytest.mark.parametrize(("precision", "limit"), [("fp16", 2e-3), ("bf16", 5e-3)])  # measured 4e-4, 1e-3
def test_weights_in_half_precision_are_understood(tmp_path: Path, precision: str, limit: float) -> None:
    network, latents = drawn(SMALL.autoencoder, tmp_path, precision), noise(1, 4, 5)
    (decoded,) = Decoder(tmp_path / DECODER).run(latents=latents)
    error = deviation(decoded.reshape(1, 1, -1), network.decode(torch.from_numpy(latents)))
    assert 1e-5 < error < limit


def test_a_graph_of_another_network_is_refused(tmp_path: Path) -> None:
    drawn(SMALL.autoencoder, tmp_path)
    with pytest.raises(ModelDamaged, match=r"has no weight decoder\.layers"):
        Decoder(tmp_path / ENCODER).run(latents=noise(1, 4, 3))


def codec_of(sizes: OobleckConfig, folder: Path) -> WaveformCodec:
    return WaveformCodec(
        Encoder(folder / ENCODER),
        Decoder(folder / DECODER),
        sizes.rate,
        sizes.audio_channels,
        sizes.latent_channels,
        sizes.strides,
        piece=24,
    )


def beyond(codec: WaveformCodec, frames: int) -> dict[str, int]:
    """Bytes of memory at the peak of each way beside what it gives."""
    latents, wave, found = noise(1, 4, frames), noise(1, frames * codec.hop), {}
    for way, call in (("decode", lambda: codec.decode(latents)), ("encode", lambda: codec.encode(wave))):
        call()
        tracemalloc.start()
        given = call()
        found[way] = tracemalloc.get_traced_memory()[1] - given.nbytes
        tracemalloc.stop()
    return found


def test_a_long_song_takes_no_more_memory_than_a_short_one_but_for_itself(tmp_path: Path) -> None:
    sizes = replace(SMALL.autoencoder, channels=8)
    drawn(sizes, tmp_path)
    codec = codec_of(sizes, tmp_path)
    short, long = beyond(codec, 96), beyond(codec, 8 * 96)
    assert long["decode"] < 1.1 * short["decode"]  # measured 1.00: 3.7 MB beside 0.1 and 0.8 MB
    song = 7 * 96 * codec.hop * 4  # bytes
    assert long["encode"] - short["encode"] < 1.1 * song  # the song itself, padded to whole frames
