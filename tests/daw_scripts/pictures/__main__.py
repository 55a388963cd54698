"""The pictures of the hosts' pages, made anew:  python -m tests.daw_scripts.pictures [reaper live pd chuck …]

Every one comes from a run with the real server and the default model. Pd's is a screenshot (it needs the
package puredata-gui). Programs of text are shown by what they were given and what they printed. REAPER and
Live cannot be had here: theirs are drawn from what the fakes hold after a run, and say so. Ardour's is the
screenshot that its test keeps in build/artefacts.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from tests.bridge.jack import Jack
from tests.bridge.real import ROOT, running_server
from tests.daw_scripts.live_coding.studio import Studio, write_songs
from tests.daw_scripts.pictures import clients, hosts

SCRIPTS = ROOT / "daw_scripts"
HOSTS: dict[str, Callable[[Path], None]] = {
    "reaper/stems.png": hosts.reaper,
    "ableton/stems.png": hosts.live,
    "ardour/stems.png": hosts.ardour,
}
CLIENTS: dict[str, Callable[[Path, Studio, dict[str, str]], None]] = {
    "live_coding/supercollider/session.png": clients.supercollider,
    "live_coding/tidal/session.png": clients.tidal,
    "live_coding/sonic_pi/session.png": clients.sonic_pi,
    "live_coding/pd/session.png": clients.pd,
    "live_coding/chuck/session.png": clients.chuck,
    "live_coding/touchosc/session.png": clients.touchosc,
}


def main(words: list[str]) -> None:
    def is_wanted(name: str) -> bool:
        return not words or any(word in name for word in words)

    for name, draw in HOSTS.items():
        if is_wanted(name):
            draw(SCRIPTS / name)
    wanted = [name for name in CLIENTS if is_wanted(name)]
    if wanted:
        _clients(wanted)


def _clients(names: list[str]) -> None:
    jack = Jack()
    jack.start()
    with tempfile.TemporaryDirectory(prefix="music-") as place:
        folder = Path(place)
        song, bar = write_songs(folder / "songs")
        song = song.rename(song.with_name("song.wav"))
        try:
            with running_server(folder / "spool", folder) as (_, port):
                studio = Studio(port, folder / "spool", folder, song, bar)
                for name in names:
                    CLIENTS[name](SCRIPTS / name, studio, {"JACK_DEFAULT_SERVER": jack.name})
        finally:
            jack.stop()


if __name__ == "__main__":
    main(sys.argv[1:])
