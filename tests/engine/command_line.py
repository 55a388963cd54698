"""The command line with a fake model: through `fake_engine`, or in another process by running this module."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from stemwright.engine.commands.stop import Stop
from stemwright.engine.contracts import Array
from stemwright.engine.engine import Engine
from tests.engine.fakes import HOP, RATE, WIDTH, model

ROOT = Path(__file__).resolve().parents[2]
PARTS = ".stemwright-*"  # what part-files are called


def fake_engine() -> Engine:
    """Knows two sounds: "bass" is half of what lies below 1 kHz, anything else half of all."""
    made = model(_halves, conditioning={"kind": "text", "scale": 1})
    object.__setattr__(made, "conditioner", _AnyPrompt())
    return Engine(made)


class _AnyPrompt:
    """Every prompt is understood: bass is 1, everything else 2."""

    width = WIDTH

    def text(self, prompts: list[str]) -> Array:
        return np.stack([np.full(WIDTH, 1 if prompt == "bass" else 2, np.float32) for prompt in prompts])

    def audio(self, waves: Array) -> Array:
        return np.full((len(waves), WIDTH), 2, np.float32)


def _halves(latents: Array, conditions: Array) -> Array:
    whole = latents[0] if latents[0].any() else latents.sum(axis=0)
    source = whole / 2
    if conditions.max() == 1:
        spectrum = np.fft.rfft(source.T.ravel())
        spectrum[round(1000 / RATE * source.size) :] = 0
        source = np.fft.irfft(spectrum, source.size).astype(np.float32).reshape(-1, HOP).T
    return np.stack([whole, whole - source, source])


def tones(seconds: float = 3.0, rate: int = 44100, channels: int = 2) -> Array:
    """(N, K) a low and a high tone"""
    time = np.arange(round(seconds * rate)) / rate
    wave = 0.2 * np.sin(2 * np.pi * 200 * time) + 0.1 * np.sin(2 * np.pi * 3000 * time)
    balance: Array = np.linspace(1, 0.5, channels, dtype=np.float32)
    return (wave[:, None] * balance).astype(np.float32)


def write_song(path: Path, **options: Any) -> Path:
    """`tones` as a file; its kind by the suffix, WAV in float32 so that nothing is rounded."""
    subtype = "FLOAT" if path.suffix == ".wav" else None
    soundfile.write(path, tones(**options), options.get("rate", 44100), subtype=subtype)
    return path


def samples(path: Path) -> Array:
    """(N, K)"""
    found: Array = soundfile.read(path, dtype="float32", always_2d=True)[0]
    return found


def start(*words: str, **options: Any) -> "subprocess.Popen[str]":
    """The command line in a process of its own, with the fake model. It says "started" on stderr first."""
    command = [sys.executable, "-m", "tests.engine.command_line", *words]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True, **options)


def _main() -> int:
    from stemwright.engine import cli

    original = cli._dispatch

    def dispatch(words: list[str], stop: Stop) -> int:
        sys.stderr.write("started\n")
        sys.stderr.flush()
        return original(words, stop)

    cli._dispatch = dispatch
    Engine.load = lambda *names, **options: fake_engine()  # type: ignore[method-assign, assignment]
    return cli.main()


if __name__ == "__main__":
    sys.exit(_main())
