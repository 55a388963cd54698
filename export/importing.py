"""A checkpoint → a model folder among the user's own, whole or not at all.

The file is looked through before anything is written: its form, its keys, its shapes, the room on the disk.
Then it is converted tensor by tensor, mapped from the disk, so that memory stays near the file's own size.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor

from stemwright.engine.errors import BadInput, BadOutput, ModelDamaged
from stemwright.engine.job import OnProgress
from stemwright.engine.modelfiles import write_manifest
from stemwright.engine.modelfolder import user_folder
from stemwright.engine.models.official import State, check_state, hollow_dit, hollow_oobleck, split_state
from stemwright.engine.models.oobleck import plain_weight
from stemwright.engine.pace import Pace
from stemwright.engine.partfile import FULL
from stemwright.export.checkpoint import pickle_of, read_checkpoint
from stemwright.export.family import Family, plain_name
from stemwright.export.networks import ANGLES
from stemwright.export.official_graphs import (
    AUTOENCODER,
    DECODER,
    DENOISER,
    ENCODER,
    MODULATION,
    STEP,
    write_graphs,
)
from stemwright.export.store import Store

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
SLACK = 64 << 20  # bytes beside the weights: graphs, manifest
MEGABYTE = 1 << 20
LEVEL = -18.0  # dBFS; the authors leave music as loud as it is
DEFAULTS = {  # more steps where no given track decides; not measured on the authors' weights
    "extract": {"steps": 8, "guidance": 1.0, "sampler": "unipc"},
    "add": {"steps": 12, "guidance": 2.0, "sampler": "unipc"},
    "accompany": {"steps": 12, "guidance": 2.0, "sampler": "unipc"},
    "generate": {"steps": 25, "guidance": 2.0, "sampler": "unipc"},
}
CLAP_SAYS = b"audio_branch."
LICENCE = "as the authors give it for their weights; their code is under MIT"
AUTHORS = "MGE-LDM, arXiv 2505.23305; github.com/yoongi43/MGE-LDM"


@dataclass(frozen=True)
class Request:
    """What is to be imported, and as what.

    checkpoint   of the denoiser, with or without the autoencoder
    clap         CLAP's checkpoint, and tokenizer: roberta-base's; without them prompts are not understood
    autoencoder  a file of its own; its weights come before those of the checkpoint
    precision    of what is stored: "fp32", "fp16", "bf16"
    name         of the model; "" is the family's
    """

    checkpoint: Path
    family: Family
    clap: Path | None = None
    tokenizer: Path | None = None
    autoencoder: Path | None = None
    precision: str = "fp32"
    name: str = ""
    is_overwriting: bool = False


def import_model(request: Request, on_progress: OnProgress | None = None) -> Path:
    """Make the model folder; → its path. What it raises leaves nothing behind."""
    folder = place(request)
    check_prompts(request)
    denoiser, autoencoder = networks(request)
    sources = [request.checkpoint, *filter(None, (request.autoencoder, request.clap))]
    stored = 2 if request.precision != "fp32" else 4
    needed = stored * sum(tensor.numel() for state in (denoiser, autoencoder) for tensor in state.values())
    needed += SLACK + (request.clap.stat().st_size if request.clap else 0)
    check_room(folder.parent, needed)
    reading = sum(source.stat().st_size for source in sources)
    pace = Pace((reading + 2 * needed) // MEGABYTE + 1, on_progress)
    with making(folder, request) as part:
        hashes = {source.name: digest(source, pace) for source in sources}
        dtype = PRECISIONS[request.precision]
        convert(alone(denoiser), part / DENOISER, dtype, pace)
        convert(paired(autoencoder), part / AUTOENCODER, dtype, pace)
        del denoiser, autoencoder
        write_graphs(request.family, part, lambda: pace.tick("graphs"))
        conditioning = with_clap(request, part)
        names = [path.name for path in sorted(part.iterdir())]
        pace.tick("hash")
        write_manifest(part, content(request, hashes, conditioning), names)
    return folder


def check_prompts(request: Request) -> None:
    """Whether CLAP, if it is given, is one for this denoiser."""
    if request.clap is not None:
        from stemwright.export.clap import check_clap

        check_clap(request.clap, request.tokenizer, request.family.denoiser.condition_width)


def with_clap(request: Request, folder: Path) -> dict[str, Any]:
    """CLAP's graphs into the folder; → the manifest's conditioning, nothing where there is no CLAP."""
    if request.clap is None:
        return {}
    from stemwright.export.clap import export_clap

    return export_clap(request.clap, request.tokenizer, folder, half=request.precision != "fp32")


def place(request: Request) -> Path:
    """Where the model will be; what is there already is kept unless it may be replaced."""
    name = request.name or request.family.name
    if not plain_name(name):
        raise BadInput(f'--name "{name}": a name is letters, digits, "-", "_" or "."; choose another.')
    folder = user_folder() / name
    if folder.exists() and not request.is_overwriting:
        raise BadOutput(
            f"{folder}: a model of this name is there already and is kept. "
            "Use --overwrite, or another --name."
        )
    return folder


def networks(request: Request) -> tuple[State, State]:
    """The tensors of both networks, held against the family's sizes."""
    denoiser, autoencoder = opened(request.checkpoint)
    if request.autoencoder:
        _, autoencoder = opened(request.autoencoder)
    if not denoiser:
        raise ModelDamaged(
            f"{request.checkpoint}: is the autoencoder alone, which makes no stems. Give the denoiser's "
            "file first: stemwright models import unwrapped_DiT.ckpt --autoencoder FILE"
        )
    if not autoencoder:
        raise ModelDamaged(
            f"{request.checkpoint}: has no autoencoder (pretransform.model.*). "
            "Give its file as well: --autoencoder unwrapped_AE.ckpt"
        )
    sizes = request.family
    with told_of(request.checkpoint):
        check_state(hollow_dit(sizes.denoiser), denoiser, "denoiser")
    with told_of(request.autoencoder or request.checkpoint):
        check_state(hollow_oobleck(sizes.autoencoder), autoencoder, "autoencoder")
    return denoiser, autoencoder


def opened(path: Path) -> tuple[State, State]:
    if CLAP_SAYS in pickle_of(path):
        raise ModelDamaged(
            f"{path}: is a CLAP checkpoint, which understands prompts but makes no sound. Give the "
            "denoiser's file first: stemwright models import unwrapped_DiT.ckpt --clap FILE"
        )
    state = read_checkpoint(path)
    with told_of(path):
        return split_state(state)


@contextmanager
def told_of(path: Path) -> Iterator[None]:
    """What is wrong inside a file names the file."""
    try:
        yield
    except ModelDamaged as error:
        raise ModelDamaged(f"{path}: {error}") from error


def check_room(folder: Path, needed: int) -> None:
    """Refuse before anything is written where the disk has less than that many bytes."""
    there = next(above for above in (folder, *folder.parents) if above.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise BadOutput(
            f"{folder}: the model takes {needed / 1e9:.2f} GB and {free / 1e9:.2f} GB are free. Free some "
            "space, set STEMWRIGHT_MODELS to a folder elsewhere, or halve it: --precision fp16"
        )


@contextmanager
def making(folder: Path, request: Request) -> Iterator[Path]:
    """A folder to fill, which takes its place when the block ends well, and is gone when it does not."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=folder.parent, prefix=".import-", ignore_cleanup_errors=True) as name:
            part = Path(name) / "model"
            part.mkdir()
            yield part
            if folder.exists() and request.is_overwriting:
                folder.rename(Path(name) / "before")
            part.rename(folder)
    except OSError as error:
        remedy = "Free some space" if error.errno in FULL else "Check the folder and its permissions"
        raise BadOutput(
            f"{folder}: cannot be written ({error.strerror or error}); nothing is left of it. {remedy}."
        ) from error


def digest(path: Path, pace: Pace) -> str:
    """sha256 of the file as it was given."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(8 * MEGABYTE):
            found.update(chunk)
            pace.tick("read", len(chunk) // MEGABYTE)
    return found.hexdigest()


Stored = Mapping[str, tuple[Tensor, ...]]  # a weight's key → itself, or its length and direction


def alone(state: State) -> Stored:
    """Tensors that are stored as they are."""
    return {key: (tensor,) for key, tensor in state.items()}


def paired(state: State) -> Stored:
    """The autoencoder's, under the keys they have once weight norm is folded in."""
    return {
        key.removesuffix("_v"): (state[key.removesuffix("_v") + "_g"], tensor)
        if key.endswith("weight_v")
        else (tensor,)
        for key, tensor in state.items()
        if not key.endswith("weight_g")
    }


def convert(state: Stored, path: Path, dtype: torch.dtype, pace: Pace) -> None:
    """Write the tensors, one by one, in this precision; what is small, or an angle, stays single."""
    with Store(path, list(state)) as store:
        for key, tensors in state.items():
            whole = (plain_weight(*tensors) if len(tensors) > 1 else tensors[0]).float()
            if not bool(whole.isfinite().all()):
                raise ModelDamaged(f"{key} holds what are no finite numbers. Fetch the checkpoint again.")
            narrow = whole.to(dtype)
            is_exact = whole.ndim < 2 or key in ANGLES or not bool(narrow.isfinite().all())
            store.add(key, whole if is_exact else narrow)
            pace.tick("convert", whole.numel() * whole.element_size() // MEGABYTE)


def content(request: Request, hashes: dict[str, str], conditioning: dict[str, Any]) -> dict[str, Any]:
    """The manifest without its hashes."""
    family = request.family
    sizes = family.autoencoder
    return {
        "name": request.name or family.name,
        "family": family.name,
        "tracks": list(family.tracks),
        "rate": sizes.rate,
        "hop": sizes.hop,
        "window": family.window,
        "level": LEVEL,
        "schedule": {"grid": "auto", "last": 0.02},
        "codec": {"kind": "oobleck", "encoder": ENCODER, "decoder": DECODER, "network": asdict(sizes)},
        "conditioning": conditioning,
        "denoiser": {
            "kind": "dit",
            "graph": STEP,
            "modulation": MODULATION,
            "weights": DENOISER,
            "window": family.window,
            "network": asdict(family.denoiser),
        },
        "defaults": DEFAULTS,
        "licence": LICENCE,
        "provenance": {
            "authors": AUTHORS,
            "made_of": hashes,
            "precision": request.precision,
            "by": f"stemwright {version('stemwright')}",
        },
    }
