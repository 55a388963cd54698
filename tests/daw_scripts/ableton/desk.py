"""A user of the fake Live: sets, clips, ticks and orders. Python 3.7, as the script itself."""

import os
import sys
import time

PATIENCE = 300.0  # seconds; what is waited for comes within a few on a machine with nothing else to do
HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(HERE))), "daw_scripts", "ableton")
for folder in (HERE, SCRIPTS):
    if folder not in sys.path:
        sys.path.insert(0, folder)

import fake_live  # noqa: E402

SETTINGS = """
[what]
{what}
[files]
folder = {folder}
[server]
port = {port}
door = {door}
command = {command}
[midi]
{midi}
"""


class Desk:
    """Live with our script in it. home: a folder for its settings and its stems"""

    def __init__(self, home, port, what="", midi="", door=0, command="", song_path="", folder=None, **live):
        self.home = str(home)
        self.stems = os.path.join(self.home, "stems") if folder is None else folder
        os.makedirs(self.home, exist_ok=True)
        self.write(what=what, folder=self.stems, port=port, door=door, command=command, midi=midi)
        os.environ["STEMWRIGHT_ABLETON"] = self.home
        self.live = fake_live.Live(song_path=song_path, **live)
        self.song = self.live.song
        self.slowest = 0.0  # seconds of processor time in one tick
        self.open()

    def write(self, **words):
        with open(os.path.join(self.home, "ableton.ini"), "w", encoding="utf-8") as file:
            file.write(SETTINGS.format(**words))

    def open(self):
        """As when Live opens a set."""
        found, self.c_instance = fake_live.modules(self.live)
        sys.modules.update(found)
        for name in [name for name in sys.modules if name.split(".")[0] == "Stemwright"]:
            del sys.modules[name]
        import Stemwright

        self.script = Stemwright.create_instance(self.c_instance)
        self.c_instance.script = self.script
        self.script.build_midi_map(11)
        self.app = self.script._app

    def close(self):
        self.script.disconnect()

    def clip(self, path, track="Gtr", place="arrangement", beats=4.0, **values):
        """A clip that is not warped and plays all of its file, selected; values: what differs."""
        found = [one for one in self.song.tracks if one.name == track]
        holder = found[0] if found else self.song.add(track)
        position = beats if place == "arrangement" else None
        clip = fake_live.Clip(self.live, holder, str(path), position)
        seconds = clip.sample_length / clip.sample_rate
        clip.put(warping=False, looping=False, loop_start=0.0, loop_end=seconds, gain=0.7, name="Loop")
        clip.put(**values)
        speed = 2.0 ** ((clip.pitch_coarse + clip.pitch_fine / 100.0) / 12.0)
        length = clip.loop_end - clip.loop_start
        length = length if clip.warping else length / speed * self.song.tempo / 60.0
        clip.put(end_time=values.get("end_time", beats + length))
        if place == "session":
            slot = holder.clip_slots[1].put(clip=clip)
            clip.put(canonical_parent=slot)
        else:
            holder.arrangement_clips.append(clip)
        self.song.view.put(selected_track=holder, detail_clip=clip)
        return clip

    def warped(self, path, tempo, beats=0.0, **values):
        """One that is warped straight at a tempo, its first beat so many beats into the clip."""
        clip = self.clip(path, **{"warping": True, **values})
        seconds = clip.sample_length / clip.sample_rate
        marker = fake_live.WarpMarker
        clip.put(warp_markers=[
            marker(self.live, 0.0, beats), marker(self.live, 60.0 / tempo / 32, beats + 1 / 32.0),
        ])  # fmt: skip
        if "loop_end" not in values:
            clip.put(loop_start=beats, loop_end=beats + seconds * tempo / 60.0)
        clip.put(start_marker=clip.loop_start, end_marker=clip.loop_end)
        if "end_time" not in values:
            clip.put(end_time=clip.start_time + clip.loop_end - clip.loop_start)
        return clip

    def tick(self):
        """A tenth of a second of Live, without the waiting."""
        self.live.advance()
        before = time.thread_time()
        self.script.update_display()
        self.slowest = max(self.slowest, time.thread_time() - before)

    def order(self, text):
        self.app.order(text)

    def until(self, is_so, what, seconds=PATIENCE):
        end = time.monotonic() + seconds
        while not is_so():
            assert time.monotonic() < end, (
                f"{what}; shown: {self.shown[-5:]}; log: {self.c_instance.log[-5:]}"
            )
            self.tick()
            time.sleep(0.01)

    def finish(self, seconds=PATIENCE):
        """Until nothing is under way."""
        self.until(lambda: not self.app.tasks, "jobs do not end", seconds)

    @property
    def shown(self):
        return self.c_instance.messages

    @property
    def names(self):
        return [track.name for track in self.song.tracks]

    def clips_of(self, name):
        """All clips of a track: Arrangement or Session, then its take lanes."""
        track = next(one for one in self.song.tracks if one.name == name)
        found = list(track.arrangement_clips) + [slot.clip for slot in track.clip_slots if slot.has_clip]
        lanes = track.take_lanes if self.live.version >= (12, 2) else []
        return found + [clip for lane in lanes for clip in lane.arrangement_clips]
