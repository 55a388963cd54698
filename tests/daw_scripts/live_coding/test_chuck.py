"""The ChucK class in ChucK on JACK, against the real server."""

import numpy as np

from tests.bridge.real import Child, free_ports, needs
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


@needs("chuck jackd2", "chuck", "jackd", "jack_lsp")
def test_chuck_asks_hears_cancels_and_plays_a_stem_on_the_bar(studio: Studio, sound: dict[str, str]) -> None:
    out = studio.out("chuck")
    environment = studio.environment(out, studio.song, reply_port=free_ports(1)[0], bar=studio.bar)
    own = SCRIPTS / "chuck"
    scripts = [str(own / "StemwrightJob.ck"), str(own / "Stemwright.ck"), str(HERE / "chuck.ck")]
    with Child(["chuck", "--srate48000", *scripts], {**environment, **sound}) as client:
        assert client.ended(PATIENCE) == 0, client.told()
    found = said(client.lines)
    assert found["song"] == [["finished", ""]], client.told()
    bass, rest = found["stems"][0]
    np.testing.assert_allclose(sound_of(bass) + sound_of(rest), sound_of(studio.song), atol=1e-6)
    assert len(set(found["variations"][0]) - {""}) == 2
    assert found["typo"][0][0] == "bad_args" and "no option 'promt'" in found["typo"][0][1]
    assert found["long"] == [["cancelled", ""]]
    assert "ends" in found, client.told()

    left, right = sound_of(out / "record.wav")
    inner = slice(2000, BAR // 2)
    loop, stem = places(left, mono(studio.bar)[inner]), places(right, mono(found["in time"][0][0])[inner])
    assert len(stem) == 2
    for place in stem:
        assert min(abs(place - other) for other in loop) <= 1, (loop, stem)  # measured: 0 frames
