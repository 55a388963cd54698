"""How much better the vocoder's waves are than Griffin-Lim's, on stems that no training song resembles."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from stemwright.engine.contracts import Array
from stemwright.engine.phase import ITERATIONS, griffin_lim
from stemwright.engine.runtimes.ort import Graph
from stemwright.engine.spectral import HOP, RATE, SpectralCodec, stft
from stemwright.engine.train.metrics import SECOND_FLOOR, log_mel_l1, rms
from stemwright.engine.train.mixing import LEVEL
from stemwright.engine.train.pool import SongPool
from stemwright.engine.train.vocoder import SIZES, one_resolution
from stemwright.engine.voicing import settled

Way = Callable[[Array], Array]

SECONDS = 5
SETTLINGS = (8, 32)  # iterations after the vocoder


def stems(pool: Path, count: int) -> list[Array]:
    """`count` stems (1, N) of a pool of rendered songs, spread over it, at the model's level."""
    frames = SECONDS * RATE // HOP * HOP
    songs = SongPool(pool).songs
    found = [wave for song in songs for wave in song.stems[:, 2 * RATE : 2 * RATE + frames]]
    waves = [np.asarray(wave, np.float32)[None] / np.float32(32768) for wave in found]
    audible = [wave * np.float32(LEVEL / rms(wave)) for wave in waves if rms(wave) > 3e-3]
    places = np.linspace(0, len(audible) - 1, min(count, len(audible))).round().astype(int)
    return [audible[place] for place in places]


def ways(graph: Graph, codec: SpectralCodec) -> dict[str, Way]:
    """Every way from a true wave (1, N) through its latents to a wave again."""

    def voiced(wave: Array) -> tuple[Array, Array]:
        waves, amplitudes = graph.run(bands=codec.bands(codec.encode(wave)))
        return waves, amplitudes

    table: dict[str, Way] = {
        f"Griffin-Lim {ITERATIONS} from the bands": lambda wave: codec.decode(codec.encode(wave)),
        "vocoder": lambda wave: voiced(wave)[0],
    }
    for count in SETTLINGS:
        table[f"vocoder, Griffin-Lim {count}"] = lambda wave, count=count: settled(*voiced(wave), count)  # type: ignore[misc]
    table[f"vocoder's amplitudes, Griffin-Lim {ITERATIONS}"] = lambda wave: griffin_lim(voiced(wave)[1])
    table[f"true amplitudes, Griffin-Lim {ITERATIONS}"] = lambda wave: griffin_lim(np.abs(stft(wave)))
    return table


def scores(made: Array, true: Array) -> dict[str, float]:
    """(1, N) twice.

    mel          Log-Mel L1, floor -100 dB
    loud mel     the same with a floor of -60 dB
    resolutions  log amplitudes' L1 plus spectral convergence, mean over five window sizes
    convergence  norm of the amplitudes' error over that of the amplitudes, at the codec's window
    """
    both = torch.from_numpy(made), torch.from_numpy(true)
    wanted = np.abs(stft(true))
    return {
        "mel": log_mel_l1(made[0], true[0]),
        "loud mel": log_mel_l1(made[0], true[0], SECOND_FLOOR),
        "resolutions": float(np.mean([float(one_resolution(*both, size)) for size in SIZES])),
        "convergence": float(np.linalg.norm(np.abs(stft(made)) - wanted) / np.linalg.norm(wanted)),
    }


def evaluate(graph: Path, codec: SpectralCodec, pool: Path, count: int = 24) -> dict[str, dict[str, float]]:
    """Way → metric → median over stems."""
    waves, table = stems(pool, count), ways(Graph(graph), codec)
    results = {}
    for name, way in table.items():
        rows = [scores(way(wave), wave) for wave in waves]
        results[name] = {key: round(float(np.median([row[key] for row in rows])), 3) for key in rows[0]}
    return results
