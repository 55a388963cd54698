"""Starting the server from inside Live, without waiting for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile

from .trouble import Trouble

NAME = "stemwright"
WITHOUT_WINDOW = 0x08000000  # Windows: CREATE_NO_WINDOW
OWN_GROUP = 0x00000200  # Windows: CREATE_NEW_PROCESS_GROUP
NOT_FOR_IT = ("PYTHON", "DYLD_", "LD_")  # what Live sets for its own Python and libraries


def places():
    """Where pip, pipx and uv put programs. A host started from the desktop has a short PATH."""
    user = os.path.expanduser("~")
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA", "")
        roaming = os.environ.get("APPDATA", "")
        found = [os.path.join(user, ".local", "bin")]
        for base in (os.path.join(local, "Programs", "Python"), os.path.join(roaming, "Python")):
            found += [os.path.join(base, one, "Scripts") for one in _names(base)]
        return found
    found = [os.path.join(user, ".local", "bin"), "/opt/homebrew/bin", "/usr/local/bin", "/usr/bin"]
    library = os.path.join(user, "Library", "Python")
    return found + [os.path.join(library, one, "bin") for one in _names(library)]


def _names(folder):
    try:
        return sorted(os.listdir(folder), reverse=True)
    except OSError:
        return []


def program(command):
    """The program's path. command: as set by the user, or empty"""
    wanted = command or NAME
    found = shutil.which(wanted) or shutil.which(wanted, path=os.pathsep.join(places()))
    if found is None:
        raise Trouble(
            "the program {} is not found. Install it (pip install stemwright), or write its path behind "
            "command = in ableton.ini (a terminal tells it: {} stemwright).".format(
                wanted, "where" if sys.platform == "win32" else "which"
            )
        )
    if found.lower().endswith((".bat", ".cmd")):  # those go through a shell, which reads paths as commands
        raise Trouble(f"{found} is a batch file; write the path of stemwright.exe behind command =.")
    return found


def words(path, port, folders):
    """The command line. folders: what the server may read beside home and the temporary folder"""
    line = [path, "serve", "--port", str(port)]
    for root in [os.path.expanduser("~"), tempfile.gettempdir(), *list(folders)]:
        if os.path.isdir(root):
            line += ["--root", root]
    return line


def start(command, port, folders=()):
    """Start it and come back at once → the process. It goes on when Live ends."""
    line = words(program(command), port, folders)
    clean = {name: value for name, value in os.environ.items() if not name.startswith(NOT_FOR_IT)}
    more = {"start_new_session": True}
    if sys.platform == "win32":
        more = {"creationflags": WITHOUT_WINDOW | OWN_GROUP}
    nothing = subprocess.DEVNULL
    try:
        return subprocess.Popen(line, stdin=nothing, stdout=nothing, stderr=nothing, env=clean, **more)
    except OSError as error:
        raise Trouble(f"{line[0]} could not be started ({error.strerror}).") from error
