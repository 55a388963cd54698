"""The compact denoiser (`engine.models.bandconv`) drawn for the processor, one row of a batch at a time.

What a model's folder brings is exported for every runtime and any batch. Here the same network is two
graphs: what noise levels and prompts do, as one vector, which is the same for every window of a song; and a
step, in which that vector's parts are the scales and shifts of its norms and the gates of its products, as
they can be where a batch is one row. Rows one after the other also stay in the cache, where a batch does not.

fast: wide products are in 8 bits. Weights have 7 bits and a sign, a scale a column; what comes in is put on
8 bits by its own range at every run. Seven, because processors without VNNI add two 8-bit products in 16
bits, which overflow: so the same numbers come out everywhere. Single stay the narrow products by which
latents come in and go out, those that are not of a weight, and at low levels the first block, for there noise
is a small part of what comes in, and in 8 bits it is lost.

S tracks · G band groups · K coefficients of a group · T latent frames · W width · D conditioning width
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stemwright.engine.contracts import Array
from stemwright.engine.runtimes.onnxfile import read
from stemwright.engine.runtimes.quantise import stored
from stemwright.engine.runtimes.sketch import Sketch

Layout = tuple[tuple[str, int], ...]  # names and sizes of a vector's parts
NORM = "LayerNormalization"
COUNTED = "tracks groups coefficients width depth attend_every heads conditioning octaves".split()
STORED = ".stored"  # what an exported graph calls a weight, after its name


@dataclass(frozen=True)
class Sizes:
    """Of the network, as in `BandConvConfig`, and how many latent frames it is given."""

    window: int
    tracks: int = 3
    groups: int = 12
    coefficients: int = 16
    width: int = 128
    depth: int = 12
    kernel: tuple[int, int] = (11, 5)
    attend_every: int = 3
    heads: int = 4
    conditioning: int = 384
    octaves: int = 16

    @property
    def cells(self) -> int:
        return self.groups * self.window

    @property
    def latents(self) -> tuple[int, ...]:
        """(1, S, C, T)"""
        return (1, self.tracks, self.groups * self.coefficients, self.window)

    def attends(self, block: int) -> bool:
        """Whether there is attention before a block."""
        return bool(self.attend_every) and 0 < block < self.depth and block % self.attend_every == 0

    def is_coloured(self, block: int) -> bool:
        return block in (0, self.depth // 2)


def sizes_of(network: Mapping[str, Any], window: int) -> Sizes:
    """From the manifest's description of the network."""
    known = {name: network[name] for name in COUNTED if name in network}
    height, length = network.get("kernel", Sizes.kernel)
    return Sizes(window, kernel=(height, length), **known)


def weights_of(path: Path) -> dict[str, Array]:
    """An exported graph's weights by the names they have in the network, in single precision."""
    constants = read(path).constants
    return {
        name.removesuffix(STORED): np.asarray(constants[name], np.float32)
        for name in constants
        if name.endswith(STORED)
    }


def layout(sizes: Sizes) -> Layout:
    """What noise levels and prompts give a step, in the order of the vector."""
    return tuple(_parts(sizes))


def _parts(sizes: Sizes) -> Iterator[tuple[str, int]]:
    for block in range(sizes.depth):
        if sizes.is_coloured(block):
            yield f"colours.{min(block, 1)}", sizes.groups * sizes.width
        for kind in ("attentions", "blocks") if sizes.attends(block) else ("blocks",):
            for part in ("scale", "shift", "gate"):
                yield f"{kind}.{block}.{part}", sizes.width
    yield "skips", sizes.tracks**2 * sizes.groups * sizes.coefficients


def modulation_graph(sizes: Sizes, weights: Mapping[str, Array]) -> bytes:
    """levels (1, S), conditions (1, S, D) → modulation, the parts of `layout` one after the other"""
    draw = Sketch()
    joined = condition(draw, sizes, weights)
    one = draw.constant(1.0)
    found: dict[str, str] = {}
    for name in [name.removesuffix(".gate") for name, _ in layout(sizes) if name.endswith(".gate")]:
        scale, shift, gate = draw.nodes(
            "Split", 3, linear(draw, weights, f"{name}.modulation", joined), axis=1, num_outputs=3
        )
        found |= {f"{name}.scale": draw.node("Add", scale, one), f"{name}.shift": shift, f"{name}.gate": gate}
    entering = draw.reshaped(entered(draw, sizes, weights), 1, -1)
    found["colours.0"] = draw.node("Add", entering, linear(draw, weights, "colours.0", joined))
    found["colours.1"] = linear(draw, weights, "colours.1", joined)
    found["skips"] = linear(draw, weights, "skips", joined)
    order = layout(sizes)
    whole = draw.node("Concat", *(found[name] for name, _ in order), axis=1)
    total = sum(size for _, size in order)
    draw.named("Reshape", ["modulation"], whole, draw.constant([total]))
    return draw.finished(
        {"levels": (1, sizes.tracks), "conditions": (1, sizes.tracks, sizes.conditioning)},
        {"modulation": (total,)},
    )


def condition(draw: Sketch, sizes: Sizes, weights: Mapping[str, Array]) -> str:
    """(1, hidden), as `BandConv.condition`"""
    octaves = draw.constant((np.pi / 4 * 2.0 ** np.arange(sizes.octaves)).reshape(1, 1, -1))
    angles = draw.node("Mul", draw.reshaped("levels", 1, sizes.tracks, 1), octaves)
    waves = draw.node("Concat", draw.node("Sin", angles), draw.node("Cos", angles), axis=2)
    hidden = silu(draw, linear(draw, weights, "noise.0", draw.reshaped(waves, 1, -1)))
    summed = linear(draw, weights, "noise.2", hidden)
    size = draw.node("ReduceMax", draw.node("Abs", "conditions"), draw.constant([2]), keepdims=1)
    is_prompted = draw.node("Greater", size, draw.constant(0.0))
    filled = draw.node("Where", is_prompted, "conditions", draw.constant(weights["unprompted"][None]))
    prompts = draw.nodes("Split", sizes.tracks, filled, axis=1, num_outputs=sizes.tracks)
    for track, prompt in enumerate(prompts):
        flat = draw.reshaped(prompt, 1, sizes.conditioning)
        summed = draw.node("Add", summed, linear(draw, weights, f"prompts.{track}", flat))
    return silu(draw, linear(draw, weights, "join.1", silu(draw, summed)))


def entered(draw: Sketch, sizes: Sizes, weights: Mapping[str, Array]) -> str:
    """(G, W): what every cell of a band group begins with beside its latents"""
    marks = weights["enter.weight"][:, sizes.tracks * sizes.coefficients :]
    places = weights["place"].reshape(sizes.groups, sizes.width) + weights["enter.bias"]
    product = draw.node("MatMul", "levels", draw.constant(marks.T))
    return draw.node("Add", draw.constant(places), product)


def linear(draw: Sketch, weights: Mapping[str, Array], name: str, x: str) -> str:
    """A layer on (rows, inputs)"""
    weight, bias = draw.constant(weights[f"{name}.weight"].T), draw.constant(weights[f"{name}.bias"])
    return draw.node("Gemm", x, weight, bias)


def silu(draw: Sketch, x: str) -> str:
    return draw.node("microsoft.QuickGelu", x, alpha=1.0)


@dataclass(frozen=True)
class Step:
    """What every part of a step needs. singles: how many blocks, from the first, are in full precision"""

    draw: Sketch
    sizes: Sizes
    weights: Mapping[str, Array]
    is_fast: bool = False
    singles: int = 0

    def product(self, name: str, x: str, *, is_single: bool, gate: str = "") -> str:
        """A wide layer on (cells, inputs), times a gate of its outputs"""
        if self.is_fast and not is_single:
            return self._narrow(name, x, gate)
        made = linear(self.draw, self.weights, name, x)
        return self.draw.node("Mul", made, gate) if gate else made

    def _narrow(self, name: str, x: str, gate: str) -> str:
        """In 8 bits; the gate is a factor of the scales and the bias."""
        draw = self.draw
        kept = stored(name, self.weights[f"{name}.weight"].T)
        whole, scales, zeros = (
            draw.constant(kept[f"{name}.{part}"]) for part in ("whole", "scales", "zeros")
        )
        bias = draw.constant(self.weights[f"{name}.bias"])
        if gate:
            scales, bias = draw.node("Mul", scales, gate), draw.node("Mul", bias, gate)
        return draw.node("microsoft.DynamicQuantizeMatMul", x, whole, scales, zeros, bias)


def step_graph(
    sizes: Sizes, weights: Mapping[str, Array], *, is_fast: bool = False, singles: int = 0
) -> bytes:
    """latents (1, S, C, T), modulation → velocity (1, S, C, T), as `BandConv`"""
    draw, order = Sketch(), layout(sizes)
    draw.named("Split", [name for name, _ in order], "modulation", draw.constant([size for _, size in order]))
    step = Step(draw, sizes, weights, is_fast, singles)
    x = arrived(step)
    for block in range(sizes.depth):
        if sizes.is_coloured(block):
            x = coloured(step, x, f"colours.{min(block, 1)}")
        if sizes.attends(block):
            x = attended(step, x, block)
        x = passed(step, x, block)
    ones, zeros = draw.constant(np.ones(sizes.width)), draw.constant(np.zeros(sizes.width))
    leaving = linear(draw, weights, "leave", draw.node(NORM, x, ones, zeros, axis=-1))
    by_track = draw.reshaped(leaving, sizes.groups, sizes.window, sizes.tracks, sizes.coefficients)
    own = draw.reshaped(draw.node("Transpose", by_track, perm=[2, 0, 3, 1]), *sizes.latents)
    draw.named("Add", ["velocity"], own, carried(step))
    total = sum(size for _, size in order)
    return draw.finished({"latents": sizes.latents, "modulation": (total,)}, {"velocity": sizes.latents})


def arrived(step: Step) -> str:
    """Latents as (cells, W)"""
    draw, sizes = step.draw, step.sizes
    inputs = sizes.tracks * sizes.coefficients
    by_group = draw.reshaped("latents", sizes.tracks, sizes.groups, sizes.coefficients, sizes.window)
    cells = draw.reshaped(draw.node("Transpose", by_group, perm=[1, 3, 0, 2]), sizes.cells, inputs)
    return draw.node("MatMul", cells, draw.constant(step.weights["enter.weight"][:, :inputs].T))


def coloured(step: Step, x: str, name: str) -> str:
    """x + a vector of each band group"""
    draw, sizes = step.draw, step.sizes
    by_group = draw.reshaped(x, sizes.groups, sizes.window, sizes.width)
    made = draw.node("Add", by_group, draw.reshaped(name, sizes.groups, 1, sizes.width))
    return draw.reshaped(made, sizes.cells, sizes.width)


def passed(step: Step, x: str, block: int) -> str:
    """`Block`"""
    draw, name = step.draw, f"blocks.{block}"
    is_single = block < step.singles
    mixed = convolved(step, x, name)
    normed = draw.node(NORM, mixed, f"{name}.scale", f"{name}.shift", axis=-1)
    hidden = silu(draw, step.product(f"{name}.up", normed, is_single=is_single))
    found = step.product(f"{name}.down", hidden, is_single=is_single, gate=f"{name}.gate")
    return draw.node("Add", x, found)


def convolved(step: Step, x: str, name: str) -> str:
    """Every channel over its neighbours in band group and time"""
    draw, sizes = step.draw, step.sizes
    image = draw.reshaped(x, 1, sizes.groups, sizes.window, sizes.width)
    image = draw.node("Transpose", image, perm=[0, 3, 1, 2])
    kernel, bias = (draw.constant(step.weights[f"{name}.{part}"]) for part in ("kernel", "bias"))
    pads = [size // 2 for size in sizes.kernel] * 2
    made = draw.node("Conv", image, kernel, bias, group=sizes.width, pads=pads, kernel_shape=sizes.kernel)
    return draw.reshaped(draw.node("Transpose", made, perm=[0, 2, 3, 1]), sizes.cells, sizes.width)


def attended(step: Step, x: str, block: int) -> str:
    """`Attention`: a row of the runtime's operator is a band group"""
    draw, sizes, name = step.draw, step.sizes, f"attentions.{block}"
    normed = draw.node(NORM, x, f"{name}.scale", f"{name}.shift", axis=-1)
    sought = step.product(f"{name}.seek", normed, is_single=False)
    query, key, value = draw.nodes("Split", 3, sought, axis=1, num_outputs=3)
    shape = (sizes.groups, sizes.window, sizes.width)
    found = draw.node(
        "microsoft.MultiHeadAttention",
        *(draw.reshaped(head_normed(step, part), *shape) for part in (query, key)),
        draw.reshaped(value, *shape),
        num_heads=sizes.heads,
    )
    flat = draw.reshaped(found, sizes.cells, sizes.width)
    return draw.node("Add", x, step.product(f"{name}.gather", flat, is_single=False, gate=f"{name}.gate"))


def head_normed(step: Step, x: str) -> str:
    """(cells × heads, width of a head), each normalised"""
    draw, width = step.draw, step.sizes.width // step.sizes.heads
    ones, zeros = draw.constant(np.ones(width)), draw.constant(np.zeros(width))
    return draw.node(NORM, draw.reshaped(x, -1, width), ones, zeros, axis=-1)


def carried(step: Step) -> str:
    """What of each track's latents goes to each track's velocity unchanged"""
    draw, sizes = step.draw, step.sizes
    gates = draw.reshaped("skips", sizes.tracks, sizes.tracks, -1, 1)
    summed = draw.node("ReduceSum", draw.node("Mul", gates, "latents"), draw.constant([1]), keepdims=0)
    return draw.reshaped(summed, *sizes.latents)
