"""The control surface as Live sees it: its ticks, its MIDI, and the few calls the rest needs of it."""

from __future__ import annotations

import time
import traceback

import Live

try:
    from ableton.v2.control_surface import ControlSurface
except ImportError:
    from _Framework.ControlSurface import ControlSurface

from .app import App

NOTE_ON, CONTROLLER = 0x90, 0xB0


class Stemwright(ControlSurface):
    """Runs an App. Live calls on its own thread alone; there is no other."""

    def __init__(self, c_instance):
        super().__init__(c_instance)
        self._app = App(Host(c_instance))
        self._app.open()
        self.add_received_midi_listener(self._on_midi)
        self._is_open = True
        self.schedule_message(1, self._on_tick)

    def disconnect(self):
        """Live calls it when the set is closed, or another script chosen."""
        self._is_open = False
        self.remove_received_midi_listener(self._on_midi)
        self._app.close()
        super().disconnect()

    def build_midi_map(self, midi_map_handle):
        """Only messages that are asked for come here; all others stay with Live."""
        super().build_midi_map(midi_map_handle)
        handle = self._c_instance.handle()
        for channel, number in self._app.settings.notes:
            Live.MidiMap.forward_midi_note(handle, midi_map_handle, channel, number)
        for channel, number in self._app.settings.knobs:
            Live.MidiMap.forward_midi_cc(handle, midi_map_handle, channel, number)

    def _on_tick(self):
        if not self._is_open:
            return
        try:
            self._app.tick()
        except Exception:
            self._c_instance.log_message(traceback.format_exc())
        self.schedule_message(1, self._on_tick)

    def _on_midi(self, *message):
        if len(message) != 3 or not self._is_open:
            return
        kind, at, value = message[0] & 0xF0, (message[0] & 0x0F, message[1]), message[2]
        if kind == NOTE_ON and value > 0 and at in self._app.settings.notes:
            self._app.order(self._app.settings.notes[at])
        elif kind == CONTROLLER and at in self._app.settings.knobs:
            self._app.turn(self._app.settings.knobs[at], value)


class Host:
    """What the App needs of Live."""

    def __init__(self, c_instance):
        self._c_instance = c_instance

    def song(self):
        return self._c_instance.song()

    def version(self):
        live = Live.Application.get_application()
        return (live.get_major_version(), live.get_minor_version(), live.get_bugfix_version())

    def show(self, text):
        self._c_instance.show_message(text)

    def log(self, text):
        self._c_instance.log_message("(Stemwright) " + text)

    def remap(self):
        self._c_instance.request_rebuild_midi_map()

    def now(self):
        return time.monotonic()
