"""Which device is meant, and on which clock."""

import pytest

from stemwright.bridge.devices import NO_DEVICES, NO_LIBRARY, Device, choose, chosen
from stemwright.bridge.errors import NoAudio

CARDS = [
    Device(0, "HDA Intel: Analog (hw:0,0)", "ALSA", 2, 2, 44_100),
    Device(1, "USB Audio: In (hw:1,0)", "ALSA", 8, 0, 48_000),
    Device(2, "default", "ALSA", 32, 32, 44_100, True, True),
    Device(3, "system", "JACK Audio Connection Kit", 2, 2, 48_000),
    Device(4, "default", "JACK Audio Connection Kit", 2, 2, 48_000),
    Device(5, "USB Audio: Out (hw:1,1)", "ALSA", 0, 6, 48_000),
]


@pytest.mark.parametrize(
    ("wanted", "side", "number"),
    [
        ("default", "input", 2),
        (1, "input", 1),
        ("1", "input", 1),
        ("system", "output", 3),
        ("usb", "input", 1),
        ("usb", "output", 5),
        ("jack system", "input", 3),
        ("DEFAULT", "output", 2),
    ],
)
def test_a_device_is_named_by_number_name_or_words_of_it(wanted: str | int, side: str, number: int) -> None:
    assert choose(CARDS, wanted, side).number == number


@pytest.mark.parametrize(
    ("cards", "wanted", "side", "words"),
    [
        (CARDS, "hw", "input", "several devices are called 'hw': 0 HDA.*, 1 USB.*; say more of its name"),
        (CARDS, 5, "input", "no input is called 5; there are 0 HDA"),
        (CARDS[1:2], "default", "output", "no sound device has an output. 1 USB Audio"),
    ],
)
def test_a_name_that_fits_none_or_several_is_refused_with_those_there_are(
    cards: list[Device], wanted: str | int, side: str, words: str
) -> None:
    with pytest.raises(NoAudio, match=words):
        choose(cards, wanted, side)


def test_one_stream_where_there_is_one_clock_and_two_where_not() -> None:
    def asked(source: str | None, sink: str | None, rate: int | None = None) -> tuple[bool, int, int]:
        choice = chosen(CARDS, {"input": source, "output": sink, "rate": rate, "channels": None})
        return choice.is_duplex, choice.rate, choice.output_rate

    assert asked("hda", "hda") == (True, 44_100, 44_100)
    assert asked("3", "4") == (True, 48_000, 48_000)  # all of JACK is one clock
    assert asked("1", "hda") == (False, 48_000, 44_100)
    assert asked("1", "hda", 96_000) == (False, 96_000, 44_100)
    assert asked(None, "hda", 96_000) == (False, 96_000, 96_000)


def test_the_words_for_no_device_and_no_library_say_what_to_install() -> None:
    assert "apt install libportaudio2" in NO_LIBRARY
    assert "--list-audio" in NO_DEVICES
