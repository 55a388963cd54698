"""Sound on JACK's dummy driver, whose loopback gives back what is played."""

import functools
import os
import signal
import subprocess
import time
from collections.abc import Callable

import numpy as np

from stemwright.bridge.live import Live
from stemwright.engine.contracts import Array
from tests.bridge.waiting import until

RATE = 48_000
PERIOD = 512
DELAY = PERIOD  # frames from played to heard: the loopback's one period


class Jack:
    """A sound card without hardware, that can be unplugged."""

    def __init__(self) -> None:
        self.name = f"stemwright{os.getpid()}"
        self.process: subprocess.Popen[bytes] | None = None
        self.rate = 0  # Hz; 0: not plugged in

    def plug(self, rate: int = RATE) -> None:
        words = f"jackd -n {self.name} --no-realtime -L 2 -d dummy -r {rate} -p {PERIOD}"
        self.process = subprocess.Popen(
            words.split(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self._answers, "jackd answers")
        self.rate = rate

    def _answers(self) -> bool:
        asked = subprocess.run(["jack_lsp"], capture_output=True, check=False)
        return b"loopback:" in asked.stdout

    def unplug(self, how: signal.Signals = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process, self.rate = None, 0


def unique(frames: int, seed: int = 0) -> Array:
    """(2, N), no sample twice, none zero"""
    return np.random.default_rng(seed).uniform(0.1, 0.4, (2, frames)).astype(np.float32)


def heard_after(live: Live, begin: int) -> Array:
    """(2, N) from `begin` to now"""
    end = live.now()
    return live.span(begin, end).samples if begin < end else np.zeros((2, 0), np.float32)


def play_and_hear(live: Live, sound: Array, *, begin: int, loops: int) -> tuple[int, Array]:
    """(frame at which it is heard, what is heard from there on until it ends)"""
    asked = live.now()
    live.play(sound, begin_frame=begin, end_frame=begin + sound.shape[1], loops=loops)
    until(lambda: heard_after(live, asked).any(), "it plays")
    first = asked + int(np.flatnonzero(heard_after(live, asked)[0])[0])
    length = sound.shape[1] * loops
    until(lambda: live.now() >= first + length + PERIOD, "it is through")
    return first, live.span(first, first + length + PERIOD).samples


def undisturbed(test: Callable[..., None]) -> Callable[..., None]:
    """Again, three times at most, where sound was lost: on a busy machine JACK goes on without us."""

    @functools.wraps(test)
    def again(opened: Callable[..., Live], **fixtures: object) -> None:
        for attempt in range(4):
            made: list[Live] = []

            def noted(made: list[Live] = made, **options: object) -> Live:
                made.append(opened(**options))
                return made[-1]

            try:
                test(opened=noted, **fixtures)
                return
            except AssertionError:
                time.sleep(0.2)  # until what was lost is told
                if attempt == 3 or not any(live.overflows for live in made):
                    raise
                for live in made:
                    live.stop()

    return again
