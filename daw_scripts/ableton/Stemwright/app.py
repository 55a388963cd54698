"""What the script does in each of Live's ticks. All of Live is reached through `host`; nothing here waits.

host  song(), version() → (12, 0, 5), show(text) in the status bar, log(text), now() → seconds,
      remap(): Live shall ask anew which MIDI messages are wanted
"""

from __future__ import annotations

import os
import traceback
from dataclasses import dataclass, field
from typing import Any

from . import asking, clips, files, jobs, osc, server, tracks
from . import stemwright_protocol as protocol
from .link import Door, Link
from .presets import Presets
from .settings import Keeper, pick, verb_of
from .trouble import Trouble
from .voice import Voice

DO = "/stemwright/live/do"
MOST_JOBS = 32
LOOKS = 2.0  # seconds between two looks at the settings' file
NEAR = 1e-3  # seconds that a result may be longer or shorter than asked: less than float32 rounds away
OURS = "an error of ours: {}. Live's Log.txt has more."


@dataclass
class Task:
    """A job and what follows it: its files on their way, then the clips that are looked at once more."""

    job: jobs.Job
    copying: Any = None
    placed: list[Any] = field(default_factory=list)
    was_absent: bool = False


class App:
    """Orders in, tracks out. `open` before the first tick, `close` after the last."""

    def __init__(self, host, keeper=None):
        self._host = host
        self.keeper = keeper or Keeper()
        self.voice = Voice(host)
        self.presets = Presets()
        self.turned = {}  # what knobs have set
        self.tasks = {}  # id → Task
        self._process = None  # the server, if it was started from here
        self._next_look = 0.0
        self.link = self.door = None

    @property
    def settings(self):
        return self.keeper.settings

    def open(self):
        self._read(self.keeper.open)
        self.link = Link(self.settings.port)
        if self.settings.door:
            try:
                self.door = self.voice.door = Door(self.settings.door)
            except (OSError, OverflowError):
                self._host.log(f"port {self.settings.door} is taken; no orders from other programs")
        self._ask_presets()

    def close(self):
        """The set is closed, or another control surface chosen: nothing more is wanted of running jobs."""
        for task in self.tasks.values():
            if task.job.is_open and self.link is not None:
                self._send(protocol.CANCEL, (task.job.name,))
            if task.copying is not None and not task.placed:
                task.copying.discard()
        self.tasks = {}
        for one in (self.link, self.door):
            if one is not None:
                one.close()
        self.link = self.door = self.voice.door = None

    # what the user asks

    def order(self, text, who=None):
        """An order of a pad, or of another program; says by itself what goes wrong."""
        if who is not None:
            self.voice.listens(who)
        self._look()
        try:
            self._obey(*verb_of(text))
        except Trouble as trouble:
            self.voice.say(str(trouble))
            self.voice.ended("failed", text)
        except Exception as error:
            self._host.log(traceback.format_exc())
            self.voice.say(OURS.format(error))
            self.voice.ended("failed", text)

    def turn(self, knob, value):
        """A controller moved to 0 … 127."""
        found = knob.value(value)
        if knob.name == "preset":
            if not self.presets:
                self._ask_presets()
                self.voice.say("no presets known: the server has not answered. Start it, then turn again.")
                return
            found = pick(sorted(self.presets), value)
        if self.turned.get(knob.name) != found:
            self._turn_to(knob.name, found)

    def _turn_to(self, name, value):
        """A prompt takes the place of a preset, and the other way round."""
        self.turned.pop({"prompt": "preset", "preset": "prompt"}.get(name), None)
        self.turned[name] = value
        self.voice.say(f"{name}: {value}", is_news=False)

    def _obey(self, verb, rest):
        if verb == "cancel":
            self._cancel()
        elif verb == "start":
            self._start_server()
        elif verb == "presets":
            self._tell_presets()
        elif verb == "set":
            self._set(rest)
        else:
            self._ask(verb, rest)

    def _ask(self, verb, words):
        song = self._host.song()
        if len(self.tasks) >= MOST_JOBS:
            raise Trouble(f"{len(self.tasks)} jobs are under way; wait for one, or cancel them.")
        asked = asking.from_json(self.keeper.last) if verb == "again" else self._wish(song, verb, words)
        region = clips.loop_of(song) if asked.task == "generate" else clips.selected(song, asked.is_loop)
        self._begin(asked, region)

    def _wish(self, song, verb, words):
        clip = song.view.detail_clip
        names = [clip.name if clip is not None else "", song.view.selected_track.name]
        return asking.wish(
            self.settings.what, verb, words, names, self.keeper.last, self.turned, self.presets.tasks
        )

    def _begin(self, asked, region):
        name = "live-" + os.urandom(6).hex()
        request = (getattr(protocol, asked.task.upper()), [name, *asking.pairs(asked, region)])
        try:
            osc.encode(*request)
        except osc.BadPacket as error:
            raise Trouble(f"This cannot be sent ({error}). Use fewer or shorter words.") from error
        job = jobs.Job(name, asked, region, request, self._host.now())
        self.tasks[name] = Task(job)
        self.keeper.remember(asked.to_json())
        self.voice.say(f"{asked.task}: {asked.title}, {region.name!r}, {region.seconds:.2f} s")
        for packet in job.due(self._host.now()):
            self._send(*packet)

    def _cancel(self):
        if not self.tasks:
            raise Trouble("Nothing is under way.")
        for name, task in list(self.tasks.items()):
            if task.copying is not None and not task.placed:
                task.copying.discard()
                self._over(name, "cancelled", f"cancelled: {task.job.wish.title}")
            else:
                task.job.cancel(self._host.now())

    def _start_server(self):
        if self._process is not None and self._process.poll() is None:
            raise Trouble("The server was started from here and still runs.")
        paths = (task.job.region.path for task in self.tasks.values())
        folders = sorted({os.path.dirname(path) for path in paths if path})
        self._process = server.start(self.settings.command, self.settings.port, folders)
        self.voice.say("the server starts; jobs that wait go on by themselves.")

    def _set(self, words):
        name, _, value = words.partition(" ")
        value = value.strip()
        if name not in (*asking.PLAIN, "prompt", "preset"):
            raise Trouble(f"{name!r} cannot be set; there are prompt, preset, {', '.join(asking.PLAIN)}")
        if value:
            self._turn_to(name, asking.option(name, value) if name in asking.PLAIN else value)
        else:
            self.turned.pop(name, None)
            self.voice.say(f"{name}: as in ableton.ini", is_news=False)

    # what happens by itself

    def tick(self):
        """Called ten times a second by Live."""
        now = self._host.now()
        if now >= self._next_look:
            self._look()
        self._hear(now)
        for name, task in list(self.tasks.items()):
            try:
                self._step(name, task, now)
            except Trouble as trouble:
                self._over(name, "failed", str(trouble))
            except Exception as error:
                self._host.log(traceback.format_exc())
                self._over(name, "failed", OURS.format(error) + _where(task))
        self.voice.progress(self.tasks.values())
        self._watch_process()

    def _hear(self, now):
        for address, arguments in self.link.received():
            task = self.tasks.get(jobs.job_of(address, arguments))
            if address == protocol.PRESET:
                self.presets.hear(arguments)
            elif task is not None:
                task.job.hear(address, arguments, now)
        for address, arguments, who in self.door.received() if self.door is not None else ():
            if address == DO and len(arguments) == 1 and isinstance(arguments[0], str):
                self.order(arguments[0], who)

    def _step(self, name, task, now):
        job = task.job
        if task.placed:
            self._settle(name, task)
        elif task.copying is not None:
            if task.copying.step():
                self._place(name, task)
        elif job.state == jobs.FINISHED:
            task.copying = self._copying(job)
        elif job.state == jobs.FAILED:
            self._over(name, "failed", f"{job.wish.title}: {job.text}")
        elif job.state == jobs.CANCELLED:
            self._over(name, "cancelled", f"cancelled: {job.wish.title}")
        else:
            for packet in job.due(now):
                self._send(*packet)
            self._tell_absence(task)

    def _tell_absence(self, task):
        if task.job.is_absent and not task.was_absent:
            self.voice.say(
                f"no Stemwright server answers on port {self.settings.port}. Start it: the order start, or "
                f"stemwright serve in a terminal. {task.job.wish.title} waits for it."
            )
        task.was_absent = task.job.is_absent

    def _copying(self, job):
        """The results on their way into the set's folder; Trouble where they are not what was asked for."""
        wanted = []
        for made in job.in_order():
            if abs(made.seconds - job.region.seconds) > max(NEAR, 1e-6 * made.seconds):
                raise Trouble(
                    f"{made.kind} is {made.seconds:.3f} s long, not {job.region.seconds:.3f} s as asked; "
                    f"it stays in {made.path}."
                )
            take = f" seed {made.seed}" if len({one.seed for one in job.in_order()}) > 1 else ""
            wanted.append((made.path, f"{clips.without_brackets(job.region.name)} {made.kind}{take}"))
        song_path = clips.told(self._host.song(), "file_path", "") or ""
        return files.Copying(wanted, files.folder_for(self.settings.folder, song_path))

    def _place(self, name, task):
        job, version = task.job, self._host.version()
        if version < tracks.CREATED_SINCE:
            number = ".".join(map(str, version))
            text = f"Live {number} takes no clips from a script; 12.0.5 and later do."
            self._over(name, "finished", text + _where(task))
            return
        results = list(zip(job.in_order(), task.copying.made))
        stems = tracks.stems_of(results, job.wish.prompts, self._colours(job))
        try:
            task.placed = tracks.place(self._host.song(), job.region, stems)
        except Trouble as trouble:
            raise Trouble(f"{trouble}{_where(task)}") from trouble

    def _colours(self, job):
        """kind → colour; a preset's own goes to its first stem, whatever that is called"""
        known = self.presets.colours
        first = next((made.kind for made in job.in_order() if made.kind != tracks.REST), "")
        return {**known, first: known[job.wish.preset]} if job.wish.preset in known else known

    def _settle(self, name, task):
        left = []
        for one in task.placed:
            state = tracks.settle(self._host.song(), one)
            if state is None:
                self.voice.say(
                    f"Live keeps {one.clip.name!r} warped or cut: switch its Warp off in the clip view."
                )
            elif not state:
                left.append(one)
        if left:
            task.placed = left
        else:
            self._over(
                name, "finished", f"done: {task.job.wish.title}. The files are in {task.copying.folder}"
            )

    def _over(self, name, state, text):
        task = self.tasks.pop(name)
        self.voice.say(text)
        self.voice.ended(state, task.job.wish.title)

    def _look(self):
        """Read the settings again if they have changed."""
        self._next_look = self._host.now() + LOOKS
        before = (self.settings.notes, self.settings.knobs)
        self._read(self.keeper.look)
        if (self.settings.notes, self.settings.knobs) != before:
            self._host.remap()

    def _read(self, read):
        try:
            read()
        except Trouble as trouble:
            self.voice.say(str(trouble))

    def _send(self, address, arguments):
        self.link.send(osc.encode(address, arguments))

    # presets, and the server's process

    def _ask_presets(self):
        self._send(protocol.ASK_PRESETS, ())

    def _tell_presets(self):
        self._ask_presets()
        if not self.presets:
            raise Trouble("no presets known yet; ask again in a moment, with the server running.")
        self.voice.say(f"presets: {', '.join(sorted(self.presets))}")
        self.voice.ended("finished", "presets")

    def _watch_process(self):
        """Tell when the server that was started from here ends by itself; collect it."""
        if self._process is not None and self._process.poll() is not None:
            code, self._process = self._process.returncode, None
            if code:
                self.voice.say(
                    f"the server ended with code {code}. In a terminal it says why: stemwright serve"
                )


def _where(task):
    """Where the stems can be found when Live does not have them."""
    if task.copying is None or not task.copying.made:
        return ""
    return f" Drag the stems from {task.copying.folder}"
