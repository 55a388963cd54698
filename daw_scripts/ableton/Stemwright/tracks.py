"""Results into the Live Set: new tracks below the source, as one undo step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .clips import _index as index_of
from .clips import told
from .trouble import Trouble

REST = "rest"
GREY = 0x9AA5B1
COLOURS = (0x4B3FA7, 0xE4572E, 0x17BEBB, 0xC98A1B, 0xF2A7C3, 0x76B041, 0x2F6FB0, 0x8D6E3F)
CREATED_SINCE = (12, 0, 5)  # Live's version that first makes audio clips for scripts
LAST_BEAT = 1576800.0
MOST_TRIES = 20  # ticks until Live has switched a clip's Warp off


@dataclass(frozen=True)
class Stem:
    """name: for people; colour: 0xrrggbb; takes: [(path, seed)], one a variation; seconds: of each"""

    name: str
    colour: int
    takes: tuple[tuple[str, int], ...]
    seconds: float


@dataclass
class Placed:
    """A new clip; Live switches its Warp off a little later, so it is looked at again."""

    clip: Any
    seconds: float
    rate: float
    tries: int = 0


def stems_of(results, prompts, colours):
    """Server's results, with the paths they were copied to, as stems: in the order made, the rest last.

    results  [(Made, path)]
    prompts  as the user wrote them; the server's kinds are file names
    colours  kind → 0xrrggbb, where a preset has one
    """
    kinds = []
    for made, _ in results:
        if made.kind not in kinds:
            kinds.append(made.kind)
    kinds.sort(key=lambda kind: kind == REST)
    named = [kind for kind in kinds if kind != REST]
    words = dict(zip(named, prompts)) if len(named) == len(prompts) else {}
    stems = []
    for number, kind in enumerate(kinds):
        takes = sorted((made.seed, path, made.seconds) for made, path in results if made.kind == kind)
        colour = GREY if kind == REST else colours.get(kind, COLOURS[number % len(COLOURS)])
        pairs = tuple((path, seed) for seed, path, _ in takes)
        stems.append(Stem(words.get(kind, kind), colour, pairs, takes[0][2]))
    return stems


def place(song, region, stems):
    """New tracks with the stems → [Placed]. One undo step; nothing is left when it fails."""
    view = song.view
    chosen = view.selected_track
    made, placed = [], []
    song.begin_undo_step()
    try:
        below = index_of(song.tracks, region.track)
        at = len(song.tracks) if below is None else below + 1
        for stem in stems:
            placed += _place_stem(song, region, stem, at, made)
        _select(view, chosen, region.clip)
    except Exception as error:
        _remove(song, made)
        raise Trouble(f"Live did not take the stems ({error}).") from error
    finally:
        song.end_undo_step()
    return placed


def _place_stem(song, region, stem, at, made):
    """A track for the stem; its other takes on take lanes, or where Live has none on tracks of their own."""
    placed = []
    track = None
    for number, (path, seed) in enumerate(stem.takes):
        title = stem.name if len(stem.takes) == 1 else f"{stem.name}, take {number + 1} (seed {seed})"
        lane = _lane(track, region) if track is not None else None
        if lane is None:
            track = _new_track(song, at + len(made), made)
            track.name = f"{stem.name if number == 0 else title} - {region.name_of_track}"
            track.color = stem.colour
            holder = track
        else:
            lane.name = title
            holder = lane
        clip = _new_clip(holder, region, path)
        _dress(clip, region, title, stem.colour)
        placed.append(Placed(clip, stem.seconds, region.rate))
    return placed


def _new_track(song, at, made):
    track = song.create_audio_track(at)
    made.append(track)
    return track


def _lane(track, region):
    create = told(track, "create_take_lane") if region.place == "arrangement" else None
    return None if create is None else create()


def _new_clip(holder, region, path):
    if region.place == "session":
        return holder.clip_slots[region.scene].create_audio_clip(path)
    return holder.create_audio_clip(path, min(float(region.beats), LAST_BEAT))


def _dress(clip, region, title, colour):
    """Loop off before Warp, for only a warped clip can loop; then the source's own gain and pitch."""
    if clip.looping:
        clip.looping = False
    clip.warping = False
    clip.name = title
    clip.color = colour
    if region.gain is not None:
        clip.gain = region.gain
    if region.coarse:
        clip.pitch_coarse = region.coarse
    if region.fine:
        clip.pitch_fine = region.fine


def _select(view, track, clip):
    """What was selected before: new tracks select themselves."""
    view.selected_track = track
    if clip is not None and view.detail_clip != clip:
        view.detail_clip = clip


def _remove(song, made):
    for track in reversed(made):
        at = index_of(song.tracks, track)
        if at is not None:
            song.delete_track(at)


def settle(song, one):
    """Whether a new clip is as it should be: not warped, and all of its file. Mends what is not.

    None when it cannot be mended; a clip that the user has deleted meanwhile is fine.
    """
    one.tries += 1
    try:
        if one.clip == None:  # noqa: E711 - so Live tells of deleted objects
            return True
        is_warped = one.clip.warping
        is_whole = is_warped or _is_whole(one)
    except RuntimeError:
        return True
    if not is_warped and is_whole:
        return True
    if one.tries > MOST_TRIES:
        return None
    _mend(song, one, is_warped)
    return False


def _is_whole(one):
    near = 0.75 / one.rate
    return abs(one.clip.loop_start) < near and abs(one.clip.loop_end - one.seconds) < max(
        near, 1e-6 * one.seconds
    )


def _mend(song, one, is_warped):
    song.begin_undo_step()
    try:
        if is_warped:
            one.clip.warping = False
        else:
            one.clip.loop_end = one.seconds
            one.clip.loop_start = 0.0
    finally:
        song.end_undo_step()
