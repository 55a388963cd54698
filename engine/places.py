"""Where this user's own files belong on this system."""

import os
import sys
from pathlib import Path

XDG = {
    "data": ("XDG_DATA_HOME", ".local/share"),
    "state": ("XDG_STATE_HOME", ".local/state"),
    "config": ("XDG_CONFIG_HOME", ".config"),
    "cache": ("XDG_CACHE_HOME", ".cache"),
}


def own_folder(kind: str) -> Path:
    """Our folder for "data", "state", "config" or "cache"; it need not exist."""
    variable, below = XDG[kind]
    if sys.platform == "win32":
        roams = kind == "config"
        base = os.environ.get("APPDATA" if roams else "LOCALAPPDATA")
        return Path(base or Path.home() / "AppData" / ("Roaming" if roams else "Local")) / "stemwright"
    if sys.platform == "darwin" and kind != "cache":
        return Path.home() / "Library" / "Application Support" / "stemwright"
    return Path(os.environ.get(variable) or Path.home() / below) / "stemwright"
