"""What a graph takes and gives, said once for the exporter, the parity check and the plan builder."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """One input or output: its name, and its axes as numbers or, where free, names of the shape legend.

    An output's axis may be a product, spelled as the exporter does, e.g. "256*M".
    is_share  its numbers lie between 0 and 1, as noise levels do
    below     whole numbers from 0 to this, without it, as token ids are; 0: any numbers
    """

    name: str
    axes: tuple[int | str, ...]
    is_share: bool = False
    below: int = 0


@dataclass(frozen=True)
class Sizes:
    """How long a free axis is: at least, usually (what a plan is made fastest for), at most."""

    least: int
    usual: int
    most: int


@dataclass(frozen=True)
class GraphSpec:
    """A network as a file.

    sizes      of each free axis
    tolerance  largest difference from torch, relative to the output's standard deviation
    exact      weights kept in single precision, for they are angles and lose what they mean in half
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    sizes: Mapping[str, Sizes]
    tolerance: float = 1e-4
    exact: tuple[str, ...] = ()


BATCH = Sizes(1, 2, 64)
LATENT_FRAMES = Sizes(1, 80, 1 << 16)


def denoiser_spec(
    tracks: int, channels: int, frames: int, width: int, exact: tuple[str, ...] = ()
) -> GraphSpec:
    """The Denoiser contract; T is fixed to the model's window."""
    return GraphSpec(
        name="denoiser",
        inputs=(
            Port("latents", ("B", tracks, channels, frames)),
            Port("levels", ("B", tracks), is_share=True),
            Port("conditions", ("B", tracks, width)),
        ),
        outputs=(Port("velocity", ("B", tracks, channels, frames)),),
        sizes={"B": BATCH},
        exact=exact,
    )


def vocoder_spec(bands: int, bins: int, stride: int) -> GraphSpec:
    """Log bands of any length → waves, and the amplitudes they were made with."""
    return GraphSpec(
        name="vocoder",
        inputs=(Port("bands", ("B", bands, "M")),),
        outputs=(Port("waves", ("B", f"{stride}*M")), Port("amplitudes", ("B", bins, "M"))),
        sizes={"B": BATCH, "M": Sizes(2, 640, 1 << 16)},
        tolerance=1e-3,  # phases are sums over time
    )


def audio_spec(channels: int, width: int) -> GraphSpec:
    """Latents of a clip of any length → a direction of the prompts' space."""
    return GraphSpec(
        name="audio",
        inputs=(Port("latents", ("B", channels, "T")),),
        outputs=(Port("embedding", ("B", width)),),
        sizes={"B": BATCH, "T": LATENT_FRAMES},
    )


def clap_text_spec(words: int, longest: int, width: int) -> GraphSpec:
    """Token ids and their mask → a direction of CLAP's space."""
    return GraphSpec(
        name="clap_text",
        inputs=(Port("ids", ("B", "L"), below=words), Port("mask", ("B", "L"), below=2)),
        outputs=(Port("embedding", ("B", width)),),
        sizes={"B": BATCH, "L": Sizes(2, min(16, longest), longest)},
    )


def clap_audio_spec(frames: int, bins: int, width: int) -> GraphSpec:
    """Power spectra of a clip → a direction of CLAP's space."""
    return GraphSpec(
        name="clap_audio",
        inputs=(Port("power", ("B", frames, bins), is_share=True),),
        outputs=(Port("embedding", ("B", width)),),
        sizes={"B": BATCH},
    )


def encoder_spec(audio_channels: int, channels: int, frames: int, hop: int) -> GraphSpec:
    """A convolutional autoencoder's way in, of one window: (B, K, N) → the latents' means."""
    return GraphSpec(
        name="encoder",
        inputs=(Port("waves", ("B", audio_channels, frames * hop)),),
        outputs=(Port("latents", ("B", channels, frames)),),
        sizes={"B": BATCH},
    )


def decoder_spec(audio_channels: int, channels: int, frames: int, hop: int) -> GraphSpec:
    """And its way out."""
    return GraphSpec(
        name="decoder",
        inputs=(Port("latents", ("B", channels, frames)),),
        outputs=(Port("waves", ("B", audio_channels, frames * hop)),),
        sizes={"B": BATCH},
    )
