"""The script for TouchOSC against a stand-in for its functions; what it sends goes to the real server."""

import shutil
import socket
import subprocess

import pytest
from pythonosc.osc_message import OscMessage

from tests.bridge.real import PATIENCE, packet
from tests.daw_scripts.live_coding.studio import HERE, SCRIPTS, Studio

LUA = next((name for name in ("lua5.1", "lua5.4", "lua") if shutil.which(name)), None)
KINDS = {"s": str, "i": int, "f": float}


def script(*lines: str) -> tuple[list[bytes], list[str]]:
    """Lines for the stand-in → the packets the script sent, and its label after each line"""
    assert LUA is not None
    command = [LUA, str(HERE / "fakes" / "touchosc.lua"), str(SCRIPTS / "touchosc" / "stemwright.lua")]
    done = subprocess.run(
        command, input="\n".join(lines) + "\n", capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    packets = [
        packet(row[1], *(KINDS[tag](value) for tag, value in zip(row[2::2], row[3::2], strict=True)))
        for row in rows
        if row[0] == "send"
    ]
    return packets, [row[1] for row in rows if row[0] == "state"]


def answers(port: int, packets: list[bytes]) -> list[OscMessage]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as phone:
        phone.settimeout(PATIENCE)
        phone.connect(("127.0.0.1", port))
        found = []
        for one in packets:
            phone.send(one)
            found.append(OscMessage(phone.recv(1 << 16)))
    return found


@pytest.mark.skipif(LUA is None, reason="needs Lua: apt-get install lua5.4")
def test_the_server_understands_every_button(studio: Studio) -> None:
    """This one has no live input and no job of that name: it refuses for that alone."""
    buttons = [f"notify\tstemwright\t{tag}" for tag in ("bass", "play", "cancel", "stop")]
    packets, shown = script(*buttons)
    assert shown[0] == "asked for bass"
    codes = [(one.address.rpartition("/")[2], [*one.params, ""][1]) for one in answers(studio.port, packets)]
    assert codes == [("fail", "no_audio"), ("fail", "not_found"), ("fail", "not_found"), ("done", "")]


@pytest.mark.skipif(LUA is None, reason="needs Lua: apt-get install lua5.4")
def test_every_press_is_a_job_of_its_own_and_the_lease_is_renewed() -> None:
    packets, _ = script("wait\t0", "wait\t5000", "wait\t16000", *["notify\tstemwright\tbass"] * 2)
    messages = [OscMessage(one) for one in packets]
    assert [one.params for one in messages if one.address == "/stemwright/notify"] == [[1, 9000]] * 2
    jobs = [one.params[0] for one in messages if one.address == "/stemwright/extract"]
    assert jobs == ["touchosc-090507-1", "touchosc-090507-2"]


@pytest.mark.skipif(LUA is None, reason="needs Lua: apt-get install lua5.4")
def test_the_label_tells_what_happens() -> None:
    job = "touchosc-090507-1"
    _, shown = script(
        "notify\tstemwright\tbass",
        f"hear\t/stemwright/progress\ts\t{job}\tf\t0.4\ts\tsample\tf\t1.0",
        "hear\t/stemwright/finished\ts\tanother\tf\t1.0",
        f"hear\t/stemwright/finished\ts\t{job}\tf\t1.0",
        f"hear\t/stemwright/fail\ts\t/stemwright/extract\ts\tno_audio\ts\tno live input is open\ts\t{job}",
    )
    assert shown == ["asked for bass", "40 %", "40 %", "finished", "no live input is open"]
