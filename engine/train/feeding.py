"""Examples for one trainer, mixed by processes of their own and handed over in batches."""

from __future__ import annotations

import os
import queue
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from stemwright.engine.errors import StemwrightError
from stemwright.engine.train.mixing import Example, Mixer
from stemwright.engine.train.stopping import held_back, listen

WAITING = 8  # batches in the queue at most; each feeder holds another
SILENCE = 180.0  # seconds without a batch after which something must be wrong
PATIENCE = 10.0  # seconds for a feeder to end by itself


class Stacked(NamedTuple):
    """rest and source (B, N), conditions (B, 3, D) and `is_absent` (B,), where the source is silence"""

    rest: Tensor
    source: Tensor
    conditions: Tensor
    is_absent: Tensor

    def to(self, device: torch.device) -> Stacked:
        return Stacked(*(tensor.to(device) for tensor in self))


def stack(examples: list[Example], kind: type[np.floating[Any]] = np.float32) -> Stacked:
    """kind  of the waveforms: half floats take half the shared memory, and err by −70 dB"""
    return Stacked(
        torch.from_numpy(np.stack([example.rest for example in examples]).astype(kind, copy=False)),
        torch.from_numpy(np.stack([example.source for example in examples]).astype(kind, copy=False)),
        torch.from_numpy(np.stack([example.conditions for example in examples])),
        torch.tensor([not example.source.any() for example in examples]),
    )


class Feeders:
    """The running processes, as an endless stream of batches."""

    def __init__(self, processes: list[Any], batches: Any, over: Tensor) -> None:
        self.processes, self.batches, self.over = processes, batches, over

    def living(self) -> int:
        return sum(process.is_alive() for process in self.processes)

    def take(self, stopped: Tensor) -> Stacked | None:
        """The next batch; None when the training is `stopped` (1,). A feeder that dies is not replaced."""
        begin = time.monotonic()
        while not stopped[0]:
            try:
                found = self.batches.get(timeout=0.5)
            except (queue.Empty, OSError):  # OSError: whose batch this was is dead
                self._check(time.monotonic() - begin)
                continue
            if isinstance(found, str):
                raise StemwrightError(f"no more examples: {found}. Mend that and give the same command again")
            return Stacked(*found)
        return None

    def _check(self, waited: float) -> None:
        if waited > SILENCE or not self.living():
            raise StemwrightError(
                f"no example for {waited:.0f} s; {self.living()} of {len(self.processes)} feeders live. If "
                "memory was short, choose fewer --feeders or a smaller --batch; the same command goes on"
            )

    def close(self) -> None:
        self.over[0] = 1
        for process in self.processes:
            process.join(PATIENCE)
            if process.is_alive():
                process.kill()
                process.join()
            process.close()
        self.batches.close()


@contextmanager
def feeding(make: Callable[[], Mixer], batch: int, count: int, seed: list[int]) -> Iterator[Feeders]:
    """`count` processes that each make a mixer and draw batches from it, until the block is left."""
    context = torch.multiprocessing.get_context("spawn")
    feeders = Feeders([], context.Queue(WAITING), torch.zeros(1, dtype=torch.uint8).share_memory_())
    try:
        with held_back():
            for rank in range(count):
                words = (make, batch, [*seed, rank], feeders.batches, feeders.over)
                process = context.Process(target=feed, args=words, daemon=True)
                process.start()
                feeders.processes.append(process)
        yield feeders
    finally:
        feeders.close()


def feed(make: Callable[[], Mixer], batch: int, seed: list[int], batches: Any, over: Tensor) -> None:
    """One feeder. Ctrl-C reaches it too, but the trainer decides."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    listen()
    torch.set_num_threads(1)
    if hasattr(os, "nice"):
        os.nice(5)
    try:
        for stacked in drawn(make(), batch, np.random.default_rng(seed), over):
            hand_over(tuple(stacked), batches, over)
    except Exception as error:  # the trainer says it, after the batches that are still in the queue
        hand_over(f"{type(error).__name__}: {error}", batches, over)
        while not is_over(over):
            time.sleep(0.2)
    batches.cancel_join_thread()  # what nobody took is dropped


def drawn(mixer: Mixer, batch: int, random: np.random.Generator, over: Tensor) -> Iterator[Stacked]:
    """Batches until it is over; songs that were rendered meanwhile join every 50 batches."""
    examples: list[Example] = []
    number = 0
    while not is_over(over):
        examples.append(mixer.draw(random))
        if len(examples) == batch:
            yield stack(examples, np.float16)
            examples, number = [], number + 1
            if number % 50 == 0:
                mixer.songs.refresh()


def hand_over(message: object, batches: Any, over: Tensor) -> None:
    while not is_over(over):
        try:
            batches.put(message, timeout=0.5)
            return
        except queue.Full:
            continue


def is_over(over: Tensor) -> bool:
    """True when the trainer wants no more, or is gone."""
    parent = torch.multiprocessing.parent_process()
    return bool(over[0]) or (parent is not None and not parent.is_alive())
