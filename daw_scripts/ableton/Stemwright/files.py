"""Where stems are kept: copied out of the server's folder, which is cleared after some days."""

from __future__ import annotations

import os
import re
import shutil
from contextlib import suppress

from .trouble import Trouble

SLICE = 8 << 20  # bytes copied in one tick
SPARE = 16 << 20  # bytes that are left free on the disk
LONGEST = 120  # bytes of a name, without what is added to it
NOT_IN_A_NAME = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
TAKEN_BY_WINDOWS = re.compile(r"(?i)^(con|prn|aux|nul|com\d|lpt\d)$")


def folder_for(named, song_path):
    """The folder stems go to. named: in the settings; song_path: of the Live Set, empty while not saved"""
    if named:
        return named
    if song_path:
        return os.path.join(os.path.dirname(song_path), "Samples", "Stemwright")
    return os.path.join(os.path.expanduser("~"), "Music", "Stemwright")


def safe(name):
    """A name that every system takes; letters of any language stay."""
    plain = NOT_IN_A_NAME.sub("_", name)
    plain = plain.encode("utf-8", "replace")[:LONGEST].decode("utf-8", "ignore").strip(" .")
    return "_" + plain if not plain or TAKEN_BY_WINDOWS.match(plain) else plain


class Copying:
    """Files on their way into the folder, a slice a tick. wanted: [(the server's path, a name)]"""

    def __init__(self, wanted, folder):
        self.folder = folder
        self.made = []  # paths, in the order of `wanted`
        self._wanted = list(wanted)
        self._source = self._part = None
        self._part_path = self._path = ""
        self._refuse(folder)

    def _refuse(self, folder):
        try:
            os.makedirs(folder, exist_ok=True)
            needed = sum(os.path.getsize(path) for path, _ in self._wanted)
            free = shutil.disk_usage(folder).free
        except OSError as error:
            raise Trouble(
                f"the stems cannot be kept in {folder} ({error.strerror}). {self._stay()}"
            ) from error
        if free < needed + SPARE:
            raise Trouble(
                f"no room in {folder}: {(needed + SPARE) / 1e6:.0f} MB are needed, "
                f"{free / 1e6:.0f} MB are free. {self._stay()}"
            )

    def _stay(self):
        return f"They stay for some days in {os.path.dirname(self._wanted[0][0])}; drag them from there."

    def step(self):
        """Copy one slice → whether all is there. Trouble: nothing of it is left in the folder"""
        if len(self.made) == len(self._wanted):
            return True
        try:
            if self._source is None:
                self._open()
            data = self._source.read(SLICE)
            if data:
                self._part.write(data)
                return False
            self._close()
            os.rename(self._part_path, self._path)
            self._part_path = ""
        except OSError as error:
            self.discard()
            raise Trouble(
                f"the stems cannot be kept in {self.folder} ({error.strerror}). {self._stay()}"
            ) from error
        self.made.append(self._path)
        return len(self.made) == len(self._wanted)

    def _open(self):
        source, name = self._wanted[len(self.made)]
        self._source = open(source, "rb")  # noqa: SIM115 - open from tick to tick
        suffix = os.path.splitext(source)[1].lower()
        for number in range(1, 10000):
            tail = suffix if number == 1 else f" {number}{suffix}"
            self._path = os.path.join(self.folder, safe(name) + tail)
            if os.path.lexists(self._path):
                continue
            try:
                self._part = open(self._path + ".part", "xb")  # noqa: SIM115
            except FileExistsError:
                continue
            self._part_path = self._path + ".part"
            return
        raise OSError(17, "ten thousand files of that name")

    def _close(self):
        for file in (self._source, self._part):
            if file is not None:
                file.close()
        self._source = self._part = None

    def discard(self):
        """Leave nothing behind."""
        paths = self.made + ([self._part_path] if self._part_path else [])
        with suppress(OSError):  # a full disk complains once more
            self._close()
        self._source = self._part = None
        for path in paths:
            with suppress(OSError):  # open in another program
                os.remove(path)
        self.made = []
