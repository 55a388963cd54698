"""The live-coding clients, each run once: what it was given and what it printed; Pd by a screenshot."""

import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

from PIL import Image
from pythonosc.osc_message import OscMessage

from tests.bridge.real import PATIENCE, Child, SonicPi, free_ports
from tests.daw_scripts.live_coding.studio import SCRIPTS, Studio
from tests.daw_scripts.live_coding.test_pd import ABSTRACTION, atom
from tests.daw_scripts.live_coding.test_sonic_pi import run_to
from tests.daw_scripts.live_coding.test_supercollider import sclang
from tests.daw_scripts.live_coding.test_tidal import PACKETS
from tests.daw_scripts.live_coding.test_touchosc import script
from tests.daw_scripts.pictures import draw

Sound = dict[str, str]
SCREEN = (760, 440)
MENU = 32  # pixels of height above the patch


def chuck(place: Path, studio: Studio, sound: Sound) -> None:
    given = f"""
Stemwright stemwright;
stemwright.connect({studio.port}, {free_ports(1)[0]});
while (!stemwright.isKnown) 50::ms => now;
stemwright.ask("extract", "{studio.song}", "bass") @=> StemwrightJob job;
job.ended => now;
<<< job.state, job.path("bass") >>>;
SndBuf bass => dac;
job.path("bass") => bass.read;
<<< bass.samples(), "frames" >>>;
stemwright.ask("extract", "{studio.song}", "") @=> job;
job.ended => now;
<<< job.state, job.code, job.text >>>;
"""
    own, yours = SCRIPTS / "chuck", studio.folder / "yours.ck"
    yours.write_text(given)
    files = [str(own / "StemwrightJob.ck"), str(own / "Stemwright.ck"), str(yours)]
    with Child(["chuck", "--srate48000", *files], sound) as client:
        assert client.ended(PATIENCE) == 0, client.told()
    draw.terminal(
        place, "printed by ChucK 1.4.2: chuck StemwrightJob.ck Stemwright.ck yours.ck", given, client.lines
    )


def supercollider(place: Path, studio: Studio, sound: Sound) -> None:
    given = f"""
x = Stemwright({studio.port}, s);
j = x.extract("{studio.song}", ["bass", "drums"], [variations: 2]);
j.onProgress = {{ |job| (job.progress * 100).round.post; " % ".post }};
// when it has ended:
j.postln;
j.kinds.postln;
j.buffer(\\bass).postln;
j.path(\\rest).postln;
"""
    begin, _, end = given.partition("// when it has ended:\n")
    out = studio.out("sclang")
    session = out / "session.scd"
    session.write_text(
        '"STEMWRIGHT_BEGIN".getenv.load;\nfork({ var x, j, s;\n'
        f"s = ~boot.(\\s, {free_ports(1)[0]});\n~until.({{ s.serverRunning }}, 'scsynth');\n"
        '"BEGIN".postln;\n'
        f'{begin}\n~until.({{ j.isDone }}, "end");\n0.2.wait;\n{end}\n"END".postln;\n0.2.wait;\n0.exit;\n'
        "}, AppClock);\n"
    )
    with sclang(str(session), {**studio.environment(out, studio.song), **sound}, out) as client:
        client.ended(PATIENCE * 2)
    printed = client.lines[client.lines.index("BEGIN") + 1 : client.lines.index("END")]
    draw.terminal(place, "printed by sclang 3.13, with scsynth on JACK", given, printed)


def sonic_pi(place: Path, studio: Studio, sound: Sound) -> None:
    rb = SCRIPTS / "sonic_pi" / "stemwright.rb"
    given = f"""
stemwright :verse, "bass", path: "{studio.song}"
sleep 0.5 until stemwright_state(:verse) == "finished"
puts stem(:verse, "bass")
puts sample_duration(stem(:verse, "bass"))
play_stem :verse, "bass", amp: 0.8
puts "ends"
"""
    out, ports = studio.out("sonic-pi"), free_ports(7)
    environment = {**studio.environment(out, studio.song, reply_port=ports[0]), **sound}
    with SonicPi(out, ports, environment) as client:
        client.boot()
        log = run_to(client, f'run_file "{rb}"\nsync :stemwright\n{given}', "ends", PATIENCE)
    draw.terminal(place, "put into the log by Sonic Pi 3.2.2's server, without its window", given, log)


def tidal(place: Path, studio: Studio, sound: Sound) -> None:
    given = 'once $ stemOf "verse" "bass" "songs/bar.wav"\nonce $ stemOfLast "jam" "electric guitar" 4'
    printed = ["the server's answers to the bytes that Tidal 1.7.10 sent for these lines in GHCi:"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as replayed:
        replayed.connect(("127.0.0.1", studio.port))
        replayed.settimeout(PATIENCE)
        for one in PACKETS[:2]:
            replayed.send(one)
        while not printed[-1].startswith("/stemwright/finished"):
            message = OscMessage(replayed.recv(1 << 16))
            printed.append(" ".join(map(str, (message.address, *message.params))))
    draw.terminal(place, "Tidal: its recorded bytes, replayed to the real server", given, printed)


def touchosc(place: Path, studio: Studio, sound: Sound) -> None:
    job = "touchosc-090507-1"
    lines = [
        "notify\tstemwright\tbass",
        f"hear\t/stemwright/progress\ts\t{job}\tf\t0.4\ts\tsample\tf\t1.0",
        f"hear\t/stemwright/finished\ts\t{job}\tf\t1.0",
        "notify\tstemwright\tcancel",
    ]
    packets, shown = script(*lines)
    sent = [OscMessage(one) for one in packets]
    printed = [f"sent: {one.address} {' '.join(map(str, one.params))}" for one in sent]
    printed += [f"label: {text}" for text in shown]
    note = "a stand-in for TouchOSC's functions ran the script and recorded this; not TouchOSC"
    draw.terminal(place, note, "\n".join(lines), printed)


def pd(place: Path, studio: Studio, sound: Sound) -> None:
    """Pd's own window under Xvfb, after a message box was clicked."""
    out = studio.out("pd")
    patch = out / "song.pd"
    patch.write_text(_patch(studio))
    with ExitStack() as stack:
        screen = ["Xvfb", "-displayfd", "1", "-screen", "0", "1000x800x24", "-nolisten", "tcp"]
        number = stack.enter_context(Child([*screen, "-fbdir", str(out)])).wait_for(r"^(\d+)$")[1]
        own = {**studio.environment(out, studio.song), **sound, "DISPLAY": f":{number}", "LC_ALL": "C.UTF-8"}
        words = ["-stderr", "-noprefs", "-nomidi", "-jack", "-r", "48000", "-path", str(ABSTRACTION)]
        client = stack.enter_context(Child(["pd", *words, "-open", str(patch)], own))
        client.wait_for("said: finished")
        time.sleep(2)  # its window is drawn by another process
        image = _screen(out / "Xvfb_screen0").crop((0, 0, SCREEN[0], SCREEN[1] + MENU))
    draw.save(image, place)


def _patch(studio: Studio) -> str:
    ask = f"extract prompt bass channels 1 path {atom(studio.song)}"
    return (
        f"#N canvas 0 0 {SCREEN[0]} {SCREEN[1]} 12;\n"
        f"#X msg 20 75 {ask};\n"
        f"#X obj 20 125 stemwright bass-stem bass {studio.port};\n"
        "#X floatatom 20 170 8 0 0 1 frames - - 0;\n"
        "#X obj 220 170 print said;\n"
        "#N canvas 0 22 450 278 (subpatch) 0;\n#X array bass-stem 96000 float 2;\n"
        "#X coords 0 0.5 95999 -0.5 700 200 1 0 0;\n#X restore 20 210 graph;\n"
        "#X obj 20 15 loadbang;\n#X obj 20 43 del 1500;\n"
        "#X connect 0 0 1 0;\n#X connect 1 0 2 0;\n#X connect 1 1 3 0;\n#X connect 5 0 6 0;\n"
        "#X connect 6 0 0 0;\n"
    )


def _screen(place: Path) -> Image.Image:
    """Xvfb's memory: an XWD file, whose header names its own length, rows and colours."""
    data = place.read_bytes()
    header = struct.unpack(">25I", data[:100])
    begin, width, height, stride = header[0] + 12 * header[19], header[4], header[5], header[12]
    return Image.frombytes(
        "RGB", (width, height), data[begin : begin + stride * height], "raw", "BGRX", stride
    )
