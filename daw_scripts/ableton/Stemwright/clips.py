"""What is selected in Live, as a span of a file and a place for the results."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import Any

from . import warp
from .trouble import Trouble

SHORTEST = 0.05  # seconds, as the protocol has it
IN_BRACKETS = re.compile(r"\[([^\[\]]*)\]")
MUCH = 1e-6  # of a length: more than rounding


@dataclass(frozen=True)
class Region:
    """A span of a file, and where its results belong.

    path     the file; empty when music is made from words alone
    start    where the span begins in the file, in frames; frames: its length; rate: of the file, in Hz
    place    "arrangement" or "session"
    beats    where it begins in the Arrangement; scene: its row in the Session
    track    Live's track of it, below which results go; clip: Live's clip, None for words alone
    name     of the clip, name_of_track: of the track
    gain, coarse, fine  the clip's own, which its results get too; None for words alone
    """

    path: str
    start: int
    frames: int
    rate: float
    place: str
    beats: float
    scene: int
    track: Any
    clip: Any
    name: str
    name_of_track: str
    gain: float | None = None
    coarse: int | None = None
    fine: float | None = None

    @property
    def seconds(self):
        return self.frames / self.rate


def told(thing, name, default=None):
    """A property of a Live object, or `default`. What does not apply to it raises RuntimeError in Live."""
    try:
        return getattr(thing, name)
    except (AttributeError, RuntimeError):
        return default


def selected(song, is_loop=False):
    """The clip shown in Live's detail view, as a Region; Trouble says why there is none.

    is_loop  only what of it lies inside the Arrangement's loop brace
    """
    clip = song.view.detail_clip
    track = _track_of(clip) if clip is not None else None
    _refuse_track(song, song.view.selected_track, track)
    if clip is None:
        raise Trouble("No clip is selected. Click an audio clip, so that its sample shows below.")
    if not clip.is_audio_clip:
        raise Trouble(
            f"{clip.name!r} is a MIDI clip: there is no audio in it. Freeze and flatten its track first."
        )
    path = _file_of(clip)
    if clip.is_arrangement_clip:
        first, last, beats = _in_arrangement(song, clip, is_loop)
        return _region(clip, track, path, first, last, "arrangement", beats, 0)
    if is_loop:
        raise Trouble(
            f"{clip.name!r} is a Session clip, which the Arrangement's loop does not cut. Set region = clip."
        )
    first, last = _in_session(song, clip)
    return _region(clip, track, path, first, last, "session", 0.0, _scene_of(track, clip))


def loop_of(song):
    """The Arrangement's loop brace, for music made from words alone; below the selected track."""
    if not song.loop or song.loop_length <= 0:
        raise Trouble("Switch the Arrangement's loop on and drag it over the bars that shall be filled.")
    rate = 44100
    frames = round(song.loop_length * 60.0 / song.tempo * rate)
    track = song.view.selected_track
    place = track if _index(song.tracks, track) is not None else None
    return Region("", 0, frames, rate, "arrangement", song.loop_start, 0, place, None, "new", "new")


def words_in_name(name):
    """What stands in brackets: "Loop [slap bass; drums]" → "slap bass; drums"; the last pair counts."""
    found = IN_BRACKETS.findall(name)
    return found[-1].strip() if found else ""


def without_brackets(name):
    return " ".join(IN_BRACKETS.sub(" ", name).split())


def _track_of(clip):
    """Up from the clip: its slot or take lane, then the track."""
    parent = clip.canonical_parent
    return parent if told(parent, "clip_slots") is not None else parent.canonical_parent


def _refuse_track(song, chosen, track):
    """`chosen` is the track selected, `track` that of the clip, None without a clip."""
    name = chosen.name
    if chosen == song.master_track or _index(song.return_tracks, chosen) is not None:
        raise Trouble(f"{name!r} is a return or the main track; it holds no clips. Click an audio clip.")
    if chosen.is_foldable and (track is None or track == chosen):
        raise Trouble(
            f"{name!r} is a group; it holds no audio of its own. Click a clip on one of its tracks."
        )
    if track is not None and track != chosen:
        raise Trouble(
            f"The clip shown is on {track.name!r}, but {name!r} is selected. Click the clip that you mean."
        )
    if chosen.is_frozen:
        raise Trouble(
            f"{name!r} is frozen. Unfreeze it, or flatten it (Edit menu), and select the clip again."
        )


def _file_of(clip):
    path = told(clip, "file_path") or ""
    if told(clip, "is_recording"):
        raise Trouble(f"{clip.name!r} is still being recorded. Stop that first.")
    if not path or not os.path.isfile(path) or told(clip, "sample_length", 0) <= 0:
        raise Trouble(
            "The sample of {!r} is missing: {}. Find it with File > Manage Files.".format(
                clip.name, path or "no path"
            )
        )
    return path


def _in_session(song, clip):
    """seconds in the file: the loop where it loops, else from marker to marker"""
    begin, end = clip.loop_start, clip.loop_end
    if not clip.warping:
        return begin, end
    _refuse_pitch(clip)
    first, last = warp.straight(_markers(clip), begin, end, song.tempo)
    if first < -warp.DRIFT:
        raise Trouble(
            f"{clip.name!r} begins {-first:.2f} s before its sample. Move its start marker into the sample."
        )
    return first, last


def _in_arrangement(song, clip, is_loop):
    """seconds in the file, two of them, and the beat at which the first lies"""
    begin, end = clip.start_time, clip.end_time
    if is_loop:
        begin, end = _inside_loop(song, clip)
    if clip.warping:
        _refuse_pitch(clip)
        at = _clip_beats(clip) - clip.start_time
        first, last = warp.straight(_markers(clip), begin + at, end + at, song.tempo)
        return _from_zero(first, last, begin, song.tempo)
    first, last = clip.loop_start, clip.loop_end
    if is_loop:
        speed = _steady_speed(song, clip)
        first, last = first + (begin - clip.start_time) * speed, first + (end - clip.start_time) * speed
    return first, last, begin


def _inside_loop(song, clip):
    begin, end = song.loop_start, song.loop_start + song.loop_length
    if not song.loop:
        raise Trouble(
            "The Arrangement's loop is off. Switch it on over the part you want, or set region = clip."
        )
    if end <= clip.start_time or begin >= clip.end_time:
        raise Trouble(f"{clip.name!r} lies outside the Arrangement's loop. Drag the loop over it.")
    return max(begin, clip.start_time), min(end, clip.end_time)


def _clip_beats(clip):
    """The clip's own beat at which its first audible beat lies."""
    if not clip.looping:
        return clip.loop_start
    if clip.start_marker + (clip.end_time - clip.start_time) > clip.loop_end + MUCH:
        raise Trouble(f"{clip.name!r} repeats its loop. Consolidate it (Cmd/Ctrl-J) first.")
    return clip.start_marker


def _from_zero(first, last, begin, tempo):
    """Nothing lies before the file's first frame: begin there instead, so much later in the Arrangement."""
    if first >= 0:
        return first, last, begin
    return 0.0, last, begin - first * tempo / 60.0


def _steady_speed(song, clip):
    """seconds of the file in a beat of a clip without Warp; Trouble where the tempo changes under it"""
    beats = clip.end_time - clip.start_time
    speed = 2.0 ** ((told(clip, "pitch_coarse", 0) + told(clip, "pitch_fine", 0.0) / 100.0) / 12.0)
    length = clip.loop_end - clip.loop_start
    if abs(length / speed - beats * 60.0 / song.tempo) > MUCH * length + warp.DRIFT:
        raise Trouble(
            f"The tempo changes under {clip.name!r}, so the loop cannot be found in it. Split it there."
        )
    return length / beats


def _refuse_pitch(clip):
    if told(clip, "pitch_coarse", 0) or told(clip, "pitch_fine", 0.0):
        raise Trouble(
            f"{clip.name!r} is warped and transposed, and we cannot shift as Live does. "
            "Consolidate it (Cmd/Ctrl-J), or set Transpose and Detune to 0."
        )


def _markers(clip):
    return [(marker.sample_time, marker.beat_time) for marker in clip.warp_markers]


def _region(clip, track, path, first, last, place, beats, scene):
    rate = clip.sample_rate
    begin, end = round(first * rate), round(last * rate)
    begin, end = max(0, begin), min(end, clip.sample_length)
    if end - begin < SHORTEST * rate:
        raise Trouble(
            f"{clip.name!r} has {max(0, end - begin) / rate:.3f} s of audio between its markers; "
            f"at least {SHORTEST:.2f} s are needed."
        )
    return Region(
        path, begin, end - begin, rate, place, beats, scene, track, clip, clip.name, track.name,
        told(clip, "gain"), told(clip, "pitch_coarse"), told(clip, "pitch_fine"),
    )  # fmt: skip


def _scene_of(track, clip):
    for number, slot in enumerate(track.clip_slots):
        if slot.has_clip and slot.clip == clip:
            return number
    raise Trouble(f"{clip.name!r} is no longer in its slot. Select it again.")


def _index(things, wanted):
    for number, thing in enumerate(things):
        if thing == wanted:
            return number
    return None
