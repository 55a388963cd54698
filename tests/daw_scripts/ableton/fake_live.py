"""A fake of Ableton Live for its Remote Scripts: the part of the documented object model that ours reaches.

Not Live, and no proof of how Live behaves: it does what the documentation and people's observations say.
It refuses names that are not documented, writes to what is read-only, other types than the documented,
calls on another thread than Live's own, objects that are gone, and what the running version does not have.
Python 3.7, as in Live 11 and 12.0.
"""

import os
import struct
import threading
import types
from typing import ClassVar

import live_api

LAST_BEAT = 1576800.0


class Live:
    """The application: its version, its set, its clock of ticks."""

    def __init__(self, version=(12, 2, 0), song_path=""):
        self.version = version
        self.thread = threading.get_ident()
        self.later = []  # what Live does by itself before the next tick
        self.truncates = False  # whether a clip loses its end when Warp goes off
        self.keeps_warp = False  # whether Live ignores that Warp shall go off
        self.refuses_clip = 0  # which of the next clips cannot be made, counted from 1
        self.song = Song(self, song_path)

    def advance(self):
        todo, self.later = self.later, []
        for one in todo:
            one()


class Thing:
    """An object of the model. Its fields live behind names with _; all else is looked up in the table."""

    MEMBERS: ClassVar = {}

    def __init__(self, live):
        object.__setattr__(self, "_live", live)
        object.__setattr__(self, "_is_gone", False)

    def _check(self, name):
        if threading.get_ident() != self._live.thread:
            raise AssertionError("Live's objects were touched from another thread")
        if self._is_gone:
            raise RuntimeError(f"this {type(self).__name__} is gone")
        since = live_api.SINCE.get((type(self).__name__, name), (0,))
        if name not in self.MEMBERS or self._live.version < since:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __getattribute__(self, name):
        if name.startswith("_") or name in ("MEMBERS", "put", "add", "close"):
            return object.__getattribute__(self, name)
        self._check(name)
        try:
            return object.__getattribute__(self, name)
        except AttributeError:
            raise NotImplementedError(f"the fake has no {type(self).__name__}.{name}; Live does") from None

    def __setattr__(self, name, value):
        if name.startswith("_"):
            object.__setattr__(self, name, value)
            return
        self._check(name)
        if self.MEMBERS[name] != "w":
            raise AttributeError(f"property of {type(self).__name__!r} object has no setter")
        wanted = live_api.TYPES.get(name)
        if wanted and not (type(value) is wanted or (wanted is float and type(value) is int)):
            raise TypeError(f"{value} did not match C++ signature: {wanted.__name__}")
        before = object.__getattribute__(self, name)
        self._set(name, value)
        is_own = (
            isinstance(self, Track) and name == "name"
        )  # seen in Live 12.4: a renamed track is a step of its own
        if not isinstance(self, SongView):  # what is selected is not undone
            self._live.song._note(lambda: self.put(**{name: before}), is_own)

    def _set(self, name, value):
        object.__setattr__(self, name, value)

    def put(self, **values):
        """As a user would, or Live itself: without checks."""
        for name, value in values.items():
            object.__setattr__(self, name, value)
        return self

    def __eq__(self, other):
        if other is None:
            return self._is_gone
        return self is other

    def __ne__(self, other):
        return not self == other

    __hash__ = object.__hash__


class Song(Thing):
    MEMBERS = live_api.members(live_api.SONG)

    def __init__(self, live, path):
        super().__init__(live)
        object.__setattr__(live, "song", self)
        self._undo, self._step, self._steps_open = [], None, 0
        self.put(tempo=120.0, loop=False, loop_start=0.0, loop_length=16.0, file_path=path, scenes=[1] * 4)
        self.put(tracks=[], return_tracks=[Track(live, self, "A-Reverb", "return")])
        self.put(master_track=Track(live, self, "Main", "main"))
        self.put(view=SongView(live))

    def add(self, name, kind="audio"):
        track = Track(self._live, self, name, kind)
        self.__dict__["tracks"].append(track)
        self.__dict__["view"].put(selected_track=track)
        return track

    def _note(self, back, is_own=False):
        if self._step is None or is_own:
            self._undo.append([back])
        else:
            self._step.append(back)

    def begin_undo_step(self):
        assert self._step is None, "an undo step is open"
        self._step = []

    def end_undo_step(self):
        if self._step:
            self._undo.append(self._step)
        self._step = None

    def undo(self):
        for back in reversed(self._undo.pop()):
            back()

    def create_audio_track(self, index=None):
        tracks = self.__dict__["tracks"]
        at = len(tracks) if index in (None, -1) else index
        if not 0 <= at <= len(tracks):
            raise IndexError("Index must be in range")
        track = Track(self._live, self, f"{at + 1}-Audio", "audio")
        tracks.insert(at, track)
        self.__dict__["view"].put(selected_track=track, detail_clip=None)
        self._note(lambda: self._take(track))
        return track

    def _take(self, track):
        if track in self.__dict__["tracks"]:
            self.__dict__["tracks"].remove(track)
        track._gone()

    def delete_track(self, index):
        track = self.__dict__["tracks"][index]
        self._take(track)
        self._note(lambda: None)

    def close(self):
        """Another set is opened: every object of this one is gone."""
        for track in self.__dict__["tracks"]:
            track._gone()
        self._is_gone = self.__dict__["view"]._is_gone = True


class SongView(Thing):
    MEMBERS = live_api.members(live_api.SONG_VIEW)

    def __init__(self, live):
        super().__init__(live)
        self.put(detail_clip=None, selected_track=None, highlighted_clip_slot=None)

    def _set(self, name, value):
        if name == "detail_clip" and value is not None and value._is_gone:
            raise RuntimeError("the clip is gone")
        super()._set(name, value)


class Track(Thing):
    """kind: audio, midi, group, return or main"""

    MEMBERS = live_api.members(live_api.TRACK)

    def __init__(self, live, song, name, kind):
        super().__init__(live)
        slots = [ClipSlot(live, self) for _ in range(4)] if kind in ("audio", "midi", "group") else []
        self._kind = kind
        self.put(
            name=name, color=0, canonical_parent=song, clip_slots=slots, arrangement_clips=[], take_lanes=[]
        )
        self.put(is_frozen=False, is_foldable=kind == "group", has_audio_input=kind == "audio", mute=False)

    def create_audio_clip(self, path, position):
        return _made(self._live, self, self, path, position)

    def create_take_lane(self):
        lane = TakeLane(self._live, self)
        self.__dict__["take_lanes"].append(lane)
        self._live.song._note(lambda: self.__dict__["take_lanes"].remove(lane))
        return lane

    def _gone(self):
        holders = [self] + self.__dict__["take_lanes"]
        clips = [clip for holder in holders for clip in holder.__dict__["arrangement_clips"]]
        clips += [slot.__dict__["clip"] for slot in self.__dict__["clip_slots"] if slot.__dict__["clip"]]
        for one in clips + holders:
            one._is_gone = True


class TakeLane(Thing):
    MEMBERS = live_api.members(live_api.TAKE_LANE)

    def __init__(self, live, track):
        super().__init__(live)
        self.put(name="", canonical_parent=track, arrangement_clips=[])

    def create_audio_clip(self, path, position):
        return _made(self._live, self.__dict__["canonical_parent"], self, path, position)


class ClipSlot(Thing):
    MEMBERS = live_api.members(live_api.CLIP_SLOT)

    def __init__(self, live, track):
        super().__init__(live)
        self.put(clip=None, canonical_parent=track, is_group_slot=False)

    @property
    def has_clip(self):
        return self.__dict__["clip"] is not None

    def create_audio_clip(self, path):
        if self.has_clip:
            raise RuntimeError("This clip slot already has a clip")
        return _made(self._live, self.__dict__["canonical_parent"], self, path, None)


class WarpMarker(Thing):
    MEMBERS = live_api.members(live_api.WARP_MARKER)

    def __init__(self, live, seconds, beats):
        super().__init__(live)
        self.put(sample_time=seconds, beat_time=beats)


class Clip(Thing):
    """A clip as a script makes it: warped by Live's guess, and looping where it is short."""

    MEMBERS = live_api.members(live_api.CLIP)

    def __init__(self, live, parent, path, position):
        super().__init__(live)
        frames, rate = wav_measured(path)
        seconds = frames / rate
        beats = seconds * live.song.tempo / 60.0
        markers = [WarpMarker(live, 0.0, 0.0), WarpMarker(live, seconds, beats * 1.01)]
        start = position or 0.0
        self.put(canonical_parent=parent, file_path=path, sample_length=frames, sample_rate=float(rate))
        self.put(warping=True, warp_markers=markers, looping=True, loop_start=0.0, loop_end=beats)
        self.put(start_marker=0.0, end_marker=beats, start_time=start, end_time=start + beats)
        self.put(name=os.path.basename(path), color=0, gain=0.4, pitch_coarse=0, pitch_fine=0.0, muted=False)
        self.put(is_audio_clip=True, is_midi_clip=False, is_recording=False)
        self.put(is_arrangement_clip=position is not None)

    def _set(self, name, value):
        if name == "warping":
            self._live.later.append(lambda: self._warp(value))
            return
        if name == "looping" and value and not self.__dict__["warping"]:
            raise RuntimeError("Only warped audio clips can be looped")
        super()._set(name, value)

    def _warp(self, is_on):
        if self._is_gone or is_on == self.__dict__["warping"] or self._live.keeps_warp:
            return
        assert not is_on, "the fake warps nothing by itself"
        seconds = self.__dict__["sample_length"] / self.__dict__["sample_rate"]
        end = seconds * (0.9 if self._live.truncates else 1.0)
        beats = seconds * self._live.song.tempo / 60.0
        self.put(warping=False, loop_start=0.0, loop_end=end, start_marker=0.0, end_marker=end)
        self.put(end_time=self.__dict__["start_time"] + beats)


class MidiClip(Clip):
    """Has no sample: to ask for one is an error, but no AttributeError."""

    def __init__(self, live, parent):
        Thing.__init__(self, live)
        self.put(canonical_parent=parent, name="Keys", is_audio_clip=False, is_midi_clip=True)
        self.put(is_arrangement_clip=False, is_recording=False)

    def __getattribute__(self, name):
        if name in ("file_path", "sample_length", "warping", "sample_rate", "gain", "pitch_coarse"):
            raise RuntimeError("only available for audio clips")
        return super().__getattribute__(name)


def _made(live, track, holder, path, position):
    if live.refuses_clip:
        live.refuses_clip -= 1
        if not live.refuses_clip:
            raise RuntimeError("the fake was told to refuse this clip")
    if type(path) is not str or not (position is None or type(position) is float):
        raise TypeError("did not match C++ signature: create_audio_clip(TTrackPyHandle, TString, double)")
    if track._kind != "audio":
        raise RuntimeError("Audio clips can only be created on audio tracks")
    if track.is_frozen:
        raise RuntimeError("the track is frozen")
    if not os.path.isabs(path):
        raise ValueError("Please provide an absolute path")
    if not os.path.isfile(path):
        raise ValueError("The provided path does not appear to point to a valid audio file")
    if position is not None and not 0.0 <= position <= LAST_BEAT:
        raise RuntimeError("the position is out of range")
    clip = Clip(live, holder, path, position)
    if position is None:
        holder.put(clip=clip)
        live.song._note(lambda: holder.put(clip=None))
    else:
        holder.__dict__["arrangement_clips"].append(clip)
        live.song._note(lambda: holder.__dict__["arrangement_clips"].remove(clip))
    return clip


class Application(Thing):
    MEMBERS = live_api.members(live_api.APPLICATION)

    def get_major_version(self):
        return self._live.version[0]

    def get_minor_version(self):
        return self._live.version[1]

    def get_bugfix_version(self):
        return self._live.version[2]


class CInstance:
    """What Live gives to a script, and what a user sees of it."""

    def __init__(self, live):
        self._live = live
        self.messages, self.log, self.forwarded = [], [], []

    def song(self):
        return self._live.song

    def show_message(self, text):
        assert type(text) is str
        self.messages.append(text)

    def log_message(self, text):
        self.log.append(text)

    def handle(self):
        return 7

    def set_session_highlight(self, *arguments):
        pass

    def request_rebuild_midi_map(self):
        self.forwarded.clear()
        self._live.later.append(lambda: self.script.build_midi_map(11))


class ControlSurface:
    """Of Live's ableton.v2.control_surface: what scripts in the wild call of it."""

    def __init__(self, c_instance=None):
        self._c_instance = c_instance
        self._scheduled, self._listeners, self._is_connected = [], [], True

    @property
    def song(self):
        return self._c_instance.song()

    def schedule_message(self, delay_in_ticks, callback, parameter=None):
        assert self._is_connected, "scheduled after disconnect"
        self._scheduled.append([delay_in_ticks, callback])

    def update_display(self):
        """Live calls it ten times a second."""
        due = [one for one in self._scheduled if one[0] <= 1]
        self._scheduled = [[ticks - 1, call] for ticks, call in self._scheduled if ticks > 1]
        for _, call in due:
            call()

    def add_received_midi_listener(self, listener):
        self._listeners.append(listener)

    def remove_received_midi_listener(self, listener):
        self._listeners.remove(listener)

    def receive_midi(self, message):
        for listener in list(self._listeners):
            listener(*message)

    def build_midi_map(self, midi_map_handle):
        pass

    def disconnect(self):
        self._is_connected, self._scheduled = False, []


def modules(live):
    """What a script can import inside Live, besides Python's own."""
    c_instance = CInstance(live)
    names = ("Live", "ableton", "ableton.v2", "ableton.v2.control_surface")
    made = {name: types.ModuleType(name) for name in names}

    def forward(kind):
        return lambda handle, mapped, channel, number: c_instance.forwarded.append((kind, channel, number))

    made["Live"].Application = types.SimpleNamespace(get_application=lambda: Application(live))
    made["Live"].MidiMap = types.SimpleNamespace(
        forward_midi_note=forward("note"), forward_midi_cc=forward("cc")
    )
    made["ableton.v2.control_surface"].ControlSurface = ControlSurface
    return made, c_instance


def wav_measured(path):
    """frames, rate of a WAV file of any kind, which the module wave does not read"""
    with open(path, "rb") as file:
        assert file.read(4) == b"RIFF"
        file.seek(12)
        rate = size = align = 0
        while True:
            head = file.read(8)
            if len(head) < 8:
                break
            name, length = struct.unpack("<4sI", head)
            if name == b"fmt ":
                data = file.read(length)
                rate, align = struct.unpack_from("<I", data, 4)[0], struct.unpack_from("<H", data, 12)[0]
            else:
                size = length if name == b"data" else size
                file.seek(length + length % 2, 1)
    return size // align, rate
