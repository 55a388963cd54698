"""The functions for Sonic Pi in its real server, with scsynth on JACK."""

import re
import time
from contextlib import suppress

import numpy as np

from tests.bridge.real import SONIC_PI, SonicPi, free_ports, needs
from tests.daw_scripts.live_coding.studio import (
    BAR,
    HERE,
    PATIENCE,
    SCRIPTS,
    Studio,
    mono,
    places,
    said,
    sound_of,
)


def plain(log: list[str]) -> list[str]:
    """Texts put are written as Ruby writes strings: in quotation marks, with backslashes."""
    texts = (line[1:-1].replace("\\t", "\t") for line in log if line.startswith('"'))
    return [re.sub(r"\\(.)", r"\1", text) for text in texts]


def run_to(sonic_pi: SonicPi, code: str, last: str, seconds: float) -> list[str]:
    """Run code until it has put a text → its log. Its run does not end: 3.2.2 waits for samples played."""
    sonic_pi._tell("/run-code", code)
    end = time.monotonic() + seconds
    while not any(last in line for line in sonic_pi.log) and time.monotonic() < end:
        with suppress(AssertionError):
            sonic_pi._until("/runs/all-completed", 1.0)
    return sonic_pi.log


@needs("sonic-pi-server jackd2 procps", SONIC_PI, "ruby", "erl", "scsynth", "jackd", "jack_lsp", "ps")
def test_sonic_pi_asks_hears_cancels_and_plays_a_stem_on_the_bar(
    studio: Studio, sound: dict[str, str]
) -> None:
    out = studio.out("sonic-pi")
    ports = free_ports(7)
    script = SCRIPTS / "sonic_pi" / "stemwright.rb"
    words = {"reply_port": ports[0], "bar": studio.bar, "rb": script}
    environment = {**studio.environment(out, studio.song, **words), **sound}
    with SonicPi(out, ports, environment) as sonic_pi:
        sonic_pi.boot()
        log = run_to(sonic_pi, (HERE / "sonic_pi.rb").read_text(), "said:\\tends", PATIENCE)
    found = said(plain(log))
    assert found["verse"] == [["finished"]], log
    bass, rest, is_first = found["stems"][0]
    np.testing.assert_allclose(sound_of(bass) + sound_of(rest), sound_of(studio.song), atol=1e-6)
    assert is_first == "true"
    assert len(set(found["variations"][0])) == 2 and "" not in found["variations"][0]
    assert found["typo"] == [["failed"]]
    assert any("no option 'promt'" in line for line in plain(log))
    assert found["long"] == [["cancelled"]]
    assert "ends" in found and not [line for line in log if line.startswith("error")], log

    # Its mixer's filter turns low notes' phases, so differences from frame to frame are compared.
    # Measured: loops 0.96 alike, stems 0.8, 0 frames apart.
    left, right = np.diff(sound_of(out / "record.wav"))
    inner = slice(2000, BAR // 2)
    stem = next(studio.spool.glob("jobs/sonic-pi-in-time-*/out/bass.wav"))
    loop = places(left, np.diff(mono(studio.bar))[inner], least=0.7)
    heard = places(right, np.diff(mono(stem))[inner], least=0.7)
    assert len(heard) >= 2
    for place in heard:
        assert min(abs(place - other) for other in loop) <= 64, (loop, heard)
