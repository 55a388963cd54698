"""What a graph takes and gives, said once for the exporter, the parity check and the runtime."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Port:
    """One input or output: its name, and its axes as numbers or, where free, names of the shape legend."""

    name: str
    axes: tuple[int | str, ...]


@dataclass(frozen=True)
class GraphSpec:
    """A network as a file.

    largest    the most each free axis is built for
    tolerance  largest difference from torch, relative to the output's standard deviation
    """

    name: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    largest: dict[str, int]
    tolerance: float = 1e-3


def denoiser_spec(tracks: int, channels: int, frames: int, width: int) -> GraphSpec:
    """The Denoiser contract; T is fixed to the model's window."""
    return GraphSpec(
        name="denoiser",
        inputs=(
            Port("latents", ("B", tracks, channels, frames)),
            Port("levels", ("B", tracks)),
            Port("conditions", ("B", tracks, width)),
        ),
        outputs=(Port("velocity", ("B", tracks, channels, frames)),),
        largest={"B": 64},
    )
