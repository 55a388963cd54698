"""torch → TensorRT plan by torch-tensorrt's dynamo path, where torch with CUDA is: the second builder.

What comes out is TensorRT's own plan, which lies in the same cache, under the same checks, and is run without
torch; not a torch package, which would have to be unpickled, and not torch-tensorrt's own cache, whose key
knows neither weights nor card. Not run by our tests, which have no card: there a fake holds the call against
the documented signature, and the program that is handed over is run on the processor.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from stemwright.engine.errors import MissingExtra, ModelDamaged
from stemwright.export.parity import sample, sized
from stemwright.export.spec import GraphSpec

INSTALL = "pip install 'stemwright[tensorrt]'"
HALVES = {"fp16": torch.float16, "bf16": torch.bfloat16}
PRODUCTS: tuple[Callable[..., Any], ...] = (
    F.linear,
    F.conv1d,
    F.conv2d,
    F.conv_transpose1d,
    F.scaled_dot_product_attention,
    torch.matmul,
    torch.bmm,
    Tensor.matmul,
    Tensor.__matmul__,
)


def open_api() -> Any:
    """torch-tensorrt's module; MissingExtra tells what is absent and its command."""
    if not torch.cuda.is_available():
        raise MissingExtra(
            f"torch-tensorrt needs torch with CUDA and a card; torch {torch.__version__} here has none. "
            f"Install both: {INSTALL}, or choose --builder tensorrt_rtx"
        )
    try:
        import torch_tensorrt
    except (ImportError, OSError, RuntimeError) as error:
        raise MissingExtra(f"this builder needs: {INSTALL} ({error})") from error
    return torch_tensorrt


def tools(api: Any) -> tuple[str, ...]:
    """Names and versions that a plan depends on beside TensorRT's."""
    return (f"torch-tensorrt {api.__version__}", f"torch {torch.__version__}")


class Narrowing(TorchFunctionMode):
    """Products in half precision, in and out in single: what `narrow.narrowed` does to a graph."""

    def __init__(self, kind: torch.dtype) -> None:
        super().__init__()
        self.kind, self.is_single = kind, False

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: Iterable[Any] = (),
        named: Mapping[str, Any] | None = None,
    ) -> Any:
        named = named or {}
        if self.is_single or function not in PRODUCTS:
            return function(*arguments, **named)
        halves = [self._half(one) for one in arguments]
        return function(*halves, **{name: self._half(one) for name, one in named.items()}).float()

    def _half(self, one: Any) -> Any:
        return one.to(self.kind) if isinstance(one, Tensor) and one.dtype == torch.float32 else one


class Narrow(nn.Module):
    """A network with its products narrowed, but for those of modules whose name begins so."""

    def __init__(self, network: nn.Module, precision: str, singles: Collection[str]) -> None:
        super().__init__()
        self.network, self.kind, self.singles = network, HALVES.get(precision), tuple(singles)

    def forward(self, latents: Tensor, levels: Tensor, conditions: Tensor) -> Tensor:
        if self.kind is None:
            out: Tensor = self.network(latents, levels, conditions)
            return out
        with Narrowing(self.kind) as mode, held_single(self.network, self.singles, mode):
            narrow: Tensor = self.network(latents, levels, conditions)
            return narrow


@contextmanager
def held_single(network: nn.Module, singles: tuple[str, ...], mode: Narrowing) -> Iterator[None]:
    """While these modules are at work the mode leaves products alone."""

    def switch(to: bool) -> Callable[..., None]:
        def hook(*_: Any) -> None:
            mode.is_single = to

        return hook

    chosen = [one for name, one in network.named_modules() if singles and f"{name}.".startswith(singles)]
    outer = [one for one in chosen if not any(one in other.modules() for other in chosen if other is not one)]
    hooks = [one.register_forward_pre_hook(switch(True)) for one in outer]
    hooks += [one.register_forward_hook(switch(False)) for one in outer]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def program(
    network: nn.Module, spec: GraphSpec, batch: tuple[int, int, int], precision: str, singles: Collection[str]
) -> torch.export.ExportedProgram:
    """The narrowed network for any batch of the profile, on the device that its weights are on."""
    narrow = Narrow(network.eval(), precision, singles)
    device = next(network.parameters()).device
    example = sample(spec, {"B": max(2, batch[1])})  # one of 1 would be taken for a constant
    free = torch.export.Dim("B", min=batch[0], max=max(2, batch[2]))
    with torch.no_grad():
        return torch.export.export(
            narrow,
            tuple(tensor.to(device) for tensor in example),
            dynamic_shapes=tuple({0: free} for _ in example),
        )


def build(
    network: nn.Module,
    spec: GraphSpec,
    batch: tuple[int, int, int],
    precision: str,
    singles: Collection[str],
    api: Any,
) -> bytes:
    """The plan's bytes, of one piece: what TensorRT cannot do is refused, not left to torch."""
    exported = program(network, spec, batch, precision, singles)
    inputs = [
        api.Input(
            **{
                f"{name}_shape": sized(port, {"B": size})
                for name, size in zip(("min", "opt", "max"), batch, strict=True)
            },
            dtype=torch.float32,
            name=port.name,
        )
        for port in spec.inputs
    ]
    with TemporaryDirectory(prefix="stemwright-torch-tensorrt-") as place:
        try:
            content = api.dynamo.convert_exported_program_to_serialized_trt_engine(
                exported,
                arg_inputs=inputs,
                require_full_compilation=True,
                min_block_size=1,
                disable_tf32=True,
                immutable_weights=True,
                attn_bias_is_causal=False,
                cache_built_engines=False,
                reuse_cached_engines=False,
                engine_cache_dir=place,
                timing_cache_path=str(Path(place) / "timing.bin"),  # theirs is in a folder open to all
            )
        except Exception as error:  # theirs, of many kinds
            line = (str(error).splitlines() or [type(error).__name__])[0][:300]
            raise ModelDamaged(
                f"torch-tensorrt {api.__version__} builds no plan ({line}). Choose --builder tensorrt"
            ) from error
    return bytes(content)
