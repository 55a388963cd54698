"""The Pd abstraction in Pd on JACK, against the real server."""

import re

from tests.bridge.real import Child, free_ports, needs
from tests.daw_scripts.live_coding.studio import BAR, HERE, PATIENCE, SCRIPTS, Studio, mono, places, sound_of

ABSTRACTION = SCRIPTS / "pd"
HEADLESS = [
    "-nogui",
    "-stderr",
    "-noprefs",
    "-nomidi",
    "-path",
    str(ABSTRACTION),
]  # -batch knows no real time


def atom(word: object) -> str:
    """A symbol of Pd with what would end it kept by a backslash."""
    return re.sub(r"([ ,;\\])", r"\\\1", str(word))


@needs("puredata-core jackd2", "pd", "jackd", "jack_lsp")
def test_pd_reads_a_stem_into_an_array_and_plays_it_on_the_bar(studio: Studio, sound: dict[str, str]) -> None:
    out = studio.out("pd")
    words = {"record": out / "record.wav", "bar": studio.bar, "port": studio.port}
    sends = [f"{name} symbol {atom(value)}" for name, value in words.items() if name != "port"]
    sends += [f"port {studio.port}", f"song symbol {atom(studio.song)}"]
    command = ["pd", *HEADLESS, "-jack", "-r", "48000", "-channels", "2"]
    command += ["-open", str(HERE / "session.pd")]
    command += [word for send in sends for word in ("-send", send)]
    with Child(command, {**studio.environment(out, studio.song), **sound}) as client:
        client.ended(PATIENCE)
    told = client.told()
    said = [line.removeprefix("said: ") for line in client.lines if line.startswith("said: ")]
    results = [line.split(" ", 2)[1:] for line in said if line.startswith("result ")]
    plain = [line for line in said if not line.startswith(("progress", "result"))]
    assert [line.split(" ")[0] for line in plain] == ["finished", "fail", "cancelled", "finished"], told
    assert plain[1].startswith("fail bad_args") and "no\\ option\\ 'promt'" in plain[1]
    assert [kind for kind, _ in results] == ["bass", "rest"] * 2
    assert [line for line in client.lines if line.startswith("frames: ")] == [f"frames: {BAR}"] * 2, told

    left, right = sound_of(out / "record.wav")
    stem = mono(re.sub(r"\\(.)", r"\1", results[2][1]))
    inner = slice(2000, BAR // 2)
    loop, heard = places(left, mono(studio.bar)[inner]), places(right, stem[inner])
    assert len(heard) >= 2
    for place in heard:
        assert min(abs(place - other) for other in loop) <= 1, (loop, heard)  # measured: 0 frames


@needs("puredata-core", "pd")
def test_pd_is_told_to_start_the_server_where_there_is_none(studio: Studio) -> None:
    out = studio.out("pd-alone")
    patch = out / "alone.pd"
    patch.write_text(
        "#N canvas 0 0 400 300 12;\n"
        f"#X obj 20 80 stemwright here bass {free_ports(1)[0]};\n"
        "#X obj 20 120 print frames;\n#X obj 120 120 print said;\n"
        "#X obj 20 20 loadbang;\n#X msg 20 50 extract prompt bass path /a.wav;\n#X obj 300 20 table here;\n"
        "#X obj 220 120 route fail;\n#X obj 220 150 t b;\n#X msg 220 180 \\; pd quit;\n"
        "#X connect 0 0 1 0;\n#X connect 0 1 2 0;\n#X connect 3 0 4 0;\n#X connect 4 0 0 0;\n"
        "#X connect 0 1 6 0;\n#X connect 6 0 7 0;\n#X connect 7 0 8 0;\n"
    )
    command = ["pd", *HEADLESS, "-nosound", "-noaudio", "-open", str(patch)]
    with Child(command, studio.environment(out, studio.song)) as client:
        client.ended()
    (line,) = (line for line in client.lines if line.startswith("said: fail"))
    assert "no_server" in line and "stemwright" in line
