"""Parts played through a soundfont by FluidSynth: the library's own mixer, no reverb, no chorus.

pyfluidsynth was chosen over tinysoundfont: on chords of four voices it takes 1.25 times as long, but it
plays velocity filters and modulators, and installs from a wheel that needs no compiler (libfluidsynth
itself is a system package).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.errors import BadInput, MissingExtra
from stemwright.engine.train.score import Part

RATE = 32000  # Hz; FluidSynth interpolates samples, which aliases when it runs at 16 kHz
LINEAR = 1  # FluidSynth's number for two-point interpolation, a fifth cheaper than its default
BLOCK = 64  # frames FluidSynth computes at a time; whole blocks keep a song independent of the one before
DRUM_BANK = 128
VARIATIONS = {0: 8, 8: 8, 16: 4, 32: 5, 40: 3}  # kits of a kind that follow one another in a font
MODULATION = 1  # MIDI controller of the modulation wheel


class SoundFont:
    """One loaded soundfont. Loading takes up to seconds, so keep it for a whole run."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise BadInput(
                f"{path}: no such soundfont (Debian: fluid-soundfont-gm, musescore-general-soundfont)."
            )
        fluidsynth = _fluidsynth()
        off = {
            "synth.polyphony": 512,
            "synth.reverb.active": 0,
            "synth.chorus.active": 0,
            "synth.threadsafe-api": 0,
        }
        self._synth = fluidsynth.Synth(gain=0.4, samplerate=RATE, channels=16, **off)
        self._font = self._synth.sfload(str(path))
        if self._font < 0:
            raise BadInput(f"{path}: FluidSynth cannot load this soundfont.")
        names = (self._synth.sfpreset_name(self._font, DRUM_BANK, kit) for kit in range(128))
        self._kits = {kit for kit, name in enumerate(names) if name}
        handle, number = ctypes.c_void_p, ctypes.c_int
        _declared(fluidsynth, "fluid_synth_set_interp_method", handle, number, number)(
            self._synth.synth, -1, LINEAR
        )
        self._write = _declared(
            fluidsynth,
            "fluid_synth_write_float",
            handle,
            number,
            handle,
            number,
            number,
            handle,
            number,
            number,
        )

    def play(self, part: Part, seconds: float, *, kit: int = 0, vibrato: int = 0) -> NDArray[np.float32]:
        """The part as mono float32 at 16 kHz. shape (seconds * 16000,)

        kit      which variation of a drum kit, where the font has several
        vibrato  modulation wheel, 0-127
        """
        import soxr

        frames = round(seconds * RATE)
        whole = -(-frames // BLOCK) * BLOCK
        stereo = np.zeros((2, whole), np.float32)
        self._levelled_voices()
        self._choose(part, kit)
        self._synth.cc(0, MODULATION, vibrato)
        done = 0
        for frame, key, velocity in events(part, seconds):
            self._fill(stereo, done, frame)
            done = max(done, frame)
            if velocity:
                self._synth.noteon(0, key, velocity)
            else:
                self._synth.noteoff(0, key)
        self._fill(stereo, done, whole)
        self._quieten()
        mono: NDArray[np.float32] = soxr.resample(stereo[:, :frames].sum(0), RATE, RATE // 2, quality="LQ")
        return mono

    def _fill(self, stereo: NDArray[np.float32], start: int, end: int) -> None:
        """Render frames start..end into both rows."""
        if end > start:
            left, right = stereo[0].ctypes.data, stereo[1].ctypes.data
            self._write(self._synth.synth, end - start, left, start, 1, right, start, 1)

    def _choose(self, part: Part, kit: int) -> None:
        """Select the part's program, or the nearest kit this font has."""
        if part.label != "drums":
            self._synth.program_select(0, self._font, 0, part.program)
            return
        kits = [part.program + step for step in range(VARIATIONS.get(part.program, 1))]
        kits = [each for each in kits if each in self._kits] or [0]
        self._synth.program_select(0, self._font, DRUM_BANK, kits[kit % len(kits)])

    def _quieten(self) -> None:
        """End every voice, and let the ends pass unheard."""
        self._synth.all_sounds_off(-1)
        self._fill(np.zeros((2, 2 * BLOCK), np.float32), 0, 2 * BLOCK)

    def _levelled_voices(self) -> None:
        """Use a hundred voices once, inaudibly.

        A voice fades from the gain of its last note to that of the next, so without this a song would
        depend on the song before it.
        """
        self._synth.program_select(0, self._font, 0, 80)
        for key in range(20, 120):
            self._synth.noteon(0, key, 1)
        self._fill(np.zeros((2, 2 * BLOCK), np.float32), 0, 2 * BLOCK)
        self._quieten()


def events(part: Part, seconds: float) -> list[tuple[int, int, int]]:
    """Note-ons and note-offs in the window as (frame at RATE, key, velocity or 0), in the order to be sent.

    Notes begun before the window start at 0 with what is left of them.
    """
    rows = []
    for note in part.notes:
        start, end = max(note.start, 0.0), note.start + max(note.duration, 0.03)
        if end > start and start < seconds:
            rows.append((round(start * RATE), note.key, note.velocity))
            if end < seconds:
                rows.append((round(end * RATE), note.key, 0))
    return sorted(rows, key=lambda row: (row[0], row[2]))


def _declared(fluidsynth: Any, name: str, *arguments: object) -> Callable[..., int]:
    """A function of the C library that pyfluidsynth does not wrap."""
    cfunc = fluidsynth.cfunc
    declared: Callable[..., int] = cfunc(
        name, ctypes.c_int, *((f"a{place}", kind, 1) for place, kind in enumerate(arguments))
    )
    return declared


def _fluidsynth() -> Any:
    """The pyfluidsynth module."""
    try:
        import fluidsynth
    except ImportError as error:
        raise MissingExtra(
            "rendering songs needs: pip install 'stemwright[train]', and apt install libfluidsynth3."
        ) from error
    return fluidsynth
