"""The process that owns the sound devices: python -m stemwright.bridge.sound list | run.

PortAudio lists the devices once a process, writes to the terminal, can hang for ever when a device is closed
that went away (it does when JACK's server ends), and a callback in Python waits for every other thread of
its process. So it lives in a process of its own, which `soundprocess.py` can end and start again.

Both pipes carry packets: one byte of kind, four of length, the content.
    from the parent   J settings, once · P a clip: JSON length, JSON, samples · S stop playing · end of file
    to the parent     J news · A first frame, then samples · T rows of (frame, monotonic seconds)
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import signal
import struct
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import IO, Any

import numpy as np

from stemwright.bridge.deck import Deck
from stemwright.bridge.devices import (
    Choice,
    chosen,
    label,
    listed_devices,
    portaudio,
)
from stemwright.bridge.errors import NoAudio
from stemwright.bridge.playback import Clip

HEAD = struct.Struct("<cI")
FIRST_FRAME = struct.Struct("<q")
POLL = 0.01  # seconds between two packets of input
ALIGN = 0.25  # seconds between two looks at the clocks
SILENT = 2.0  # seconds without a callback: the device is gone


def send(pipe: IO[bytes], kind: bytes, *parts: bytes) -> None:
    pipe.write(HEAD.pack(kind, sum(map(len, parts))) + b"".join(parts))
    pipe.flush()


def receive(pipe: IO[bytes]) -> tuple[bytes, bytes] | None:
    """(kind, content); None at the end of the pipe."""
    head = pipe.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, length = HEAD.unpack(head)
    content = pipe.read(length)
    return (kind, content) if len(content) == length else None


def packed_clip(clip: Clip) -> bytes:
    frames, channels = clip.samples.shape
    about = {"begin": clip.begin, "length": clip.length, "passes": clip.passes, "shape": [frames, channels]}
    text = json.dumps(about).encode()
    return struct.pack("<I", len(text)) + text + clip.samples.astype("<f4").tobytes()


def unpacked_clip(content: bytes) -> Clip:
    (length,) = struct.unpack_from("<I", content)
    about = json.loads(content[4 : 4 + length])
    samples = np.frombuffer(content, "<f4", offset=4 + length).reshape(about["shape"])
    return Clip(samples, about["begin"], about["length"], about["passes"])


@dataclass(frozen=True)
class Streams:
    """What was opened."""

    deck: Deck
    streams: tuple[Any, ...]
    choice: Choice
    finished: threading.Event

    def alive(self) -> bool:
        try:
            return not self.finished.is_set() and all(stream.active for stream in self.streams)
        except Exception:  # PortAudioError: the stream is no more
            return False


def opened(sounddevice: Any, choice: Choice, first: int) -> Streams:
    """The streams, started; frames are counted from `first` on."""
    deck = Deck(
        inputs=choice.inputs, outputs=choice.outputs, rates=(choice.rate, choice.output_rate), first=first
    )
    finished = threading.Event()
    try:
        streams = _streams(sounddevice, choice, deck, finished)
        for stream in streams:
            stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        devices = [device for device in (choice.source, choice.sink) if device]
        named = " and ".join(dict.fromkeys(f"{label(device)} ({device.rate} Hz)" for device in devices))
        raise NoAudio(
            f"{named} cannot be opened at {choice.rate} Hz: {error}; leave the rate out, or see --list-audio"
        ) from error
    return Streams(deck, tuple(streams), choice, finished)


def _streams(sounddevice: Any, choice: Choice, deck: Deck, finished: threading.Event) -> list[Any]:
    common = {"dtype": "float32", "finished_callback": finished.set}
    source, sink = choice.source, choice.sink
    if choice.is_duplex and source and sink:
        stream = sounddevice.RawStream(
            device=(source.number, sink.number),
            channels=(choice.inputs, choice.outputs),
            samplerate=choice.rate,
            callback=deck.both,
            **common,
        )
        return [stream]
    streams = []
    if source:
        common |= {"device": source.number, "channels": choice.inputs, "samplerate": choice.rate}
        streams.append(sounddevice.RawInputStream(callback=deck.hear, **common))
    if sink:
        common |= {"device": sink.number, "channels": choice.outputs, "samplerate": choice.output_rate}
        streams.append(sounddevice.RawOutputStream(callback=deck.play, **common))
    return streams


class Sender:
    """Hands what the callbacks gather to the parent, from the process's main thread.

    A parent that sleeps longer than the deck keeps loses what came first; the frames' numbers tell it.
    """

    def __init__(self, pipe: IO[bytes], deck: Deck) -> None:
        self._pipe, self._deck = pipe, deck
        self._heard = deck.heard.first
        self._rows = 0
        self._was_busy = False
        self._overflows = 0

    def step(self) -> None:
        deck = self._deck
        self._rows, rows = deck.times.rows.read_since(self._rows)
        if len(rows):
            send(self._pipe, b"T", np.ascontiguousarray(rows[:, :2], "<f8").tobytes())
        if deck.inputs:
            self._heard, samples = deck.heard.read_since(self._heard)
            if len(samples):
                first = FIRST_FRAME.pack(self._heard - len(samples))
                send(self._pipe, b"A", first, samples.astype("<f4", copy=False).tobytes())
        is_busy = deck.player.is_busy
        if is_busy != self._was_busy or deck.overflows != self._overflows:
            self._was_busy, self._overflows = is_busy, deck.overflows
            self.news({"playing": is_busy, "overflows": deck.overflows})

    def news(self, content: dict[str, Any]) -> None:
        send(self._pipe, b"J", json.dumps(content).encode())


def obey(pipe: IO[bytes], deck: Deck, ended: threading.Event) -> None:
    """The parent's orders, until it closes the pipe; a thread of its own."""
    with contextlib.suppress(OSError, ValueError):
        while (packet := receive(pipe)) is not None:
            kind, content = packet
            if kind == b"P":
                deck.player.play(unpacked_clip(content))
            elif kind == b"S":
                deck.player.stop()
    ended.set()


def watch(streams: Streams, sender: Sender, latency: float | None, ended: threading.Event) -> str:
    """Send until the parent ends it ("") or a device goes; → why."""
    calls, called, aligned = 0, time.monotonic(), 0.0
    deck = streams.deck
    while not ended.wait(POLL):
        sender.step()
        now = time.monotonic()
        if deck.calls != calls:
            calls, called = deck.calls, now
        if not streams.alive():
            sender.step()
            return "the device went away"
        if now - called > SILENT:
            return f"the device was silent for {SILENT:g} s"
        if now - aligned > ALIGN or deck.offset is None:
            deck.align(latency, streams.choice.is_duplex)
            aligned = now
    return ""


def run(orders: IO[bytes], answers: IO[bytes]) -> None:
    """Open, send, play, until told to end or the device is gone; NoAudio when it cannot begin."""
    packet = receive(orders)
    if packet is None:
        return
    settings = json.loads(packet[1])
    sounddevice = portaudio()
    choice = chosen(listed_devices(sounddevice), settings)
    streams = opened(sounddevice, choice, settings["first"])
    deck = streams.deck
    sender = Sender(answers, deck)
    sender.news(
        {
            "opened": str(choice),
            "rates": [deck.timeline_rate, deck.output_rate],
            "channels": [deck.inputs, deck.outputs],
        }
    )
    ended = threading.Event()
    threading.Thread(target=obey, args=(orders, deck, ended), daemon=True).start()
    gc.freeze()
    gc.disable()  # nothing here makes cycles, and a collection would stop the callbacks
    lost = watch(streams, sender, settings["latency"], ended)
    if lost:
        sender.news({"lost": lost})
    else:
        _close(streams)


def _close(streams: Streams) -> None:
    """Politely, but not for ever: PortAudio may hang here."""

    def close() -> None:
        for stream in streams.streams:
            stream.abort()
            stream.close()

    closing = threading.Thread(target=close, daemon=True)
    closing.start()
    closing.join(1.0)


def main() -> None:
    """Standard output is the parent's pipe; what the libraries print goes nowhere."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a terminal reaches both; the parent ends us
    os.environ.setdefault("JACK_NO_START_SERVER", "1")
    answers = os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)
    sys.setswitchinterval(0.001)
    try:
        if sys.argv[1:] == ["list"]:
            rows = [asdict(device) for device in listed_devices(portaudio())]
            send(answers, b"J", json.dumps({"devices": rows}).encode())
        else:
            run(sys.stdin.buffer, answers)
    except BrokenPipeError:
        pass  # the parent is gone
    except Exception as error:
        why = str(error) if isinstance(error, NoAudio) else f"{type(error).__name__}: {error}"
        with contextlib.suppress(OSError):
            send(answers, b"J", json.dumps({"refused": why}).encode())
    finally:
        os._exit(0)  # PortAudio's own goodbye may hang


if __name__ == "__main__":
    main()
