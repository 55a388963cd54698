"""What all live-coding tests need: songs with odd names, settings for a client's script, and what it said."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from tests.bridge.real import ROOT

HERE = Path(__file__).parent
PATIENCE = 600.0  # seconds for a whole session; half a minute on a machine with nothing else to do
SCRIPTS = ROOT / "daw_scripts" / "live_coding"
RATE = 48000  # Hz, of JACK
BAR = 2 * RATE  # frames: four beats at 120 a minute
HEADLESS = {"QT_QPA_PLATFORM": "offscreen", "QTWEBENGINE_DISABLE_SANDBOX": "1"}  # the latter for root

Sound = NDArray[np.float64]


@dataclass(frozen=True)
class Studio:
    """A running server; all of `folder` may be read by it."""

    port: int
    spool: Path
    folder: Path
    song: Path  # two seconds, stereo; its name has spaces, quotes and letters of other alphabets
    bar: Path  # the same, mono

    def out(self, name: str) -> Path:
        """A folder for a client's files, new."""
        folder = self.folder / name
        folder.mkdir()
        return folder

    def environment(self, out: Path, song: Path, **more: object) -> dict[str, str]:
        """What a client's script reads; its home is `out`, so that it knows no settings of ours."""
        words = {"port": self.port, "song": song, "out": out, **more}
        found = {f"STEMWRIGHT_{key.upper()}": str(value) for key, value in words.items()}
        return {**found, "HOME": str(out), "XDG_RUNTIME_DIR": str(out)}


def write_songs(folder: Path) -> tuple[Path, Path]:
    """→ the paths of two seconds of the demo song, stereo and mono"""
    folder.mkdir()
    wave, rate = soundfile.read(ROOT / "engine" / "demo" / "boas.flac", stop=44100 * 4, always_2d=True)
    wave = soxr.resample(wave, rate, RATE)[RATE : RATE + BAR]
    song, bar = folder / 'bo\'as "live" дом 音.wav', folder / "bar.wav"
    soundfile.write(song, wave, RATE, subtype="FLOAT")
    soundfile.write(bar, wave.mean(axis=1), RATE, subtype="FLOAT")
    return song, bar


def said(lines: list[str]) -> dict[str, list[list[str]]]:
    """What a script said in lines of its own, "said:", a key and values with tabs between, by key."""
    found: dict[str, list[list[str]]] = {}
    for line in lines:
        if line.startswith("said:\t"):
            _, key, *values = line.split("\t")
            found.setdefault(key, []).append(values)
    return found


def sound_of(path: Path | str) -> Sound:
    """(K, N) at RATE"""
    wave, rate = soundfile.read(path, always_2d=True)
    assert rate == RATE
    return np.asarray(wave.T)


def mono(path: Path | str) -> Sound:
    """(N,)"""
    return np.asarray(sound_of(path).mean(axis=0))


def places(heard: Sound, wanted: Sound, *, least: float = 0.99) -> list[int]:
    """Where in `heard` a sound begins, in frames: lags of a correlation of at least `least`, one a peak."""
    size = 1 << (len(heard) + len(wanted)).bit_length()
    product = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(wanted, size)), size)
    lags = len(heard) - len(wanted) + 1
    energy = np.concatenate([[0.0], np.cumsum(heard**2)])
    norm = np.sqrt(np.maximum(energy[len(wanted) :] - energy[: -len(wanted)], 1e-9)) * np.linalg.norm(wanted)
    alike = product[:lags] / norm[:lags]
    found = []
    while (best := int(np.argmax(alike))) >= 0 and alike[best] >= least:
        found.append(best)
        alike[max(0, best - RATE // 4) : best + RATE // 4] = 0
    return sorted(found)
