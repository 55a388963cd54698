"""A stem file (.stem.mp4), as DJ programs read it: the mix, then four stems, each a track of one MP4 file.

Native Instruments' format: the box moov/udta/stem holds names and colours as JSON. A player that does not
know it plays the first track, the only one that is enabled. The sound is lossless (ALAC): AAC would need a
codec's program, which in Python's wheels comes under the GPL, and it begins some frames late. Where there are
fewer than four stems, silence fills up.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

import numpy as np

from stemwright.engine.audio import open_audio
from stemwright.engine.commands import project_alac as alac
from stemwright.engine.commands import project_mp4 as mp4
from stemwright.engine.commands.project import GREYS, REST, Project, Track
from stemwright.engine.commands.project_files import Shape, plain
from stemwright.engine.contracts import Array
from stemwright.engine.errors import BadInput, BadJob
from stemwright.engine.tracks import Task
from stemwright.engine.writing import fitting_gain, quoted

STEMS = 4  # no fewer, no more
CHANNELS = 2
EMPTY = "empty"
MASTERING = {  # off: nothing is done to the sum, which is the mix
    "compressor": {
        "enabled": False, "ratio": 3, "output_gain": 0.5, "release": 0.3, "attack": 0.003,
        "input_gain": 0.5, "threshold": 0, "hp_cutoff": 300, "dry_wet": 50,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35},
}  # fmt: skip


def check(project: Project, song: Path | None) -> None:
    """Raise BadJob for what a stem file cannot hold."""
    if project.task is not Task.EXTRACT:
        raise BadJob(
            f"a .stem.mp4 holds a mix and what was extracted from it, not what {project.task.value} makes. "
            "Write another kind: --project song.dawproject"
        )
    stems = len(project.tracks) - 1
    if stems > STEMS:
        raise BadJob(
            f"a .stem.mp4 has {STEMS} stems, and these are {stems} with the rest. Ask for {STEMS - 1} sounds "
            f"at most ({STEMS} with --no-rest), or write another kind: --project song.dawproject"
        )
    if project.tempo is not None:
        raise BadJob("a .stem.mp4 has no grid. Leave --tempo out.")
    with suppress(BadInput):  # the job will say it
        _refuse_channels(song)


def _refuse_channels(song: Path | None) -> None:
    if song is None:
        return
    with open_audio(song) as source:
        if source.channels > CHANNELS:
            raise BadJob(
                f"{quoted(song)}: has {source.channels} channels; a .stem.mp4 holds {CHANNELS} at most. "
                "Write another kind: --project song.dawproject"
            )


def pack(file: BinaryIO, project: Project, shape: Shape, lies: Callable[[Track], Path]) -> None:
    """lies: where a track's sound is to be read"""
    names = [(plain(track.name), track.colour) for track in project.tracks]
    names += [(EMPTY, GREYS[REST])] * (1 + STEMS - len(names))
    lengths = _lengths(shape)
    told = alac.configuration(shape.rate, shape.channels)
    sound = mp4.Sound(shape.rate, shape.channels, alac.BITS, lengths, told)
    labels = mp4.box(b"stem", _labels(names[1:]))
    file.write(mp4.beginning(sound, [name for name, _ in names], _sizes(project, shape), labels))
    gain = np.float32(fitting_gain(_peak(project, shape, lies)))
    for blocks in _blocks(project, shape, lies):
        silent = alac.silence(blocks[0].shape[1], shape.channels)
        file.writelines(alac.packet(alac.integers(block * gain)) for block in blocks)
        file.write(silent * (len(names) - len(blocks)))


def _labels(names: Sequence[tuple[str, str]]) -> bytes:
    """What the box `stem` says of the stems, by name and colour."""
    stems = [{"name": name, "color": colour.upper()} for name, colour in names]
    content = {"version": 1, "mastering_dsp": MASTERING, "stems": stems}
    return json.dumps(content, ensure_ascii=False).encode("utf-8", "replace")


def _lengths(shape: Shape) -> list[int]:
    """Of the packets, in frames."""
    whole, last = divmod(shape.frames, alac.FRAMES)
    return [alac.FRAMES] * whole + ([last] if last else [])


def _sizes(project: Project, shape: Shape) -> list[list[int]]:
    """Bytes of each packet of each of the five tracks."""
    sounding = [alac.packet_bytes(frames, shape.channels) for frames in _lengths(shape)]
    silent = [len(alac.silence(frames, shape.channels)) for frames in _lengths(shape)]
    filled = len(project.tracks)
    return [sounding] * filled + [silent] * (1 + STEMS - filled)


def _blocks(project: Project, shape: Shape, lies: Callable[[Track], Path]) -> Iterator[list[Array]]:
    """Of all tracks at once, each (K, n), as loud as they are to sound."""
    with ExitStack() as stack:
        sources = [stack.enter_context(open_audio(lies(track))) for track in project.tracks]
        levels = [np.float32(shape.level(track)) for track in project.tracks]
        for blocks in zip(*(source.blocks(size=alac.FRAMES) for source in sources), strict=True):
            yield [block * level for block, level in zip(blocks, levels, strict=True)]


def _peak(project: Project, shape: Shape, lies: Callable[[Track], Path]) -> float:
    """The loudest sample of all tracks: with one gain for all, their sum stays the mix."""
    return max(float(np.abs(block).max()) for blocks in _blocks(project, shape, lies) for block in blocks)
