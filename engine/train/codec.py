"""The spectral codec's tables, fitted to a pool: which DCT coefficients to keep, their scales, bands' means.

codec.json beside this file holds those of the shipped model. A denoiser works only with the tables it was
trained with.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.spectral import BANDS, PATCH, SpectralCodec, dct_basis, stft
from stemwright.engine.train.pool import SongPool

KEPT = 16
FLOOR = 0.27
LEVEL = 0.1  # RMS of a mixture


def fit_codec(pool: SongPool, songs: int, seed: int = 0) -> SpectralCodec:
    """Keep the coefficients of most variance over stems and mixtures of some songs.

    A latent's scale is the root of its coefficient's standard deviation, so that loud coefficients stay
    larger than quiet ones, and all latents together have unit variance.
    """
    rng = np.random.default_rng(seed)
    plain = SpectralCodec(tuple(range(PATCH**2)), (1.0,) * PATCH**2, (0.0,) * BANDS, FLOOR)
    logs = np.concatenate([log_bands(plain, pool.draw(rng).stems) for _ in range(songs)])
    means = logs.mean(axis=(0, 2))
    patches = (logs - means[:, None]).reshape(len(logs), BANDS // PATCH, PATCH, -1, PATCH)
    flat = patches.transpose(0, 1, 3, 2, 4).reshape(-1, PATCH**2)
    variances = np.square(flat @ dct_basis().T).mean(axis=0)
    kept = np.argsort(-variances)[:KEPT]
    scales = variances[kept] ** 0.25
    scales *= np.sqrt(np.mean(variances[kept] / scales**2))
    return SpectralCodec(tuple(map(int, kept)), tuple(map(float, scales)), tuple(map(float, means)), FLOOR)


def log_bands(codec: SpectralCodec, stems: NDArray[np.int16]) -> NDArray[np.float32]:
    """(S, N) stems → (S + 1, 96, M): theirs and their mixture's, at the model's level"""
    waves = np.concatenate([stems, stems.sum(axis=0, keepdims=True)]).astype(np.float32) / 32768
    gain = LEVEL / max(float(np.sqrt(np.mean(waves[-1] ** 2))), 1e-5)
    spectrum = stft((waves * gain).astype(np.float32))
    return codec.log_bands(spectrum.real**2 + spectrum.imag**2)


def write_codec(codec: SpectralCodec, path: Path) -> None:
    tables = {"kept": codec.kept, "scales": codec.scales, "means": codec.means, "floor": codec.floor}
    path.write_text(json.dumps(tables) + "\n", "utf-8")


def read_codec(path: str | Path) -> SpectralCodec:
    table = json.loads(Path(path).read_text("utf-8"))
    return SpectralCodec(tuple(table["kept"]), tuple(table["scales"]), tuple(table["means"]), table["floor"])
