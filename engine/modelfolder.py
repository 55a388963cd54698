"""A model is a folder: `manifest.json` beside its weights and graphs. Found by name, verified, then opened.

Shipped models lie in the package, a user's own under $STEMWRIGHT_MODELS or in the platform's data folder.
Nothing in them is unpickled, and nothing outside the folder is read (`modelfiles`).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np

from stemwright.engine.contracts import Array, Codec, Conditioner, Denoiser
from stemwright.engine.errors import ModelDamaged, ModelError, ModelMissing, ModelTooNew
from stemwright.engine.manifest import NAME, Fields, Manifest
from stemwright.engine.modelfiles import AGAIN, listed, verify
from stemwright.engine.places import own_folder
from stemwright.engine.runtimes.bandgraph import COUNTED, Sizes, sizes_of
from stemwright.engine.runtimes.choice import Network, open_denoiser
from stemwright.engine.runtimes.eager import EagerDenoiser, best_device, open_network
from stemwright.engine.runtimes.modulated import Modulated
from stemwright.engine.runtimes.oobleck import Decoder, Encoder
from stemwright.engine.runtimes.ort import Graph, cores
from stemwright.engine.spectral import BANDS, PATCH, STRIDE, SpectralCodec
from stemwright.engine.tracks import TrackSet
from stemwright.engine.voicing import Voice
from stemwright.engine.waveform import WaveformCodec
from stemwright.engine.wordless import Wordless

DEFAULT = "default"


@dataclass(frozen=True)
class Model:
    """An open model folder: its parts, ready to run.

    told  remarks on where it runs; one more when the processor takes over from a card
    """

    folder: Path
    manifest: Manifest
    codec: Codec
    conditioner: Conditioner
    denoiser: Denoiser
    voice: Voice | None = None
    told: Sequence[str] = ()

    @property
    def tracks(self) -> TrackSet:
        return self.manifest.tracks

    def waves(self, latents: Array) -> Array:
        """(B, C, T) → (B, T × hop): the vocoder's waveforms, or the codec's own where there is none."""
        return self.codec.decode(latents) if self.voice is None else self.voice(latents)


def shipped_folder() -> Path:
    """Where the models of the package lie."""
    return Path(str(files("stemwright.engine") / "weights"))


def user_folder() -> Path:
    """Where a user's own models lie: $STEMWRIGHT_MODELS, or the platform's data folder."""
    named = os.environ.get("STEMWRIGHT_MODELS")
    return Path(named) if named else own_folder("data") / "models"


def list_models() -> dict[str, Path]:
    """Every model by its name; a user's own stands before a shipped one of the same name."""
    found: dict[str, Path] = {}
    for above in (user_folder(), shipped_folder()):
        for path in sorted(above.glob("*/" + NAME)):
            found.setdefault(path.parent.name, path.parent)
    return dict(sorted(found.items()))


def find(name_or_path: str | os.PathLike[str] = DEFAULT) -> Path:
    """A model's folder by its name, or by a path that has a separator in it or leads to a manifest."""
    name = os.fspath(name_or_path)
    models = list_models()
    if name in models:
        return models[name]
    if name and (Path(name) / NAME).is_file():
        return Path(name)
    known = ", ".join(models) or "none"
    raise ModelMissing(
        f'there is no model "{name}"; known are: {known}. '
        f"Give one of these, or the path of a folder with a {NAME}."
    )


def open_model(
    name_or_path: str | os.PathLike[str] = DEFAULT,
    *,
    threads: int | None = None,
    device: str = "auto",
    profile: str = "best",
) -> Model:
    """Find, verify and open a model. `threads` None: one per core this process may use."""
    folder = find(name_or_path)
    manifest = verify(folder)
    threads = threads or cores()
    codec = _codec(folder, manifest, threads)
    opened = open_denoiser(network_of(folder, manifest, threads, device, profile), device)
    return Model(
        folder=folder,
        manifest=manifest,
        codec=codec,
        conditioner=_conditioner(folder, manifest, codec, threads),
        denoiser=_modulated(folder, manifest, opened.denoiser, threads),
        voice=_voice(folder, manifest, codec, threads),
        told=opened.told,
    )


def _unknown(what: str, kind: str, known: str) -> ModelError:
    return ModelTooNew(
        f'the model has a {what} of kind "{kind}"; this Stemwright knows {known}. Upgrade Stemwright.'
    )


def _codec(folder: Path, manifest: Manifest, threads: int) -> Codec:
    fields = Fields(dict(manifest.codec), folder / NAME, "codec.")
    kind = fields.take("kind", str)
    if kind == "oobleck":
        return _autoencoder(folder, manifest, fields, threads)
    if kind != "spectral":
        raise _unknown("codec", kind, '"spectral" and "oobleck"')
    return _spectral(manifest, fields)


def _autoencoder(folder: Path, manifest: Manifest, fields: Fields, threads: int) -> WaveformCodec:
    network = fields.inner("network")
    strides = tuple(network.take("strides", list))
    if not all(isinstance(stride, int) and stride > 0 and stride % 2 == 0 for stride in strides):
        raise network.wrong("strides", "are not even numbers")
    encoder, decoder = (listed(folder, manifest, fields.take(name, str)) for name in ("encoder", "decoder"))
    codec = WaveformCodec(
        Encoder(encoder, threads),
        Decoder(decoder, threads),
        rate=network.whole("rate", 1000, 384_000),
        audio_channels=network.whole("audio_channels", 1, 64),
        channels=network.whole("latent_channels", 1, 1 << 12),
        strides=strides,
    )
    if (codec.rate, codec.hop) != (manifest.rate, manifest.hop) or codec.hop % STRIDE:
        raise fields.wrong(
            "network",
            f"has the rate {codec.rate} and the hop {codec.hop}; the manifest's are {manifest.rate} and "
            f"{manifest.hop}, and a hop is a multiple of {STRIDE}",
        )
    return codec


def _spectral(manifest: Manifest, fields: Fields) -> SpectralCodec:
    kept, scales, means = fields.numbers("kept"), fields.numbers("scales"), fields.numbers("means")
    if not all(isinstance(place, int) and 0 <= place < PATCH**2 for place in kept):
        raise fields.wrong("codec.kept", f"holds places outside 0 to {PATCH**2 - 1}")
    if len(scales) != len(kept) or len(means) != BANDS:
        raise fields.wrong(
            "codec.scales", f"has {len(scales)} and means {len(means)}; {len(kept)} and {BANDS} belong"
        )
    floor = fields.number("floor", 1e-9, 100)
    codec = SpectralCodec(tuple(map(int, kept)), tuple(scales), tuple(means), floor)
    if (codec.rate, codec.hop) != (manifest.rate, manifest.hop):
        raise fields.wrong("rate", f"and hop are not the spectral codec's {codec.rate} and {codec.hop}")
    return codec


def _conditioner(folder: Path, manifest: Manifest, codec: Codec, threads: int) -> Conditioner:
    fields = Fields(dict(manifest.conditioning), folder / NAME, "conditioning.")
    kind = fields.take("kind", str, "none")
    if kind == "none":
        network = Fields(dict(manifest.denoiser), folder / NAME, "denoiser.").inner("network", {})
        return Wordless(manifest.name, network.whole("condition_width", 1, 1 << 16, 1))
    if kind == "clap":
        from stemwright.engine.clap import open_clap

        def file(name: str) -> Path:
            return listed(folder, manifest, name)

        return open_clap(fields, file, threads=threads)
    if kind != "text":
        raise _unknown("conditioner", kind, '"text" and "clap"')
    from stemwright.engine.conditioner import TextConditioner

    width = fields.whole("width", 1, 1 << 16)
    if width != TextConditioner.width:
        raise fields.wrong("conditioning.width", f"is {width}; the text tower gives {TextConditioner.width}")
    text, tokenizer = (listed(folder, manifest, fields.take(name, str)) for name in ("text", "tokenizer"))
    audio = fields.take("audio", str, "")
    if not audio:
        return TextConditioner(text, tokenizer)
    return TextConditioner(text, tokenizer, listed(folder, manifest, audio), levelled(codec, manifest.level))


def levelled(codec: Codec, level: float) -> Callable[[Array], Array]:
    """Encode waves (B, N) brought to this RMS in dBFS, as the model hears everything."""

    def encode(waves: Array) -> Array:
        loudness = np.sqrt(np.mean(waves**2, axis=1, keepdims=True))
        return codec.encode((waves * (10 ** (level / 20) / np.maximum(loudness, 1e-5))).astype(np.float32))

    return encode


def _voice(folder: Path, manifest: Manifest, codec: Codec, threads: int) -> Voice | None:
    if not manifest.vocoder:
        return None
    if not isinstance(codec, SpectralCodec):
        raise ModelDamaged(f"{folder / NAME}: has a vocoder, which only the spectral codec can use. {AGAIN}")
    name = Fields(manifest.vocoder, folder / NAME, "vocoder.").take("graph", str)
    return Voice(Graph(listed(folder, manifest, name), threads), codec)


def _modulated(folder: Path, manifest: Manifest, denoiser: Denoiser, threads: int) -> Denoiser:
    """The denoiser with what makes of the conditions what its graph is given; in torch it does so itself."""
    fields = Fields(dict(manifest.denoiser), folder / NAME, "denoiser.")
    name = fields.take("modulation", str, "")
    if not name or isinstance(denoiser, EagerDenoiser):
        return denoiser
    return Modulated(denoiser, Graph(listed(folder, manifest, name), threads))


def network_of(
    folder: Path, manifest: Manifest, threads: int = 1, device: str = "auto", profile: str = "best"
) -> Network:
    """The denoiser's files, each of which must be among those that were verified."""
    fields = Fields(dict(manifest.denoiser), folder / NAME, "denoiser.")
    made_for = fields.whole("window", 1, 1 << 16, manifest.window)
    if made_for != manifest.window:
        raise fields.wrong(
            "denoiser.window",
            f"is {made_for} latent frames and the model's is {manifest.window}: what the denoiser gives "
            f"depends on the length it was made for (import it with --window {manifest.window})",
        )
    graph, weights, modulation = (fields.take(name, str, "") for name in ("graph", "weights", "modulation"))
    paths = [listed(folder, manifest, name) if name else None for name in (graph, weights, modulation)]

    def eager() -> EagerDenoiser:
        path = listed(folder, manifest, fields.take("weights", str))
        network = open_network(fields.take("kind", str), fields.take("network", dict), path)
        return EagerDenoiser(network, best_device(device))

    return Network(
        model=folder,
        graph=paths[0],
        weights=paths[1],
        hashes=(
            manifest.files[graph].sha256 if graph else "",
            manifest.files[weights].sha256 if weights else "",
        ),
        eager=eager,
        threads=threads,
        profile=profile,
        modulation=paths[2],
        sizes=_compact_sizes(fields, manifest.window),
    )


def _compact_sizes(fields: Fields, window: int) -> Sizes | None:
    """Of a compact denoiser, whose manifest may leave out what is usual."""
    if fields.take("kind", str, "") != "bandconv":
        return None
    network = fields.inner("network", {})
    usual = Sizes(window)
    counts = {name: network.whole(name, 0, 1 << 12, getattr(usual, name)) for name in COUNTED}
    kernel = network.take("kernel", list, list(usual.kernel))
    if len(kernel) != 2 or not all(isinstance(size, int) and 0 < size < 100 for size in kernel):
        raise network.wrong("kernel", "is not two sizes")
    return sizes_of({**counts, "kernel": kernel}, window)
