"""The real Ardour on a screen that nobody sees, with its dummy engine, driven through its OSC as a pad would.

Everything is private to a test: home, settings, display, OSC port, session. All waiting has a deadline.
"""

import base64
import json
import os
import shutil
import socket
import struct
import subprocess
import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import soundfile
from numpy.typing import NDArray

from tests.bridge.real import ROOT, Child, free_ports, needs, packet

SCRIPTS = ROOT / "daw_scripts" / "ardour" / "scripts"
LUA = Path(__file__).parent / "lua"
PATIENCE = 120.0  # seconds; all of it comes within a few on a machine with nothing else to do
JOB = 300.0  # seconds for a job of the model; as much
PACKAGES = "ardour xvfb xdotool xauth"
EXPORTS = 9  # at most, of one session
STEP, SCRIPT = 1, 2  # slots of Ardour's Lua actions: the test's own steps, and what is tested
SCREEN = "1600x1000x24"
Found = TypeVar("Found")

needs_ardour = needs(PACKAGES, "ardour", "ardour7-lua", "ardour7-export", "Xvfb", "xdotool")


class Program(Child):
    def is_running(self) -> bool:
        return self._process.poll() is None


def until(look: Callable[[], Found | None], what: str, seconds: float = PATIENCE) -> Found:
    """The first thing that `look` finds; AssertionError when it does not come."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, f"{what}: not within {seconds:.0f} s"
        time.sleep(0.05)


def environment(home: Path) -> dict[str, str]:
    """Settings of nobody else are read or written."""
    places = {"XDG_CONFIG_HOME": ".config", "XDG_CACHE_HOME": ".cache", "XDG_DATA_HOME": ".local/share"}
    places |= {"XDG_STATE_HOME": ".local/state", "XDG_RUNTIME_DIR": "."}
    own = {name: str(home / place) for name, place in places.items()}
    quiet = {"NO_AT_BRIDGE": "1", "GTK_MODULES": "", "LC_ALL": "C.UTF-8", "STEMWRIGHT_SPOOL": ""}
    return {"HOME": str(home), **own, **quiet}


def lua(home: Path, script: Path, *words: str, seconds: float = PATIENCE) -> str:
    """Run a script in Ardour's headless Lua → what it said. Its exit code says little."""
    with Child(["ardour7-lua", str(script), *words], environment(home)) as child:
        child.ended(seconds)
        return "\n".join(child.lines)


@dataclass(frozen=True)
class Home:
    """A home folder in which Ardour has its dummy engine and OSC on, and the scripts in its action slots."""

    path: Path
    osc_port: int

    @property
    def config(self) -> Path:
        return self.path / ".config" / "ardour7"

    @property
    def inbox(self) -> Path:
        return self.path / ".local" / "state" / "stemwright" / "inbox"


def make_home(path: Path) -> Home:
    """As after the install of the README, with the script bound to a slot by the Script Manager."""
    home = Home(path, free_ports(1)[0])
    home.config.mkdir(parents=True)
    (home.config / ".a7").touch()  # no wizard
    modules = Path(shutil.copytree(SCRIPTS, home.config / "scripts")) / "stemwright"
    (modules / "app.lua").rename(modules / "app_itself.lua")
    shutil.copyfile(LUA / "app.lua", modules / "app.lua")
    (home.config / "config").write_text(_settings(home.osc_port))
    actions = [LUA / "step.lua", SCRIPTS / "stemwright.lua"]
    said = lua(path, LUA / "dump.lua", str(path), *map(str, actions))
    assert "DUMPED" in said, said
    (home.config / "ui_scripts").write_text(_slots(path, actions))
    return home


def _settings(osc_port: int) -> str:
    options = {
        "hide-dummy-backend": 0, "try-autostart-engine": 1, "osc-port": osc_port, "copy-demo-sessions": 0,
        "discover-plugins-on-start": 0, "new-plugins-active": 0, "check-announcements": 0,
        "periodic-safety-backups": 0,
    }  # fmt: skip
    engine = {
        "backend": "None (Dummy)", "driver": "Normal Speed", "device": "Silence",
        "input-device": "", "output-device": "", "lm-input": "", "lm-output": "", "sample-rate": 48000,
        "buffer-size": 1024, "n-periods": 0, "input-latency": 0, "output-latency": 0, "active": 1,
        "use-buffered-io": 0, "midi-option": "No MIDI I/O", "lru": int(time.time()),
    }  # fmt: skip
    osc = {"name": "Open Sound Control (OSC)", "active": 1, "feedback": 0, "striptypes": 31, "debugmode": 0}
    osc |= {"address-only": 0, "remote-port": 8000, "banksize": 0, "gainmode": 0}
    lines = "".join(f'<Option name="{name}" value="{value}"/>' for name, value in options.items())
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><Ardour><Config>{lines}</Config>'
        f"<Extra><AudioMIDISetup><EngineStates><State {_attributes(engine)}><MIDIDevices/></State>"
        "</EngineStates></AudioMIDISetup></Extra>"
        f"<ControlProtocols><Protocol {_attributes(osc)}/></ControlProtocols></Ardour>"
    )


def _attributes(values: Mapping[str, Any]) -> str:
    return " ".join(f'{name}="{value}"' for name, value in values.items())


def _slots(folder: Path, actions: list[Path]) -> str:
    """What the Script Manager keeps: the text and the compiled factory of each action, as a Lua table."""
    table = ["scripts = {} "]
    for number, action in enumerate(actions, 1):
        compiled = "".join(f"\\{byte:03d}" for byte in (folder / f"{action.stem}.luac").read_bytes())
        table.append(
            f"scripts[{number}] = {{}} scripts[{number}]['n'] = '{action.stem}' "
            f"scripts[{number}]['s'] = [====[\n{action.read_text()}]====] "
            f"scripts[{number}]['f'] = \"{compiled}\" scripts[{number}]['a'] = {{}} "
        )
    packed = base64.b64encode("".join(table).encode()).decode()
    return (
        '<?xml version="1.0" encoding="UTF-8"?><UIScripts>'
        f'<ActionScript lua="Lua 5.3">{packed}</ActionScript><ActionHooks/></UIScripts>'
    )


def make_session(home: Home, folder: Path, name: str = "song", rate: int = 48000) -> Path:
    """A new session → its file. Made with the same home, for it keeps which controllers are on."""
    said = lua(home.path, LUA / "create.lua", str(folder), name, str(rate))
    assert "CREATED" in said, said
    return folder / f"{name}.ardour"


@dataclass
class Ardour:
    """A running Ardour with an open session."""

    home: Home
    session: Path
    display: str
    process: Program
    steps: int = 0

    def act(self, slot: int) -> None:
        """Press the button of a Lua action."""
        self.send("/access_action", f"LuaAction/script-{slot}")

    def send(self, address: str, *arguments: int | float | str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.sendto(packet(address, *arguments), ("127.0.0.1", self.home.osc_port))

    def step(self, code: str, **values: Any) -> Any:
        """Run Lua inside Ardour → what it returns, by JSON. `values` are locals of the code."""
        self.begin_step(code, **values)
        return self.end_step()

    def begin_step(self, code: str, **values: Any) -> None:
        self.steps += 1
        locals_ = "".join(f"local {name} = {_lua_value(value)}\n" for name, value in values.items())
        part = self.home.path / "step.part"
        part.write_text(locals_ + code)
        part.rename(self.home.path / "step.lua")
        self.act(STEP)

    def end_step(self, seconds: float = PATIENCE) -> Any:
        answer = self.home.path / "step.json"

        def read() -> str | None:
            if not answer.exists():
                self.alive()
                if (self.home.path / "step.lua").exists():
                    self.act(STEP)  # a press while it was starting
                    time.sleep(0.2)
                return None
            return answer.read_text()

        text = until(read, "the step's answer", seconds)
        answer.unlink()
        found = json.loads(text)
        assert found["ok"], found["error"]
        return found.get("value")

    def clock(self) -> bytes:
        """The pixels of Ardour's clock."""
        data = (self.home.path / "Xvfb_screen0").read_bytes()
        header = struct.unpack(">25I", data[:100])
        begin, stride = header[0] + 12 * header[19], header[12]
        return b"".join(data[begin + row * stride :][2000:2800] for row in range(30, 60))

    def picture(self, place: Path) -> None:
        """What is on the screen, as a PNG."""
        data = (self.home.path / "Xvfb_screen0").read_bytes()
        header = struct.unpack(">25I", data[:100])
        begin, width, height, stride = header[0] + 12 * header[19], header[4], header[5], header[12]
        rows = (data[begin + row * stride :][: 4 * width] for row in range(height))
        lines = b"".join(b"\0" + bytes(np.frombuffer(row, np.uint8).reshape(-1, 4)[:, 2::-1]) for row in rows)
        chunks = (
            (b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0)),
            (b"IDAT", zlib.compress(lines)),
            (b"IEND", b""),
        )
        packed = (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
            for name, body in chunks
        )
        place.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(packed))

    def alive(self) -> None:
        assert self.process.is_running(), f"Ardour ended; {self.process.told()}"

    def window(self, title: str, seconds: float = PATIENCE) -> str:
        """The id of a window on the screen, by its title."""

        def look() -> str | None:
            self.alive()
            found = self.xdotool("search", "--onlyvisible", "--name", title, check=False).split()
            return found[-1] if found else None

        return until(look, f"a window {title!r}", seconds)

    def gone_id(self, window: str, seconds: float = PATIENCE) -> None:
        """Until a window is closed."""

        def look() -> bool:
            return window not in self.xdotool("search", "--onlyvisible", "--name", ".*", check=False).split()

        until(look, "the end of a window", seconds)

    def xdotool(self, *words: str, check: bool = True) -> str:
        done = subprocess.run(
            ["xdotool", *words], env={**os.environ, "DISPLAY": self.display}, capture_output=True, text=True,
            timeout=PATIENCE, check=False,
        )  # fmt: skip
        assert not check or done.returncode == 0, f"xdotool {words}: {done.stderr}"
        return done.stdout

    def type(self, window: str, text: str) -> None:
        self.xdotool("windowfocus", window, check=False)
        self.xdotool("type", "--delay", "10", text)

    def keys(self, window: str, *keys: str) -> None:
        self.xdotool("windowfocus", window, check=False)
        self.xdotool("key", "--clearmodifiers", *keys)


def _lua_value(value: Any) -> str:
    if isinstance(value, list):
        return "{" + ", ".join(map(_lua_value, value)) + "}"
    if isinstance(value, Path):
        value = str(value)
    return json.dumps(value, ensure_ascii=False).replace("\\/", "/")


@contextmanager
def open_ardour(home: Home, session: Path) -> Iterator[Ardour]:
    """Ardour's window, ready for actions."""
    with ExitStack() as stack:
        screen = ["Xvfb", "-displayfd", "1", "-screen", "0", SCREEN, "-nolisten", "tcp"]
        screen += ["-fbdir", str(home.path)]
        number = stack.enter_context(Child(screen)).wait_for(r"^(\d+)$")[1]
        own = {**environment(home.path), "DISPLAY": f":{number}"}
        process = stack.enter_context(Program(["ardour", "-n", "-a", "-d", "-O", str(session)], own))
        ardour = Ardour(home, session, f":{number}", process)
        ardour.step("return true")
        yield ardour


def export(home: Home, session: Path, place: Path) -> tuple[NDArray[Any], int]:
    """The session's mixdown by ardour7-export → samples (N, K), rate

    That of Ardour 7.3 leaves garbage at the borders of its blocks now and then (seen: 1e25 and 6e-31 at every
    2048th sample), elsewhere when asked again; so it is asked until each sample is the same in two exports.
    """
    words = [
        "ardour7-export",
        "--output",
        str(place),
        "--bitdepth",
        "float",
        str(session.parent),
        session.stem,
    ]
    found: list[NDArray[Any]] = []
    for _ in range(EXPORTS):
        place.unlink(missing_ok=True)
        with Child(words, environment(home.path)) as child:
            child.ended(PATIENCE)
            assert place.exists(), child.told()
        samples, rate = soundfile.read(place, always_2d=True)
        found.append(samples)
        middle = np.sort(found, axis=0)[len(found) // 2]
        if (np.equal(found, middle).sum(axis=0) >= 2).all():
            return middle, rate
    raise AssertionError(f"{EXPORTS} exports by ardour7-export: samples that are the same in no two of them")
