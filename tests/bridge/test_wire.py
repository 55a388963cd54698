"""The OSC codec: python-osc reads what it writes, it reads what python-osc writes, and no more."""

import math
import struct
import time
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pythonosc.osc_message import OscMessage

from stemwright.bridge import messages as say
from stemwright.bridge.grammar import BAD_INPUT, CODES, TOO_FAR, TOO_LARGE, Message, shape
from stemwright.bridge.messages import LONGEST_REPLY
from stemwright.bridge.wire import LONGEST_PACKET, BadPacket, Incoming, decode, encode
from tests.bridge.wires import built, bundle, tag_in

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
small_floats = st.floats(width=32, allow_nan=False)
arguments = st.one_of(
    st.tuples(st.just("i"), st.integers(-(2**31), 2**31 - 1)),
    st.tuples(st.just("h"), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.just("f"), small_floats),
    st.tuples(st.just("d"), st.floats(allow_nan=False)),
    st.tuples(st.just("s"), texts),
    st.tuples(st.just("b"), st.binary(min_size=1, max_size=50)),
    st.tuples(st.just("T"), st.just(True)),
    st.tuples(st.just("F"), st.just(False)),
    st.tuples(st.just("N"), st.none()),
    st.tuples(st.just("r"), st.integers(0, 2**32 - 1)),
    st.tuples(st.just("m"), st.tuples(*[st.integers(0, 255)] * 4)),
)


def only(packet: bytes) -> Incoming:
    (incoming,) = decode(packet)
    return incoming


@given(st.lists(arguments, max_size=12))
def test_what_python_osc_builds_is_read_as_it_was(values: list[tuple[str, Any]]) -> None:
    assert only(built("/a/b", *values)) == Incoming("/a/b", [value for _, value in values], None)


@given(st.binary(max_size=200))
@example(bundle() + struct.pack(">i", -4))
def test_any_bytes_are_messages_or_a_bad_packet(packet: bytes) -> None:
    for start in (b"", b"/a\0\0,", b"#bundle\0" + bytes(7) + b"\1"):
        try:
            assert isinstance(decode(start + packet), list)
        except BadPacket as bad:
            assert bad.code in CODES and str(bad)


def test_a_message_without_type_tags_has_no_arguments() -> None:
    assert only(b"/abc\0\0\0\0") == Incoming("/abc", [], None)


def test_letters_symbols_times_and_arrays_leave_what_follows_in_place() -> None:
    packet = b"/a\0\0" + b",cSt[i[]]i\0\0" + struct.pack(">I", 65) + b"sym\0"
    packet += struct.pack(">Q", 77) + struct.pack(">ii", 1, 7)
    assert only(packet).arguments == ["A", "sym", 77, [1, []], 7]


def test_an_empty_blob_goes_both_ways() -> None:
    packet = encode(say.Buffer("j", 0, 5, 5, b""))
    assert only(packet).arguments == ["j", 0, 5, 5, b""]
    assert OscMessage(packet).params[:4] == ["j", 0, 5, 5]


def test_a_long_text_takes_no_longer_than_its_bytes() -> None:
    """8 MiB: about 5 ms here, where a loop over bytes takes a second."""
    text = b"x" * (8 << 20)
    packet = b"/a\0\0,s\0\0" + text + bytes(4)
    begin = time.process_time()
    assert len(only(packet).arguments[0]) == len(text)
    assert time.process_time() - begin < 0.3


def test_many_arguments_after_a_long_blob_take_no_longer_than_their_bytes() -> None:
    """About 2 ms here; copying the rest for each argument takes seconds."""
    tags = b"," + (b"b" + b"i" * 255).ljust(259, b"\0")
    packet = (
        b"/a\0\0" + tags + struct.pack(">i", 8 << 20) + bytes(8 << 20) + struct.pack(">255i", *range(255))
    )
    begin = time.process_time()
    assert only(packet).arguments[1:] == list(range(255))
    assert time.process_time() - begin < 0.3


def test_a_bundle_for_later_is_due_then() -> None:
    before = time.monotonic()
    (incoming,) = decode(bundle(built("/a"), tag=tag_in(2.5)))
    assert incoming.due is not None
    assert before + 2.4 < incoming.due < time.monotonic() + 2.6  # the clocks may be moved in between


def test_a_bundle_may_lie_ten_seconds_ahead_and_no_more() -> None:
    assert decode(bundle(built("/a"), tag=tag_in(9.5)))[0].due is not None
    with pytest.raises(BadPacket, match="at most 10 s") as caught:
        decode(bundle(built("/a"), tag=tag_in(10.5)))
    assert caught.value.code == TOO_FAR


@pytest.mark.parametrize("tag", [0, 1, 5 << 32, tag_in(-3600), tag_in(-0.001)])
def test_a_bundle_that_is_late_or_for_now_is_due_now(tag: int) -> None:
    assert decode(bundle(built("/a"), tag=tag)) == [Incoming("/a", [], None)]


def test_an_inner_bundle_has_its_own_time_or_that_of_the_outer() -> None:
    inner = bundle(built("/own"), tag=tag_in(5))
    outer = bundle(built("/a"), bundle(built("/inherited")), inner, tag=tag_in(1))
    first, inherited, own = decode(outer)
    assert first.due is not None and inherited.due is not None and own.due is not None
    assert abs(inherited.due - first.due) < 0.1 and 3.9 < own.due - first.due < 4.1


def test_bundles_may_be_four_deep_and_hold_256_messages() -> None:
    deep = built("/a")
    for _ in range(4):
        deep = bundle(deep)
    assert decode(deep) == [Incoming("/a", [], None)]
    assert len(decode(bundle(*[built("/a")] * 256))) == 256


def test_nothing_of_a_bundle_is_handed_out_when_one_message_is_bad() -> None:
    with pytest.raises(BadPacket):
        decode(bundle(built("/good"), b"/bad\0\0\0\0,i\0\0"))


def test_a_bad_message_whose_address_can_be_read_names_it() -> None:
    with pytest.raises(BadPacket) as caught:
        decode(b"/abc\0\0\0\0,Q\0\0")
    assert caught.value.address == "/abc"


def test_the_packet_has_a_limit() -> None:
    decode(built("/a", ("b", bytes(8 << 20))))
    with pytest.raises(BadPacket) as caught:
        decode(b"/" + bytes(LONGEST_PACKET))
    assert caught.value.code == TOO_LARGE


@pytest.mark.parametrize("kind", [*say.REPLIES, *say.EVENTS, *say.REQUESTS])
def test_every_message_is_read_back_by_python_osc_and_by_us(kind: type[Message]) -> None:
    samples: dict[str, Any] = {
        "i": 7,
        "f": 0.5,
        "s": "grün",
        "b": b"\0\1\2",
        "*": (("seed", 3), ("prompt", "a")),
    }
    message = kind(*[samples[letter] for _, letter, _ in shape(kind)])
    packet = encode(message)
    assert kind.parse(only(packet).arguments) == message
    theirs = OscMessage(packet)
    assert (theirs.address, theirs.params) == (kind.address, message.arguments())


@given(texts, st.floats(), st.integers(), st.text())
def test_an_answer_can_always_be_written(path: str, seconds: float, seed: int, job: str) -> None:
    incoming = only(encode(say.Result(job, 0, 1, "rest", path, seconds, seed)))
    found = incoming.arguments
    assert incoming.address == say.Result.address
    assert -(2**31) <= found[6] < 2**31
    assert found[5] == pytest.approx(seconds, rel=1e-6, abs=1e-37, nan_ok=True) or abs(seconds) > 3e38


def test_numbers_that_do_not_fit_become_the_nearest_that_do() -> None:
    found = only(encode(say.Result("j", 0, 1, "rest", "p", -1e300, 2**40))).arguments
    assert found[5:] == [-3.4028234663852886e38, 2**31 - 1]
    assert math.isinf(only(encode(say.Finished("j", math.inf))).arguments[1])


@pytest.mark.parametrize("letter", ["x", "ü", "音", "🎵"])
@pytest.mark.parametrize("length", [300, 1390, 1400, 5000])
def test_an_answer_over_the_limit_has_its_longest_text_cut(letter: str, length: int) -> None:
    whole = say.Fail("/stemwright/extract", BAD_INPUT, letter * length, "job-1")
    packet = encode(whole)
    request, code, text, job = only(packet).arguments
    assert (request, code, job) == ("/stemwright/extract", BAD_INPUT, "job-1")
    if text == whole.text:
        assert len(packet) <= LONGEST_REPLY
    else:
        assert LONGEST_REPLY - 12 <= len(packet) <= LONGEST_REPLY
        assert text[-1] == "…" and whole.text.startswith(text[:-1])


def test_an_answer_of_several_long_texts_fits_too() -> None:
    packet = encode(say.Result("j" * 900, 0, 1, "k" * 900, "p" * 900, 1.0))
    assert len(packet) <= LONGEST_REPLY and only(packet).arguments[1:3] == [0, 1]


def test_a_request_is_sent_whole_however_long() -> None:
    prompt = "x" * 5000
    assert only(encode(say.Extract("j", (("prompt", prompt),)))).arguments == ["j", "prompt", prompt]


def test_texts_that_osc_cannot_carry_are_replaced() -> None:
    assert only(encode(say.Done("a\0b", "\udcff"))).arguments == ["a\ufffdb", "?"]
