"""The companion program, which asks the script from outside Live."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from tests.bridge.real import needs
from tests.daw_scripts.ableton.puppet import Puppet

ASK = Path(__file__).resolve().parents[3] / "daw_scripts" / "ableton" / "ask.py"
PATIENCE = 300  # seconds
Desks = Callable[..., Any]


@pytest.fixture
def puppet() -> Iterator[Puppet]:
    made = Puppet()
    yield made
    made.close()


def asking(port: int, *words: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(ASK), "--port", str(port), *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(desk: Any, program: subprocess.Popen[str]) -> tuple[int, str]:
    desk.until(lambda: program.poll() is not None, "ask.py does not end")
    told, wrong = program.communicate(timeout=PATIENCE)
    assert wrong == ""
    return program.returncode, told


def test_it_prints_what_live_says_and_ends_with_the_job(
    desks: Desks, puppet: Puppet, tmp_path: Path, free_port: int
) -> None:
    desk = desks(puppet.port, door=free_port)
    soundfile.write(tmp_path / "a.wav", np.zeros((48000, 1)), 48000)
    desk.clip(tmp_path / "a.wav")
    program = asking(free_port, "extract", 'the "low" bass; 歌')
    desk.until(lambda: bool(desk.app.tasks), "no job")
    ((_, arguments),) = puppet.jobs()
    assert arguments[1:5] == ["prompt", 'the "low" bass', "prompt", "歌"]
    puppet.say("progress", arguments[0], 0.5, "sample", 1.0)
    desk.until(lambda: any("50 %" in line for line in desk.shown), "no progress")
    puppet.say("fail", "/stemwright/extract", "bad_job", "no such thing", arguments[0])
    code, told = ended(desk, program)
    assert code == 1 and told.splitlines()[-1] == 'the "low" bass; 歌: no such thing'
    assert "50 %" in told
    assert ended(desk, asking(free_port, "cancel")) == (0, "Nothing is under way.\n")
    assert ended(desk, asking(free_port, "set", "variations", "3")) == (0, "variations: 3\n")
    assert desk.app.turned == {"variations": 3}


def test_nobody_there_is_told_with_the_way_out(free_port: int) -> None:
    program = asking(free_port, "again")
    _, wrong = program.communicate(timeout=PATIENCE)
    assert program.returncode == 7 and "Stemwright chosen as a control surface" in wrong


@needs("xvfb", "Xvfb", "xvfb-run")
def test_the_window_asks_with_its_fields(
    desks: Desks, puppet: Puppet, tmp_path: Path, free_port: int
) -> None:
    pytest.importorskip("tkinter")
    desk = desks(puppet.port, door=free_port)
    soundfile.write(tmp_path / "a.wav", np.zeros((48000, 1)), 48000)
    desk.clip(tmp_path / "a.wav")
    desk.tick()
    assert puppet.heard()
    puppet.say("presets.reply", 0, 2, "vocals", "extract", "vocals", "#f2a7c3")
    puppet.say("presets.reply", 1, 2, "groove", "generate", "funk", "")
    desk.until(lambda: len(desk.app.presets) == 2, "no presets", 10)
    code = f"""
import sys
sys.path.insert(0, {str(ASK.parent)!r})
import ask
window = ask.Window(ask.Live({free_port}))
def look():
    if window.presets["values"] and not window.fields["prompt"].get():
        for name, value in dict(prompt="slap bass", variations="2", rest="no").items():
            window.fields[name].set(value)
        window.do()
    if "cancelled" in window.said.get():
        print(window.presets["values"])
        window.root.destroy()
    else:
        window.root.after(50, look)
look()
window.root.mainloop()
"""
    command = ["xvfb-run", "-a", sys.executable, "-c", code]
    program = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    desk.until(lambda: bool(desk.app.tasks), "no job")
    ((_, arguments),) = puppet.jobs()
    assert arguments[1:7] == ["prompt", "slap bass", "rest", 0, "variations", 2]
    puppet.say("cancelled", arguments[0])
    code_at_end, told = ended(desk, program)
    assert (code_at_end, told) == (0, "('groove', 'vocals')\n")
    assert (Path(desk.home) / "ask.json").is_file()
