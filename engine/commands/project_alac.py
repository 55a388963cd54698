"""Sound in packets of Apple's lossless codec (ALAC), as it is: the codec's own way for what it cannot shrink.

Nothing is compressed, so a packet's size is known before its sound, and no codec's program is needed. Silence
has packets of a few bytes. Bits by Apple's published reference decoder (macosforge/alac, ALACDecoder.cpp,
ag_dec.c), which is also what the tests decode with.
"""

import struct

import numpy as np
from numpy.typing import NDArray

from stemwright.engine.contracts import Array

FRAMES = 4096  # audio frames of one packet
BITS = 16
FULL_SCALE = 1 << (BITS - 1)
PARAMETERS = (40, 10, 14)  # of the compression: its usual ones
ORDERLY = 9  # the predictor's shift: any but 0
ESCAPE = "1" * 9  # a run's length follows in 16 bits


def integers(samples: Array) -> NDArray[np.int16]:
    """(K, n) at ±1 → (n, K); +1 itself is one step above the largest."""
    whole = np.rint(np.asarray(samples, np.float64) * FULL_SCALE)
    return np.clip(whole, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16).T


def packet(samples: NDArray[np.int16]) -> bytes:
    """(n, K), K 1 or 2 → their packet, as they are"""
    frames, channels = samples.shape
    sound = np.unpackbits(np.ascontiguousarray(samples, ">i2").reshape(-1).view(np.uint8))
    return _packed(_head(frames, channels, is_verbatim=True), sound)


def silence(frames: int, channels: int) -> bytes:
    """The packet of n silent frames: for each channel one zero and a run of the others."""
    unmixed = "0" * 16
    predictor = f"{0:04b}{ORDERLY:04b}{4:03b}{0:05b}"
    zeros = "0" + (f"{ESCAPE}{frames - 1:016b}" if frames > 1 else "")
    head = _head(frames, channels, is_verbatim=False)
    return _packed(head + unmixed + predictor * channels + zeros * channels, np.zeros(0, np.uint8))


def packet_bytes(frames: int, channels: int) -> int:
    """What `packet` will have."""
    return (len(_head(frames, channels, is_verbatim=True)) + frames * channels * BITS + 3 + 7) // 8


def configuration(rate: int, channels: int) -> bytes:
    """ALACSpecificConfig: what the decoder must know beforehand."""
    largest, average = packet_bytes(FRAMES, channels), rate * channels * BITS
    return struct.pack(">IBB3BBHIII", FRAMES, 0, BITS, *PARAMETERS, channels, 255, largest, average, rate)


def _head(frames: int, channels: int, *, is_verbatim: bool) -> str:
    """Channels of the element; its number and 12 unused bits; whether its length is told, 2 bits of nothing
    shifted, whether the samples are as they are; the length.
    """
    is_partial = frames != FRAMES
    told = f"{frames:032b}" if is_partial else ""
    return f"{channels - 1:03b}" + "0" * 16 + f"{is_partial:b}00{is_verbatim:b}" + told


def _packed(head: str, sound: NDArray[np.uint8]) -> bytes:
    """Bits → bytes, with the three ones of the end."""
    first = np.frombuffer(head.encode(), np.uint8) - ord("0")
    return np.packbits(np.concatenate([first, sound, np.ones(3, np.uint8)])).tobytes()
